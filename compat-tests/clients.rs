//! What the stories ask of librdkafka, with settings that hide no fault of a broker.

use crate::common::{DEADLINE, Ottla, until};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaError};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message, Timestamp};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A client's settings, with these added.
pub fn config(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "100");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// An admin client and the runtime that its futures want.
pub struct Admin {
    pub client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub fn new(broker: &Ottla) -> Self {
        Self::at(&broker.bootstrap())
    }

    pub fn at(bootstrap: &str) -> Self {
        let client = config(bootstrap, &[]).create().unwrap();
        Self { client, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, answer: impl Future<Output = Result<T, KafkaError>>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, answer).await.expect("no answer").unwrap() })
    }

    /// Makes a topic with settings of its own, and waits until it can be used.
    pub fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        assert_eq!(self.try_create(&topic), Ok(()));
    }

    pub fn try_create(&self, topic: &NewTopic<'_>) -> Result<(), RDKafkaErrorCode> {
        only(self.wait(self.client.create_topics([topic], &options())))
    }

    pub fn delete(&self, name: &str) -> Result<(), RDKafkaErrorCode> {
        only(self.wait(self.client.delete_topics(&[name], &options())))
    }

    /// Names and partition counts of all topics in the order of names, internal ones apart: those come with the first consumer.
    pub fn topics(&self) -> Vec<(String, usize)> {
        let metadata = self.client.inner().fetch_metadata(None, DEADLINE).unwrap();
        let mut topics: Vec<_> =
            metadata.topics().iter().map(|topic| (topic.name().to_string(), topic.partitions().len())).collect();
        topics.retain(|(name, _)| !name.starts_with("__"));
        topics.sort();
        topics
    }
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

/// The outcome for the only thing that was asked for.
pub fn only<T, N>(results: Vec<Result<T, (N, RDKafkaErrorCode)>>) -> Result<(), RDKafkaErrorCode> {
    assert_eq!(results.len(), 1);
    results.into_iter().next().unwrap().map(|_| ()).map_err(|(_, code)| code)
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|it| (it.key.to_string(), it.value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// A record, or nothing where librdkafka tells of a broken connection; it tries again by itself.
    pub fn received(message: Result<BorrowedMessage<'_>, KafkaError>) -> Option<Self> {
        match message {
            Ok(message) => Some(Self::of(&message)),
            Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
            )) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The value, where it is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap()).unwrap()
    }
}

/// The settings of a transactional producer, with these added.
pub fn transactional(bootstrap: &str, id: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let common = [
        ("transactional.id", id),
        ("transaction.timeout.ms", "10000"),
        ("linger.ms", "0"),
        ("retry.backoff.ms", "5"),
        ("retry.backoff.max.ms", "50"),
    ];
    config(bootstrap, &[&common, settings].concat())
}

/// Whether librdkafka has given up records of a transaction. It takes them for never sent and uses their sequence
/// numbers again, though it may not have heard of their arrival only: the broker then takes records of the next
/// transaction for these, and they are lost. (2.12.1; seen with Apache Kafka.) A producer that has given up records
/// must not begin another transaction: its successor has an epoch of its own.
#[derive(Default)]
pub struct GivenUp(AtomicBool);

impl GivenUp {
    pub fn notice(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl ClientContext for GivenUp {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for GivenUp {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.notice();
        }
    }
}

/// A step of a transaction, again and again for as long as librdkafka says that this may help.
pub fn insist(mut step: impl FnMut() -> KafkaResult<()>) -> Result<(), RDKafkaError> {
    until("an outcome", || match step() {
        Ok(()) => Some(Ok(())),
        Err(KafkaError::Transaction(error)) if error.is_retriable() => None,
        Err(KafkaError::Transaction(error)) => Some(Err(error)),
        Err(error) => panic!("{error}"),
    })
}

/// A consumer that checks CRCs, makes no topics and has a group in name only.
pub fn consumer(bootstrap: &str) -> BaseConsumer {
    consumer_with(bootstrap, &[])
}

/// The same with other settings.
pub fn consumer_with(bootstrap: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let common = [
        ("group.id", "none"),
        ("enable.auto.commit", "false"),
        ("check.crcs", "true"),
        ("fetch.wait.max.ms", "20"),
        ("fetch.error.backoff.ms", "10"),
        ("retry.backoff.ms", "10"),
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
    ];
    config(bootstrap, &[&common, settings].concat()).create().unwrap()
}

/// First and end offset of a partition.
pub fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    consumer.fetch_watermarks(topic, partition, DEADLINE).unwrap()
}

/// Everything in the first `partitions` partitions of a topic, each partition's records in the order they came.
pub fn read_all(bootstrap: &str, topic: &str, partitions: i32) -> Vec<Vec<Record>> {
    let consumer = consumer(bootstrap);
    let from: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
    read_from(&consumer, topic, &from)
}

/// Everything from these offsets on, by the order in which the partitions are given.
pub fn read_from(consumer: &BaseConsumer, topic: &str, from: &[(i32, i64)]) -> Vec<Vec<Record>> {
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in from {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    let ends: Vec<i64> = from.iter().map(|(partition, _)| watermarks(consumer, topic, *partition).1).collect();
    let mut left: i64 = from.iter().zip(&ends).map(|((_, offset), end)| end - offset).sum();
    let mut records = vec![Vec::new(); from.len()];
    consumer.assign(&assignment).unwrap();
    let mut progress = Instant::now();
    while left > 0 {
        assert!(progress.elapsed() < DEADLINE, "{left} records of {topic} do not come");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Some(record) = Record::received(message) else { continue };
        let at = from.iter().position(|(partition, _)| *partition == record.partition).unwrap();
        let offset = from[at].1 + i64::try_from(records[at].len()).unwrap();
        assert_eq!(record.offset, offset, "{topic}-{}: no hole, nothing twice", record.partition);
        records[at].push(record);
        left -= 1;
        progress = Instant::now();
    }
    consumer.unassign().unwrap();
    records
}

/// Reads the first `partitions` partitions of a topic for as long as that goes on, over broken connections.
pub fn follow(consumer: &BaseConsumer, topic: &str, partitions: i32, going_on: &AtomicBool) -> Vec<Vec<Record>> {
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = vec![Vec::new(); usize::try_from(partitions).unwrap()];
    while going_on.load(Ordering::SeqCst) {
        let Some(record) = consumer.poll(Duration::from_millis(10)).and_then(Record::received) else { continue };
        records[usize::try_from(record.partition).unwrap()].push(record);
    }
    consumer.unassign().unwrap();
    records
}
