//! What is known of one transactional id, and what becomes of it: every change makes a new [`Transaction`] out of the old one,
//! for its record to be written. (Kafka's `TransactionMetadata` and `TxnTransitMetadata`.)

use super::Refusal;
use super::records::{PartitionsSchema, Record, TransactionLogValue, TransactionState};
use super::request::{ProducerIdAndEpoch, TopicPartition, TransactionVersion};
use crate::coordinator::breaks::{Break, broken};
use crate::time::Millis;
use crate::wire::errors::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The producer's id and epoch. The highest epoch is never a client's: it is what one with the last usable epoch is
    /// fenced with.
    pub producer: ProducerIdAndEpoch,
    /// The producer's id before the last change of any kind; -1 where it is not known.
    pub previous_producer_id: i64,
    /// The producer's id when the transaction's end is complete; -1 where it stays.
    pub next_producer_id: i64,
    /// The epoch that the client had before; -1 where it has begun anew. Not in the record, as with Kafka: a client that asks
    /// again across a restart is fenced.
    pub last_producer_epoch: i16,
    /// How long a transaction may last.
    pub timeout_ms: i32,
    /// Where it is.
    pub state: TransactionState,
    /// The partitions of the transaction.
    pub partitions: BTreeSet<TopicPartition>,
    /// When it began, wall clock; -1 before the first since InitProducerId.
    pub start_ms: Millis,
    /// When all this was written, wall clock.
    pub last_update_ms: Millis,
    /// How the client does transactions.
    pub version: TransactionVersion,
}

