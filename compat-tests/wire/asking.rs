//! What tests ask for most: topics, appends, reads.

use crate::batches::Batch;
use crate::client::Client;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Produce's last version with names, the one most clients use.
pub const PRODUCE: i16 = 9;
/// Fetch's last version with names.
pub const FETCH: i16 = 12;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Makes a topic, and tells its id.
pub fn create_topic(client: &mut Client, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
    let configs = configs
        .iter()
        .map(|(key, value)| CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value))));
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let created = client.ask(7, &request).topics.remove(0);
    assert_eq!(created.error_code, 0, "{name}: {:?}", created.error_message);
    created.topic_id
}

/// A Produce request of one partition; versions to 12.
pub fn produce_request(topic: &str, partition: i32, acks: i16, bytes: impl Into<bytes::Bytes>) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(bytes.into()));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// What is answered for these bytes, with acks=all.
pub fn produce(client: &mut Client, topic: &str, bytes: Vec<u8>) -> PartitionProduceResponse {
    client.ask(PRODUCE, &produce_request(topic, 0, -1, bytes)).responses.remove(0).partition_responses.remove(0)
}

/// Appends a record, and tells its offset.
pub fn append(client: &mut Client, topic: &str, value: &[u8]) -> i64 {
    let answer = produce(client, topic, Batch::of(&[value]).bytes());
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.base_offset
}

/// A Fetch request of some partitions from their beginnings; versions to 12.
pub fn fetch_request(topic: &str, partitions: impl IntoIterator<Item = i32>, max_bytes: i32) -> FetchRequest {
    let partition = |index| {
        FetchPartition::default()
            .with_partition(index)
            .with_partition_max_bytes(max_bytes)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
    };
    let partitions = partitions.into_iter().map(partition).collect();
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(partitions)])
}

/// Reads partition 0 from an offset on, at most a megabyte.
pub fn fetch(client: &mut Client, topic: &str, from: i64) -> Vec<u8> {
    let mut request = fetch_request(topic, [0], 1 << 20);
    request.topics[0].partitions[0].fetch_offset = from;
    let partition = client.ask(FETCH, &request).responses.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, 0);
    partition.records.unwrap_or_default().to_vec()
}
