//! Producers that number their records, what was acknowledged to them, and the comparison with the log.

use crate::clients::{Record, config};
use crate::common::DEADLINE;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Partition and offset of each acknowledged record by its number, and what failed.
#[derive(Default)]
pub struct Ledger {
    acknowledged: Mutex<BTreeMap<usize, (i32, i64)>>,
    failed: Mutex<Vec<(usize, KafkaError)>>,
}

impl ClientContext for Ledger {}

impl ProducerContext for Ledger {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) => {
                let place = (message.partition(), message.offset());
                let before = self.acknowledged.lock().unwrap().insert(number, place);
                assert_eq!(before, None, "record {number} is acknowledged twice");
            }
            Err((error, _)) => self.failed.lock().unwrap().push((number, error.clone())),
        }
    }
}

/// A producer whose records say who sent them and are numbered from 0.
pub struct Numbered {
    pub name: usize,
    topic: String,
    producer: ThreadedProducer<Ledger>,
    sent: AtomicUsize,
    /// Added to each value.
    padding: String,
}

impl Numbered {
    /// An idempotent one. librdkafka allows five unanswered records in a partition, not five batches: with one record
    /// in a batch it makes full use of the broker's window. Others send two, and more than it lets go at once.
    pub fn idempotent(name: usize, bootstrap: &str, topic: &str) -> Self {
        let batch = ["1", "2", "20"][name % 3];
        let codec = ["none", "lz4", "zstd"][name % 3];
        let settings = [("enable.idempotence", "true"), ("batch.num.messages", batch), ("compression.codec", codec)];
        Self::with(name, bootstrap, topic, &settings)
    }

    pub fn with(name: usize, bootstrap: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = config(
            bootstrap,
            &[
                ("acks", "all"),
                ("max.in.flight", "5"),
                ("linger.ms", "0"),
                ("message.timeout.ms", "120000"),
                ("retry.backoff.ms", "5"),
                ("retry.backoff.max.ms", "50"),
                ("socket.timeout.ms", "10000"),
                ("queue.buffering.max.messages", "2000"),
            ],
        );
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let producer = config.create_with_context(Ledger::default()).unwrap();
        Self { name, topic: topic.into(), producer, sent: AtomicUsize::new(0), padding: "-".repeat(500) }
    }

    /// Sends the next record, from one thread at a time; waits while the queue is full.
    pub fn send(&self, partition: Option<i32>, key: Option<&str>) {
        let number = self.sent.load(Ordering::SeqCst);
        let value = format!("{} {number} {}", self.name, self.padding);
        let mut record = BaseRecord::with_opaque_to(&self.topic, number).payload(value.as_str());
        record.partition = partition;
        record.key = key;
        let began = Instant::now();
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => record = again,
                Err((error, _)) => panic!("producer {}: {error}", self.name),
            }
            assert!(began.elapsed() < DEADLINE, "the queue of producer {} stays full", self.name);
            thread::sleep(Duration::from_millis(1));
        }
        self.sent.store(number + 1, Ordering::SeqCst);
    }

    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Waits until everything is acknowledged; nothing may fail.
    pub fn finish(&self) {
        self.producer.flush(DEADLINE * 2).unwrap();
        let ledger = self.producer.context();
        assert_eq!(*ledger.failed.lock().unwrap(), []);
        assert_eq!(ledger.acknowledged.lock().unwrap().len(), self.sent(), "producer {}", self.name);
    }

    /// Waits for the outcome of everything, and gives what failed.
    pub fn failures(&self) -> Vec<KafkaError> {
        self.producer.flush(DEADLINE * 2).unwrap();
        let failed = self.producer.context().failed.lock().unwrap();
        failed.iter().map(|(_, error)| error.clone()).collect()
    }

    /// How many are acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.producer.context().acknowledged.lock().unwrap().len()
    }

    /// Raises `ends` (one for each partition) to the offset after the last one acknowledged.
    pub fn acknowledged_ends(&self, ends: &mut [i64]) {
        for (partition, offset) in self.producer.context().acknowledged.lock().unwrap().values() {
            let end = &mut ends[usize::try_from(*partition).unwrap()];
            *end = (*end).max(offset + 1);
        }
    }
}

/// Who sent a record, and its number there.
fn origin(record: &Record) -> (usize, usize) {
    let mut words = record.text().split(' ').map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

/// The log holds every acknowledged record where it was acknowledged.
pub fn assert_acknowledged(producers: &[Numbered], log: &[Vec<Record>]) {
    for producer in producers {
        for (number, (partition, offset)) in producer.producer.context().acknowledged.lock().unwrap().iter() {
            let records = &log[usize::try_from(*partition).unwrap()];
            let stored = records.get(usize::try_from(*offset).unwrap()).map(origin);
            assert_eq!(stored, Some((producer.name, *number)), "acknowledged at {partition}, {offset}");
        }
    }
}

/// The log holds every record that was sent once, each producer's in order in each partition, and nothing else; and
/// those acknowledged are where they were acknowledged.
pub fn assert_exactly_once(producers: &[Numbered], log: &[Vec<Record>]) {
    assert_acknowledged(producers, log);
    let mut found: Vec<BTreeMap<usize, (i32, i64)>> = vec![BTreeMap::new(); producers.len()];
    for record in log.iter().flatten() {
        let ((name, number), place) = (origin(record), (record.partition, record.offset));
        assert!(number < producers[name].sent(), "{place:?} was never sent");
        let twice = found[name].insert(number, place);
        assert_eq!(twice, None, "record {number} of producer {name} is also at {place:?}");
    }
    for (producer, found) in producers.iter().zip(&found) {
        assert_eq!(found.len(), producer.sent(), "of producer {}", producer.name);
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for (number, (partition, offset)) in found {
            let before = last.insert(*partition, *offset);
            assert!(before < Some(*offset), "{number} of producer {} is at {partition}, {offset}", producer.name);
        }
    }
}
