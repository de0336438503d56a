//! Producers, as processes of their own: one that makes transactions, which read as well, and one that just sends.

use super::workload::{KEYS, TIMEOUT, key, now, value_of};
use crate::actors::{self, tell};
use crate::clients::{GivenUp, config, consumer_with, insist, transactional};
use crate::common::{DEADLINE, Rng, until};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub const PART: &str = "history::producer::process";
/// Each incarnation has values of its own.
const VALUES: u64 = 1_000_000_000;

/// What a producer is to be.
#[derive(Clone, Debug)]
pub struct Role {
    pub bootstrap: String,
    pub process: usize,
    /// Names its transactional id, and the partition that it reads.
    pub slot: usize,
    pub transactional: bool,
    pub seed: u64,
}

impl Role {
    pub fn settings(&self) -> String {
        format!("{} {} {} {} {}", self.bootstrap, self.process, self.slot, self.transactional, self.seed)
    }

    fn parse(settings: &str) -> Self {
        let words: Vec<_> = settings.split(' ').collect();
        Self {
            bootstrap: words[0].into(),
            process: words[1].parse().unwrap(),
            slot: words[2].parse().unwrap(),
            transactional: words[3].parse().unwrap(),
            seed: words[4].parse().unwrap(),
        }
    }

    /// The group in whose name it commits what it has read.
    pub fn group(slot: usize) -> String {
        format!("slot-{slot}")
    }
}

#[test]
#[ignore = "the stories start it as a process of its own"]
fn process() {
    let Some(settings) = actors::settings() else { return };
    let (role, over) = (Role::parse(&settings), actors::asked_to_end());
    let mut rng = Rng::from(role.seed);
    if !role.transactional {
        return put(&role, &mut rng, &over);
    }
    let ended = Transactional::start(&role, rng).and_then(|mut producer| {
        while !over.load(Ordering::SeqCst) && !producer.producer.context().is_spent() {
            producer.transaction()?;
        }
        Ok(())
    });
    if let Err(error) = ended {
        tell(&format!("fatal {:?}", error.code()));
    }
}

/// Tells what is acknowledged.
#[derive(Default)]
struct Telling(GivenUp);

impl Telling {
    fn is_spent(&self) -> bool {
        self.0.any()
    }
}

impl ClientContext for Telling {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Telling {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        match result {
            Ok(message) => tell(&format!("ack {} {value} {}", now(), message.offset())),
            Err(_) => self.0.notice(),
        }
    }
}

/// Different batches and codecs.
fn habits(slot: usize) -> [(&'static str, &'static str); 2] {
    [
        ("batch.num.messages", ["1", "3", "1000"][slot % 3]),
        ("compression.codec", ["none", "lz4", "zstd", "snappy"][slot % 4]),
    ]
}

