//! InitProducerId 0-5 (key 22): a producer's id and epoch.
//!
//! Without a transactional id the answer is an id that nobody has had, with epoch 0, also for a producer that names the id
//! and epoch it has (KIP-360): Kafka bumps epochs only for transactional producers. An id without an epoch, or the other
//! way round, is INVALID_REQUEST. Ids come in blocks that are durable before the first of them is handed out.
//!
//! With one, whoever had it before is fenced: the epoch is higher than any it had, and a transaction that it left open is
//! aborted first, for which the client is told CONCURRENT_TRANSACTIONS and asks again.
//!
//! Versions: 2 flexible; 3 id and epoch of the producer (KIP-360); 4 PRODUCER_FENCED; 5 KIP-890. Version 6 (two-phase commit,
//! KIP-939) is not stable in Kafka. (`KafkaApis.handleInitProducerIdRequest`, `TransactionCoordinator.handleInitProducerId`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::transactions::{code_of, known_as_fenced};
use crate::coordinator::txn::request::{ProducerIdAndEpoch, Reply, Request};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;

/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 4;

pub(super) async fn handle(ctx: Arc<Ctx>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default().with_throttle_time_ms(throttle(&ctx));
    match producer(&ctx, &request).await {
        Ok(ProducerIdAndEpoch { producer_id, producer_epoch }) => {
            response.with_producer_id(producer_id.into()).with_producer_epoch(producer_epoch)
        }
        Err(code) => {
            let code = known_as_fenced(code, ctx.version >= KNOWS_FENCED);
            response.with_error_code(code.code()).with_producer_id((-1).into()).with_producer_epoch(-1)
        }
    }
}

async fn producer(ctx: &Ctx, request: &InitProducerIdRequest) -> Result<ProducerIdAndEpoch, ErrorCode> {
    match &request.transactional_id {
        Some(id) if !authorize(ctx, Operation::Write, Resource::TransactionalId(id)) => {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        None if !authorize(ctx, Operation::IdempotentWrite, Resource::Cluster) => {
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        _ => {}
    }
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        (producer_id, producer_epoch) => Some(ProducerIdAndEpoch { producer_id, producer_epoch }),
    };
    let Some(id) = &request.transactional_id else {
        // What Kafka answers while it has no block of ids: clients try again.
        let fresh = ctx.broker.fresh_producer_id().await.ok_or(ErrorCode::CoordinatorLoadInProgress)?;
        return Ok(ProducerIdAndEpoch { producer_id: fresh, producer_epoch: 0 });
    };
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let init = |fresh| Request::InitProducerId {
        transactional_id: id.to_string(),
        transaction_timeout_ms: request.transaction_timeout_ms,
        expected,
        fresh,
    };
    match ctx.broker.txns().ask_with_id(id, init).await {
        Ok(Reply::InitProducerId(begun)) => begun,
        other => Err(code_of(&other)),
    }
}

#[cfg(test)]
mod tests;
