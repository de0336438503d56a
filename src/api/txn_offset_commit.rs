//! TxnOffsetCommit 0-5 (key 28): a producer commits offsets of a group in its transaction; they come into force with that.
//!
//! The group's partition has to be part of the transaction: until version 4 by AddOffsetsToTxn, since version 5 it becomes so
//! here (KIP-890). Since version 3 the producer may say for which member it commits, and is held to it (KIP-447).
//!
//! Versions: 2 leader epochs; 3 flexible, member and generation; 4 TRANSACTION_ABORTABLE; 5 transaction version 2.
//! (`KafkaApis.handleTxnOffsetCommitRequest`, `OffsetMetadataManager.commitTransactionalOffset`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated;
use super::errors::ErrorCode;
use crate::catalog::{CONSUMER_OFFSETS, Image, Topic};
use crate::coordinator::group::request::{CommitOffset, CommitOffsets, Reply, Request};
use crate::coordinator::txn::request::{ProducerIdAndEpoch, TopicPartition, TransactionVersion};
use crate::coordinator::{InTransaction, TransactionError};
use crate::partition::{Guard, Verify};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::sync::Arc;

/// From this version on a commit makes its group's partition part of the transaction.
const ADDS: i16 = 5;
/// From this version on clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 4;
/// Clients of versions before this one fail at COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
const KNOWS_LOADING: i16 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let image = ctx.broker.catalog().image();
    let mut codes = commit(&ctx, &image, &request).await.into_iter();
    let told = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let code = codes.next().unwrap_or(ErrorCode::UnknownServerError);
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(known_to(ctx.version, code).code())
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let topics = told.collect();
    TxnOffsetCommitResponse::default().with_throttle_time_ms(throttle(&ctx)).with_topics(topics)
}

fn known_to(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < KNOWS_LOADING => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// One code for each partition, in the order of the request.
async fn commit(ctx: &Ctx, image: &Image, request: &TxnOffsetCommitRequest) -> Vec<ErrorCode> {
    let everywhere = |code: ErrorCode| request.topics.iter().flat_map(|it| &it.partitions).map(|_| code).collect();
    if !authorize(ctx, Operation::Write, Resource::TransactionalId(&request.transactional_id)) {
        return everywhere(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    if !authorize(ctx, Operation::Read, Resource::Group(&request.group_id)) {
        return everywhere(ErrorCode::GroupAuthorizationFailed);
    }
    let (codes, partitions) = sort(ctx, image, request);
    if partitions.is_empty() {
        return codes.into_iter().flatten().collect();
    }
    let refused = |code: ErrorCode| codes.iter().map(|known| known.unwrap_or(code)).collect();
    match commit_all(ctx, request, partitions).await {
        Ok(committed) => {
            let mut committed = committed.into_iter();
            let code = |code: &Option<ErrorCode>| code.or_else(|| committed.next());
            codes.iter().map(code).map(|code| code.unwrap_or(ErrorCode::UnknownServerError)).collect()
        }
        Err(code) => refused(code),
    }
}

/// What is wrong with each partition, and the offsets of those that nothing is wrong with.
fn sort(ctx: &Ctx, image: &Image, request: &TxnOffsetCommitRequest) -> (Vec<Option<ErrorCode>>, Vec<CommitOffset>) {
    let (mut codes, mut partitions) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let known = find(ctx, image, topic);
        for partition in &topic.partitions {
            codes.push(match &known {
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
            });
        }
    }
    (codes, partitions)
}

fn find(ctx: &Ctx, image: &Image, topic: &TxnOffsetCommitRequestTopic) -> Result<Arc<Topic>, ErrorCode> {
    if !authorize(ctx, Operation::Read, Resource::Topic(&topic.name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    image.topic(&topic.name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
}

async fn commit_all(
    ctx: &Ctx,
    request: &TxnOffsetCommitRequest,
    partitions: Vec<CommitOffset>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let group_id = request.group_id.to_string();
    if group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
    let guard = admitted(ctx, request, &group_id).await?;
    let commit = CommitOffsets {
        version: ctx.version,
        group_id: group_id.clone(),
        member_id: request.member_id.to_string(),
        group_instance_id: request.group_instance_id.as_ref().map(|id| id.to_string()),
        generation_id_or_member_epoch: request.generation_id,
        retention_time_ms: -1,
        producer_id: Some(producer_id),
        partitions,
    };
    let transaction = InTransaction { producer_id, producer_epoch, guard };
    let groups = ctx.broker.groups();
    match groups.ask_in_transaction(&group_id, transaction, Request::CommitOffsets(commit)).await {
        Ok(Reply::CommitOffsets(committed)) => committed,
        Err(error @ TransactionError::Refused(_)) => Err((&error).into()),
        Err(TransactionError::Unavailable(error)) => Err(coordinated::code_of(&Err(error))),
        Ok(other) => Err(coordinated::code_of(&Ok(other))),
    }
}

/// Has the transaction's coordinator asked, where nothing of the transaction is in the group's partition yet.
async fn admitted(ctx: &Ctx, request: &TxnOffsetCommitRequest, group_id: &str) -> Result<Option<Guard>, ErrorCode> {
    let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
    let version = if ctx.version >= ADDS { TransactionVersion::V2 } else { TransactionVersion::V0 };
    let verify = Verify { producer_id, producer_epoch, base_sequence: -1, bumps_epoch: version.bumps_epochs() };
    let groups = ctx.broker.groups();
    let guard = groups.verify(group_id, verify).map_err(|error| ErrorCode::from(&error))?;
    if guard.is_none() {
        return Ok(None);
    }
    let partition = groups.index(group_id).map_err(|error| ErrorCode::from(&error))?;
    let partition = TopicPartition { topic: CONSUMER_OFFSETS.into(), partition };
    let producer = ProducerIdAndEpoch { producer_id, producer_epoch };
    let codes = ctx.broker.txns().admit(&request.transactional_id, producer, &[partition], version).await;
    match codes.into_iter().find(|code| !code.is_none()) {
        Some(code) => Err(code),
        None => Ok(guard),
    }
}
