//! What the APIs of transactions share: which way a client does them, and codes that older clients know.

use super::errors::ErrorCode;
use crate::coordinator::Unavailable;
use crate::coordinator::txn::request::{Reply, TransactionVersion};

/// From this version of Produce on a write makes its partition part of the transaction (KIP-890).
const PRODUCE_ADDS: i16 = 12;
/// From this version of Produce on a client knows TRANSACTION_ABORTABLE.
const PRODUCE_KNOWS_ABORTABLE: i16 = 11;

/// How the sender of this version of Produce does transactions. V0 stands for those that do not know
/// TRANSACTION_ABORTABLE. (`AddPartitionsToTxnManager.produceRequestVersionToTransactionSupportedOperation`.)
pub(super) fn version_of_produce(version: i16) -> TransactionVersion {
    match version {
        PRODUCE_ADDS.. => TransactionVersion::V2,
        PRODUCE_KNOWS_ABORTABLE => TransactionVersion::V1,
        _ => TransactionVersion::V0,
    }
}

/// What whoever writes in a transaction is told where its coordinator has said this: codes that its client takes the right
/// way. (`ReplicaManager.handleProduceAppend`, `AddPartitionsToTxnManager`.)
pub(super) fn told_to_writers(code: ErrorCode, version: TransactionVersion) -> (ErrorCode, Option<String>) {
    let retried = || {
        let message = format!(
            "Unable to verify the partition has been added to the transaction. Underlying error: {}",
            code.name()
        );
        // Retried by all clients, without a look for another leader.
        (ErrorCode::NotEnoughReplicas, Some(message))
    };
    match code {
        ErrorCode::ProducerFenced => (ErrorCode::InvalidProducerEpoch, None),
        ErrorCode::TransactionAbortable if version == TransactionVersion::V0 => {
            (ErrorCode::InvalidTxnState, Some("Partition was not added to the transaction".into()))
        }
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
            retried()
        }
        ErrorCode::ConcurrentTransactions if !version.bumps_epochs() => retried(),
        code => (code, None),
    }
}

/// PRODUCER_FENCED, for clients that do not know it.
pub(super) fn known_as_fenced(code: ErrorCode, is_known: bool) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if !is_known => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// The code for a reply that is not there, or another's.
pub(super) fn code_of(reply: &Result<Reply, Unavailable>) -> ErrorCode {
    match reply {
        Ok(other) => {
            tracing::error!(?other, "a coordinator gave the answer to another question");
            ErrorCode::UnknownServerError
        }
        Err(error) => error.into(),
    }
}
