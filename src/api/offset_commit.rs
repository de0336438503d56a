//! OffsetCommit 2-10 (key 8): a member, or a client that is none, says how far it has come.
//!
//! Topics and partitions that do not exist are refused one by one, the others are committed: a record for each, and the
//! answer when they are durable. Commits of one client that are sent together become durable together.
//!
//! Versions: 5 the broker's retention alone decides; 6 leader epochs; 7 static members; 8 flexible; 9 member epochs
//! (KIP-848), GROUP_ID_NOT_FOUND; 10 topics by id. Versions 0 and 1, of before Kafka 2, are not spoken by Kafka 4
//! either. (`KafkaApis.handleOffsetCommitRequest`, `OffsetMetadataManager.commitOffset`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use super::messages::offset_commit::Request as Message;
use crate::catalog::{Image, Topic};
use crate::coordinator::group::request::{CommitOffset, CommitOffsets, Reply, Request};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, Message(request): Message) -> OffsetCommitResponse {
    let image = ctx.broker.catalog().image();
    let answers = commit(&ctx, &image, &request).await;
    let mut answers = answers.into_iter();
    let told = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let code = answers.next().unwrap_or(ErrorCode::UnknownServerError);
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code.code())
        });
        let partitions = partitions.collect();
        let told = OffsetCommitResponseTopic::default().with_partitions(partitions);
        match ctx.version {
            10.. => told.with_topic_id(topic.topic_id),
            _ => told.with_name(topic.name.clone()),
        }
    });
    let topics = told.collect();
    OffsetCommitResponse::default().with_throttle_time_ms(throttle(&ctx)).with_topics(topics)
}

/// One code for each partition, in the order of the request.
async fn commit(ctx: &Ctx, image: &Image, request: &OffsetCommitRequest) -> Vec<ErrorCode> {
    let everywhere = |code: ErrorCode| request.topics.iter().flat_map(|it| &it.partitions).map(|_| code).collect();
    let group_id = request.group_id.to_string();
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return everywhere(ErrorCode::GroupAuthorizationFailed);
    }
    let mut codes = Vec::new();
    let mut partitions = Vec::new();
    for topic in &request.topics {
        let known = find(ctx, image, topic);
        for partition in &topic.partitions {
            let code = match &known {
                Ok(known) if (0..known.partitions).contains(&partition.partition_index) => {
                    partitions.push(CommitOffset {
                        topic: known.name.clone(),
                        topic_id: known.id,
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.committed_metadata.as_ref().map(|text| text.to_string()),
                    });
                    None
                }
                Ok(_) => Some(ErrorCode::UnknownTopicOrPartition),
                Err(code) => Some(*code),
            };
            codes.push(code);
        }
    }
    if partitions.is_empty() {
        return codes.into_iter().flatten().collect();
    }
    let committing = CommitOffsets {
        version: ctx.version,
        group_id: group_id.clone(),
        member_id: request.member_id.to_string(),
        group_instance_id: request.group_instance_id.as_ref().map(|id| id.to_string()),
        generation_id_or_member_epoch: request.generation_id_or_member_epoch,
        retention_time_ms: request.retention_time_ms,
        producer_id: None,
        partitions,
    };
    match ctx.broker.groups().ask(&group_id, Request::CommitOffsets(committing)).await {
        Ok(Reply::CommitOffsets(Ok(committed))) => {
            let mut committed = committed.into_iter();
            let code = |code: Option<ErrorCode>| code.or_else(|| committed.next());
            codes.into_iter().map(code).map(|code| code.unwrap_or(ErrorCode::UnknownServerError)).collect()
        }
        // An error of the group is told for every partition that it was asked about.
        Ok(Reply::CommitOffsets(Err(refused))) => codes.into_iter().map(|code| code.unwrap_or(refused)).collect(),
        other => everywhere(code_of(&other)),
    }
}

fn find(ctx: &Ctx, image: &Image, topic: &OffsetCommitRequestTopic) -> Result<Arc<Topic>, ErrorCode> {
    let known = match ctx.version {
        10.. => Some(image.topic_by_id(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)?),
        _ => image.topic(&topic.name),
    };
    let name = known.map_or(topic.name.as_str(), |known| &known.name);
    if !authorize(ctx, Operation::Read, Resource::Topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    known.cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
}
