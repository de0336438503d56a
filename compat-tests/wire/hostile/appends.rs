//! Batches that may not be appended, over the wire, with the code that Kafka gives each.

use super::Healthy;
use crate::asking::{PRODUCE, append, create_topic, produce, produce_request};
use crate::batches::{Batch, TIME, put_record};
use crate::broker::Broker;
use crate::client::{Client, frame, response};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;

const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const RECORD_LIST_TOO_LARGE: i16 = 18;
const INVALID_REQUIRED_ACKS: i16 = 21;
const INVALID_TIMESTAMP: i16 = 32;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const UNSUPPORTED_COMPRESSION: i16 = 76;
const INVALID_RECORD: i16 = 87;

/// What is wrong, the bytes, the topic, and the code.
type Vector = (&'static str, Vec<u8>, &'static str, i16);

fn good() -> Batch {
    Batch::of(&[b"one", b"two"])
}

/// Bytes with a change after the checksum was made.
fn damaged(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = good().bytes();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn with_payload(payload: &[u8]) -> Vec<u8> {
    let mut batch = Batch::of(&[b"x"]);
    batch.payload = payload.to_vec();
    batch.bytes()
}

fn keyless() -> Vec<u8> {
    let mut batch = Batch::of(&[b"x"]);
    batch.payload.clear();
    put_record(&mut batch.payload, 0, None, b"value");
    batch.bytes()
}

/// The bytes themselves.
fn damage() -> Vec<Vector> {
    let whole = good().bytes();
    let mut vectors: Vec<Vector> = vec![
        ("nothing", Vec::new(), "plain", INVALID_RECORD),
        ("one byte", vec![0], "plain", INVALID_RECORD),
        ("less than a length", whole[..11].to_vec(), "plain", INVALID_RECORD),
        ("a length and no magic", whole[..16].to_vec(), "plain", INVALID_RECORD),
        ("half a batch", whole[..70].to_vec(), "plain", INVALID_RECORD),
        ("a checksum", damaged(17, &[1, 2, 3, 4]), "plain", CORRUPT_MESSAGE),
        ("a byte of a record", damaged(70, b"?"), "plain", CORRUPT_MESSAGE),
        ("a timestamp", damaged(30, b"?"), "plain", CORRUPT_MESSAGE),
        ("length 0", damaged(8, &[0; 4]), "plain", CORRUPT_MESSAGE),
        ("length 13", damaged(8, &[0, 0, 0, 13]), "plain", CORRUPT_MESSAGE),
        ("length -1", damaged(8, &[0xff; 4]), "plain", CORRUPT_MESSAGE),
        ("length 14, less than a header", damaged(8, &[0, 0, 0, 14]), "plain", CORRUPT_MESSAGE),
        ("length 48, less than a header", damaged(8, &[0, 0, 0, 48]), "plain", CORRUPT_MESSAGE),
        ("length of 2 GiB", damaged(8, &i32::MAX.to_be_bytes()), "plain", INVALID_RECORD),
        ("magic 0", damaged(16, &[0]), "plain", INVALID_RECORD),
        ("magic 1", damaged(16, &[1]), "plain", INVALID_RECORD),
        ("magic 3, of the future", damaged(16, &[3]), "plain", CORRUPT_MESSAGE),
        ("magic 127", damaged(16, &[127]), "plain", CORRUPT_MESSAGE),
        ("magic -1", damaged(16, &[0xff]), "plain", CORRUPT_MESSAGE),
        ("two batches", [whole.clone(), whole.clone()].concat(), "plain", INVALID_RECORD),
        ("the begin of another", [whole.clone(), whole[..30].to_vec()].concat(), "plain", 0),
        ("another of the future", [whole.clone(), damaged(16, &[3])].concat(), "plain", CORRUPT_MESSAGE),
    ];
    for bit in 0..8 {
        let at = 21 + bit * 4;
        let flipped = whole[at] ^ (1 << bit);
        vectors.push(("a bit", damaged(at, &[flipped]), "plain", CORRUPT_MESSAGE));
    }
    vectors
}

/// Headers that contradict themselves or take what is the broker's.
fn headers() -> Vec<Vector> {
    let changed = |change: &dyn Fn(&mut ottla::wire::batch::BatchHeader)| good().with(|header| change(header)).bytes();
    vec![
        ("base offset 1", changed(&|h| h.base_offset = 1), "plain", INVALID_RECORD),
        ("base offset -1", changed(&|h| h.base_offset = -1), "plain", INVALID_RECORD),
        ("base offset 2^63 - 1", changed(&|h| h.base_offset = i64::MAX), "plain", INVALID_RECORD),
        ("count 0", changed(&|h| h.record_count = 0), "plain", INVALID_RECORD),
        ("count -1", changed(&|h| h.record_count = -1), "plain", INVALID_RECORD),
        ("count 1", changed(&|h| h.record_count = 1), "plain", INVALID_RECORD),
        ("count 2^31 - 1", changed(&|h| h.record_count = i32::MAX), "plain", INVALID_RECORD),
        ("delta 0", changed(&|h| h.last_offset_delta = 0), "plain", INVALID_RECORD),
        ("delta -1", changed(&|h| h.last_offset_delta = -1), "plain", INVALID_RECORD),
        ("delta 2^31 - 1", changed(&|h| h.last_offset_delta = i32::MAX), "plain", INVALID_RECORD),
        ("3 records that are 2", changed(&|h| (h.record_count, h.last_offset_delta) = (3, 2)), "plain", INVALID_RECORD),
        ("1 record that is 2", changed(&|h| (h.record_count, h.last_offset_delta) = (1, 0)), "plain", INVALID_RECORD),
        (
            "2^31 - 1 records that are 2",
            changed(&|h| (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
            "plain",
            INVALID_RECORD,
        ),
        ("a control batch", changed(&|h| h.attributes = 0x20), "plain", INVALID_RECORD),
        (
            "a transactional control batch",
            good().by(9, 0, 0).with(|h| h.attributes = 0x30).bytes(),
            "plain",
            INVALID_RECORD,
        ),
        ("transactional, of nobody", changed(&|h| h.attributes = 0x10), "plain", INVALID_RECORD),
        (
            "transactional",
            good().by(9, 0, 0).with(|h| h.attributes = 0x10).bytes(),
            "plain",
            TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ),
        ("codec 5", changed(&|h| h.attributes = 5), "plain", UNSUPPORTED_COMPRESSION),
        ("codec 6", changed(&|h| h.attributes = 6), "plain", UNSUPPORTED_COMPRESSION),
        ("codec 7", changed(&|h| h.attributes = 7), "plain", UNSUPPORTED_COMPRESSION),
        ("gzip that is none", changed(&|h| h.attributes = 1), "plain", INVALID_RECORD),
        ("snappy that is none", changed(&|h| h.attributes = 2), "plain", INVALID_RECORD),
        ("lz4 that is none", changed(&|h| h.attributes = 3), "plain", INVALID_RECORD),
        ("zstd that is none", changed(&|h| h.attributes = 4), "plain", INVALID_RECORD),
        ("append time", changed(&|h| h.attributes = 8), "plain", 0),
        ("append time, from the client", changed(&|h| h.attributes = 8), "append-time", INVALID_TIMESTAMP),
        ("unused bits", changed(&|h| h.attributes = 0x7f00), "plain", 0),
        ("a leader epoch", changed(&|h| h.leader_epoch = 1_000_000), "plain", 0),
    ]
}

/// Producers and their sequences.
fn sequences() -> Vec<Vector> {
    vec![
        ("sequence -1", good().by(100, 0, -1).bytes(), "plain", INVALID_RECORD),
        ("sequence -2^31", good().by(100, 0, i32::MIN).bytes(), "plain", INVALID_RECORD),
        ("epoch -1", good().by(100, -1, 0).bytes(), "plain", INVALID_RECORD),
        ("a new producer", good().by(101, 5, 0).bytes(), "plain", 0),
        ("a duplicate", good().by(101, 5, 0).bytes(), "plain", 0),
        ("a gap", good().by(101, 5, 3).bytes(), "plain", OUT_OF_ORDER_SEQUENCE),
        ("an old epoch", good().by(101, 4, 2).bytes(), "plain", INVALID_PRODUCER_EPOCH),
        ("the next epoch, not from 0", good().by(101, 6, 2).bytes(), "plain", OUT_OF_ORDER_SEQUENCE),
        ("what comes next", good().by(101, 5, 2).bytes(), "plain", 0),
        ("the largest producer", good().by(i64::MAX, i16::MAX, 0).bytes(), "plain", 0),
    ]
}

/// The records.
fn contents() -> Vec<Vector> {
    let left_over = [crate::batches::records(&[b"x"]), vec![0]].concat();
    let mut out_of_order = Vec::new();
    put_record(&mut out_of_order, 1, None, b"x");
    let large = |size| Batch::of(&[&vec![7; size]]).bytes();
    let at = |time| good().with(|header| (header.base_timestamp, header.max_timestamp) = (time, time)).bytes();
    vec![
        ("no records", with_payload(&[]), "plain", INVALID_RECORD),
        ("half a record", with_payload(&[20, 0, 0, 0]), "plain", INVALID_RECORD),
        ("a record of -1 bytes", with_payload(&[1]), "plain", INVALID_RECORD),
        ("a record of 0 bytes", with_payload(&[0]), "plain", INVALID_RECORD),
        ("a record of 2^31 - 1 bytes", with_payload(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), "plain", INVALID_RECORD),
        ("a number without end", with_payload(&[0xff; 20]), "plain", INVALID_RECORD),
        ("a key of 2^31 - 1 bytes", with_payload(&[20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0]), "plain", 87),
        ("2^31 - 1 headers", with_payload(&[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]), "plain", 87),
        ("bytes left over", with_payload(&left_over), "plain", INVALID_RECORD),
        ("offset 1 first", with_payload(&out_of_order), "plain", INVALID_RECORD),
        ("no key", keyless(), "plain", 0),
        ("no key on a compacted topic", keyless(), "compacted", INVALID_RECORD),
        ("too large", large(1000), "small", MESSAGE_TOO_LARGE),
        ("as large as a topic allows", large(800), "small", 0),
        ("larger than a segment", large(1 << 20), "segments", RECORD_LIST_TOO_LARGE),
        ("10 years ahead", at(TIME + (10 << 40)), "plain", INVALID_TIMESTAMP),
        ("the end of time", at(i64::MAX), "plain", INVALID_TIMESTAMP),
        // So far back that it is ahead: the difference overflows, with Kafka too.
        ("the begin of time", at(i64::MIN), "plain", INVALID_TIMESTAMP),
        ("long ago", at(0), "plain", 0),
        ("long ago, where that matters", at(0), "recent", INVALID_TIMESTAMP),
        ("no time", at(-1), "recent", 0),
    ]
}

#[test]
fn each_kind_of_bad_batch_has_its_code() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "plain", 1, &[]);
    create_topic(&mut client, "append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    create_topic(&mut client, "compacted", 1, &[("cleanup.policy", "compact")]);
    create_topic(&mut client, "small", 1, &[("max.message.bytes", "900")]);
    create_topic(&mut client, "segments", 1, &[("max.message.bytes", "4000000"), ("segment.bytes", "1048576")]);
    create_topic(&mut client, "recent", 1, &[("message.timestamp.before.max.ms", "3600000")]);
    let vectors: Vec<_> = [damage(), headers(), sequences(), contents()].concat();
    assert!(vectors.len() >= 60, "{}", vectors.len());
    for (what, bytes, topic, code) in vectors {
        let answer = produce(&mut client, topic, bytes);
        assert_eq!(answer.error_code, code, "{what}: {:?}", answer.error_message);
        check_form(what, &answer);
        if topic != "recent" {
            append(&mut client, topic, b"the partition goes on");
        }
    }
    healthy.still_works();
}

/// What an error leaves open is -1.
fn check_form(what: &str, answer: &PartitionProduceResponse) {
    match answer.error_code {
        0 => assert!(answer.base_offset >= 0, "{what}"),
        code => {
            assert_eq!((answer.base_offset, answer.log_append_time_ms), (-1, -1), "{what}");
            let of_records = ["no key on a compacted topic", "append time, from the client"].contains(&what)
                || code == INVALID_TIMESTAMP;
            assert_eq!(!answer.record_errors.is_empty(), of_records, "{what}: {:?}", answer.record_errors);
        }
    }
}

#[test]
fn zstd_needs_a_version_that_knows_it() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "zstd", 1, &[]);
    let batch = || Batch::of(&[b"one"]).compressed(4).bytes();
    for (version, code) in [(3, UNSUPPORTED_COMPRESSION), (6, UNSUPPORTED_COMPRESSION), (7, 0)] {
        let reply = client.ask(version, &produce_request("zstd", 0, -1, batch()));
        assert_eq!(reply.responses[0].partition_responses[0].error_code, code, "version {version}");
    }
}

