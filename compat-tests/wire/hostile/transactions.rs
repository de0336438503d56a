//! Transactions that are none of the client's, or are to cost too much.

use super::{Healthy, MIB};
use crate::asking::{FETCH, PRODUCE, append, create_topic, fetch_request, produce_request, text, topic_name};
use crate::batches::Batch;
use crate::broker::Broker;
use crate::client::{Client, raw_frame};
use crate::transactions::{
    ADDED_BY_PRODUCERS, Producer, adding, begin, ending, find_coordinator, init, marking, settled, transactional_id,
};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::*;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const TRANSACTION_COORDINATOR_FENCED: i16 = 52;
const OPERATION_NOT_ATTEMPTED: i16 = 55;
const INVALID_RECORD: i16 = 87;
const INVALID_REGULAR_EXPRESSION: i16 = 128;
const NOT_FOUND: i16 = 105;

/// From this version of Produce on a write makes its partition part of the transaction.
const ADDS: i16 = 12;
const MARKERS: i16 = 1;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const NOBODY: Producer = (ProducerId(77), 0);

fn batch((producer_id, producer_epoch): Producer, sequence: i32, attributes: i16) -> Vec<u8> {
    let batch = Batch::of(&[b"one"]).by(producer_id.0, producer_epoch, sequence);
    batch.with(|header| header.attributes = attributes).bytes()
}

fn produce(client: &mut Client, version: i16, id: Option<&str>, topic: &str, bytes: &[Vec<u8>]) -> Vec<i16> {
    let mut request = produce_request(topic, 0, -1, Vec::new()).with_transactional_id(id.map(transactional_id));
    let part = request.topic_data[0].partition_data.remove(0);
    request.topic_data[0].partition_data = (0..)
        .zip(bytes)
        .map(|(index, bytes)| part.clone().with_index(index).with_records(Some(bytes.clone().into())))
        .collect();
    let told = client.ask(version, &request).responses.remove(0).partition_responses;
    told.iter().map(|partition| partition.error_code).collect()
}

/// That a request names a transactional id makes it no part of a transaction (CVE-2018-17196).
#[test]
fn whether_a_request_is_transactional_its_batches_say() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "plain", 2, &[]);
    find_coordinator(&mut client);
    for version in [PRODUCE, ADDS] {
        let id = format!("id-{version}");
        let producer = init(&mut client, Some(&id));
        let other = init(&mut client, Some("other"));
        let own = Some(id.as_str());
        let open = if version == ADDS { 0 } else { INVALID_TXN_STATE };
        let plain = Batch::of(&[b"one"]).bytes();
        let idempotent = init(&mut client, None);
        for (what, id, parts, codes) in [
            ("plain, with an id", own, vec![plain.clone()], vec![0]),
            ("plain, with the id of nobody", Some("nobody"), vec![plain], vec![0]),
            ("idempotent, with an id", own, vec![batch(idempotent, 0, 0)], vec![0]),
            (
                "transactional, without an id",
                None,
                vec![batch(producer, 0, TRANSACTIONAL)],
                vec![TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
            ),
            (
                "transactional, of nobody",
                Some("nobody"),
                vec![batch(NOBODY, 0, TRANSACTIONAL)],
                vec![INVALID_PRODUCER_ID_MAPPING],
            ),
            ("another's", own, vec![batch(other, 0, TRANSACTIONAL)], vec![INVALID_PRODUCER_ID_MAPPING]),
            (
                "two producers",
                own,
                vec![batch(producer, 0, TRANSACTIONAL), batch(other, 0, TRANSACTIONAL)],
                vec![INVALID_PRODUCER_ID_MAPPING; 2],
            ),
            ("a marker", own, vec![batch(producer, -1, TRANSACTIONAL | CONTROL)], vec![INVALID_RECORD]),
            ("a marker, in sequence", own, vec![batch(producer, 0, TRANSACTIONAL | CONTROL)], vec![INVALID_RECORD]),
            ("control without a transaction", own, vec![batch(producer, -1, CONTROL)], vec![INVALID_RECORD]),
            ("nothing is wrong", own, vec![batch(producer, 0, TRANSACTIONAL)], vec![open]),
        ] {
            assert_eq!(produce(&mut client, version, id, "plain", &parts), codes, "{what}, version {version}");
            append(&mut client, "plain", b"the partition goes on");
        }
    }
    healthy.still_works();
}

