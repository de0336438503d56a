//! THE TABLE. A Kafka API exists in this broker if it has a row here; its behaviour is one file beside this one.
//!
//! From a row come dispatch, the version check, the ApiVersions answer, the counters and the README's table, and a range
//! that the codec cannot speak does not compile; where it stops early, [`messages`] has a request of our own for the row.
//! To add an API: `mod x;` and a row, in the order of the keys, and in `x.rs` a function
//!
//! ```text
//! pub(super) fn handle(ctx: Arc<Ctx>, request: XRequest) -> impl Future<Output = XResponse> + Send + use<>
//! ```
//!
//! usually written `async fn`. It cannot fail: every API shapes its own errors. A `Serial` request starts when everything
//! before it on its connection is answered, and nothing starts before its own answer. Consecutive `Pipelined` requests
//! overlap: the part of such a handler that runs before its future is returned runs in the order of the requests, so it is
//! a plain `fn` that fixes the order there and returns an `async move` block that only waits. One that cannot fix it yet
//! defers its [`Place`](context::Place): the next request starts when that is fixed. A handler returns its response, or a
//! [`Reply`] where it needs another way out.

pub mod context;
pub mod errors;
pub mod fetch_reply;
pub mod rope;

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod admin;
mod alter_configs;
mod api_versions;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod coordinated;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod end_txn;
mod fetch;
pub mod fetch_session;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_transactions;
pub mod messages;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod transactions;
mod txn_offset_commit;
mod write_txn_markers;

use crate::broker::Broker;
use crate::wire::frame::{FrameError, HeaderRest, RequestId};
use crate::wire::shape;
use bytes::Bytes;
use context::{Ctx, Peer, Place};
use fetch_session::FetchSessions;
use futures_util::future::BoxFuture;
// The rows name the codec's requests.
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request};
use rope::{Rope, RopeBuilder};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Memory that a decoded request may take: this, and so many bytes for each byte of its body. Without a bound a byte of
/// an array's count and a few of its elements become a hundred and more.
const DECODED_FREE_BYTES: usize = 1 << 20;
const DECODED_RATIO: usize = 16;

/// When a request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After everything before it is answered; nothing starts until it is.
    Serial,
    /// At once, next to other pipelined requests.
    Pipelined,
}

/// What a handler hands back.
#[derive(Debug)]
pub enum Reply<R> {
    /// A response for the codec.
    Send(R),
    /// A reply that is encoded already, header and all: Fetch.
    Raw(Rope),
    /// Nothing: a Produce with acks=0.
    Silent,
    /// The connection is closed: the only way to tell of an error under acks=0.
    Close,
}

impl<R> From<R> for Reply<R> {
    fn from(response: R) -> Self {
        Reply::Send(response)
    }
}

/// What becomes of a request on its connection.
#[derive(Debug)]
pub enum Answer {
    /// This is sent.
    Send(Rope),
    /// Nothing is sent.
    Nothing,
    /// The connection is closed once what came before is sent.
    Close,
}

/// The answer of a request that has started.
pub type Pending = BoxFuture<'static, Answer>;

/// A request that has started.
pub struct Started {
    /// Its answer.
    pub answer: Pending,
    /// Its place in the order of the requests, where that is not fixed yet.
    pub place: Option<Place>,
}

impl From<Pending> for Started {
    fn from(answer: Pending) -> Self {
        Started { answer, place: None }
    }
}

/// Why a request costs its sender the connection, as with Kafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The header cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No row has this key.
    #[error("unknown API key {0}")]
    UnknownApi(i16),
    /// The row does not have this version.
    #[error("{api} version {version} is not supported")]
    UnsupportedVersion {
        /// The API's name.
        api: &'static str,
        /// As asked for.
        version: i16,
    },
    /// The body is not what its version says.
    #[error("malformed {api} request of version {version}: {reason}")]
    Malformed {
        /// The API's name.
        api: &'static str,
        /// As sent.
        version: i16,
        /// What is wrong with it.
        reason: Arc<str>,
    },
}

/// What a connection does with its frames. Implemented by [`Api`] and by tests of the connection.
pub trait Dispatch: Send + Sync {
    /// When the request in this frame may start.
    fn mode(&self, frame: &[u8]) -> Mode;

