//! Fetch 4-18 (key 1): reads whole batches of several partitions; waits, with `min_bytes`, for more.
//!
//! Partitions are read in the order that the session gives. The first batch of the first partition that has one comes
//! whole even beyond `max_bytes`, so that a consumer always gets on. The answer is given at once when there are
//! `min_bytes`, when a partition could not be read, or when nothing can be waited for; else when enough is published,
//! when a partition fails, or after `max_wait_ms`. What counts while it waits is what could be read of each partition by
//! itself. Topics that do not exist or may not be read do not end the wait for the others. Readers see what is published:
//! by default, what is synced. Records go from the file to the socket without a copy here.
//!
//! Versions: 5 log start offset; 7 sessions (KIP-227); 9 leader epochs (KIP-320); 11 closest replica (KIP-392, there
//! is only one); 12 flexible; 13 topic ids (KIP-516); 15 replica state; 16 the leader's epoch and address with
//! FENCED_LEADER_EPOCH (KIP-951); 17, 18 only for followers.
//!
//! Gaps: no followers: a replica id is answered NOT_LEADER_OR_FOLLOWER, and a last fetched epoch that diverges
//! (KIP-595) OFFSET_OUT_OF_RANGE.
//! (`KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages`, `DelayedFetch`.)

use super::Reply;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::fetch_reply::{AbortedTransaction, FetchReply, FetchedPartition, FetchedTopic, NodeEndpoint};
use super::fetch_session::{Opening, Session, Wanted};
use crate::broker::Served;
use crate::catalog::Image;
use crate::log::{Offset, Registration, Slice, Wait, Waiter};
use crate::partition::{self, Fetch, FetchError, Fetched, Isolation};
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From this version on an error of the whole request stands alone.
const CODE_ALONE: i16 = 13;

/// What a fetch as a whole is bounded by.
#[derive(Clone, Copy)]
struct Bounds {
    max_bytes: usize,
    min_bytes: usize,
    isolation: Isolation,
}

/// One partition's part of the answer.
struct Part {
    answer: FetchedPartition,
    source: Source,
}

/// Where a part comes from.
enum Source {
    /// The partition was read.
    Read(Arc<Served>),
    /// It should have been, and could not.
    Failed,
    /// There is nothing to read for this client.
    Absent,
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: FetchRequest) -> Reply<FetchResponse> {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let is_follower = follower(&ctx, &request);
    let Some(isolation) = isolation(request.isolation_level) else { return send(&ctx, refused(&ctx, request)) };
    let bounds = bounds(&ctx, &request, isolation);
    let session = match ctx.fetch_sessions.open(&ctx, request) {
        Opening::Session(session) => session,
        Opening::Refused(code) => {
            let reply =
                FetchReply { error_code: Some(code), throttle_time_ms: throttle(&ctx), ..FetchReply::default() };
            return send(&ctx, reply);
        }
    };
    let mut parts = read_all(&ctx, session.wanted(), bounds, is_follower).await;
    if worth_waiting(&parts, bounds)
        && Instant::now() < deadline
        && wait_for_more(&session, &parts, bounds, deadline).await
    {
        parts = read_all(&ctx, session.wanted(), bounds, is_follower).await;
    }
    let node_endpoints = endpoints(&ctx, &parts);
    let answers = parts.into_iter().map(|part| part.answer).collect();
    let reply = FetchReply { throttle_time_ms: throttle(&ctx), node_endpoints, ..session.reply(answers) };
    send(&ctx, reply)
}

fn isolation(level: i8) -> Option<Isolation> {
    match level {
        0 => Some(Isolation::ReadUncommitted),
        1 => Some(Isolation::ReadCommitted),
        _ => None,
    }
}

/// The answer to an isolation level that there is not: Kafka's handler falls over (`FetchRequest.getErrorResponse`).
fn refused(ctx: &Ctx, request: FetchRequest) -> FetchReply {
    let code = ErrorCode::UnknownServerError;
    let partition = |index| FetchedPartition { aborted: Some(Vec::new()), ..FetchedPartition::error(index, code) };
    let topic = |topic: FetchTopic| FetchedTopic {
        name: topic.topic.as_str().into(),
        id: topic.topic_id,
        partitions: topic.partitions.iter().map(|it| partition(it.partition)).collect(),
    };
    let topics = if ctx.version < CODE_ALONE { request.topics } else { Vec::new() };
    FetchReply {
        throttle_time_ms: throttle(ctx),
        error_code: Some(code),
        session_id: request.session_id,
        topics: topics.into_iter().map(topic).collect(),
        node_endpoints: Vec::new(),
    }
}

fn bounds(ctx: &Ctx, request: &FetchRequest, isolation: Isolation) -> Bounds {
    let limit = usize::try_from(ctx.broker.config().fetch_max_bytes).unwrap_or(0);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limit);
    Bounds {
        max_bytes,
        // More will never be answered: it is not waited for.
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
        isolation,
    }
}

