//! Records come back as they were sent: sizes, nulls, headers, codecs, timestamps of both types.

use crate::clients::{Admin, Record, config, consumer, read_all, read_from};
use crate::common::{DEADLINE, Ottla, Rng, now_ms, stored_batches, temp_dir};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Runtime;

/// Sends records one after the other, each acknowledged before the next.
struct Sender {
    producer: FutureProducer,
    runtime: Runtime,
}

/// Where a record went.
type Placed = Result<(i32, i64, Timestamp), RDKafkaErrorCode>;

impl Sender {
    fn new(broker: &Ottla, settings: &[(&str, &str)]) -> Self {
        let producer = config(&broker.bootstrap(), settings).create().unwrap();
        Self { producer, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn send(&self, record: FutureRecord<'_, [u8], [u8]>) -> Placed {
        match self.runtime.block_on(self.producer.send(record, DEADLINE)) {
            Ok(placed) => Ok((placed.partition, placed.offset, placed.timestamp)),
            Err((KafkaError::MessageProduction(code), _)) => Err(code),
            Err((error, _)) => panic!("{error}"),
        }
    }

    /// All of them at once, so that they share batches.
    fn send_all(&self, topic: &str, values: &[Vec<u8>]) {
        let sent: Vec<_> = values
            .iter()
            .map(|value| {
                let record = FutureRecord::<[u8], [u8]>::to(topic).payload(value.as_slice()).partition(0);
                self.producer.send_result(record).map_err(|(error, _)| error).unwrap()
            })
            .collect();
        for delivery in sent {
            self.runtime.block_on(delivery).unwrap().map_err(|(error, _)| error).unwrap();
        }
    }
}

fn to<'a>(topic: &'a str) -> FutureRecord<'a, [u8], [u8]> {
    FutureRecord::to(topic)
}

#[test]
fn large_messages_up_to_the_last_byte_allowed() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    admin.create("large", 1, &[]);
    admin.create("larger", 1, &[("max.message.bytes", "3000000")]);
    let mut rng = Rng::seeded();
    let sender = Sender::new(&broker, &[("message.max.bytes", "5000000"), ("linger.ms", "0")]);

    let mut values: Vec<_> = (0..20).map(|_| rng.bytes(1_000_000)).collect();
    // max.message.bytes is 1048588, of which 61 are the batch's header and 11 the record's lengths and flags.
    values.push(rng.bytes(1_048_588 - 61 - 11));
    for (offset, value) in (0..).zip(&values) {
        assert_eq!(sender.send(to("large").payload(value)).unwrap().1, offset);
    }
    let too_large = rng.bytes(1_048_588 - 61 - 11 + 1);
    assert_eq!(sender.send(to("large").payload(&too_large)), Err(RDKafkaErrorCode::MessageSizeTooLarge));
    assert_eq!(sender.send(to("larger").payload(&too_large)).unwrap().1, 0);
    let larger = rng.bytes(2_900_000);
    assert_eq!(sender.send(to("larger").payload(&larger)).unwrap().1, 1);

    assert_eq!(values_of(&broker, "large"), values);
    assert_eq!(values_of(&broker, "larger"), [too_large, larger]);
    broker.stop().assert_sound();
}

fn values_of(broker: &Ottla, topic: &str) -> Vec<Vec<u8>> {
    read_all(&broker.bootstrap(), topic, 1).remove(0).into_iter().map(|record| record.value.unwrap()).collect()
}

#[test]
fn headers_keep_their_order_and_their_duplicates() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", 1, &[]);
    let sender = Sender::new(&broker, &[]);
    let long = "x".repeat(10_000);
    let headers = [
        ("a", Some("1")),
        ("b", Some("2")),
        ("a", Some("3")),
        ("a", Some("1")),
        ("b", None),
        ("", Some("no name")),
        ("empty", Some("")),
        ("ключ", Some(long.as_str())),
    ];
    let insert = |all: OwnedHeaders, (key, value): &(&str, Option<&str>)| all.insert(Header { key, value: *value });
    let sent = headers.iter().fold(OwnedHeaders::new(), insert);
    sender.send(to("t").key(b"k").payload(b"v").headers(sent)).unwrap();
    let record = &read_all(&broker.bootstrap(), "t", 1)[0][0];
    let expected: Vec<_> =
        headers.iter().map(|(key, value)| (key.to_string(), value.map(|it| it.as_bytes().to_vec()))).collect();
    assert_eq!(record.headers, expected);
    broker.stop().assert_sound();
}

