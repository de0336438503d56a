//! The codec's messages by API key: decoded, encoded again, and taken apart.

use crate::tree::{self, Tree};
use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use ottla::api::messages::{offset_commit, offset_fetch};
use std::fmt::Debug;

/// A message that was decoded.
pub struct Decoded {
    /// Its fields.
    pub fields: Tree,
    /// What the codec makes of it again.
    pub encoded: Vec<u8>,
    /// Bytes behind it.
    pub left: usize,
}

macro_rules! apis {
    ($($name:ident: $request:ty, $response:ty;)*) => {
        /// The APIs whose messages are known here.
        pub const KNOWN: &[i16] = &[$(ApiKey::$name as i16,)*];

        /// A request's body.
        pub fn request(key: i16, version: i16, body: &[u8]) -> anyhow::Result<Decoded> {
            match key {
                $(key if key == ApiKey::$name as i16 => decoded::<$request>(version, body),)*
                key => anyhow::bail!("no request {key}"),
            }
        }

        /// A reply's body.
        pub fn response(key: i16, version: i16, body: &[u8]) -> anyhow::Result<Decoded> {
            match key {
                $(key if key == ApiKey::$name as i16 => decoded::<$response>(version, body),)*
                key => anyhow::bail!("no response {key}"),
            }
        }

        /// The versions of the headers of request and reply.
        pub fn header_versions(key: i16, version: i16) -> (i16, i16) {
            match key {
                $(key if key == ApiKey::$name as i16 =>
                    (<$request>::header_version(version), <$response>::header_version(version)),)*
                key => panic!("no API {key}"),
            }
        }
    };
}

apis! {
    Produce: ProduceRequest, ProduceResponse;
    Fetch: FetchRequest, FetchResponse;
    ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
    Metadata: MetadataRequest, MetadataResponse;
    OffsetCommit: offset_commit::Request, OffsetCommitResponse;
    OffsetFetch: offset_fetch::Request, OffsetFetchResponse;
    FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup: JoinGroupRequest, JoinGroupResponse;
    Heartbeat: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups: ListGroupsRequest, ListGroupsResponse;
    ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
    InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    AddPartitionsToTxn: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AddOffsetsToTxn: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    EndTxn: EndTxnRequest, EndTxnResponse;
    WriteTxnMarkers: WriteTxnMarkersRequest, WriteTxnMarkersResponse;
    TxnOffsetCommit: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
    CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
    DescribeProducers: DescribeProducersRequest, DescribeProducersResponse;
    DescribeTransactions: DescribeTransactionsRequest, DescribeTransactionsResponse;
    ListTransactions: ListTransactionsRequest, ListTransactionsResponse;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    ListConfigResources: ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

fn decoded<T: Decodable + Encodable + Debug>(version: i16, body: &[u8]) -> anyhow::Result<Decoded> {
    let mut bytes = Bytes::copy_from_slice(body);
    let message = T::decode(&mut bytes, version)?;
    let mut encoded = Vec::new();
    message.encode(&mut encoded, version)?;
    Ok(Decoded { fields: tree::of(&message), encoded, left: bytes.len() })
}

/// The header of a request, decoded and encoded again.
pub fn request_header(header_version: i16, bytes: &[u8]) -> anyhow::Result<Decoded> {
    decoded::<RequestHeader>(header_version, bytes)
}

/// The header of a reply, decoded and encoded again.
pub fn response_header(header_version: i16, bytes: &[u8]) -> anyhow::Result<Decoded> {
    decoded::<ResponseHeader>(header_version, bytes)
}

/// A whole reply without its size: the correlation id and the body, of which nothing may be left.
pub fn reply(key: i16, version: i16, frame: &[u8]) -> anyhow::Result<(i32, Decoded)> {
    let header_version = header_versions(key, version).1;
    let header = response_header(header_version, frame)?;
    let correlation_id = i32::from_be_bytes(*frame.first_chunk().ok_or_else(|| anyhow::anyhow!("no correlation id"))?);
    let body = response(key, version, &frame[frame.len() - header.left..])?;
    anyhow::ensure!(body.left == 0, "{} bytes behind the reply", body.left);
    Ok((correlation_id, body))
}
