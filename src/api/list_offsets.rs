//! ListOffsets 1-10 (key 2): the first offset, the last, or the one of a time.
//!
//! Timestamps below zero are questions: -1 latest (the high watermark, or the last stable offset for read_committed),
//! -2 earliest, -3 the record with the largest timestamp (KIP-734), -4 earliest local (the same as earliest: nothing
//! is tiered), -5 latest tiered (none: -1). An unknown one is UNSUPPORTED_VERSION. A partition named twice is
//! INVALID_REQUEST, answered once, and so is a follower's question.
//!
//! Versions: 2 isolation level; 4 leader epochs (KIP-320); 6 flexible; 7 largest timestamp; 8 local; 9 tiered; 10
//! timeout. Gap: 11 (earliest pending upload, KIP-1023), which the codec does not know.
//! (`KafkaApis.handleListOffsetRequest`, `ReplicaManager.fetchOffset`, `UnifiedLog.fetchOffsetByTimestamp`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::log::TimedOffset;
use crate::partition::{Isolation, OffsetQuery};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let is_follower = request.replica_id.0 >= 0;
    let numbers = numbers(&request);
    let mut asked = asked(&request, &numbers);
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, number) in request.topics.into_iter().zip(numbers) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            // Answered once, and so taken out.
            let Some(times) = asked.remove(&(number, index)) else { continue };
            let found = if is_follower || times > 1 {
                Err(ErrorCode::InvalidRequest)
            } else {
                look_up(&ctx, &topic.name, partition, isolation).await
            };
            partitions.push(answer(found, ctx.version).with_partition_index(index));
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics).with_throttle_time_ms(throttle(&ctx))
}

/// A number for each of the topics, the same for the same name. A name may be long and its partitions many: they go by
/// the number.
fn numbers(request: &ListOffsetsRequest) -> Vec<usize> {
    let mut known = BTreeMap::new();
    let number = |(at, topic): (usize, &ListOffsetsTopic)| *known.entry(topic.name.clone()).or_insert(at);
    request.topics.iter().enumerate().map(number).collect()
}

/// How often each partition is named.
fn asked(request: &ListOffsetsRequest, numbers: &[usize]) -> BTreeMap<(usize, i32), usize> {
    let mut asked = BTreeMap::new();
    for (topic, number) in request.topics.iter().zip(numbers) {
        for partition in &topic.partitions {
            *asked.entry((*number, partition.partition_index)).or_default() += 1;
        }
    }
    asked
}

fn answer(found: Result<Option<TimedOffset>, ErrorCode>, version: i16) -> ListOffsetsPartitionResponse {
    let none = ListOffsetsPartitionResponse::default().with_timestamp(-1).with_offset(-1).with_leader_epoch(-1);
    match found {
        Ok(Some(found)) => none
            .with_timestamp(found.timestamp)
            .with_offset(found.offset)
            .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 }),
        Ok(None) => none,
        Err(code) => none.with_error_code(code.code()),
    }
}

async fn look_up(
    ctx: &Ctx,
    topic: &str,
    partition: ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<TimedOffset>, ErrorCode> {
    if !authorize(ctx, Operation::Describe, Resource::Topic(topic)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = ctx.broker.catalog().image().topic(topic).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let served = ctx.broker.partition(&topic, partition.partition_index).map_err(|error| ErrorCode::from(&error))?;
    let query = match (partition.timestamp, ctx.version) {
        (-1, _) => OffsetQuery::Latest,
        (-2, _) | (-4, 8..) => OffsetQuery::Earliest,
        (-3, 7..) => OffsetQuery::MaxTimestamp,
        (-5, 9..) => return Ok(None),
        (0.., _) => OffsetQuery::AtTime(partition.timestamp),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    let leader_epoch = (partition.current_leader_epoch >= 0).then_some(partition.current_leader_epoch);
    let looking = move || served.partition.offset_for(query, isolation, leader_epoch);
    // Looking for a time reads from the disk; the ends are known.
    let found = match query {
        OffsetQuery::Latest | OffsetQuery::Earliest => looking(),
        OffsetQuery::AtTime(_) | OffsetQuery::MaxTimestamp => {
            tokio::task::spawn_blocking(looking).await.map_err(|_| ErrorCode::UnknownServerError)?
        }
    };
    found.map_err(|error| ErrorCode::from(&error))
}