/// Sends a value with something behind it, and waits for room if need be. What cannot be sent at all has failed its
/// transaction.
fn send(producer: &ThreadedProducer<Telling>, (topic, partition): (&'static str, i32), value: u64, rng: &mut Rng) {
    let padding = "-".repeat(rng.below(3_000) as usize);
    let text = format!("{value} {padding}");
    let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
    until("room in the queue", || {
        let record = BaseRecord::<(), _, _>::with_opaque_to(topic, Box::new(value)).partition(partition).payload(&text);
        let refused = producer.send(record).err().map(|(error, _)| error);
        (refused.as_ref() != Some(&full)).then_some(())
    });
}

fn any_key(rng: &mut Rng) -> (&'static str, i32) {
    KEYS[rng.below(KEYS.len() as u64) as usize]
}

/// Sends records outside of any transaction, which readers of committed records have to wait for nevertheless.
fn put(role: &Role, rng: &mut Rng, over: &AtomicBool) {
    let settings = [("enable.idempotence", "true"), ("linger.ms", "0"), ("message.timeout.ms", "120000")];
    let settings = [&settings[..], &habits(role.slot)].concat();
    let producer: ThreadedProducer<Telling> =
        config(&role.bootstrap, &settings).create_with_context(Telling::default()).unwrap();
    let mut value = role.process as u64 * VALUES;
    while !over.load(Ordering::SeqCst) {
        for _ in 0..rng.below(4) {
            let (topic, partition) = any_key(rng);
            tell(&format!("put {} {topic} {partition} {value}", now()));
            send(&producer, (topic, partition), value, rng);
            value += 1;
        }
        thread::sleep(Duration::from_micros(rng.below(20_000)));
    }
    producer.flush(DEADLINE).unwrap();
}

struct Transactional {
    producer: ThreadedProducer<Telling>,
    consumer: BaseConsumer,
    group: String,
    membership: ConsumerGroupMetadata,
    rng: Rng,
    next_value: u64,
}

impl Transactional {
    /// One whose predecessors are fenced, and that reads on where they have committed.
    fn start(role: &Role, rng: Rng) -> Result<Self, RDKafkaError> {
        let (group, id) = (Role::group(role.slot), format!("history-{}", role.slot));
        let timeout_ms = TIMEOUT.as_millis().to_string();
        let settings = [&habits(role.slot)[..], &[("transaction.timeout.ms", &timeout_ms)]].concat();
        let producer: ThreadedProducer<Telling> =
            transactional(&role.bootstrap, &id, &settings).create_with_context(Telling::default()).unwrap();
        insist(|| producer.init_transactions(DEADLINE))?;
        let consumer = consumer_with(&role.bootstrap, &[("group.id", &group)]);
        let (topic, partition) = KEYS[role.slot % KEYS.len()];
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let committed = until("the committed offset", || consumer.committed_offsets(asked.clone(), DEADLINE).ok());
        let from = committed.elements()[0].offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(0);
        asked.set_partition_offset(topic, partition, Offset::Offset(from)).unwrap();
        consumer.assign(&asked).unwrap();
        tell(&format!("assign {topic} {partition} {from}"));
        let membership = consumer.group_metadata().unwrap();
        Ok(Self { producer, consumer, group, membership, rng, next_value: role.process as u64 * VALUES })
    }

    /// One transaction, whatever its end. Fails when the producer can do nothing more.
    fn transaction(&mut self) -> Result<(), RDKafkaError> {
        thread::sleep(Duration::from_micros(self.rng.below(20_000)));
        tell(&format!("begin {}", now()));
        insist(|| self.producer.begin_transaction())?;
        let ended = self.fill().and_then(|wanted| if wanted { self.commit() } else { self.give_up() });
        match ended {
            Err(error) if error.txn_requires_abort() => self.abort(),
            ended => ended,
        }
    }

    /// Writes, and sometimes reads in between. Gives whether it is to be committed.
    fn fill(&mut self) -> Result<bool, RDKafkaError> {
        self.write();
        if self.rng.below(3) == 0 {
            // Others may find what is not committed.
            let _ = self.producer.flush(Duration::from_millis(self.rng.below(100)));
        }
        if self.rng.below(2) == 0 {
            self.read()?;
            self.write();
        }
        if self.rng.below(20) == 0 {
            thread::sleep(Duration::from_millis(self.rng.below(500)));
        }
        Ok(self.rng.below(4) > 0)
    }

    fn write(&mut self) {
        let count = if self.rng.below(20) == 0 { 100 } else { 1 + self.rng.below(8) };
        for _ in 0..count {
            let ((topic, partition), value) = (any_key(&mut self.rng), self.next_value);
            self.next_value += 1;
            tell(&format!("send {topic} {partition} {value}"));
            send(&self.producer, (topic, partition), value, &mut self.rng);
        }
    }

    /// Reads what there is, and adds to the transaction how far it has come.
    fn read(&mut self) -> Result<(), RDKafkaError> {
        let mut last = None;
        for _ in 0..200 {
            // Connections come and go.
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(5)) else { break };
            let at = key(message.topic(), message.partition());
            let value = value_of(message.payload());
            tell(&format!("saw {} {} {} {value}", at.0, at.1, message.offset()));
            last = Some((at, message.offset() + 1));
        }
        let Some(((topic, partition), next)) = last else { return Ok(()) };
        tell(&format!("offset {} {topic} {partition} {next}", self.group));
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(next)).unwrap();
        insist(|| self.producer.send_offsets_to_transaction(&offsets, &self.membership, DEADLINE))
    }

    fn commit(&self) -> Result<(), RDKafkaError> {
        tell(&format!("commit {}", now()));
        insist(|| self.producer.commit_transaction(DEADLINE))?;
        tell(&format!("done {}", now()));
        Ok(())
    }

    /// Aborts what is in the log.
    fn give_up(&self) -> Result<(), RDKafkaError> {
        let _ = self.producer.flush(Duration::from_secs(5));
        self.abort()
    }

    fn abort(&self) -> Result<(), RDKafkaError> {
        insist(|| self.producer.abort_transaction(DEADLINE))?;
        tell(&format!("aborted {}", now()));
        Ok(())
    }
}
