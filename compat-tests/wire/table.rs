//! Every API in every version that the broker advertises: a request that succeeds and one that does not, each reply
//! decoded to its last byte, each error code one that Kafka documents for the API.

use crate::asking::{create_topic, fetch_request, produce_request, text, topic_name};
use crate::batches::Batch;
use crate::broker::Broker;
use crate::client::{Client, frame, raw_frame};
use crate::fixtures::recorded_apis;
use crate::groups;
use crate::messages;
use crate::transactions::{self, Producer};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The error codes that Kafka's classes document for each API's reply, and those that its handlers add.
const CODES: &[(ApiKey, &[i16])] = &[
    (
        ApiKey::Produce,
        &[2, 3, 6, 7, 10, 17, 18, 19, 20, 21, 29, 31, 32, 43, 45, 47, 48, 49, 51, 53, 56, 76, 87, 100, 120],
    ),
    (ApiKey::Fetch, &[-1, 1, 2, 3, 6, 9, 29, 56, 70, 71, 74, 75, 76, 100, 103, 106, 109]),
    (ApiKey::ListOffsets, &[-1, 3, 5, 6, 9, 29, 35, 42, 43, 56, 74, 75, 78]),
    (ApiKey::Metadata, &[3, 5, 9, 17, 29, 31, 35, 37, 42, 72, 100, 129]),
    (ApiKey::OffsetCommit, &[3, 7, 12, 14, 15, 16, 22, 24, 25, 27, 28, 29, 30, 69, 82, 100, 110, 113]),
    (ApiKey::OffsetFetch, &[3, 14, 15, 16, 24, 25, 29, 30, 69, 88, 100, 113]),
    (ApiKey::FindCoordinator, &[14, 15, 24, 30, 42, 53, 120]),
    (ApiKey::JoinGroup, &[14, 15, 16, 23, 24, 25, 26, 30, 42, 79, 81, 82]),
    (ApiKey::Heartbeat, &[14, 15, 16, 22, 24, 25, 27, 30, 82]),
    (ApiKey::LeaveGroup, &[14, 15, 16, 24, 25, 30, 82]),
    (ApiKey::SyncGroup, &[14, 15, 16, 22, 23, 24, 25, 27, 30, 82]),
    (ApiKey::DescribeGroups, &[14, 15, 16, 24, 29, 30, 69]),
    (ApiKey::ListGroups, &[14, 15, 16, 30]),
    (ApiKey::ApiVersions, &[35, 42]),
    (ApiKey::CreateTopics, &[7, 17, 29, 31, 36, 37, 38, 39, 40, 41, 42, 44, 89]),
    (ApiKey::DeleteTopics, &[3, 7, 17, 29, 41, 42, 73, 89, 100]),
    (ApiKey::InitProducerId, &[14, 15, 16, 31, 42, 47, 48, 50, 51, 53, 90, 120]),
    (ApiKey::OffsetForLeaderEpoch, &[-1, 3, 6, 9, 29, 56, 74, 75]),
    (ApiKey::AddPartitionsToTxn, &[3, 14, 15, 16, 29, 31, 42, 47, 48, 49, 51, 53, 55, 90, 120]),
    (ApiKey::AddOffsetsToTxn, &[14, 15, 16, 30, 42, 47, 48, 49, 51, 53, 90, 120]),
    (ApiKey::EndTxn, &[14, 15, 16, 42, 47, 48, 49, 51, 53, 90, 120]),
    (ApiKey::WriteTxnMarkers, &[2, 3, 6, 7, 10, 18, 19, 20, 21, 31, 47, 52, 56]),
    (ApiKey::TxnOffsetCommit, &[3, 7, 12, 14, 15, 16, 22, 24, 25, 28, 29, 30, 47, 48, 49, 51, 53, 82, 110, 113, 120]),
    (ApiKey::DescribeConfigs, &[3, 17, 29, 31, 40, 42]),
    (ApiKey::AlterConfigs, &[3, 17, 29, 31, 40, 42, 44]),
    (ApiKey::CreatePartitions, &[3, 7, 17, 29, 37, 38, 39, 41, 42, 44, 60, 89]),
    (ApiKey::DeleteGroups, &[14, 15, 16, 24, 30, 68, 69]),
    (ApiKey::IncrementalAlterConfigs, &[3, 17, 29, 31, 40, 42, 44]),
    (ApiKey::OffsetDelete, &[3, 14, 15, 16, 24, 29, 30, 68, 69, 86]),
    (ApiKey::DescribeCluster, &[31, 42, 114, 115]),
    (ApiKey::DescribeProducers, &[3, 6, 17, 29, 56]),
    (ApiKey::DescribeTransactions, &[14, 15, 16, 53, 105]),
    (ApiKey::ListTransactions, &[14, 15, 16, 128]),
    (ApiKey::ConsumerGroupHeartbeat, &[14, 15, 16, 25, 29, 30, 42, 69, 81, 82, 110, 111, 112, 128]),
    (ApiKey::ConsumerGroupDescribe, &[14, 15, 16, 24, 29, 30, 42, 69]),
    (ApiKey::ListConfigResources, &[31, 35]),
    (ApiKey::DescribeTopicPartitions, &[3, 5, 17, 29, 42, 72]),
];

