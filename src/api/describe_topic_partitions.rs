//! DescribeTopicPartitions 0 (key 75): topics with their partitions, page by page (KIP-966).
//!
//! Topics are answered in the order of their names, from the cursor on; an empty list asks for all of them. A page has at
//! most as many partitions as the client allows and `max.request.partition.size.limit` does, but at least one; where
//! there is more, `next_cursor` says from where. A topic that does not exist takes no place on the page. A cursor whose
//! topic is not in the list, or whose partition is negative, is INVALID_REQUEST for every topic of the request.
//!
//! Nobody is eligible to lead beside the leader: both lists of KIP-966 are empty.
//! (`DescribeTopicPartitionsRequestHandler`, `KRaftMetadataCache.describeTopicResponse`.)

use super::admin::authorized_operations;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{Image, Topic, check_name, is_internal};
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

const UNKNOWN: ErrorCode = ErrorCode::UnknownTopicOrPartition;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let image = ctx.broker.catalog().image();
    let response = DescribeTopicPartitionsResponse::default().with_throttle_time_ms(throttle(&ctx));
    let Some(names) = names(&image, &request) else {
        let refused = |name| failed(name, ErrorCode::InvalidRequest);
        return response.with_topics(request.topics.into_iter().map(|topic| refused(topic.name)).collect());
    };
    let may_see = |name: &TopicName| authorize(&ctx, Operation::Describe, Resource::Topic(name));
    let (visible, hidden): (BTreeSet<_>, BTreeSet<_>) = names.into_iter().partition(may_see);
    let (mut topics, next_cursor) = page(&ctx, &image, visible, &request);
    if !request.topics.is_empty() {
        topics.extend(hidden.into_iter().map(|name| failed(name, ErrorCode::TopicAuthorizationFailed)));
    }
    response.with_topics(topics).with_next_cursor(next_cursor)
}

/// The topics from the cursor on; none where the cursor is not valid.
fn names(image: &Image, request: &DescribeTopicPartitionsRequest) -> Option<BTreeSet<TopicName>> {
    let first = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let names: BTreeSet<TopicName> = if request.topics.is_empty() {
        let names = image.topics().map(|topic| &*topic.name).filter(|name| *name >= first);
        names.map(|name| StrBytes::from(name.to_owned()).into()).collect()
    } else {
        let names = request.topics.iter().map(|topic| &topic.name).filter(|name| name.as_str() >= first);
        names.cloned().collect()
    };
    match &request.cursor {
        Some(cursor) if cursor.partition_index < 0 => None,
        Some(cursor) if !request.topics.is_empty() && !names.contains(&cursor.topic_name) => None,
        _ => Some(names),
    }
}

fn page(
    ctx: &Ctx,
    image: &Image,
    names: BTreeSet<TopicName>,
    request: &DescribeTopicPartitionsRequest,
) -> (Vec<DescribeTopicPartitionsResponseTopic>, Option<Cursor>) {
    let mut left = ctx.broker.config().max_request_partition_size_limit.min(request.response_partition_limit).max(1);
    let mut topics = Vec::new();
    for name in names {
        if left == 0 {
            return (topics, Some(Cursor::default().with_topic_name(name)));
        }
        let operations = authorized_operations(ctx, Resource::Topic(&name));
        let Some(topic) = image.topic(&name) else {
            let code = check_name(&name).map_or_else(|error| ErrorCode::from(&error), |()| UNKNOWN);
            topics.push(failed(name, code).with_topic_authorized_operations(operations));
            continue;
        };
        let cursor = request.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
        let start = cursor.map_or(0, |cursor| cursor.partition_index);
        let end = start.saturating_add(left).min(topic.partitions);
        topics.push(described(ctx, topic, start..end).with_topic_authorized_operations(operations));
        if end < topic.partitions {
            return (topics, Some(Cursor::default().with_topic_name(name).with_partition_index(end)));
        }
        left -= end.saturating_sub(start).max(0);
    }
    (topics, None)
}

fn described(ctx: &Ctx, topic: &Topic, partitions: Range<i32>) -> DescribeTopicPartitionsResponseTopic {
    let node: BrokerId = ctx.broker.node_id().into();
    let partition = |index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(ctx.broker.partitions().leader_epoch())
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from(topic.name.to_string()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_partitions(partitions.map(partition).collect())
}

fn failed(name: TopicName, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    // A refused request says of no topic whether it is internal; of an unknown one the name tells.
    let is_internal = code == UNKNOWN && is_internal(&name);
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(name))
        .with_is_internal(is_internal)
}

#[cfg(test)]
mod tests;
