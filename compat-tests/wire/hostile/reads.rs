//! Fetches and offset look-ups that ask for too much, for nothing, or twice.

use super::{Healthy, MIB};
use crate::asking::{FETCH, append, create_topic, fetch_request, topic_name};
use crate::broker::Broker;
use crate::client::{Client, frame, response};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use std::time::{Duration, Instant};

const FETCH_MAX_BYTES: usize = 57_671_680;

#[test]
fn a_fetch_gives_no_more_than_the_broker_allows() {
    const SIZE: usize = MIB - 1000;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "large", 1, &[]);
    for _ in 0..60 {
        append(&mut client, "large", &vec![7; SIZE]);
    }
    let base = broker.resident();
    let whole = client.ask(FETCH, &fetch_request("large", [0], i32::MAX));
    let size = whole.responses[0].partitions[0].records.as_ref().unwrap().len();
    assert!(size <= FETCH_MAX_BYTES && size > FETCH_MAX_BYTES - MIB, "{size}");
    // The same partition ten thousand times: together no more than that.
    let request = fetch_request("large", std::iter::repeat_n(0, 10_000), i32::MAX);
    let (reply, peak) = broker.peak_during(|| client.ask(FETCH, &request));
    let partitions = &reply.responses[0].partitions;
    let size: usize = partitions.iter().map(|part| part.records.as_ref().map_or(0, |it| it.len())).sum();
    assert!(size <= FETCH_MAX_BYTES, "{size}");
    assert!(peak < base + 64 * MIB, "{base} bytes grew to {peak}");
    healthy.still_works();
}

#[test]
fn bounds_may_be_zero_and_negative() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "bounds", 1, &[]);
    append(&mut client, "bounds", b"first");
    append(&mut client, "bounds", b"second");
    for bound in [0, 1, -1, i32::MIN] {
        let mut request = fetch_request("bounds", [0], bound);
        (request.min_bytes, request.max_wait_ms) = (bound, bound);
        let reply = client.ask(FETCH, &request);
        let partition = &reply.responses[0].partitions[0];
        let records = partition.records.clone().unwrap_or_default();
        assert_eq!(partition.error_code, 0);
        // The first batch whole, so that a consumer gets on, and no second one.
        assert!(records.windows(5).any(|part| part == b"first"), "{bound}");
        assert!(!records.windows(6).any(|part| part == b"second"), "{bound}");
    }
    for offset in [-1, i64::MIN, 3, i64::MAX] {
        let mut request = fetch_request("bounds", [0], 1000);
        request.topics[0].partitions[0].fetch_offset = offset;
        assert_eq!(client.ask(FETCH, &request).responses[0].partitions[0].error_code, 1, "offset {offset}");
    }
}

#[test]
fn more_than_there_is_comes_after_the_wait() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "wait", 1, &[]);
    append(&mut client, "wait", b"all there is");
    let mut request = fetch_request("wait", [0], 1000);
    (request.min_bytes, request.max_wait_ms) = (i32::MAX, 300);
    let began = Instant::now();
    let reply = client.ask(FETCH, &request);
    assert!(began.elapsed() >= Duration::from_millis(290));
    assert!(!reply.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    // Whoever waits for ever keeps nobody else waiting, and is gone when its connection is.
    request.max_wait_ms = i32::MAX;
    let mut waiting: Vec<_> = (0..100).map(|_| client.again()).collect();
    waiting.iter_mut().for_each(|client| client.send(&frame(1, FETCH, &request)));
    append(&mut client, "wait", b"more");
    healthy.still_works();
}

#[test]
fn ten_thousand_partitions_are_answered_one_by_one() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "few", 3, &[]);
    let base = broker.resident();
    let (reply, peak) = broker.peak_during(|| client.ask(FETCH, &fetch_request("few", 0..10_000, 1000)));
    let codes: Vec<_> = reply.responses[0].partitions.iter().map(|part| part.error_code).collect();
    assert_eq!(codes.len(), 10_000);
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 3);
    assert_eq!(codes.iter().filter(|code| **code == 3).count(), 9_997);
    assert!(peak < base + 32 * MIB, "{base} bytes grew to {peak}");
    healthy.still_works();
}

#[test]
fn a_partition_is_looked_up_once() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "twice", 2, &[]);
    let asked = |index| {
        let partition = ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
        partition.with_current_leader_epoch(-1)
    };
    let partitions = vec![asked(0), asked(1), asked(0), asked(0)];
    let topic = ListOffsetsTopic::default().with_name(topic_name("twice")).with_partitions(partitions);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    client.send(&frame(1, 7, &request));
    let reply = response::<ListOffsetsRequest>(7, client.receive().expect("an answer"));
    let codes: Vec<_> = reply.topics[0].partitions.iter().map(|it| (it.partition_index, it.error_code)).collect();
    assert_eq!(codes, [(0, 42), (1, 0)]);
}
