//! The records of `__transaction_state`, as Kafka 4.3 has them with transaction.version 2.
//!
//! There is one kind: a transactional id and all that is known of it. Fields bear the names of Kafka's schemas
//! (`transaction-coordinator/src/main/resources/common/message`).

mod codec;

use super::request::TransactionVersion;
use std::sync::Arc;

/// One record, key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub transactional_id: Arc<str>,
    /// What is known; `None` is a tombstone, the id has expired.
    pub value: Option<TransactionLogValue>,
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionLogValue {
    /// The producer's id.
    pub producer_id: i64,
    /// The id before the last change; -1 where it is not known.
    pub previous_producer_id: i64,
    /// The id that the producer goes on with when the transaction's end is complete; -1 where it keeps its own.
    pub next_producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch that goes with `next_producer_id`; Kafka 4.3 has a place for it and writes none, -1.
    pub next_producer_epoch: i16,
    /// How long a transaction may last, milliseconds.
    pub transaction_timeout_ms: i32,
    /// The state.
    pub transaction_status: TransactionState,
    /// The partitions of the transaction; Kafka writes none at all, rather than an empty list, for [`TransactionState::Empty`].
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    /// When this was written, milliseconds.
    pub transaction_last_update_timestamp_ms: i64,
    /// When the transaction began, milliseconds; -1 before the first.
    pub transaction_start_timestamp_ms: i64,
    /// How the client does transactions.
    pub client_transaction_version: TransactionVersion,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsSchema {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Indexes.
    pub partition_ids: Vec<i32>,
}

/// Where a transaction is. (Of Kafka's states `Dead` is a tombstone, and `PrepareEpochFence` never leaves its memory.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// The producer has its id, and nothing was begun.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// It is decided to commit, and the markers are not all written.
    PrepareCommit,
    /// It is decided to abort, and the markers are not all written.
    PrepareAbort,
    /// Committed.
    CompleteCommit,
    /// Aborted.
    CompleteAbort,
}

impl TransactionState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The state with this number.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.name() == name)
    }

    /// The number in a record.
    pub const fn id(self) -> i8 {
        self as i8
    }

    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the end is decided and markers are being written.
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether it is decided, complete or not, to commit.
    pub const fn is_committed(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::CompleteCommit)
    }

    /// Whether there is nothing that the id must be kept for.
    pub const fn may_expire(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }
}

#[cfg(test)]
mod tests;
