//! InitProducerId 0-5 (key 22): an id for an idempotent producer.
//!
//! Without a transactional id the answer is an id that nobody has had, with epoch 0, also for a producer that names the id
//! and epoch it has (KIP-360): Kafka bumps epochs only for transactional producers. An id without an epoch, or the other
//! way round, is INVALID_REQUEST. Ids come in blocks that are durable before the first of them is handed out.
//!
//! Versions: 2 flexible; 3 id and epoch of the producer (KIP-360); 4 PRODUCER_FENCED; 5 KIP-890. Version 6 is not stable
//! in Kafka. Gap: no transactions yet. A transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which no client
//! retries; the reply has no place for a text, so the log has it, once. (`KafkaApis.handleInitProducerIdRequest`,
//! `TransactionCoordinator.handleInitProducerId`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::broker::Warning;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default().with_throttle_time_ms(throttle(&ctx));
    match producer_id(&ctx, &request).await {
        Ok(id) => response.with_producer_id(id.into()).with_producer_epoch(0),
        Err(code) => response.with_error_code(code.code()).with_producer_id((-1).into()).with_producer_epoch(-1),
    }
}

async fn producer_id(ctx: &Ctx, request: &InitProducerIdRequest) -> Result<i64, ErrorCode> {
    match &request.transactional_id {
        Some(id) if !authorize(ctx, Operation::Write, Resource::TransactionalId(id)) => {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        None if !authorize(ctx, Operation::IdempotentWrite, Resource::Cluster) => {
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        _ => {}
    }
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    match &request.transactional_id {
        None => fresh(ctx).await,
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(id) => {
            if ctx.broker.is_first(Warning::Transactions) {
                tracing::warn!(transactional_id = %id.as_str(), "transactions are not supported yet; refused");
            }
            Err(ErrorCode::TransactionalIdAuthorizationFailed)
        }
    }
}

async fn fresh(ctx: &Ctx) -> Result<i64, ErrorCode> {
    let broker = ctx.broker.clone();
    // Waits for the disk once in a block of ids.
    let next = tokio::task::spawn_blocking(move || broker.producer_ids().next(broker.catalog())).await;
    let next = next.map_err(|_ended| ErrorCode::UnknownServerError)?;
    next.map_err(|error| {
        tracing::error!(%error, "no producer id");
        ErrorCode::from(&error)
    })
}

#[cfg(test)]
mod tests;