#[test]
fn null_and_empty_keys_and_values_stay_apart() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", 1, &[]);
    let sender = Sender::new(&broker, &[]);
    let parts: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"\0\xff bytes")];
    let pairs: Vec<_> = parts.iter().flat_map(|key| parts.iter().map(move |value| (*key, *value))).collect();
    for (key, value) in &pairs {
        let mut record = to("t");
        (record.key, record.payload) = (*key, *value);
        sender.send(record).unwrap();
    }
    let records = read_all(&broker.bootstrap(), "t", 1).remove(0);
    let read: Vec<_> = records.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    assert_eq!(read, pairs);
    broker.stop().assert_sound();
}

#[test]
fn every_codec_is_stored_as_sent() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    let values: Vec<_> = (0..500).map(|number| format!("compresses well, number {number}").into_bytes()).collect();
    for (number, codec) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        admin.create(codec, 1, &[]);
        let sender = Sender::new(&broker, &[("compression.codec", codec), ("linger.ms", "100")]);
        sender.send_all(codec, &values);
        assert_eq!(values_of(&broker, codec), values, "{codec}");
        let middle = read_from(&consumer(&broker.bootstrap()), codec, &[(0, 250)]).remove(0);
        assert_eq!(middle.first().map(Record::text), Some("compresses well, number 250"), "{codec}");
        assert_eq!(middle.len(), 250);

        let batches = stored_batches(&dir.path().join(format!("{codec}-0")));
        assert_eq!(batches.iter().map(|batch| batch.records).sum::<i32>(), 500);
        // librdkafka sends a batch plain when it would only grow.
        for batch in batches.iter().filter(|batch| batch.records > 5) {
            assert_eq!(batch.codec, number, "{codec}: {batch:?}");
        }
        assert!(batches.iter().any(|batch| batch.records > 5), "{codec}: {batches:?}");
    }
    broker.kill();
    let broker = Ottla::start(dir.path(), &[]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert_eq!(values_of(&broker, codec), values, "{codec}, after a kill");
    }
    broker.stop().assert_sound();
}

#[test]
fn create_times_are_the_producers() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", 1, &[]);
    let sender = Sender::new(&broker, &[]);
    let before = now_ms();
    let times = [1_600_000_000_123, 1_500_000_000_000, 1, before - 1];
    for time in times {
        assert_eq!(sender.send(to("t").payload(b"v").timestamp(time)).unwrap().2, Timestamp::CreateTime(time));
    }
    sender.send(to("t").payload(b"v")).unwrap();
    // Further ahead than message.timestamp.after.max.ms.
    let future = to("t").payload(b"v").timestamp(before + 2 * 3_600_000);
    assert_eq!(sender.send(future), Err(RDKafkaErrorCode::InvalidTimestamp));

    let read: Vec<_> = read_all(&broker.bootstrap(), "t", 1).remove(0).iter().map(|record| record.timestamp).collect();
    assert_eq!(read[..4], times.map(Timestamp::CreateTime));
    let Timestamp::CreateTime(own) = read[4] else { panic!("{read:?}") };
    assert!((before..=now_ms()).contains(&own), "{own}");
    assert_eq!(read.len(), 5);
    assert!(stored_batches(&dir.path().join("t-0")).iter().all(|batch| !batch.append_time));
    broker.stop().assert_sound();
}

#[test]
fn append_times_are_the_brokers() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    for codec in ["none", "lz4"] {
        let sender = Sender::new(&broker, &[("compression.codec", codec)]);
        let before = now_ms();
        // Far in the past and far ahead: neither counts.
        for time in [1_600_000_000_123, before + 1_000_000_000] {
            let placed = sender.send(to("t").payload(&[b'v'; 1000]).timestamp(time)).unwrap();
            let Timestamp::LogAppendTime(told) = placed.2 else { panic!("{placed:?}") };
            assert!((before..=now_ms()).contains(&told), "{told}");
            let reader = consumer(&broker.bootstrap());
            let record = read_from(&reader, "t", &[(0, placed.1)]).remove(0).remove(0);
            assert_eq!(record.timestamp, Timestamp::LogAppendTime(told), "{codec}");
        }
    }
    let batches = stored_batches(&dir.path().join("t-0"));
    assert!(batches.len() == 4 && batches.iter().all(|batch| batch.append_time), "{batches:?}");
    broker.stop().assert_sound();
}