/// A topic that exists and its id, or one that does not.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Members of groups that go with it.
    pub members: &'static [String],
    /// Producers of transactions that go with it, by their transactional ids.
    pub producers: &'static BTreeMap<String, Producer>,
}

impl Target {
    /// Whether it is the one that exists.
    pub fn exists(self) -> bool {
        self.id != NOWHERE.id
    }
}

const NOWHERE: Target =
    Target { name: "no-such-topic", id: Uuid::from_u128(77), members: &[], producers: &BTreeMap::new() };

/// A whole request about a topic.
fn request(key: ApiKey, version: i16, target: Target) -> Option<Vec<u8>> {
    Some(match key {
        ApiKey::Produce => {
            let mut request = produce_request(target.name, 0, -1, Batch::of(&[b"value"]).bytes());
            if version >= 13 {
                request.topic_data[0].name = TopicName::default();
                request.topic_data[0].topic_id = target.id;
            }
            whole(version, &request)
        }
        ApiKey::Fetch => whole(version, &fetch(version, target)),
        ApiKey::ListOffsets => {
            let partition = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
            let topic = ListOffsetsTopic::default().with_name(topic_name(target.name)).with_partitions(vec![partition]);
            whole(version, &ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]))
        }
        ApiKey::Metadata => {
            let topic = MetadataRequestTopic::default().with_name(Some(topic_name(target.name)));
            // A topic that is asked for is made in versions that cannot say otherwise; this name cannot be made.
            let topic = if !target.exists() { topic.with_name(Some(topic_name("no/such"))) } else { topic };
            whole(version, &MetadataRequest::default().with_topics(Some(vec![topic])))
        }
        ApiKey::FindCoordinator => {
            let key_type = if target.exists() || version == 0 { 0 } else { 9 };
            let request = FindCoordinatorRequest::default().with_key_type(key_type);
            let key = text("group");
            whole(version, &if version >= 4 { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) })
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1);
            let topic = OffsetForLeaderTopic::default();
            let topic = topic.with_topic(topic_name(target.name)).with_partitions(vec![partition]);
            let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1));
            whole(version, &request.with_topics(vec![topic]))
        }
        _ => {
            return admin_request(key, version, target)
                .or_else(|| groups::request(key, version, target))
                .or_else(|| transactions::request(key, version, target));
        }
    })
}

