//! A copier, as a process of its own.

use super::{COPIERS, PARTITIONS, Sharing};
use crate::actors::{self, tell};
use crate::clients::{GivenUp, config, insist, transactional};
use crate::common::{DEADLINE, Rng, until};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub const PART: &str = "copier::process::process";
const PER_TRANSACTION: usize = 750;
/// One of so many transactions is aborted by who made it.
const ABORTED: u64 = 20;

#[test]
#[ignore = "the stories start it as a process of its own"]
fn process() {
    let Some(settings) = actors::settings() else { return };
    let words: Vec<_> = settings.split(' ').collect();
    let fixed = words[2] == format!("{:?}", Sharing::Fixed);
    let rng = Rng::from(words[3].parse().unwrap());
    let mut copier = Copier::start(words[0], words[1].parse().unwrap(), fixed, rng);
    let over = actors::asked_to_end();
    while !over.load(Ordering::SeqCst) && !copier.producer.context().any() {
        if let Err(fatal) = copier.transaction(&over) {
            tell(&format!("fatal {:?}", fatal.code()));
            return;
        }
    }
}

/// Keeps what a member needs to commit offsets in a transaction, as it was when it was given its partitions.
#[derive(Default)]
struct Membership {
    metadata: Mutex<Option<ConsumerGroupMetadata>>,
    /// Counts the times that partitions were taken.
    lost: AtomicUsize,
}

impl ClientContext for Membership {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(_) = rebalance {
            *self.metadata.lock().unwrap() = consumer.group_metadata();
        }
    }
}

struct Copier {
    consumer: BaseConsumer<Membership>,
    producer: ThreadedProducer<GivenUp>,
    rng: Rng,
}

impl Copier {
    fn start(bootstrap: &str, number: usize, fixed: bool, rng: Rng) -> Self {
        let producer: ThreadedProducer<GivenUp> =
            transactional(bootstrap, &format!("copier-{number}"), &[]).create_with_context(GivenUp::default()).unwrap();
        // Before anything is read: what the one before left open is decided then.
        until("the transactional id is free", || producer.init_transactions(DEADLINE).ok());
        let settings = [
            ("group.id", "copiers"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "2000"),
            ("heartbeat.interval.ms", "200"),
            ("fetch.wait.max.ms", "20"),
            ("check.crcs", "true"),
        ];
        let consumer: BaseConsumer<Membership> =
            config(bootstrap, &settings).create_with_context(Membership::default()).unwrap();
        if fixed {
            let mut assignment = TopicPartitionList::new();
            for partition in (0..PARTITIONS).filter(|it| *it as usize % COPIERS == number) {
                assignment.add_partition_offset("in", partition, Offset::Stored).unwrap();
            }
            consumer.assign(&assignment).unwrap();
            *consumer.context().metadata.lock().unwrap() = consumer.group_metadata();
        } else {
            consumer.subscribe(&["in"]).unwrap();
        }
        Self { consumer, producer, rng }
    }

    /// One transaction, or none where nothing is to be copied. Fails when the producer can do nothing more.
    fn transaction(&mut self, over: &AtomicBool) -> Result<(), RDKafkaError> {
        let lost = self.lost();
        let Some(offsets) = self.copy_records(over)? else { return Ok(()) };
        let unwanted = self.rng.below(ABORTED) == 0;
        if self.lost() != lost || unwanted {
            return self.abort(if unwanted { "at will" } else { "partitions were taken" });
        }
        let done = self.send_offsets(&offsets).and_then(|()| insist(|| self.producer.commit_transaction(DEADLINE)));
        match done {
            Ok(()) => {
                tell("committed");
                Ok(())
            }
            Err(error) if error.txn_requires_abort() => self.abort(&format!("{:?}", error.code())),
            Err(error) => Err(error),
        }
    }

    fn lost(&self) -> usize {
        self.consumer.context().lost.load(Ordering::SeqCst)
    }

    /// Begins a transaction with the first record that comes, and gives the offsets after those that it has sent on.
    fn copy_records(&self, over: &AtomicBool) -> Result<Option<BTreeMap<i32, i64>>, RDKafkaError> {
        let (mut offsets, mut copied) = (BTreeMap::new(), 0);
        while copied < PER_TRANSACTION {
            let message = match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => message,
                // Connections come and go.
                Some(Err(_)) => continue,
                None if copied > 0 || over.load(Ordering::SeqCst) => break,
                None => continue,
            };
            if copied == 0 {
                insist(|| self.producer.begin_transaction())?;
                tell("begun");
            }
            self.send(message.partition(), message.payload().unwrap());
            offsets.insert(message.partition(), message.offset() + 1);
            copied += 1;
        }
        Ok((copied > 0).then_some(offsets))
    }

    /// What cannot be sent has failed the transaction, which its end will tell.
    fn send(&self, partition: i32, value: &[u8]) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        until("room in the queue", || {
            let record = BaseRecord::<(), _>::to("out").partition(partition).payload(value);
            let refused = self.producer.send(record).err().map(|(error, _)| error);
            (refused.as_ref() != Some(&full)).then_some(())
        });
    }

    fn send_offsets(&self, offsets: &BTreeMap<i32, i64>) -> Result<(), RDKafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset("in", *partition, Offset::Offset(*offset)).unwrap();
        }
        let metadata = self.consumer.context().metadata.lock().unwrap();
        let metadata = metadata.as_ref().expect("partitions were given");
        insist(|| self.producer.send_offsets_to_transaction(&list, metadata, DEADLINE))
    }

    /// Aborts, and goes back to what is committed.
    fn abort(&self, why: &str) -> Result<(), RDKafkaError> {
        // What is given up would be the end of this copier.
        let _ = self.producer.flush(Duration::from_secs(5));
        insist(|| self.producer.abort_transaction(DEADLINE))?;
        tell(&format!("aborted {why}"));
        let committed = until("the committed offsets", || self.consumer.committed(DEADLINE).ok());
        let mut back = TopicPartitionList::new();
        for element in committed.elements() {
            let offset = if element.offset() == Offset::Invalid { Offset::Beginning } else { element.offset() };
            back.add_partition_offset("in", element.partition(), offset).unwrap();
        }
        // Where a partition was taken in the meantime its next reader begins at what is committed anyhow.
        let _ = self.consumer.seek_partitions(back, DEADLINE);
        Ok(())
    }
}
