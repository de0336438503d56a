//! OffsetDelete 0 (key 47): removes committed offsets of topics that no member subscribes to (KIP-496).
//!
//! (`KafkaApis.handleOffsetDeleteRequest`, `OffsetMetadataManager.deleteOffsets`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let response = OffsetDeleteResponse::default().with_throttle_time_ms(throttle(&ctx));
    match delete(&ctx, request).await {
        Ok(topics) => response.with_topics(topics),
        Err(code) => response.with_error_code(code.code()),
    }
}

async fn delete(ctx: &Ctx, request: OffsetDeleteRequest) -> Result<Vec<OffsetDeleteResponseTopic>, ErrorCode> {
    let group_id = request.group_id.to_string();
    if !authorize(ctx, Operation::Delete, Resource::Group(&group_id)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    let image = ctx.broker.catalog().image();
    let refusal = |topic: &OffsetDeleteRequestTopic, partition: i32| match image.topic(&topic.name) {
        _ if !authorize(ctx, Operation::Read, Resource::Topic(&topic.name)) => {
            Some(ErrorCode::TopicAuthorizationFailed)
        }
        Some(known) if (0..known.partitions).contains(&partition) => None,
        _ => Some(ErrorCode::UnknownTopicOrPartition),
    };
    let mut asked = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let known = topic.partitions.iter().filter(|it| refusal(topic, it.partition_index).is_none());
        asked.extend(known.map(|it| (name.clone(), it.partition_index)));
    }
    let deleting = Request::DeleteOffsets { group_id: group_id.clone(), partitions: asked };
    let mut codes = match ctx.broker.groups().ask(&group_id, deleting).await {
        Ok(Reply::DeleteOffsets(codes)) => codes?.into_iter(),
        other => return Err(code_of(&other)),
    };
    let mut told = Vec::new();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|it| {
            let code = refusal(topic, it.partition_index).or_else(|| codes.next());
            OffsetDeleteResponsePartition::default()
                .with_partition_index(it.partition_index)
                .with_error_code(code.unwrap_or(ErrorCode::UnknownServerError).code())
        });
        let partitions = partitions.collect();
        told.push(OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    Ok(told)
}