#[test]
fn transactions_of_nobody_end_in_errors() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "mine", 1, &[]);
    find_coordinator(&mut client);
    let (id, epoch) = begin(&mut client, "mine", "mine");
    for version in 0..=5 {
        let code = |client: &mut Client, name, producer| client.ask(version, &ending(name, producer)).error_code;
        for producer in [NOBODY, (ProducerId(-1), -1), (ProducerId(i64::MAX), i16::MAX), (ProducerId(i64::MIN), 0)] {
            for name in ["nobody", "mine"] {
                let told = code(&mut client, name, producer);
                assert_eq!(told, INVALID_PRODUCER_ID_MAPPING, "{name}, {producer:?}, version {version}");
            }
        }
        let fenced = if version < 2 { INVALID_PRODUCER_EPOCH } else { 90 };
        for wrong in [-1, i16::MIN, epoch + 1, i16::MAX] {
            let told = code(&mut client, "mine", (id, wrong));
            assert_eq!(told, fenced, "epoch {wrong}, version {version}");
        }
    }
    let unknown = DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id("nobody")]);
    assert_eq!(client.ask(0, &unknown).transaction_states[0].error_code, NOT_FOUND);
    assert_eq!(settled(&mut client, "mine"), "Ongoing", "none of this was its end");
    assert_eq!(client.ask(4, &ending("mine", (id, epoch))).error_code, 0);
    assert_eq!(settled(&mut client, "mine"), "CompleteCommit");
    healthy.still_works();
}

/// It is the producer's, not the connection's: others end it by its id and epoch, as Flink does after a restart.
#[test]
fn a_transaction_outlives_the_connection_of_its_producer() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "handed-on", 1, &[]);
    find_coordinator(&mut client);
    let producer = begin(&mut client, "handed-on", "handed-on");
    let records = [batch(producer, 0, TRANSACTIONAL)];
    assert_eq!(produce(&mut client, PRODUCE, Some("handed-on"), "handed-on", &records), [0]);
    drop(client);
    let mut other = Client::new(&broker);
    assert_eq!(settled(&mut other, "handed-on"), "Ongoing");
    assert_eq!(committed(&mut other, "handed-on"), 0);
    assert_eq!(other.ask(3, &ending("handed-on", producer)).error_code, 0);
    assert_eq!(settled(&mut other, "handed-on"), "CompleteCommit");
    assert_eq!(committed(&mut other, "handed-on"), 2);
}

#[test]
fn absurd_markers_do_no_harm() {
    let mut broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    let healthy = Healthy::beside(&broker);
    create_topic(&mut client, "marked", 1, &[]);
    find_coordinator(&mut client);
    append(&mut client, "marked", b"before");
    let open = begin(&mut client, "open", "marked");
    assert_eq!(produce(&mut client, PRODUCE, Some("open"), "marked", &[batch(open, 0, TRANSACTIONAL)]), [0]);
    for topic in ["marked", "no-such-topic", "", "__transaction_state", "__consumer_offsets"] {
        let partitions = vec![-1, i32::MIN, i32::MAX, 50];
        let told = client.ask(MARKERS, &marking((ProducerId(5), 0), topic, partitions.clone())).markers.remove(0);
        let codes: Vec<_> = told.topics[0].partitions.iter().map(|it| (it.partition_index, it.error_code)).collect();
        assert_eq!(codes, partitions.into_iter().map(|it| (it, UNKNOWN_TOPIC_OR_PARTITION)).collect::<Vec<_>>());
    }
    let ids = [-1, i64::MIN, i64::MAX, 0, open.0.0];
    let epochs = [-1, i16::MIN, i16::MAX];
    for (producer_id, epoch) in ids.into_iter().flat_map(|id| epochs.map(|epoch| (id, epoch))) {
        if (producer_id, epoch) == (open.0.0, i16::MAX) {
            // That would be its end.
            continue;
        }
        for coordinator_epoch in [-1, i32::MIN, i32::MAX] {
            let mut request = marking((ProducerId(producer_id), epoch), "marked", vec![0, 0]);
            request.markers[0].coordinator_epoch = coordinator_epoch;
            for partition in &client.ask(MARKERS, &request).markers[0].topics[0].partitions {
                let known = [0, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED];
                let code = partition.error_code;
                assert!(known.contains(&code), "{producer_id} {epoch} {coordinator_epoch}: {code}");
                assert!(producer_id != open.0.0 || code != 0, "an open transaction is not ended by an older epoch");
            }
        }
    }
    healthy.still_works();
    let stable = committed(&mut client, "marked");
    assert_eq!(stable, 1, "the open transaction is still open");
    // What was taken can be read again, and the producer goes on.
    broker.kill_and_restart();
    let mut client = Client::new(&broker);
    assert_eq!(committed(&mut client, "marked"), stable);
    assert_eq!(produce(&mut client, PRODUCE, Some("open"), "marked", &[batch(open, 1, TRANSACTIONAL)]), [0]);
    let last = append(&mut client, "marked", b"after");
    assert_eq!(client.ask(3, &ending("open", open)).error_code, 0);
    assert_eq!(settled(&mut client, "open"), "CompleteCommit");
    assert_eq!(committed(&mut client, "marked"), last + 2, "behind the marker");
}

/// The last stable offset.
fn committed(client: &mut Client, topic: &str) -> i64 {
    let request = fetch_request(topic, [0], 1).with_isolation_level(1);
    let partition = client.ask(FETCH, &request).responses.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, 0);
    partition.last_stable_offset
}

