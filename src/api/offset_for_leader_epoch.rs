//! OffsetForLeaderEpoch 2-4 (key 23): where a leader epoch ended, for a consumer that wants to know whether what it
//! read is still there (KIP-101, KIP-320).
//!
//! Versions: 3 replica id; 4 flexible. An epoch that the log does not know gives epoch and offset -1.
//! (`KafkaApis.handleOffsetForLeaderEpochRequest`, `LeaderEpochFileCache.endOffsetFor`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::log::Offset;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer = EpochEndOffset::default().with_partition(partition.partition);
            match end_offset(&ctx, &topic.topic, partition) {
                Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end),
                Ok(None) => answer.with_leader_epoch(-1).with_end_offset(-1),
                Err(code) => answer.with_error_code(code.code()).with_leader_epoch(-1).with_end_offset(-1),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics).with_throttle_time_ms(throttle(&ctx))
}

fn end_offset(ctx: &Ctx, topic: &str, asked: &OffsetForLeaderPartition) -> Result<Option<(i32, Offset)>, ErrorCode> {
    if !authorize(ctx, Operation::Describe, Resource::Topic(topic)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = ctx.broker.catalog().image().topic(topic).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let served = ctx.broker.partition(&topic, asked.partition).map_err(|error| ErrorCode::from(&error))?;
    let current = (asked.current_leader_epoch >= 0).then_some(asked.current_leader_epoch);
    served.partition.end_offset_for_epoch(asked.leader_epoch, current).map_err(|error| ErrorCode::from(&error))
}