fn admin_request(key: ApiKey, version: i16, target: Target) -> Option<Vec<u8>> {
    let exists = target.exists();
    Some(match key {
        ApiKey::ApiVersions => {
            let name = text(if exists { "wire" } else { "not a name!" });
            let version_name = text("1.0");
            let request = ApiVersionsRequest::default();
            whole(
                version,
                &if version >= 3 {
                    request.with_client_software_name(name).with_client_software_version(version_name)
                } else {
                    request
                },
            )
        }
        ApiKey::CreateTopics => {
            // What exists cannot be made, and the other way round.
            let name = if exists { format!("made-{version}") } else { "no/such".to_owned() };
            let topic = CreatableTopic::default().with_name(topic_name(&name)).with_num_partitions(1);
            whole(version, &CreateTopicsRequest::default().with_topics(vec![topic.with_replication_factor(1)]))
        }
        ApiKey::DeleteTopics => {
            let name = topic_name(&if exists { format!("doomed-{version}") } else { target.name.to_owned() });
            whole(
                version,
                &if version >= 6 {
                    DeleteTopicsRequest::default().with_topics(vec![DeleteTopicState::default().with_name(Some(name))])
                } else {
                    DeleteTopicsRequest::default().with_topic_names(vec![name])
                },
            )
        }
        ApiKey::InitProducerId => {
            let id = if exists { None } else { Some(TransactionalId(text(""))) };
            let request = InitProducerIdRequest::default().with_transaction_timeout_ms(1000).with_transactional_id(id);
            whole(version, &request)
        }
        ApiKey::DescribeConfigs => {
            let resource =
                DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text(target.name));
            whole(version, &DescribeConfigsRequest::default().with_resources(vec![resource]))
        }
        ApiKey::AlterConfigs => {
            use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
            let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1000")));
            let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(target.name));
            whole(version, &AlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])]))
        }
        ApiKey::IncrementalAlterConfigs => {
            use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
            let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1000")));
            let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(target.name));
            let resources = vec![resource.with_configs(vec![config])];
            whole(version, &IncrementalAlterConfigsRequest::default().with_resources(resources))
        }
        ApiKey::CreatePartitions => {
            let topic = CreatePartitionsTopic::default().with_name(topic_name(target.name)).with_assignments(None);
            let topic = topic.with_count(10 + i32::from(version));
            whole(version, &CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000))
        }
        ApiKey::DescribeCluster => {
            let endpoint_type = if exists || version == 0 { 1 } else { 9 };
            whole(version, &DescribeClusterRequest::default().with_endpoint_type(endpoint_type))
        }
        ApiKey::ListConfigResources => {
            let types = if exists || version == 0 { vec![] } else { vec![77] };
            whole(version, &ListConfigResourcesRequest::default().with_resource_types(types))
        }
        ApiKey::DescribeTopicPartitions => {
            let topics = vec![TopicRequest::default().with_name(topic_name(target.name))];
            whole(version, &DescribeTopicPartitionsRequest::default().with_topics(topics))
        }
        _ => return None,
    })
}

fn fetch(version: i16, target: Target) -> FetchRequest {
    let mut request = fetch_request(target.name, [0], 1 << 20);
    if version >= 13 {
        request.topics[0].topic = TopicName::default();
        request.topics[0].topic_id = target.id;
    }
    if version >= 15 {
        request.replica_id = FetchRequest::default().replica_id;
        request.replica_state.replica_id = BrokerId(-1);
    }
    if version < 7 {
        request.session_epoch = FetchRequest::default().session_epoch;
    }
    request
}

/// A whole request, size first.
pub fn whole<Q: Request>(version: i16, request: &Q) -> Vec<u8> {
    frame(1, version, request)
}

/// Requests that cannot fail: nothing in them names anything.
fn cannot_fail(key: ApiKey, version: i16) -> bool {
    matches!(
        (key, version),
        (ApiKey::ApiVersions, ..=2)
            | (ApiKey::DescribeCluster | ApiKey::ListConfigResources, 0)
            | (ApiKey::ListGroups, _)
            // There is no pattern yet that could be none.
            | (ApiKey::ListTransactions, ..=1)
            // A group of any name has a coordinator.
            | (ApiKey::FindCoordinator, 0)
            // Nothing was committed for a topic that is not there, which is no error before topics are ids.
            | (ApiKey::OffsetFetch, ..=9)
            // A group that is not there is Dead, which is no error.
            | (ApiKey::DescribeGroups, ..=5)
    )
}

