//! What readers of committed records see of a topic, and what readers of all records see.

use crate::clients::{Record, consumer_with};
use crate::common::{DEADLINE, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

/// A consumer that tells when it has come to an end.
pub fn reader(bootstrap: &str, isolation: Isolation) -> BaseConsumer {
    consumer_with(bootstrap, &[("isolation.level", isolation.name()), ("enable.partition.eof", "true")])
}

/// The last stable offset, or the high watermark, from a broker that may have begun just now.
pub fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    until("a watermark", || consumer.fetch_watermarks(topic, partition, DEADLINE).ok()).1
}

/// Waits until every transaction in these partitions has ended.
pub fn until_decided(bootstrap: &str, topic: &str, partitions: i32) {
    let [stable, high] = [Isolation::Committed, Isolation::Uncommitted].map(|it| reader(bootstrap, it));
    for partition in 0..partitions {
        until(&format!("the transactions of {topic}-{partition} end"), || {
            (end(&stable, topic, partition) == end(&high, topic, partition)).then_some(())
        });
    }
}

/// What there is to read now in the first `partitions` partitions of a topic, each partition's records in the order
/// they came.
pub fn read(bootstrap: &str, isolation: Isolation, topic: &str, partitions: i32) -> Vec<Vec<Record>> {
    let consumer = reader(bootstrap, isolation);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = vec![Vec::new(); usize::try_from(partitions).unwrap()];
    let mut ended = vec![false; records.len()];
    let mut progress = Instant::now();
    while ended.contains(&false) {
        assert!(progress.elapsed() < DEADLINE, "no end of {topic} comes: {ended:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => ended[usize::try_from(partition).unwrap()] = true,
            Some(message) => {
                let Some(record) = Record::received(message) else { continue };
                records[usize::try_from(record.partition).unwrap()].push(record);
            }
        }
        progress = Instant::now();
    }
    records
}