#[test]
fn a_bad_partition_does_not_fail_the_good_ones() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "parts", 4, &[]);
    let mut request = produce_request("parts", 0, -1, good().bytes());
    let part = request.topic_data[0].partition_data[0].clone();
    let corrupt = part.clone().with_records(Some(damaged(70, b"?").into()));
    let null = part.clone().with_records(None);
    request.topic_data[0].partition_data =
        vec![part.clone(), corrupt.with_index(1), part.clone().with_index(9), null.with_index(2), part.with_index(3)];
    let reply = client.ask(PRODUCE, &request);
    let codes: Vec<_> = reply.responses[0].partition_responses.iter().map(|it| (it.index, it.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, CORRUPT_MESSAGE), (9, 3), (2, INVALID_RECORD), (3, 0)]);
}

#[test]
fn acks_are_none_one_or_all() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "acks", 1, &[]);
    for acks in [2, -2, i16::MIN, i16::MAX] {
        let reply = client.ask(PRODUCE, &produce_request("acks", 0, acks, good().bytes()));
        let answer = &reply.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (INVALID_REQUIRED_ACKS, -1), "acks {acks}");
    }
    // Without acks there is no reply; what follows is answered next.
    client.send(&frame(50, PRODUCE, &produce_request("acks", 0, 0, good().bytes())));
    assert_eq!(append(&mut client, "acks", b"after two"), 2);
    // And an error closes the connection, after what came before it was answered.
    client.send(&frame(51, PRODUCE, &produce_request("acks", 0, -1, good().bytes())));
    client.send(&frame(52, PRODUCE, &produce_request("acks", 0, 0, damaged(70, b"?"))));
    client.send(&frame(53, PRODUCE, &produce_request("acks", 0, -1, good().bytes())));
    let first = response::<ProduceRequest>(PRODUCE, client.receive().expect("an answer to the first"));
    assert_eq!(first.responses[0].partition_responses[0].base_offset, 3);
    assert!(client.closes());
    healthy.still_works();
}

#[test]
fn internal_topics_are_not_for_clients() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    for name in ["__consumer_offsets", "__transaction_state"] {
        let answer = produce(&mut client, name, good().bytes());
        // It may not exist yet.
        assert!([INVALID_TOPIC, 3].contains(&answer.error_code), "{name}: {}", answer.error_code);
    }
}