    /// Starts it. What has to happen in the order of the requests has happened when this returns, or when its place is fixed.
    fn start(&self, peer: &Arc<Peer>, frame: Bytes) -> Result<Started, Fatal>;
}

/// One API.
#[derive(Debug)]
pub struct ApiRow {
    /// Its key.
    pub key: i16,
    /// Its name, as Kafka writes it.
    pub name: &'static str,
    /// Lowest version answered.
    pub min: i16,
    /// Highest version answered.
    pub max: i16,
    /// When its requests may start.
    pub mode: Mode,
    request_header: fn(i16) -> i16,
}

impl ApiRow {
    /// The lowest version that ApiVersions names. Produce says 0, though 0 to 2 are refused: Kafka does so, because
    /// librdkafka takes a higher minimum for a broker that cannot compress (KAFKA-18659).
    pub fn advertised_min(&self) -> i16 {
        if self.key == ApiKey::Produce as i16 { 0 } else { self.min }
    }

    /// Whether it answers this version.
    pub fn speaks(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

macro_rules! api_table {
    ($( $key:ident: $request:ty, $min:literal ..= $max:literal, $mode:ident => $handler:path; )*) => {
        /// Every API, in the order of the keys.
        pub const TABLE: &[ApiRow] = &[$(
            ApiRow {
                key: ApiKey::$key as i16,
                name: stringify!($key),
                min: $min,
                max: $max,
                mode: Mode::$mode,
                request_header: <$request as HeaderVersion>::header_version,
            },
        )*];

        // A row that promises a version the codec cannot speak does not compile.
        $(const _: () = {
            assert!(<$request as Request>::KEY == ApiKey::$key as i16);
            assert!($min <= $max);
            assert!($min >= <$request as Message>::VERSIONS.min);
            assert!($max <= <$request as Message>::VERSIONS.max);
            assert!($min >= <<$request as Request>::Response as Message>::VERSIONS.min);
            assert!($max <= <<$request as Request>::Response as Message>::VERSIONS.max);
        };)*

        fn call(row: &'static ApiRow, ctx: Arc<Ctx>, body: &mut Bytes) -> Result<Pending, Fatal> {
            match row.key {
                $( key if key == ApiKey::$key as i16 => run(row, ctx, body, $handler), )*
                key => Err(Fatal::UnknownApi(key)),
            }
        }
    };
}

api_table! {
    Produce: ProduceRequest, 3..=13, Pipelined => produce::handle;
    Fetch: FetchRequest, 4..=18, Serial => fetch::handle;
    ListOffsets: ListOffsetsRequest, 1..=10, Serial => list_offsets::handle;
    Metadata: MetadataRequest, 0..=13, Serial => metadata::handle;
    OffsetCommit: messages::offset_commit::Request, 2..=10, Serial => offset_commit::handle;
    OffsetFetch: messages::offset_fetch::Request, 1..=10, Serial => offset_fetch::handle;
    FindCoordinator: FindCoordinatorRequest, 0..=6, Serial => find_coordinator::handle;
    JoinGroup: JoinGroupRequest, 0..=9, Serial => join_group::handle;
    Heartbeat: HeartbeatRequest, 0..=4, Serial => heartbeat::handle;
    LeaveGroup: LeaveGroupRequest, 0..=5, Serial => leave_group::handle;
    SyncGroup: SyncGroupRequest, 0..=5, Serial => sync_group::handle;
    DescribeGroups: DescribeGroupsRequest, 0..=6, Serial => describe_groups::handle;
    ListGroups: ListGroupsRequest, 0..=5, Serial => list_groups::handle;
    ApiVersions: ApiVersionsRequest, 0..=4, Serial => api_versions::handle;
    CreateTopics: CreateTopicsRequest, 2..=7, Serial => create_topics::handle;
    DeleteTopics: DeleteTopicsRequest, 1..=6, Serial => delete_topics::handle;
    InitProducerId: InitProducerIdRequest, 0..=5, Serial => init_producer_id::handle;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, 2..=4, Serial => offset_for_leader_epoch::handle;
    AddPartitionsToTxn: AddPartitionsToTxnRequest, 0..=5, Serial => add_partitions_to_txn::handle;
    AddOffsetsToTxn: AddOffsetsToTxnRequest, 0..=4, Serial => add_offsets_to_txn::handle;
    EndTxn: EndTxnRequest, 0..=5, Serial => end_txn::handle;
    WriteTxnMarkers: WriteTxnMarkersRequest, 1..=1, Serial => write_txn_markers::handle;
    TxnOffsetCommit: TxnOffsetCommitRequest, 0..=5, Serial => txn_offset_commit::handle;
    DescribeConfigs: DescribeConfigsRequest, 1..=4, Serial => describe_configs::handle;
    AlterConfigs: AlterConfigsRequest, 0..=2, Serial => alter_configs::handle;
    CreatePartitions: CreatePartitionsRequest, 0..=3, Serial => create_partitions::handle;
    DeleteGroups: DeleteGroupsRequest, 0..=2, Serial => delete_groups::handle;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest, 0..=1, Serial => incremental_alter_configs::handle;
    OffsetDelete: OffsetDeleteRequest, 0..=0, Serial => offset_delete::handle;
    DescribeCluster: DescribeClusterRequest, 0..=2, Serial => describe_cluster::handle;
    DescribeProducers: DescribeProducersRequest, 0..=0, Serial => describe_producers::handle;
    DescribeTransactions: DescribeTransactionsRequest, 0..=0, Serial => describe_transactions::handle;
    ListTransactions: ListTransactionsRequest, 0..=2, Serial => list_transactions::handle;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest, 0..=1, Serial => consumer_group_heartbeat::handle;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest, 0..=1, Serial => consumer_group_describe::handle;
    ListConfigResources: ListConfigResourcesRequest, 0..=1, Serial => list_config_resources::handle;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest, 0..=0, Serial => describe_topic_partitions::handle;
}

const _: () = {
    let mut at = 1;
    while at < TABLE.len() {
        assert!(TABLE[at - 1].key < TABLE[at].key, "rows are in the order of their keys");
        at += 1;
    }
};

/// The row with this key.
pub fn row(api_key: i16) -> Option<&'static ApiRow> {
    TABLE.get(index(api_key)?)
}

fn index(api_key: i16) -> Option<usize> {
    TABLE.binary_search_by_key(&api_key, |row| row.key).ok()
}

/// The table as the README shows it, in Markdown.
pub fn readme_table() -> String {
    let mut out = String::from("| key | API | versions |\n|---|---|---|\n");
    for row in TABLE {
        out.push_str(&format!("| {} | {} | {}-{} |\n", row.key, row.name, row.min, row.max));
    }
    out
}

/// What was asked of one API.
#[derive(Debug, Default)]
pub struct ApiCounters {
    /// Requests started.
    pub requests: AtomicU64,
    /// Requests that cost their connection.
    pub refused: AtomicU64,
    /// Requests with bytes behind their end; tolerated, as Kafka does.
    pub trailing: AtomicU64,
}

/// The table in use: a broker, and what was asked of it.
#[derive(Debug)]
pub struct Api {
    broker: Arc<Broker>,
    fetch_sessions: Arc<FetchSessions>,
    counters: Vec<ApiCounters>,
}

impl Api {
    /// Answers for this broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        Api { broker, fetch_sessions: Arc::default(), counters: TABLE.iter().map(|_| ApiCounters::default()).collect() }
    }

