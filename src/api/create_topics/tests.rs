use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopicConfig};
use uuid::Uuid;

async fn ask(broker: &Arc<Broker>, version: i16, request: CreateTopicsRequest) -> Vec<CreatableTopicResult> {
    received(handle(ctx(broker, version), request).await, version).topics
}

fn asking(topics: &[CreatableTopic]) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics.to_vec())
}

fn topic(it: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(it))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

fn configured(it: &str, key: &str, value: Option<&str>) -> CreatableTopic {
    let config = CreatableTopicConfig::default()
        .with_name(StrBytes::from(key.to_owned()))
        .with_value(value.map(|value| StrBytes::from(value.to_owned())));
    topic(it, -1, -1).with_configs(vec![config])
}

fn assigned(it: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(partition, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    topic(it, -1, -1).with_assignments(assignments.collect())
}

fn codes(results: &[CreatableTopicResult]) -> Vec<(&str, ErrorCode)> {
    results.iter().map(|it| (it.name.as_str(), ErrorCode::from_code(it.error_code).unwrap())).collect()
}

#[tokio::test]
async fn every_version_makes_topics() {
    for version in 2..=7 {
        let broker = Broker::in_memory(&[("num.partitions", "4")]);
        let results = ask(&broker, version, asking(&[topic("a", 2, 1), topic("b", -1, -1)])).await;
        assert_eq!(codes(&results), [("a", ErrorCode::None), ("b", ErrorCode::None)]);
        let image = broker.catalog().image();
        for (result, partitions) in results.iter().zip([2, 4]) {
            let made = image.topic(&result.name).unwrap();
            assert_eq!(made.partitions, partitions);
            assert_eq!(result.error_message, None);
            assert_eq!(result.topic_id, if version >= 7 { made.id } else { Uuid::nil() });
            let told = (result.num_partitions, result.replication_factor);
            assert_eq!(told, if version >= 5 { (partitions, 1) } else { (-1, -1) });
            assert_eq!(result.configs.as_ref().is_some_and(|configs| configs.len() > 30), version >= 5);
        }
    }
}

#[tokio::test]
async fn the_reply_has_the_settings_and_where_they_come_from() {
    let broker = Broker::in_memory(&[("log.segment.bytes", "2000000")]);
    let results = ask(&broker, 7, asking(&[configured("t", "max.message.bytes", Some("1000"))])).await;
    let configs = results[0].configs.clone().unwrap();
    let told = |name: &str| {
        let config = configs.iter().find(|config| config.name.as_str() == name).unwrap();
        assert!(!config.read_only && !config.is_sensitive);
        (config.value.as_ref().unwrap().to_string(), config.config_source)
    };
    assert_eq!(told("max.message.bytes"), ("1000".to_owned(), 1));
    assert_eq!(told("segment.bytes"), ("2000000".to_owned(), 4));
    assert_eq!(told("retention.ms"), ("604800000".to_owned(), 5));
    assert!(configs.is_sorted_by(|one, other| one.name.as_str() < other.name.as_str()));
}

#[tokio::test]
async fn every_topic_is_refused_for_itself() {
    let both = assigned("both", &[(0, &[1])]).with_num_partitions(1).with_replication_factor(1);
    let cases = [
        (topic("there", 1, 1), ErrorCode::TopicAlreadyExists),
        (topic("a_b", 1, 1), ErrorCode::InvalidTopicException),
        (topic("a/b", 1, 1), ErrorCode::InvalidTopicException),
        (topic("__cluster_metadata", 1, 1), ErrorCode::InvalidRequest),
        (topic("none", 0, 1), ErrorCode::InvalidPartitions),
        (topic("negative", -2, 1), ErrorCode::InvalidPartitions),
        (topic("no-replica", 1, 0), ErrorCode::InvalidReplicationFactor),
        (topic("replicas", 1, 2), ErrorCode::InvalidReplicationFactor),
        (configured("unknown", "no.such.key", Some("1")), ErrorCode::InvalidConfig),
        (configured("number", "max.message.bytes", Some("many")), ErrorCode::InvalidConfig),
        (configured("range", "segment.bytes", Some("1")), ErrorCode::InvalidConfig),
        (configured("null", "retention.ms", None), ErrorCode::InvalidConfig),
        (assigned("no-such-broker", &[(0, &[9])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("gap", &[(0, &[1]), (2, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("twice", &[(0, &[1]), (0, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (both, ErrorCode::InvalidRequest),
        (topic("too-many", 10_001, 1), ErrorCode::PolicyViolation),
        (assigned("good", &[(1, &[1]), (0, &[1])]), ErrorCode::None),
    ];
    let topics: Vec<CreatableTopic> = cases.iter().map(|(topic, _)| topic.clone()).collect();
    for version in [2, 7] {
        let broker = Broker::in_memory(&[]);
        make_topic(&broker, "there", 1);
        make_topic(&broker, "a.b", 1);
        let results = ask(&broker, version, asking(&topics)).await;
        let expected: Vec<_> = cases.iter().map(|(topic, code)| (topic.name.as_str(), *code)).collect();
        assert_eq!(codes(&results), expected);
        for result in results.iter().filter(|result| result.error_code != 0) {
            assert!(result.error_message.as_ref().is_some_and(|text| text.len() > 10), "{result:?}");
            assert_eq!((result.num_partitions, result.replication_factor, result.topic_id), (-1, -1, Uuid::nil()));
            assert_eq!(result.configs.as_deref(), Some(&[][..]));
        }
        assert_eq!(broker.catalog().image().topic("good").unwrap().partitions, 2);
        assert_eq!(broker.catalog().image().topics().len(), 3);
    }
}

#[tokio::test]
async fn a_name_given_twice_is_refused_once_and_the_rest_is_made() {
    let broker = Broker::in_memory(&[]);
    let results =
        ask(&broker, 7, asking(&[topic("a", 1, 1), topic("b", 1, 1), topic("a", 2, 1), topic("a", 2, 1)])).await;
    assert_eq!(codes(&results), [("b", ErrorCode::None), ("a", ErrorCode::InvalidRequest)]);
    assert!(broker.catalog().image().topic("a").is_none());
}

#[tokio::test]
async fn validation_answers_the_same_and_makes_nothing() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "there", 1);
    let topics = [topic("ghost", 2, 1), topic("there", 1, 1), topic("replicas", 1, 2)];
    let results = ask(&broker, 7, asking(&topics).with_validate_only(true)).await;
    let expected = [
        ("ghost", ErrorCode::None),
        ("there", ErrorCode::TopicAlreadyExists),
        ("replicas", ErrorCode::InvalidReplicationFactor),
    ];
    assert_eq!(codes(&results), expected);
    assert_eq!(results[0].num_partitions, 2);
    assert!(!results[0].topic_id.is_nil());
    assert_eq!(broker.catalog().image().topics().len(), 1);
    assert!(ask(&broker, 7, asking(&[])).await.is_empty());
}
