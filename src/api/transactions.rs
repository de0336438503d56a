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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::txn::request::TransactionVersion::{V0, V1, V2};

    #[test]
    fn writers_are_told_what_their_clients_take_the_right_way() {
        use ErrorCode::{
            ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, InvalidProducerEpoch,
            InvalidProducerIdMapping, InvalidTxnState, NotCoordinator, NotEnoughReplicas, ProducerFenced,
            TransactionAbortable,
        };
        // What the coordinator says, and what Produce 10, 11 and 12 answer.
        let table = [
            (ErrorCode::None, [ErrorCode::None; 3]),
            (ProducerFenced, [InvalidProducerEpoch; 3]),
            (InvalidProducerIdMapping, [InvalidProducerIdMapping; 3]),
            (InvalidTxnState, [InvalidTxnState; 3]),
            (TransactionAbortable, [InvalidTxnState, TransactionAbortable, TransactionAbortable]),
            (CoordinatorLoadInProgress, [NotEnoughReplicas; 3]),
            (CoordinatorNotAvailable, [NotEnoughReplicas; 3]),
            (NotCoordinator, [NotEnoughReplicas; 3]),
            (ConcurrentTransactions, [NotEnoughReplicas, NotEnoughReplicas, ConcurrentTransactions]),
        ];
        for (said, told) in table {
            let by_version = [10, 11, 12].map(|version| told_to_writers(said, version_of_produce(version)));
            assert_eq!(by_version.clone().map(|(code, _)| code), told, "{said:?}");
            let retried = |(code, message): &(ErrorCode, Option<String>)| {
                (*code == NotEnoughReplicas) == message.as_ref().is_some_and(|text| text.contains(said.name()))
            };
            assert!(by_version.iter().all(retried), "{by_version:?}");
        }
        let versions = [0, 3, 10, 11, 12, 13].map(version_of_produce);
        assert_eq!(versions, [V0, V0, V0, V1, V2, V2]);
    }
}
