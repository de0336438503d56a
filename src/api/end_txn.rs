//! EndTxn 0-5 (key 26): commits or aborts a transaction.
//!
//! Answered when the decision is durable; its markers follow. Since version 5 each transaction ends with a new epoch, which
//! the reply tells (KIP-890): a late request of an earlier transaction is refused wherever it arrives.
//!
//! Versions: 2 PRODUCER_FENCED; 3 flexible; 4 TRANSACTION_ABORTABLE; 5 producer id and epoch in the reply.
//! (`KafkaApis.handleEndTxnRequest`, `TransactionCoordinator.endTransaction`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::transactions::{code_of, known_as_fenced};
use crate::coordinator::txn::request::{ProducerIdAndEpoch, Reply, Request, TransactionVersion};
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};
use std::sync::Arc;

/// From this version on the epoch rises with each transaction.
const BUMPS_EPOCH: i16 = 5;
/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: EndTxnRequest) -> EndTxnResponse {
    let response = EndTxnResponse::default().with_throttle_time_ms(throttle(&ctx));
    let (producer, code) = match end(&ctx, &request).await {
        Ok(producer) => (producer, ErrorCode::None),
        Err(code) => {
            let nobody = ProducerIdAndEpoch { producer_id: -1, producer_epoch: -1 };
            (nobody, known_as_fenced(code, ctx.version >= KNOWS_FENCED))
        }
    };
    let response = response.with_error_code(code.code());
    match ctx.version {
        BUMPS_EPOCH.. => {
            response.with_producer_id(producer.producer_id.into()).with_producer_epoch(producer.producer_epoch)
        }
        _ => response,
    }
}

async fn end(ctx: &Ctx, request: &EndTxnRequest) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let transactional_id = request.transactional_id.to_string();
    if !authorize(ctx, Operation::Write, Resource::TransactionalId(&transactional_id)) {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
    let end = |fresh| Request::EndTransaction {
        transactional_id: transactional_id.clone(),
        producer: ProducerIdAndEpoch { producer_id, producer_epoch },
        committed: request.committed,
        version: if ctx.version >= BUMPS_EPOCH { TransactionVersion::V2 } else { TransactionVersion::V0 },
        fresh,
    };
    match ctx.broker.txns().ask_with_id(&transactional_id, end).await {
        Ok(Reply::EndTransaction(ended)) => ended,
        other => Err(code_of(&other)),
    }
}