fn send(ctx: &Ctx, reply: FetchReply) -> Reply<FetchResponse> {
    match reply.encode(ctx.version, ctx.correlation_id) {
        Ok(rope) => Reply::Raw(rope),
        Err(error) => {
            // More than a frame can hold; the bounds above do not let it come to this.
            tracing::error!(%error, "cannot answer a fetch");
            Reply::Close
        }
    }
}

/// Whether a broker asks, as the replica id says; consumers send -1, and Kafka's debugging tool -2.
fn follower(ctx: &Ctx, request: &FetchRequest) -> bool {
    let replica_id = if ctx.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    replica_id.0 >= 0
}

/// Where the leader is, if a client is told that it knows an older one.
fn endpoints(ctx: &Ctx, parts: &[Part]) -> Vec<NodeEndpoint> {
    if !parts.iter().any(|part| part.answer.current_leader.is_some()) {
        return Vec::new();
    }
    let here = ctx.advertised();
    let rack = ctx.broker.config().broker_rack.as_deref().map(Arc::from);
    vec![NodeEndpoint { node_id: ctx.broker.node_id(), host: here.host, port: here.port.into(), rack }]
}

async fn read_all(ctx: &Ctx, wanted: &[Wanted], bounds: Bounds, is_follower: bool) -> Vec<Part> {
    let image = ctx.broker.catalog().image();
    let mut parts = Vec::with_capacity(wanted.len());
    let (mut left, mut first_whole) = (bounds.max_bytes, true);
    for partition in wanted {
        // A session may have very many.
        tokio::task::consume_budget().await;
        let part = if is_follower {
            failed(partition, ErrorCode::NotLeaderOrFollower)
        } else {
            read(ctx, &image, partition, left, first_whole, bounds.isolation).await
        };
        let bytes = part.answer.records_size();
        left = left.saturating_sub(bytes);
        first_whole &= bytes == 0;
        parts.push(part);
    }
    parts
}

fn failed(wanted: &Wanted, code: ErrorCode) -> Part {
    Part { answer: FetchedPartition::error(wanted.partition.index, code), source: Source::Failed }
}

fn absent(wanted: &Wanted, code: ErrorCode) -> Part {
    let answer = FetchedPartition::error(wanted.partition.index, code);
    Part { answer: FetchedPartition { aborted: Some(Vec::new()), ..answer }, source: Source::Absent }
}

async fn read(ctx: &Ctx, image: &Image, wanted: &Wanted, left: usize, first_whole: bool, isolation: Isolation) -> Part {
    let topic = match wanted.topic(image) {
        Ok(topic) => topic,
        Err(ErrorCode::InconsistentTopicId) => return failed(wanted, ErrorCode::InconsistentTopicId),
        Err(code) => return absent(wanted, code),
    };
    if !authorize(ctx, Operation::Read, Resource::Topic(&topic.name)) {
        return absent(wanted, ErrorCode::TopicAuthorizationFailed);
    }
    if !(0..topic.partitions).contains(&wanted.partition.index) {
        return absent(wanted, ErrorCode::UnknownTopicOrPartition);
    }
    let served = match ctx.broker.partition(&topic, wanted.partition.index) {
        Ok(served) => served,
        Err(error) => return failed(wanted, known_to(ctx.version, ErrorCode::from(&error))),
    };
    if diverges(&served, wanted) {
        return failed(wanted, ErrorCode::OffsetOutOfRange);
    }
    let max_bytes = left.min(partition_limit(wanted));
    match read_partition(&served, fetch(wanted, max_bytes, first_whole, isolation)).await {
        Ok(fetched) => Part { answer: answer(wanted, fetched, isolation), source: Source::Read(served) },
        Err(error) => {
            let code = known_to(ctx.version, ErrorCode::from(&error));
            let mut part = failed(wanted, code);
            if code == ErrorCode::FencedLeaderEpoch && ctx.version >= 16 {
                part.answer.current_leader = Some((ctx.broker.node_id(), served.partition.leader_epoch()));
            }
            part
        }
    }
}

/// Clients of versions up to 5 may not know KAFKA_STORAGE_ERROR, and would take it for one that is not retried.
fn known_to(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::KafkaStorageError if version <= 5 => ErrorCode::NotLeaderOrFollower,
        code => code,
    }
}

fn partition_limit(wanted: &Wanted) -> usize {
    usize::try_from(wanted.params.max_bytes).unwrap_or(0)
}

fn fetch(wanted: &Wanted, max_bytes: usize, first_whole: bool, isolation: Isolation) -> Fetch {
    let params = &wanted.params;
    Fetch {
        from: params.fetch_offset,
        max_bytes,
        first_whole,
        leader_epoch: (params.leader_epoch >= 0).then_some(params.leader_epoch),
        isolation,
        wait: Wait::Never,
    }
}

fn answer(wanted: &Wanted, fetched: Fetched, isolation: Isolation) -> FetchedPartition {
    let entry = |it: &partition::AbortedTransaction| AbortedTransaction {
        producer_id: it.producer_id,
        first_offset: it.first_offset,
    };
    let aborted = fetched.aborted.iter().map(entry).collect();
    FetchedPartition {
        index: wanted.partition.index,
        error_code: None,
        high_watermark: fetched.high_watermark,
        last_stable_offset: fetched.last_stable,
        log_start_offset: fetched.log_start,
        aborted: (isolation == Isolation::ReadCommitted).then_some(aborted),
        preferred_read_replica: -1,
        records: Some(fetched.slices),
        current_leader: None,
    }
}