#[test]
fn repetitions_in_requests_about_transactions_take_little_memory() {
    const SPARE: usize = 96 * MIB;
    const MANY: i32 = 100_000;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "three", 3, &[]);
    find_coordinator(&mut client);
    let producer = begin(&mut client, "many", "three");
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        let mut add = |partitions: Vec<i32>| -> Vec<i16> {
            let told = client.ask(ADDED_BY_PRODUCERS, &adding("many", producer, "three", partitions));
            let partitions = &told.results_by_topic_v3_and_below[0].results_by_partition;
            partitions.iter().map(|partition| partition.partition_error_code).collect()
        };
        let codes = add((0..MANY).collect());
        assert_eq!(codes.len(), MANY as usize);
        assert!(codes[..3].iter().all(|code| *code == OPERATION_NOT_ATTEMPTED));
        assert!(codes[3..].iter().all(|code| *code == UNKNOWN_TOPIC_OR_PARTITION));
        assert!(add(vec![1; MANY as usize]).iter().all(|code| *code == 0));
        let ids = vec![transactional_id("many"); MANY as usize];
        let described = client.ask(0, &DescribeTransactionsRequest::default().with_transactional_ids(ids));
        assert_eq!(described.transaction_states.len(), 1);
        assert_eq!(described.transaction_states[0].topics[0].partitions, [0, 1]);
        let topic = TopicRequest::default().with_name(topic_name("three")).with_partition_indexes(vec![0; 1000]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic; 100]);
        let told = client.ask(0, &request).topics;
        assert_eq!(told.iter().map(|topic| topic.partitions.len()).sum::<usize>(), 1);
    });
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    healthy.still_works();
}

#[test]
fn long_transactional_ids_are_answered() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "long", 1, &[]);
    find_coordinator(&mut client);
    let longest = "x".repeat(i16::MAX as usize);
    let producer = begin(&mut client, &longest, "long");
    assert_eq!(produce(&mut client, PRODUCE, Some(&longest), "long", &[batch(producer, 0, TRANSACTIONAL)]), [0]);
    assert_eq!(client.ask(3, &ending(&longest, producer)).error_code, 0);
    assert_eq!(settled(&mut client, &longest), "CompleteCommit");
    // Longer ones, which only compact lengths can say, are nobody's.
    for length in [i16::MAX as usize + 1, 1 << 20] {
        let id = "x".repeat(length);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(&id)))
            .with_transaction_timeout_ms(1000);
        match client.try_ask(2, &request) {
            Some(told) => assert_ne!(told.error_code, 0, "{length} bytes"),
            None => client = client.again(),
        }
        match client.try_ask(5, &ending(&id, NOBODY)) {
            Some(told) => assert_ne!(told.error_code, 0, "{length} bytes"),
            None => client = client.again(),
        }
    }
    let listed = client.ask(2, &ListTransactionsRequest::default()).transaction_states;
    assert_eq!(listed.iter().map(|it| it.transactional_id.len()).collect::<Vec<_>>(), [longest.len()]);
    healthy.still_works();
}

#[test]
fn patterns_that_explode_are_refused() {
    const SPARE: usize = 32 * MIB;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "listed", 1, &[]);
    find_coordinator(&mut client);
    let name = "a".repeat(1000);
    begin(&mut client, &name, "listed");
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        let mut list = |pattern: &str| {
            let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text(pattern)));
            let told = client.ask(2, &request);
            (told.error_code, told.transaction_states.len())
        };
        for pattern in ["(((a{100}){100}){100}){100}", &"(".repeat(500), &"a".repeat(30_000), "(?=a)a*", r"(a*)\1"] {
            assert_eq!(list(pattern), (INVALID_REGULAR_EXPRESSION, 0), "{}", &pattern[..10.min(pattern.len())]);
        }
        // Where others try every way there is.
        assert_eq!(list("(a|a)*(a|aa)*(a*)*b"), (0, 0));
        assert_eq!(list("(a|a)*(a|aa)*(a*)*"), (0, 1));
    });
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    healthy.still_works();
}

#[test]
fn null_ids_and_lying_counts_close_the_connection() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    find_coordinator(&mut Client::new(&broker));
    // The first field of each of these is the transactional id; null is -1, or 0 where lengths are compact.
    for (key, fixed, compact) in [(24, 0, 3), (25, 0, 3), (26, 0, 3), (28, 0, 3)] {
        for (version, null) in [(fixed, &[0xff, 0xff][..]), (compact, &[0])] {
            let mut client = Client::new(&broker);
            client.send(&raw_frame(key, version, &[null, &[0; 100]].concat()));
            assert!(client.closes(), "API {key} version {version}");
        }
    }
    let lies = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0x80, 0x80, 0x80, 0x01]];
    for (key, version, null) in [
        // In an array: one element, and its name is null.
        (24, 5, &[2, 0, 0, 0, 0, 0][..]),
        (61, 0, &[2, 0, 0, 0, 0, 0]),
        (65, 0, &[2, 0, 0]),
        (66, 2, &[2, 0, 0, 0, 0, 0]),
        // One marker: producer, epoch, result, and one topic without a name.
        (27, 1, &[2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        for body in lies.into_iter().chain([null]) {
            let mut client = Client::new(&broker);
            client.send(&raw_frame(key, version, body));
            assert!(client.closes(), "API {key} version {version}: {body:?}");
        }
    }
    healthy.still_works();
}