    /// What was asked so far, row by row.
    pub fn counters(&self) -> impl Iterator<Item = (&'static ApiRow, &ApiCounters)> {
        TABLE.iter().zip(&self.counters)
    }

    fn context(&self, peer: &Arc<Peer>, id: RequestId, client_id: Option<&[u8]>) -> Arc<Ctx> {
        Arc::new(Ctx {
            broker: self.broker.clone(),
            fetch_sessions: self.fetch_sessions.clone(),
            api_key: id.api_key,
            version: id.api_version,
            correlation_id: id.correlation_id,
            client_id: client_id.map(|bytes| peer.client_id(bytes)),
            peer: peer.clone(),
            place: OnceLock::new(),
        })
    }

    fn start_row(
        &self,
        row: &'static ApiRow,
        counters: &ApiCounters,
        peer: &Arc<Peer>,
        id: RequestId,
        mut frame: Bytes,
    ) -> Result<Started, Fatal> {
        if !row.speaks(id.api_version) {
            return unsupported(row, id).map(Started::from);
        }
        let header = HeaderRest::parse(&frame, (row.request_header)(id.api_version))?;
        let ctx = self.context(peer, id, header.client_id);
        let mut body = frame.split_off(header.body_at);
        guard(row, id.api_version, &body)?;
        let answer = call(row, ctx.clone(), &mut body)?;
        if !body.is_empty() {
            counters.trailing.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Started { answer, place: ctx.place.get().cloned() })
    }
}

