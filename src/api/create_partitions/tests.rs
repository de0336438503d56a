use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;

async fn ask(broker: &Arc<Broker>, version: i16, request: CreatePartitionsRequest) -> Vec<CreatePartitionsTopicResult> {
    received(handle(ctx(broker, version), request).await, version).results
}

fn asking(topics: &[CreatePartitionsTopic]) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default().with_topics(topics.to_vec())
}

fn topic(it: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default().with_name(name(it)).with_count(count).with_assignments(None)
}

fn placed(it: &str, count: i32, brokers: &[&[i32]]) -> CreatePartitionsTopic {
    let assignments = brokers.iter().map(|brokers| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    topic(it, count).with_assignments(Some(assignments.collect()))
}

fn codes(results: &[CreatePartitionsTopicResult]) -> Vec<(&str, ErrorCode)> {
    results.iter().map(|it| (it.name.as_str(), ErrorCode::from_code(it.error_code).unwrap())).collect()
}

fn partitions(broker: &Broker, name: &str) -> i32 {
    broker.catalog().image().topic(name).unwrap().partitions
}

#[tokio::test]
async fn every_version_adds_partitions_that_can_be_used_at_once() {
    for version in 0..=3 {
        let broker = Broker::in_memory(&[]);
        let before = make_topic(&broker, "t", 2);
        make_topic(&broker, "u", 1);
        assert!(broker.partition(&before, 3).is_err());
        let results = ask(&broker, version, asking(&[topic("t", 4), placed("u", 3, &[&[1], &[1]])])).await;
        assert_eq!(codes(&results), [("t", ErrorCode::None), ("u", ErrorCode::None)]);
        assert!(results.iter().all(|result| result.error_message.is_none()));
        assert_eq!((partitions(&broker, "t"), partitions(&broker, "u")), (4, 3));
        let after = broker.catalog().image().topic("t").cloned().unwrap();
        assert_eq!(after.id, before.id);
        broker.partition(&after, 3).unwrap();
    }
}

#[tokio::test]
async fn every_topic_is_refused_for_itself() {
    let cases = [
        (topic("same", 2), ErrorCode::InvalidPartitions),
        (topic("fewer", 1), ErrorCode::InvalidPartitions),
        (topic("none", 0), ErrorCode::InvalidPartitions),
        (topic("negative", i32::MIN), ErrorCode::InvalidPartitions),
        (topic("too-many", i32::MAX), ErrorCode::PolicyViolation),
        (placed("no-such-broker", 3, &[&[9]]), ErrorCode::InvalidReplicaAssignment),
        (placed("too-few", 4, &[&[1]]), ErrorCode::InvalidReplicaAssignment),
        (placed("no-broker", 3, &[&[]]), ErrorCode::InvalidReplicaAssignment),
        (placed("two-brokers", 3, &[&[1, 1]]), ErrorCode::InvalidReplicaAssignment),
        (topic("good", 3), ErrorCode::None),
    ];
    let broker = Broker::in_memory(&[]);
    cases.iter().for_each(|(topic, _)| drop(make_topic(&broker, &topic.name, 2)));
    let mut topics: Vec<_> = cases.iter().map(|(topic, _)| topic.clone()).collect();
    topics.push(topic("unknown", 3));
    let mut expected: Vec<_> = cases.iter().map(|(topic, code)| (topic.name.as_str(), *code)).collect();
    expected.push(("unknown", ErrorCode::UnknownTopicOrPartition));
    for validate_only in [true, false] {
        let results = ask(&broker, 3, asking(&topics).with_validate_only(validate_only)).await;
        assert_eq!(codes(&results), expected);
        assert!(results.iter().all(|result| result.error_message.is_some() == (result.error_code != 0)));
        assert_eq!(partitions(&broker, "good"), if validate_only { 2 } else { 3 });
    }
    for (topic, code) in &cases {
        assert_eq!(partitions(&broker, &topic.name), if code.is_none() { 3 } else { 2 });
    }
}

#[tokio::test]
async fn a_name_given_twice_is_refused_once() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "t", 1);
    make_topic(&broker, "u", 1);
    let results = ask(&broker, 3, asking(&[topic("t", 2), topic("u", 2), topic("t", 3)])).await;
    assert_eq!(codes(&results), [("u", ErrorCode::None), ("t", ErrorCode::InvalidRequest)]);
    assert_eq!(partitions(&broker, "t"), 1);
    assert!(ask(&broker, 3, asking(&[])).await.is_empty());
}