#[test]
fn every_version_of_every_api_answers_with_documented_codes() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    let advertised = client.ask(4, &named_api_versions()).api_keys;
    assert!(advertised.len() >= 8);
    let id = create_topic(&mut client, "walk", 2, &[]);
    let members = groups::prepare(&mut client, "walk").leak();
    let producers = Box::leak(Box::new(transactions::prepare(&mut client, "walk")));
    let target = Target { name: "walk", id, members, producers };
    for version in 0..=6 {
        create_topic(&mut client, &format!("doomed-{version}"), 1, &[]);
    }
    for range in advertised {
        let key = ApiKey::try_from(range.api_key).unwrap();
        let codes = CODES.iter().find(|(row, _)| *row == key).unwrap_or_else(|| panic!("no codes for {key:?}")).1;
        for version in range.min_version..=range.max_version {
            if key == ApiKey::Produce && version < 3 {
                // Advertised for librdkafka's sake.
                client.send(&raw_frame(range.api_key, version, &[0; 10]));
                assert!(client.receive().is_none(), "{key:?} {version}");
                client = client.again();
                continue;
            }
            let mut codes_of = |target| {
                client.send(&request(key, version, target).unwrap_or_else(|| panic!("no request for {key:?}")));
                let reply = client.receive().unwrap_or_else(|| panic!("{key:?} {version}: closed"));
                codes_in(key, version, &reply)
            };
            let good = codes_of(target);
            // What succeeds in this one version is that the member is told its id.
            let expected = if (key, version) == (ApiKey::JoinGroup, 4) { 79 } else { 0 };
            assert!(good == BTreeSet::from([expected]), "{key:?} {version}: {good:?}");
            let bad = codes_of(NOWHERE);
            assert!(bad != BTreeSet::from([0]) || cannot_fail(key, version), "{key:?} {version} does not fail");
            for code in good.union(&bad).filter(|code| **code != 0) {
                assert!(codes.contains(code), "{key:?} {version} answers {code}, which is not documented for it");
            }
        }
    }
    transactions::check(&mut client);
}

fn named_api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text("wire")).with_client_software_version(text("1.0"))
}

/// The error codes in a reply, of which nothing may be left over.
fn codes_in(key: ApiKey, version: i16, reply: &[u8]) -> BTreeSet<i16> {
    let (id, decoded) =
        messages::reply(key as i16, version, reply).unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    assert_eq!(id, 1);
    let mut codes = BTreeSet::new();
    decoded.fields.visit(&mut |part| {
        for field in ["error_code", "partition_error_code"] {
            codes.extend(part.field(field).and_then(|code| code.text()).map(|code| code.parse::<i16>().unwrap()));
        }
    });
    // Metadata has no code as a whole before version 13, and none at all without topics.
    if codes.is_empty() { BTreeSet::from([0]) } else { codes }
}

/// Where the codec does not know the last version that Kafka advertises.
const CODEC_ENDS_WITH: &[(&str, i16)] = &[("ListOffsets", 10), ("WriteTxnMarkers", 1)];

#[test]
fn what_is_advertised_lies_within_what_kafka_advertises() {
    let broker = Broker::start(&[]);
    let kafkas = recorded_apis();
    for range in Client::new(&broker).ask(4, &named_api_versions()).api_keys {
        let (_, name, min, max) = kafkas.iter().find(|(key, ..)| *key == range.api_key).expect("Kafka has it");
        assert_eq!(range.min_version, *min, "{name}");
        let ends_with = CODEC_ENDS_WITH.iter().find(|(ends, _)| ends == name).map_or(*max, |(_, version)| *version);
        assert_eq!(range.max_version, ends_with, "{name}");
    }
}
