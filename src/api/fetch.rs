//! Fetch 4-18 (key 1): reads whole batches of several partitions; waits, with `min_bytes`, for more.
//!
//! Partitions are read in the order that the session gives. The first batch of the first partition that has one comes
//! whole even beyond `max_bytes`, so that a consumer always gets on. The answer is given at once when there are
//! `min_bytes`, or an error, or nothing to wait for; else when enough is published or after `max_wait_ms`. Readers see
//! what is published: by default, what is synced. Records go from the file to the socket without a copy here.
//!
//! Versions: 5 log start offset; 7 sessions (KIP-227); 9 leader epochs (KIP-320); 11 closest replica (KIP-392, there
//! is only one); 12 flexible; 13 topic ids (KIP-516); 15 replica state; 16 node endpoints; 17, 18 only for followers.
//!
//! Gaps: no followers: a replica id is answered NOT_LEADER_OR_FOLLOWER. No transactions yet: read_committed sees all
//! there is. (`KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages`, `DelayedFetch`.)

use super::Reply;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::fetch_reply::{FetchReply, FetchedPartition};
use super::fetch_session::{Opening, Wanted};
use crate::broker::Served;
use crate::log::{Offset, Registration, Wait, Waiter};
use crate::partition::{Fetch, FetchError, Fetched, Isolation};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a fetch as a whole is bounded by.
#[derive(Clone, Copy)]
struct Bounds {
    max_bytes: usize,
    min_bytes: usize,
    isolation: Isolation,
}

/// One partition's part of the answer, and what would make it larger.
struct Part {
    answer: FetchedPartition,
    /// Set where more may come: the partition, and the end that was seen.
    growing: Option<(Arc<Served>, Offset)>,
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: FetchRequest) -> Reply<FetchResponse> {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let is_follower = follower(&ctx, &request);
    let limit = usize::try_from(ctx.broker.config().fetch_max_bytes).unwrap_or(0);
    let bounds = Bounds {
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0).min(limit),
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
        isolation: if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
    };
    let mut session = match ctx.fetch_sessions.open(&ctx, request) {
        Opening::Session(session) => session,
        Opening::Refused(code) => {
            return send(&ctx, FetchReply { error_code: Some(code), ..FetchReply::default() });
        }
    };
    let parts = loop {
        let parts = read_all(&ctx, session.wanted(), bounds, is_follower).await;
        let bytes: usize = parts.iter().map(|part| part.answer.records_size()).sum();
        let failed = parts.iter().any(|part| part.answer.error_code.is_some());
        if failed || bytes >= bounds.min_bytes || parts.is_empty() || Instant::now() >= deadline {
            break parts;
        }
        wait_for_more(&parts, deadline).await;
    };
    let answers = parts.into_iter().map(|part| part.answer).collect();
    let mut reply = session.reply(answers);
    reply.throttle_time_ms = throttle(&ctx);
    send(&ctx, reply)
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

async fn read_all(ctx: &Ctx, wanted: &[Wanted], bounds: Bounds, is_follower: bool) -> Vec<Part> {
    let mut parts = Vec::with_capacity(wanted.len());
    let (mut left, mut first_whole) = (bounds.max_bytes, true);
    for partition in wanted {
        let part = if is_follower {
            Part { answer: FetchedPartition::error(partition.index, ErrorCode::NotLeaderOrFollower), growing: None }
        } else {
            read(ctx, partition, left, first_whole, bounds.isolation).await
        };
        let bytes = part.answer.records_size();
        left = left.saturating_sub(bytes);
        first_whole &= bytes == 0;
        parts.push(part);
    }
    parts
}

async fn read(ctx: &Ctx, wanted: &Wanted, left: usize, first_whole: bool, isolation: Isolation) -> Part {
    let refused = |code| Part { answer: FetchedPartition::error(wanted.index, code), growing: None };
    // Like Kafka: the list of aborted transactions is empty where it did not come to reading, null where reading failed.
    let not_read = |code| {
        let answer = FetchedPartition { aborted: Some(Vec::new()), ..FetchedPartition::error(wanted.index, code) };
        Part { answer, growing: None }
    };
    let topic = match wanted.topic(&ctx.broker.catalog().image()) {
        Ok(topic) => topic,
        Err(code) => return not_read(code),
    };
    if !authorize(ctx, Operation::Read, Resource::Topic(&topic.name)) {
        return not_read(ErrorCode::TopicAuthorizationFailed);
    }
    let served = match ctx.broker.partition(&topic, wanted.index) {
        Ok(served) => served,
        Err(error) => return not_read(ErrorCode::from(&error)),
    };
    let fetch = Fetch {
        from: wanted.fetch_offset,
        max_bytes: left.min(usize::try_from(wanted.max_bytes).unwrap_or(0)),
        first_whole,
        leader_epoch: (wanted.leader_epoch >= 0).then_some(wanted.leader_epoch),
        isolation,
        wait: Wait::Never,
    };
    match read_partition(&served, fetch).await {
        Ok(fetched) => Part {
            // A log that failed would wake the waiter at once, again and again.
            growing: (!served.partition.log().progress().has_failed()).then_some((served, fetched.high_watermark)),
            answer: FetchedPartition {
                index: wanted.index,
                error_code: None,
                high_watermark: fetched.high_watermark,
                last_stable_offset: fetched.last_stable,
                log_start_offset: fetched.log_start,
                aborted: (isolation == Isolation::ReadCommitted).then(Vec::new),
                preferred_read_replica: -1,
                records: Some(fetched.slices),
                current_leader: None,
            },
        },
        Err(error) => refused(ErrorCode::from(&error)),
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

/// Returns when something was published in one of the partitions after it was read, or at the deadline.
async fn wait_for_more(parts: &[Part], deadline: Instant) {
    let waiter = Waiter::new();
    let _registrations: Vec<Registration> = parts
        .iter()
        .filter_map(|part| part.growing.as_ref())
        .map(|(served, seen)| served.partition.register(*seen, &waiter))
        .collect();
    // At the deadline the answer is whatever there is.
    let _ = tokio::time::timeout_at(deadline, waiter.wait()).await;
}
