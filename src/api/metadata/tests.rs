use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

async fn ask(broker: &Arc<Broker>, version: i16, request: MetadataRequest) -> MetadataResponse {
    received(handle(ctx(broker, version), request).await, version)
}

fn by_names(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|it| MetadataRequestTopic::default().with_name(Some(name(it))));
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn by_ids(ids: &[Uuid]) -> MetadataRequest {
    let topics = ids.iter().map(|id| MetadataRequestTopic::default().with_name(None).with_topic_id(*id));
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn all_topics(version: i16) -> MetadataRequest {
    MetadataRequest::default().with_topics((version == 0).then(Vec::new))
}

/// Names and codes, and how many partitions there are.
fn topics(response: &MetadataResponse) -> Vec<(&str, ErrorCode, usize)> {
    let of = |topic: &'_ MetadataResponseTopic| ErrorCode::from_code(topic.error_code).unwrap();
    let topics = response.topics.iter();
    topics
        .map(|topic| (topic.name.as_ref().map_or("-", |name| name.as_str()), of(topic), topic.partitions.len()))
        .collect()
}

#[tokio::test]
async fn every_version_tells_of_this_broker_and_of_every_partition() {
    let broker = Broker::in_memory(&[("node.id", "7"), ("cluster.id", "the-cluster"), ("broker.rack", "r1")]);
    let topic = make_topic(&broker, "t", 2);
    for version in 0..=13 {
        let response = ask(&broker, version, by_names(&["t"])).await;
        let broker_told = &response.brokers[0];
        assert_eq!((broker_told.node_id.0, broker_told.host.as_str(), broker_told.port), (7, "127.0.0.1", 9092));
        assert_eq!(broker_told.rack.as_ref().map(|rack| rack.as_str()), (version >= 1).then_some("r1"));
        assert_eq!(response.cluster_id.as_ref().map(|id| id.as_str()), (version >= 2).then_some("the-cluster"));
        assert_eq!(response.controller_id.0, if version >= 1 { 7 } else { -1 });
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
        assert_eq!(topics(&response), [("t", ErrorCode::None, 2)]);
        let told = &response.topics[0];
        assert_eq!(told.topic_id, if version >= 10 { topic.id } else { Uuid::nil() });
        assert!(!told.is_internal);
        assert_eq!(told.topic_authorized_operations, i32::MIN);
        for (index, partition) in (0..).zip(&told.partitions) {
            assert_eq!((partition.error_code, partition.partition_index, partition.leader_id.0), (0, index, 7));
            assert_eq!(partition.leader_epoch, if version >= 7 { broker.partitions().leader_epoch() } else { -1 });
            assert_eq!((&*partition.replica_nodes, &*partition.isr_nodes), (&[BrokerId(7)][..], &[BrokerId(7)][..]));
            assert!(partition.offline_replicas.is_empty());
        }
    }
}

#[tokio::test]
async fn all_topics_are_asked_for_by_an_empty_list_in_version_0_and_by_null_after_it() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "a", 1);
    make_topic(&broker, "__consumer_offsets", 3);
    for version in [0, 1, 9, 13] {
        let response = ask(&broker, version, all_topics(version)).await;
        let expected = [("a", ErrorCode::None, 1), ("__consumer_offsets", ErrorCode::None, 3)];
        assert_eq!(topics(&response), expected, "version {version}");
        assert_eq!(response.topics[1].is_internal, version >= 1);
    }
    for version in [1, 9, 13] {
        assert_eq!(topics(&ask(&broker, version, by_names(&[])).await), [], "version {version}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_made_where_client_and_broker_agree() {
    for version in [0, 4, 13] {
        let broker = Broker::in_memory(&[("num.partitions", "3")]);
        let response = ask(&broker, version, by_names(&["new", "new", "newer"])).await;
        assert_eq!(topics(&response), [("new", ErrorCode::None, 3), ("newer", ErrorCode::None, 3)]);
        assert_eq!(broker.catalog().image().topic("new").unwrap().partitions, 3);
        let again = ask(&broker, version, by_names(&["new"])).await;
        assert_eq!(again.topics[0], response.topics[0]);
    }
    let unwilling = Broker::in_memory(&[("auto.create.topics.enable", "false")]);
    let broker = Broker::in_memory(&[]);
    for (broker, allow) in [(&unwilling, true), (&broker, false)] {
        let response = ask(broker, 13, by_names(&["new", "a/b"]).with_allow_auto_topic_creation(allow)).await;
        let expected = [("new", ErrorCode::UnknownTopicOrPartition, 0), ("a/b", ErrorCode::InvalidTopicException, 0)];
        assert_eq!(topics(&response), expected);
        assert_eq!(broker.catalog().image().topics().len(), 0);
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_not_made() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "a.b", 1);
    let asked = ["a/b", "", "..", "a_b", "__cluster_metadata", "__consumer_offsets", "good"];
    let response = ask(&broker, 13, by_names(&asked)).await;
    let invalid = ErrorCode::InvalidTopicException;
    let expected = [
        ("a/b", invalid, 0),
        ("", invalid, 0),
        ("..", invalid, 0),
        ("a_b", invalid, 0),
        ("__cluster_metadata", invalid, 0),
        ("__consumer_offsets", ErrorCode::UnknownTopicOrPartition, 0),
        ("good", ErrorCode::None, 1),
    ];
    assert_eq!(topics(&response), expected);
    assert!(response.topics[5].is_internal);
    assert_eq!(broker.catalog().image().topics().len(), 2);
}

#[tokio::test]
async fn ids_are_looked_up_and_leave_names_aside() {
    let broker = Broker::in_memory(&[]);
    let topic = make_topic(&broker, "t", 1);
    let unknown = Uuid::from_u128(5);
    for version in [12, 13] {
        let mut request = by_ids(&[topic.id, unknown, topic.id]).with_include_topic_authorized_operations(true);
        request.topics.as_mut().unwrap().push(MetadataRequestTopic::default().with_name(Some(name("new"))));
        let response = ask(&broker, version, request).await;
        assert_eq!(topics(&response), [("t", ErrorCode::None, 1), ("-", ErrorCode::UnknownTopicId, 0)]);
        assert_eq!(response.topics.iter().map(|it| it.topic_id).collect::<Vec<_>>(), [topic.id, unknown]);
        assert_eq!(response.topics[1].topic_authorized_operations, i32::MIN);
        assert!(broker.catalog().image().topic("new").is_none());
    }
}

#[tokio::test]
async fn ids_and_null_names_are_refused_before_version_12() {
    let broker = Broker::in_memory(&[]);
    let topic = make_topic(&broker, "t", 1);
    for version in [10, 11] {
        let response = ask(&broker, version, by_ids(&[topic.id])).await;
        assert_eq!(topics(&response), [("", ErrorCode::InvalidRequest, 0)]);
        assert_eq!((response.topics[0].topic_id, response.brokers.len()), (topic.id, 0));
    }
}

#[tokio::test]
async fn authorized_operations_are_kafkas_without_an_authorizer() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "t", 1);
    for version in 8..=13 {
        let in_cluster = version <= 10;
        let request = by_names(&["t", "gone"])
            .with_allow_auto_topic_creation(false)
            .with_include_cluster_authorized_operations(in_cluster)
            .with_include_topic_authorized_operations(true);
        let response = ask(&broker, version, request).await;
        assert_eq!(response.cluster_authorized_operations, if in_cluster { 8096 } else { i32::MIN });
        assert_eq!(response.topics.iter().map(|it| it.topic_authorized_operations).collect::<Vec<_>>(), [3576, 3576]);
    }
}