impl Transaction {
    /// One whose producer has no epoch yet; it is never stored like this.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, wall: Millis) -> Self {
        Transaction {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch: -1 },
            previous_producer_id: -1,
            next_producer_id: -1,
            last_producer_epoch: -1,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: wall,
            version: TransactionVersion::V0,
        }
    }

    /// As its record has it.
    pub(super) fn stored(value: TransactionLogValue) -> Self {
        let topics = value.transaction_partitions.unwrap_or_default().into_iter();
        let partitions = topics.flat_map(|PartitionsSchema { topic, partition_ids }| {
            partition_ids.into_iter().map(move |partition| TopicPartition { topic: topic.clone(), partition })
        });
        Transaction {
            producer: ProducerIdAndEpoch { producer_id: value.producer_id, producer_epoch: value.producer_epoch },
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            last_producer_epoch: -1,
            timeout_ms: value.transaction_timeout_ms,
            state: value.transaction_status,
            partitions: partitions.collect(),
            start_ms: value.transaction_start_timestamp_ms,
            last_update_ms: value.transaction_last_update_timestamp_ms,
            version: value.client_transaction_version,
        }
    }

    /// Its record.
    pub(super) fn record(&self, transactional_id: &Arc<str>) -> Record {
        let mut topics: Vec<PartitionsSchema> = Vec::new();
        for TopicPartition { topic, partition } in &self.partitions {
            match topics.last_mut().filter(|last| last.topic == *topic) {
                Some(last) => last.partition_ids.push(*partition),
                None => topics.push(PartitionsSchema { topic: topic.clone(), partition_ids: vec![*partition] }),
            }
        }
        let value = TransactionLogValue {
            producer_id: self.producer.producer_id,
            previous_producer_id: self.previous_producer_id,
            next_producer_id: self.next_producer_id,
            producer_epoch: self.producer.producer_epoch,
            next_producer_epoch: -1,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state,
            transaction_partitions: (self.state != TransactionState::Empty).then_some(topics),
            transaction_last_update_timestamp_ms: self.last_update_ms,
            transaction_start_timestamp_ms: self.start_ms,
            client_transaction_version: self.version,
        };
        Record { transactional_id: transactional_id.clone(), value: Some(value) }
    }

    /// Whether a client may have this epoch of the producer's, and it is the current one.
    pub(super) fn is_at(&self, epoch: i16) -> bool {
        broken(Break::ProducerEpoch) || (epoch == self.producer.producer_epoch && epoch != i16::MAX)
    }

    /// Whether no more epochs can be given to clients.
    pub(super) fn is_exhausted(&self) -> bool {
        is_exhausted(self.producer.producer_epoch)
    }

    /// When the transaction is aborted for its age, by the wall clock; `None` if it never is. (The highest timeout is that of
    /// two-phase commits, which Kafka's coordinator lets be.)
    pub(super) fn expires_ms(&self) -> Option<Millis> {
        let has_timeout = self.state == TransactionState::Ongoing && self.timeout_ms != i32::MAX;
        has_timeout.then(|| self.start_ms.saturating_add(self.timeout_ms.into()))
    }

    /// Out of this, as of now.
    fn changed(&self, state: TransactionState, wall: Millis) -> Self {
        Transaction {
            previous_producer_id: self.producer.producer_id,
            state,
            last_update_ms: wall,
            partitions: BTreeSet::new(),
            ..*self
        }
    }

    /// Whether a client that says it had `expected` may go on with this id: nobody else has begun since.
    pub(super) fn may_go_on(&self, expected: ProducerIdAndEpoch) -> bool {
        let id = expected.producer_id;
        // The other one was exhausted, and the client may not have heard of its successor.
        let replaced = id == self.previous_producer_id && is_exhausted(expected.producer_epoch);
        self.producer.producer_epoch == -1 || id == self.producer.producer_id || replaced
    }

    /// A client begins, or goes on from `expected`. One that asks again since it got no answer gets the same again.
    pub(super) fn initialized(
        &self,
        expected: Option<i16>,
        timeout_ms: i32,
        fresh: Option<i64>,
        wall: Millis,
    ) -> Result<Self, Refusal> {
        let ProducerIdAndEpoch { producer_id, producer_epoch } = self.producer;
        let is_current = |expected| expected == producer_epoch || producer_epoch == -1;
        let is_last = |expected| expected == self.last_producer_epoch;
        let rotates = self.is_exhausted()
            // A client knows nothing of the highest epoch, which it was fenced with.
            && expected.is_none_or(|expected| is_current(expected) || (producer_epoch == i16::MAX && is_last(expected)));
        let (producer_id, producer_epoch, last_producer_epoch) = match expected {
            _ if rotates => (fresh.ok_or(Refusal::NeedsProducerId)?, 0, expected.unwrap_or(-1)),
            None => (producer_id, producer_epoch.saturating_add(1), -1),
            Some(expected) if is_current(expected) => (producer_id, producer_epoch.saturating_add(1), producer_epoch),
            Some(expected) if is_last(expected) => (producer_id, producer_epoch, expected),
            Some(_) => return Err(ErrorCode::ProducerFenced.into()),
        };
        Ok(Transaction {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch },
            last_producer_epoch,
            timeout_ms,
            start_ms: -1,
            ..self.changed(TransactionState::Empty, wall)
        })
    }

    /// With these partitions too; it begins with the first of them.
    pub(super) fn with(&self, partitions: &[TopicPartition], version: TransactionVersion, wall: Millis) -> Self {
        let start_ms = if self.state == TransactionState::Ongoing { self.start_ms } else { wall };
        let mut all = self.partitions.clone();
        all.extend(partitions.iter().cloned());
        Transaction { start_ms, version, partitions: all, ..self.changed(TransactionState::Ongoing, wall) }
    }

    /// Its end is decided. One that has not begun begins now, as with Kafka.
    pub(super) fn ended(
        &self,
        committed: bool,
        version: TransactionVersion,
        next_producer_id: i64,
        wall: Millis,
    ) -> Self {
        let state = if committed { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        let start_ms = if self.state == TransactionState::Ongoing { self.start_ms } else { wall };
        let ProducerIdAndEpoch { producer_id, producer_epoch } = self.producer;
        let (epoch, last_producer_epoch) = match version.bumps_epochs() {
            true => (producer_epoch.saturating_add(1), producer_epoch),
            false => (producer_epoch, self.last_producer_epoch),
        };
        Transaction {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch: epoch },
            last_producer_epoch,
            next_producer_id,
            start_ms,
            version,
            partitions: self.partitions.clone(),
            ..self.changed(state, wall)
        }
    }

    /// The markers of its end are all written.
    pub(super) fn completed(&self, wall: Millis) -> Self {
        let committed = self.state == TransactionState::PrepareCommit;
        let state = if committed { TransactionState::CompleteCommit } else { TransactionState::CompleteAbort };
        Transaction { producer: self.producer_when_complete(), next_producer_id: -1, ..self.changed(state, wall) }
    }

    /// Over as it was, and the producer goes on with another id.
    pub(super) fn with_producer_id(&self, producer_id: i64, wall: Millis) -> Self {
        Transaction {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch: 0 },
            ..self.changed(self.state, wall)
        }
    }

    /// With what the producer goes on when the transaction's end is complete.
    pub(super) fn producer_when_complete(&self) -> ProducerIdAndEpoch {
        match self.next_producer_id {
            -1 => self.producer,
            producer_id => ProducerIdAndEpoch { producer_id, producer_epoch: 0 },
        }
    }
}

/// Whether `epoch` is the last that a client may have, or above; Kafka keeps one more, to fence with.
fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}
