//! DescribeProducers 0 (key 61): the producers that a partition knows, and where their open transactions began (KIP-664).
//! (`KafkaApis.handleDescribeProducersRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::partition::ActiveProducer;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeProducersRequest) -> DescribeProducersResponse {
    // Each partition once: a small request must not have a reply without bounds.
    let mut seen = HashSet::new();
    let topics = request.topics.into_iter().map(|topic| {
        let indexes = topic.partition_indexes.iter().filter(|index| seen.insert((topic.name.clone(), **index)));
        let partitions = indexes.map(|index| describe(&ctx, &topic, *index)).collect();
        TopicResponse::default().with_partitions(partitions).with_name(topic.name)
    });
    let topics = topics.collect();
    DescribeProducersResponse::default().with_throttle_time_ms(throttle(&ctx)).with_topics(topics)
}

fn describe(ctx: &Ctx, topic: &TopicRequest, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    match find(ctx, topic, index) {
        Ok(producers) => response.with_active_producers(producers.into_iter().map(told).collect()),
        Err((code, message)) => response.with_error_code(code.code()).with_error_message(message.map(StrBytes::from)),
    }
}

fn find(ctx: &Ctx, topic: &TopicRequest, index: i32) -> Result<Vec<ActiveProducer>, (ErrorCode, Option<String>)> {
    if !authorize(ctx, Operation::Read, Resource::Topic(&topic.name)) {
        return Err((ErrorCode::TopicAuthorizationFailed, None));
    }
    let image = ctx.broker.catalog().image();
    let unknown = || (ErrorCode::UnknownTopicOrPartition, Some("no such topic".to_owned()));
    let topic = image.topic(&topic.name).ok_or_else(unknown)?;
    let served =
        ctx.broker.partition(topic, index).map_err(|error| (ErrorCode::from(&error), Some(error.to_string())))?;
    Ok(served.partition.active_producers())
}

fn told(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.producer_epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.txn_first_offset)
}
