//! AddOffsetsToTxn 0-4 (key 25): a group's offsets become part of a transaction: the partition that they are kept in.
//!
//! Producers of transaction version 2 do not ask, their TxnOffsetCommit adds it.
//!
//! Versions: 2 PRODUCER_FENCED; 3 flexible; 4 TRANSACTION_ABORTABLE. (`KafkaApis.handleAddOffsetsToTxnRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::find_coordinator::ensure_topic;
use super::transactions::{code_of, known_as_fenced};
use crate::catalog::CONSUMER_OFFSETS;
use crate::coordinator::txn::request::{ProducerIdAndEpoch, Reply, Request, TopicPartition, TransactionVersion};
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use std::sync::Arc;

/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let code = known_as_fenced(add(&ctx, &request).await, ctx.version >= KNOWS_FENCED);
    AddOffsetsToTxnResponse::default().with_throttle_time_ms(throttle(&ctx)).with_error_code(code.code())
}

async fn add(ctx: &Ctx, request: &AddOffsetsToTxnRequest) -> ErrorCode {
    let (transactional_id, group_id) = (request.transactional_id.to_string(), request.group_id.to_string());
    if !authorize(ctx, Operation::Write, Resource::TransactionalId(&transactional_id)) {
        return ErrorCode::TransactionalIdAuthorizationFailed;
    }
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return ErrorCode::GroupAuthorizationFailed;
    }
    // Nobody may have looked for the group's coordinator yet, and nobody will before this has succeeded.
    if let Err(refusal) = ensure_topic(ctx, CONSUMER_OFFSETS).await {
        return refusal.code;
    }
    let partition = match ctx.broker.groups().index(&group_id) {
        Ok(partition) => partition,
        Err(error) => return (&error).into(),
    };
    let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
    let add = Request::AddPartitions {
        transactional_id: transactional_id.clone(),
        producer: ProducerIdAndEpoch { producer_id, producer_epoch },
        partitions: vec![TopicPartition { topic: CONSUMER_OFFSETS.into(), partition }],
        version: TransactionVersion::V0,
    };
    match ctx.broker.txns().ask(&transactional_id, add).await {
        Ok(Reply::AddPartitions(code)) => code,
        other => code_of(&other),
    }
}
