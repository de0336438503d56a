//! Groups that are meant to cost too much: large metadata, members that never come back, lies, and no names.

use super::{Healthy, MIB};
use crate::asking::text;
use crate::broker::Broker;
use crate::client::{Client, frame, raw_frame};
use crate::groups::{find_coordinator, group_id, joining};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use uuid::Uuid;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const MEMBER_ID_REQUIRED: i16 = 79;
const STATIC: i16 = 5;

#[test]
fn ten_megabytes_of_metadata_are_answered() {
    const SPARE: usize = 160 * MIB;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    find_coordinator(&mut client);
    let base = broker.resident();
    let (code, peak) = broker.peak_during(|| {
        let mut last = 0;
        // The same member again and again: what it said before is forgotten.
        for _ in 0..5 {
            let request = joining("large", "", vec![7; 10 * MIB]).with_group_instance_id(Some(text("instance")));
            last = client.ask(STATIC, &request).error_code;
        }
        last
    });
    assert_eq!(code, UNKNOWN_SERVER_ERROR, "a group has to fit a record");
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    // The group, whatever it holds, does not stand in the way of others.
    let joined = client.ask(STATIC, &joining("small", "", vec![7]).with_group_instance_id(Some(text("instance"))));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    healthy.still_works();
}

#[test]
fn members_that_never_come_back_are_answered_and_forgotten() {
    const SPARE: usize = 48 * MIB;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    find_coordinator(&mut client);
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        for index in 0..10_000 {
            // Half of them to one group, half of them each to its own.
            let group = if index % 2 == 0 { "crowd".to_owned() } else { format!("alone-{index}") };
            let joined = client.ask(4, &joining(&group, "", b"metadata".to_vec()));
            assert_eq!(joined.error_code, MEMBER_ID_REQUIRED, "{group}");
        }
    });
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    // Who does come back need not wait for them.
    let id = client.ask(4, &joining("few", "", vec![1])).member_id;
    let joined = client.ask(4, &joining("few", &id, vec![1]));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    healthy.still_works();
}

#[test]
fn null_group_ids_close_the_connection() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    find_coordinator(&mut Client::new(&broker));
    // The first field of each of these is the group's id; null is -1, or 0 where lengths are compact.
    for (key, fixed, compact) in [(8, 2, 9), (9, 1, 7), (11, 0, 9), (12, 0, 4), (13, 0, 5), (14, 0, 5)] {
        for (version, null) in [(fixed, &[0xff, 0xff][..]), (compact, &[0])] {
            let mut client = Client::new(&broker);
            client.send(&raw_frame(key, version, &[null, &[0; 100]].concat()));
            assert!(client.closes(), "API {key} version {version}");
        }
    }
    for (key, version, body) in [
        (47, 0, &[0xff, 0xff, 0, 0, 0, 0][..]),
        (68, 1, &[0, 0, 0, 0, 0]),
        // In an array: one id, and it is null.
        (15, 0, &[0, 0, 0, 1, 0xff, 0xff]),
        (15, 6, &[2, 0, 0, 0]),
        (42, 0, &[0, 0, 0, 1, 0xff, 0xff]),
        (42, 2, &[2, 0, 0]),
        (69, 1, &[2, 0, 0, 0]),
    ] {
        let mut client = Client::new(&broker);
        client.send(&raw_frame(key, version, body));
        assert!(client.closes(), "API {key} version {version}");
    }
    healthy.still_works();
}

#[test]
fn repetitions_in_requests_about_groups_take_little_memory() {
    const SPARE: usize = 160 * MIB;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    find_coordinator(&mut client);
    let base = broker.resident();
    let same = || vec![group_id("same"); 100_000];
    let partitions = TopicPartitions::default().with_topic_id(Uuid::from_u128(5)).with_partitions(vec![0; 1000]);
    let heartbeat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id("consumers"))
        .with_member_id(text("member"))
        .with_member_epoch(1)
        .with_topic_partitions(Some(vec![partitions; 200]));
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text("nobody"));
    let sync = SyncGroupRequest::default().with_group_id(group_id("same")).with_assignments(vec![assignment; 50_000]);
    let leaving = leave_group_request::MemberIdentity::default().with_member_id(text("nobody"));
    let leave = LeaveGroupRequest::default().with_group_id(group_id("same")).with_members(vec![leaving; 50_000]);
    let protocol = joining("same", "", Vec::new()).protocols.remove(0);
    let join = joining("same", "", Vec::new()).with_protocols(vec![protocol; 100_000]);
    let questions = [
        frame(1, 6, &DescribeGroupsRequest::default().with_groups(same())),
        frame(1, 1, &ConsumerGroupDescribeRequest::default().with_group_ids(same())),
        frame(1, 2, &DeleteGroupsRequest::default().with_groups_names(same())),
        frame(1, 6, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("same"); 100_000])),
        frame(1, 1, &heartbeat),
        frame(1, 3, &sync),
        frame(1, 3, &leave),
        frame(1, 9, &join),
    ];
    for (index, question) in questions.iter().enumerate() {
        let (answer, peak) = broker.peak_during(|| {
            client.send(question);
            client.receive()
        });
        let size = answer.as_ref().map_or(0, Vec::len);
        let more = peak.saturating_sub(base) / MIB;
        println!("{index}: {} bytes asked, {size} answered, {more} MiB more", question.len());
        assert!(peak < base + SPARE, "{index}: {base} bytes grew to {peak}");
        if answer.is_none() {
            client = client.again();
        }
    }
    healthy.still_works();
}
