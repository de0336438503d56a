//! Topics and their partitions through librdkafka's admin client.

use crate::clients::{Admin, only, options, read_all};
use crate::common::{DEADLINE, Ottla, temp_dir};
use crate::ledger::{Numbered, assert_exactly_once};
use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::path::Path;

fn names(admin: &Admin) -> Vec<String> {
    admin.topics().into_iter().map(|(name, _)| name).collect()
}

/// Whether a partition of this topic has a folder.
fn has_folder(data: &Path, topic: &str) -> bool {
    let prefix = format!("{topic}-");
    std::fs::read_dir(data).unwrap().any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with(&prefix))
}

#[test]
fn topics_come_and_go() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &["--num.partitions=4"]);
    let admin = Admin::new(&broker);
    let topics = [
        NewTopic::new("one", 1, TopicReplication::Fixed(1)),
        NewTopic::new("three", 3, TopicReplication::Fixed(-1)),
        NewTopic::new("by-default", -1, TopicReplication::Fixed(-1)),
        NewTopic::new("placed", 2, TopicReplication::Variable(&[&[1], &[1]])),
    ];
    let created = admin.wait(admin.client.create_topics(&topics, &options()));
    assert_eq!(created, topics.each_ref().map(|topic| Ok(topic.name.to_string())));
    let expected = [("by-default", 4), ("one", 1), ("placed", 2), ("three", 3)].map(|(name, n)| (name.into(), n));
    assert_eq!(admin.topics(), expected);
    let metadata = admin.client.inner().fetch_metadata(Some("three"), DEADLINE).unwrap();
    for partition in metadata.topics()[0].partitions() {
        assert_eq!((partition.leader(), partition.replicas(), partition.isr()), (1, &[1][..], &[1][..]));
    }

    let deleted = admin.wait(admin.client.delete_topics(&["three", "never", "one"], &options()));
    let never = Err(("never".to_string(), Code::UnknownTopicOrPartition));
    assert_eq!(deleted, [Ok("three".into()), never, Ok("one".into())]);
    assert_eq!(names(&admin), ["by-default", "placed"]);
    drop(admin);
    broker.kill();
    let broker = Ottla::start(dir.path(), &[]);
    assert_eq!(names(&Admin::new(&broker)), ["by-default", "placed"], "after a kill");
    broker.stop().assert_sound();
}

#[test]
fn topics_that_cannot_be_are_refused() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    admin.create("there", 1, &[]);
    let new = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let long = "x".repeat(250);
    for (topic, code) in [
        (new("there", 1), Code::TopicAlreadyExists),
        (new("../there", 1), Code::InvalidTopic),
        (new("..", 1), Code::InvalidTopic),
        (new("a/b", 1), Code::InvalidTopic),
        (new(&long, 1), Code::InvalidTopic),
        (NewTopic::new("t", 1, TopicReplication::Fixed(2)), Code::InvalidReplicationFactor),
        (NewTopic::new("t", 1, TopicReplication::Variable(&[&[99]])), Code::InvalidReplicaAssignment),
        (new("t", 1).set("segment.bites", "1"), Code::InvalidConfig),
        (new("t", 1).set("segment.bytes", "x"), Code::InvalidConfig),
        (new("t", 1).set("message.timestamp.type", "Never"), Code::InvalidConfig),
    ] {
        assert_eq!(admin.try_create(&topic), Err(code), "{topic:?}");
    }
    let tried = options().validate_only(true);
    assert_eq!(only(admin.wait(admin.client.create_topics([&new("tried", 1)], &tried))), Ok(()));
    let there = admin.wait(admin.client.create_topics([&new("there", 1)], &tried));
    assert_eq!(only(there), Err(Code::TopicAlreadyExists));
    assert_eq!(names(&admin), ["there"]);
    broker.stop().assert_sound();
}

#[test]
fn partitions_are_added_under_a_producer() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    admin.create("t", 2, &[]);
    let grow = |to| only(admin.wait(admin.client.create_partitions(&[NewPartitions::new("t", to)], &options())));
    let producers = [Numbered::with(
        0,
        &broker.bootstrap(),
        "t",
        &[("enable.idempotence", "true"), ("topic.metadata.refresh.interval.ms", "50")],
    )];
    (0..100).for_each(|number| producers[0].send(Some(number % 2), None));
    assert_eq!(grow(5), Ok(()));
    assert_eq!(admin.topics(), [("t".into(), 5)]);
    assert_eq!(grow(5), Err(Code::InvalidPartitions));
    assert_eq!(grow(4), Err(Code::InvalidPartitions));
    let never = admin.wait(admin.client.create_partitions(&[NewPartitions::new("never", 3)], &options()));
    assert_eq!(only(never), Err(Code::UnknownTopicOrPartition));
    producers[0].finish();
    let late = [producers.into_iter().next().unwrap(), Numbered::idempotent(1, &broker.bootstrap(), "t")];
    (0..100).for_each(|number| late[1].send(Some(number % 5), None));
    late[1].finish();
    let log = read_all(&broker.bootstrap(), "t", 5);
    assert_exactly_once(&late, &log);
    assert_eq!(log.iter().map(Vec::len).collect::<Vec<_>>(), [70, 70, 20, 20, 20]);
    drop(admin);
    broker.kill();
    let broker = Ottla::start(dir.path(), &[]);
    assert_eq!(read_all(&broker.bootstrap(), "t", 5), log);
    broker.stop().assert_sound();
}

#[test]
fn a_deleted_topic_never_comes_back() {
    let dir = temp_dir();
    let mut broker = Ottla::start(dir.path(), &[]);
    for round in 0..4 {
        let admin = Admin::new(&broker);
        admin.create("t", 2, &[]);
        let producers = [Numbered::idempotent(0, &broker.bootstrap(), "t")];
        let log = read_all(&broker.bootstrap(), "t", 2);
        assert!(log.iter().all(Vec::is_empty), "round {round} begins with {log:?}");
        (0..100).for_each(|number| producers[0].send(Some(number % 2), None));
        producers[0].finish();
        assert_exactly_once(&producers, &read_all(&broker.bootstrap(), "t", 2));
        drop(producers);
        assert_eq!(admin.delete("t"), Ok(()));
        drop(admin);
        broker.kill();
        broker = Ottla::start(dir.path(), &["--auto.create.topics.enable=false"]);
        assert_eq!(names(&Admin::new(&broker)), Vec::<String>::new());
        assert!(!has_folder(dir.path(), "t"), "round {round}");
    }
    broker.stop().assert_sound();
}

#[test]
fn an_idempotent_producer_outlives_its_topic() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    let producers = [Numbered::idempotent(0, &broker.bootstrap(), "t")];
    for _ in 0..3 {
        admin.create("t", 1, &[]);
        (0..100).for_each(|_| producers[0].send(Some(0), None));
        producers[0].finish();
        let log = read_all(&broker.bootstrap(), "t", 1);
        assert_eq!(log[0].len(), 100);
        assert_eq!(admin.delete("t"), Ok(()));
    }
    drop(admin);
    broker.stop().assert_sound();
}

#[test]
fn a_topic_is_not_made_by_its_first_use_where_that_is_off() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &["--auto.create.topics.enable=false"]);
    let producer = Numbered::with(0, &broker.bootstrap(), "t", &[("topic.metadata.propagation.max.ms", "100")]);
    producer.send(None, None);
    assert_eq!(producer.failures(), [KafkaError::MessageProduction(Code::UnknownTopicOrPartition)]);
    assert_eq!(names(&Admin::new(&broker)), Vec::<String>::new());
    broker.stop().assert_sound();
}