impl Dispatch for Api {
    fn mode(&self, frame: &[u8]) -> Mode {
        let row = RequestId::parse(frame).ok().and_then(|id| row(id.api_key));
        row.map_or(Mode::Serial, |row| row.mode)
    }

    fn start(&self, peer: &Arc<Peer>, frame: Bytes) -> Result<Started, Fatal> {
        let id = RequestId::parse(&frame)?;
        let index = index(id.api_key).ok_or(Fatal::UnknownApi(id.api_key))?;
        let (Some(row), Some(counters)) = (TABLE.get(index), self.counters.get(index)) else {
            return Err(Fatal::UnknownApi(id.api_key));
        };
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let started = self.start_row(row, counters, peer, id, frame);
        if started.is_err() {
            counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        started
    }
}

/// A client that is too new asks ApiVersions; the answer has the form of version 0 and names the versions there are.
/// Nothing behind the first eight bytes is read: who knows what it looks like.
fn unsupported(row: &'static ApiRow, id: RequestId) -> Result<Pending, Fatal> {
    if row.key != ApiKey::ApiVersions as i16 {
        return Err(Fatal::UnsupportedVersion { api: row.name, version: id.api_version });
    }
    let answer = encode(row, 0, id.correlation_id, &api_versions::unsupported());
    Ok(Box::pin(std::future::ready(answer)))
}

/// Stands between the bytes of a client and the codec, which trusts the counts that it reads.
fn guard(row: &ApiRow, version: i16, body: &[u8]) -> Result<(), Fatal> {
    let budget = DECODED_FREE_BYTES.saturating_add(body.len().saturating_mul(DECODED_RATIO));
    match shape::check(row.key, version, body, budget) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fatal::Malformed { api: row.name, version, reason: error.to_string().into() }),
    }
}

fn run<Q, F>(
    row: &'static ApiRow,
    ctx: Arc<Ctx>,
    body: &mut Bytes,
    handler: impl FnOnce(Arc<Ctx>, Q) -> F,
) -> Result<Pending, Fatal>
where
    Q: Request<Response: Send + 'static>,
    F: Future<Output: Into<Reply<Q::Response>>> + Send + 'static,
{
    let (version, correlation_id) = (ctx.version, ctx.correlation_id);
    let malformed = |reason: String| Fatal::Malformed { api: row.name, version, reason: reason.into() };
    let request = Q::decode(body, version).map_err(|error| malformed(error.to_string()))?;
    let answering = handler(ctx, request);
    Ok(Box::pin(async move {
        match answering.await.into() {
            Reply::Send(response) => encode(row, version, correlation_id, &response),
            Reply::Raw(rope) => Answer::Send(rope),
            Reply::Silent => Answer::Nothing,
            Reply::Close => Answer::Close,
        }
    }))
}

/// A response that cannot be encoded is a fault of ours: the client gets a closed connection rather than half a reply.
fn encode<R: Encodable + HeaderVersion>(row: &ApiRow, version: i16, correlation_id: i32, response: &R) -> Answer {
    let mut out = RopeBuilder::reply(correlation_id, R::header_version(version), 256);
    let encoded = response.encode(out.fields(), version);
    match encoded.and_then(|()| Ok(out.finish()?)) {
        Ok(rope) => Answer::Send(rope),
        Err(error) => {
            tracing::error!(api = row.name, version, %error, "a response could not be encoded");
            Answer::Close
        }
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