/// Whether the client read what is not in this log. Only asked of those that say what they read last; an unknown leader
/// epoch is left for the read to find.
fn diverges(served: &Served, wanted: &Wanted) -> bool {
    let params = &wanted.params;
    let current = (params.leader_epoch >= 0).then_some(params.leader_epoch);
    if params.last_fetched_epoch < 0 {
        return false;
    }
    match served.partition.end_offset_for_epoch(params.last_fetched_epoch, current) {
        Ok(Some((epoch, end))) => epoch < params.last_fetched_epoch || end < params.fetch_offset,
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Reads without waiting for the disk if that is possible, else where waiting harms nobody.
async fn read_partition(served: &Arc<Served>, fetch: Fetch) -> Result<Fetched, FetchError> {
    match served.partition.fetch(&fetch) {
        Err(FetchError::WouldBlock) => {
            let served = served.clone();
            let fetch = Fetch { wait: Wait::Allowed, ..fetch };
            let reading = tokio::task::spawn_blocking(move || served.partition.fetch(&fetch));
            reading.await.unwrap_or(Err(FetchError::WouldBlock))
        }
        outcome => outcome,
    }
}

fn worth_waiting(parts: &[Part], bounds: Bounds) -> bool {
    let bytes: usize = parts.iter().map(|part| part.answer.records_size()).sum();
    bytes < bounds.min_bytes
        && parts.iter().any(|part| matches!(part.source, Source::Read(_)))
        && !parts.iter().any(|part| matches!(part.source, Source::Failed))
}

/// A partition in which more may come.
struct Growing<'a> {
    served: &'a Arc<Served>,
    wanted: &'a Wanted,
    /// The end that was seen.
    seen: Offset,
    /// Bytes that could be read of it.
    available: usize,
    _registration: Registration,
}

/// Returns when it is time to answer: there is enough, or something is wrong, or the deadline has come. Says whether
/// reading again would give something else.
async fn wait_for_more(session: &Session, parts: &[Part], bounds: Bounds, deadline: Instant) -> bool {
    let mut growing: Vec<Growing<'_>> = Vec::with_capacity(parts.len());
    for (wanted, part) in session.wanted().iter().zip(parts) {
        let Source::Read(served) = &part.source else { continue };
        if served.partition.log().progress().has_failed() {
            // It would wake the waiter at once, again and again.
            continue;
        }
        let seen = part.answer.high_watermark;
        let Some(available) = available(served, wanted, bounds).await else { return true };
        growing.push(Growing {
            served,
            wanted,
            seen,
            available,
            _registration: register(served, seen, session.waiter()),
        });
    }
    let mut changed = false;
    loop {
        let bytes = growing.iter().fold(0_usize, |sum, one| sum.saturating_add(one.available));
        if bytes >= bounds.min_bytes || session.is_overtaken() {
            return changed;
        }
        if tokio::time::timeout_at(deadline, session.waiter().wait()).await.is_err() {
            return changed;
        }
        for one in &mut growing {
            let end = one.served.partition.high_watermark();
            if end == one.seen && one.served.partition.failed().is_none() {
                continue;
            }
            changed = true;
            match available(one.served, one.wanted, bounds).await {
                Some(available) => (one.seen, one.available) = (end, available),
                None => return true,
            }
            one._registration = register(one.served, end, session.waiter());
        }
    }
}

fn register(served: &Served, seen: Offset, waiter: &Arc<Waiter>) -> Registration {
    served.partition.register(seen, waiter)
}

/// What could be read of a partition if it were the only one; `None` if there is no point in waiting for it.
async fn available(served: &Arc<Served>, wanted: &Wanted, bounds: Bounds) -> Option<usize> {
    if served.partition.failed().is_some() {
        return None;
    }
    let limit = partition_limit(wanted);
    let fetched = read_partition(served, fetch(wanted, limit, true, bounds.isolation)).await.ok()?;
    let bytes: usize = fetched.slices.iter().map(Slice::len).sum();
    (!is_behind(served, &fetched.slices)).then_some(bytes.min(limit))
}

/// Whether the records are not of the last segment. A read ends with its segment, so what comes after will not be read
/// however long it is waited for: what is there is answered.
fn is_behind(served: &Served, records: &[Slice]) -> bool {
    let Some(Slice::File { file, .. }) = records.last() else { return false };
    let newest = Fetch {
        from: served.partition.high_watermark().saturating_sub(1),
        max_bytes: 0,
        first_whole: true,
        leader_epoch: None,
        isolation: Isolation::ReadUncommitted,
        wait: Wait::Never,
    };
    match served.partition.fetch(&newest).map(|fetched| fetched.slices) {
        Ok(slices) => matches!(slices.last(), Some(Slice::File { file: newest, .. }) if !Arc::ptr_eq(file, newest)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
