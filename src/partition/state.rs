//! What a partition knows: its end, its producers, its epochs. Pure: judges a batch, stamps it, takes it up.
//!
//! [`PartitionState::apply`] is the only way forward, for a batch that was just stamped and for one that is read back
//! from the log. High watermark and log start are the log's and are not kept here.

use super::aborted::{Aborted, AbortedTransaction};
use super::epochs::Epochs;
use super::producers::{MarkerEpoch, MarkerVerdict, Producers, SequenceError, StateError, Verdict};
use super::transactions::Transactions;
use super::verification::{Guard, Verifications, Verify};
use crate::log::{EpochStart, Offset, OwnerState, StateFile};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, StoredBatch};
use crate::wire::control::Marker;
use bytes::Bytes;

/// Kafka 4.5's rule that a partition which never held a record takes only sequence 0 from an idempotent producer
/// (KAFKA-19880). Off, as in 4.3: a client that goes on after its topic was deleted and made again would be stuck.
const NEW_PARTITION_STARTS_AT_ZERO: bool = false;

/// Who writes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client(Option<Guard>),
    /// A coordinator of this broker, into its own topic: without sequence numbers.
    Coordinator(Option<Guard>),
}

/// The state of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    log_end: Offset,
    leader_epoch: i32,
    producers: Producers,
    transactions: Transactions,
    verifications: Verifications,
    epochs: Epochs,
    /// The log does not have this history yet; it gets it with the next batch.
    epochs_changed: bool,
    new_starts_at_zero: bool,
}

impl PartitionState {
    /// The state as of offset `end`, before the batches from there on are applied.
    pub fn new(end: Offset, producers: Producers, aborted: Aborted, epochs: Epochs) -> Self {
        Self {
            log_end: end,
            leader_epoch: -1,
            transactions: Transactions::new(producers.open_transactions(), aborted),
            verifications: Verifications::default(),
            producers,
            epochs,
            epochs_changed: false,
            new_starts_at_zero: NEW_PARTITION_STARTS_AT_ZERO,
        }
    }

    /// Moves the end to where the log says it is: after compaction there may be no batch that reaches it.
    pub fn extend_to(&mut self, log_end: Offset) {
        self.log_end = self.log_end.max(log_end);
    }

    /// Begins to lead under this epoch: it is in force from here, whether or not a batch comes, and stored with the
    /// first one. An epoch below one that is in the log already is refused, and returned.
    pub fn lead(&mut self, leader_epoch: i32) -> Result<(), i32> {
        if let Some(latest) = self.epochs.latest().filter(|latest| *latest > leader_epoch) {
            return Err(latest);
        }
        self.leader_epoch = leader_epoch;
        self.epochs_changed |= self.epochs.begin(leader_epoch, self.log_end);
        Ok(())
    }

    /// Judges a batch whose fields have been validated.
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Verdict, SequenceError> {
        match origin {
            Origin::Client(guard) => self.check_client(header, guard),
            Origin::Coordinator(_) if !header.is_transactional() => Ok(Verdict::Append),
            Origin::Coordinator(guard) => {
                self.check_coordinated(header.producer_id, header.producer_epoch, guard)?;
                Ok(Verdict::Append)
            }
        }
    }

    fn check_client(&self, header: &BatchHeader, guard: Option<Guard>) -> Result<Verdict, SequenceError> {
        let out_of_order = |expected| Err(SequenceError::OutOfOrder { expected, got: header.base_sequence });
        let known = self.producers.knows(header.producer_id);
        let new = self.new_starts_at_zero && self.log_end == 0 && header.has_producer_id();
        if new && header.base_sequence != 0 && !known {
            return out_of_order(0);
        }
        let verdict = self.producers.check(header);
        if matches!(verdict, Ok(Verdict::Duplicate(_)) | Err(SequenceError::StaleEpoch { .. })) {
            return verdict;
        }
        if header.has_producer_id() && header.is_transactional() {
            self.check_verified(header.producer_id, header.producer_epoch, guard)?;
        }
        match self.verifications.expected(header, known) {
            Some(expected) => out_of_order(expected),
            None => verdict,
        }
    }

    /// Judges what a coordinator wants to write in a producer's transaction: it has no sequence numbers.
    pub fn check_coordinated(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        guard: Option<Guard>,
    ) -> Result<(), SequenceError> {
        self.producers.check_coordinated(producer_id, producer_epoch)?;
        self.check_verified(producer_id, producer_epoch, guard)
    }

    /// A transaction's first record comes only after its coordinator has said that it knows of it.
    fn check_verified(&self, producer_id: i64, epoch: i16, guard: Option<Guard>) -> Result<(), SequenceError> {
        let has_begun = self.producers.has_open_transaction(producer_id, epoch);
        match has_begun || self.verifications.holds(producer_id, guard) {
            true => Ok(()),
            false => Err(SequenceError::NotVerified),
        }
    }

    /// The guard to ask the transaction's coordinator under, before a batch of this producer may be appended in a
    /// transaction; `None` where one has begun here, and there is nothing to ask. `fresh` is one that nobody has had.
    pub fn verify(&mut self, verify: Verify, fresh: Guard, now: Millis) -> Result<Option<Guard>, SequenceError> {
        let Verify { producer_id, producer_epoch, .. } = verify;
        self.producers.check_coordinated(producer_id, producer_epoch)?;
        let has_begun = self.producers.has_open_transaction(producer_id, producer_epoch);
        Ok((!has_begun).then(|| self.verifications.begin(verify, fresh, now)))
    }

    /// Judges the end of a producer's transaction.
    pub fn check_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        marker: Marker,
        rule: MarkerEpoch,
    ) -> Result<MarkerVerdict, SequenceError> {
        self.producers.check_marker(producer_id, producer_epoch, marker, rule)
    }

    /// The batch as it will be stored: its offset and the leader epoch, which lie outside of the CRC.
    pub fn stamp(&self, header: BatchHeader, records: Bytes) -> StoredBatch {
        let stamped = BatchHeader { base_offset: self.log_end, leader_epoch: self.leader_epoch, ..header };
        StoredBatch::new(stamped, records)
    }

    /// Takes up a stamped batch, `append_time` being when it was appended by the broker's wall clock. `marker` is what a
    /// control batch holds; one without, from which the cleaner has taken it, says nothing.
    pub fn apply(&mut self, header: &BatchHeader, marker: Option<Marker>, append_time: Millis) {
        debug_assert!(header.base_offset >= self.log_end, "batches come in order");
        if self.epochs.latest() < Some(header.leader_epoch) {
            self.epochs_changed |= self.epochs.begin(header.leader_epoch, header.base_offset);
        }
        match marker {
            Some(marker) => {
                if let Some(first) = self.producers.end_transaction(header, marker, append_time) {
                    self.transactions.end(first, header.base_offset, marker.committed);
                }
            }
            None if header.is_control() => {}
            None => {
                if let Some(first) = self.producers.apply(header, append_time) {
                    self.transactions.begin(first, header.producer_id);
                }
            }
        }
        if header.is_transactional() {
            self.verifications.appended(header);
        }
        self.extend_to(header.next_offset());
    }

    /// How far readers of committed records see, where others see up to `published`.
    pub fn last_stable(&mut self, published: Offset) -> Offset {
        self.transactions.last_stable(published)
    }

    /// Its transactions.
    #[cfg(test)]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Whether there are no transactions, nor aborted ones to tell of.
    pub fn is_without_transactions(&self) -> bool {
        self.transactions.is_empty()
    }

    /// The aborted transactions with records from `from` to before `below`.
    pub fn aborted(&self, from: Offset, below: Offset) -> Vec<AbortedTransaction> {
        self.transactions.aborted().overlapping(from, below)
    }

    /// The epoch history, once, when the log does not have it yet.
    pub fn take_changed_epochs(&mut self) -> Option<Vec<EpochStart>> {
        std::mem::take(&mut self.epochs_changed).then(|| self.epochs.entries().to_vec())
    }

    /// The state as of the log end, in the forms that are stored: Kafka's and ours, and the transaction indexes that are not
    /// stored yet. The log has segments with these base offsets.
    pub fn stored(&mut self, bases: &[Offset]) -> OwnerState {
        let aborted = self.transactions.aborted_mut();
        let transaction_indexes = aborted.write_files(bases, self.log_end);
        let producers = self.producers.encode(aborted.files());
        OwnerState {
            files: vec![
                StateFile { extension: StateFile::SNAPSHOT, bytes: self.producers.encode_snapshot() },
                StateFile { extension: StateFile::PRODUCERS, bytes: producers },
            ],
            transaction_indexes,
        }
    }

    /// Offset of the next batch.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// The epoch that batches are stamped with; -1 before [`PartitionState::lead`].
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Forgets producers without an open transaction that appended nothing for `expiration_ms`; says how many.
    pub fn expire_producers(&mut self, now: Millis, expiration_ms: i64) -> usize {
        self.verifications.expire(now, expiration_ms);
        self.producers.expire(now, expiration_ms)
    }

    /// The epoch history as of a log that begins at `log_start`.
    pub fn epochs_from(&mut self, log_start: Offset) -> &Epochs {
        self.epochs.truncate_start(log_start);
        &self.epochs
    }
}

/// What state files of offset `end` tell of, and the transaction indexes of the segments from `first_batch` on: our file, or
/// Kafka's snapshot where there is none of ours. `None` if neither is there; an error if it cannot be read: an older state
/// and the batches behind it know more than Kafka's of the same offset.
pub fn state_of(
    files: &[StateFile],
    transaction_indexes: &[(Offset, Vec<u8>)],
    first_batch: Offset,
    end: Offset,
    now: Millis,
) -> Result<Option<(Producers, Aborted)>, StateError> {
    let find = |extension| files.iter().find(|file| file.extension == extension);
    let (producers, aborted) = if let Some(ours) = find(StateFile::PRODUCERS) {
        let (producers, files) = Producers::decode(&ours.bytes, end)?;
        (producers, Aborted::from_files(transaction_indexes, files, first_batch, end))
    } else if let Some(kafkas) = find(StateFile::SNAPSHOT) {
        let producers = Producers::decode_snapshot(&kafkas.bytes, end, now)?;
        (producers, Aborted::from_kafkas_files(transaction_indexes, end))
    } else {
        return Ok(None);
    };
    Ok(Some((producers, aborted.ok_or(StateError::TransactionIndex)?)))
}

#[cfg(test)]
mod tests {
    use super::super::test_log::batch;
    use super::*;
    use crate::wire::batch::checksum;

    fn leading(epoch: i32) -> PartitionState {
        let mut state = PartitionState::new(0, Producers::default(), Aborted::default(), Epochs::default());
        state.lead(epoch).unwrap();
        state
    }

    fn append(state: &mut PartitionState, producer_id: i64, sequence: i32, count: i32) -> BatchHeader {
        let (header, records) = batch(producer_id, 0, sequence, count);
        assert_eq!(state.check(&header, Origin::Client(None)), Ok(Verdict::Append));
        let stored = state.stamp(header, records);
        state.apply(&stored.header, None, 9);
        stored.header
    }

    #[test]
    fn offsets_and_epoch_are_stamped_and_the_crc_still_holds() {
        let mut state = leading(4);
        append(&mut state, 7, 0, 3);
        let (header, records) = batch(7, 0, 3, 2);
        let stored = state.stamp(header, records.clone());
        assert_eq!((stored.header.base_offset, stored.header.leader_epoch), (3, 4));
        assert_eq!(BatchHeader::parse(&stored.head), Ok(stored.header));
        assert_eq!(checksum(&stored.head, &stored.records), stored.header.crc);
        assert_eq!(stored.records, records);
    }

    #[test]
    fn an_epoch_is_in_force_at_once_and_stored_with_its_first_batch() {
        let mut state = leading(4);
        assert_eq!(state.epochs_from(0).end_offset_for(4, 0), Some((4, 0)));
        append(&mut state, 7, 0, 3);
        assert_eq!(state.take_changed_epochs(), Some(vec![EpochStart { epoch: 4, start: 0 }]));
        assert_eq!(state.take_changed_epochs(), None);
        assert_eq!(state.lead(4), Ok(()));
        assert_eq!(state.take_changed_epochs(), None);
        assert_eq!(state.lead(3), Err(4));
        assert_eq!(state.lead(6), Ok(()));
        let both = vec![EpochStart { epoch: 4, start: 0 }, EpochStart { epoch: 6, start: 3 }];
        assert_eq!(state.take_changed_epochs(), Some(both));
    }

    #[test]
    fn epochs_that_only_the_batches_tell_are_taken_up() {
        let mut state = PartitionState::new(0, Producers::default(), Aborted::default(), Epochs::default());
        let header = BatchHeader { base_offset: 5, leader_epoch: 2, ..batch(7, 0, 0, 3).0 };
        state.apply(&header, None, 0);
        assert_eq!(state.epochs_from(0).entries(), [EpochStart { epoch: 2, start: 5 }]);
        assert_eq!(state.log_end(), 8);
        assert_eq!(state.lead(1), Err(2));
    }

    #[test]
    fn the_rule_for_new_partitions_is_off_and_works() {
        let (late, _) = batch(7, 0, 5, 1);
        let mut state = leading(0);
        assert_eq!(state.check(&late, Origin::Client(None)), Ok(Verdict::Append));
        state.new_starts_at_zero = true;
        assert_eq!(state.check(&late, Origin::Client(None)), Err(SequenceError::OutOfOrder { expected: 0, got: 5 }));
        assert_eq!(state.check(&batch(-1, -1, -1, 1).0, Origin::Client(None)), Ok(Verdict::Append));
        append(&mut state, 8, 0, 1);
        assert_eq!(state.check(&late, Origin::Client(None)), Ok(Verdict::Append));
    }

    #[test]
    fn our_file_comes_before_kafkas_also_if_it_is_damaged() {
        let mut state = leading(0);
        for sequence in 0..5 {
            append(&mut state, 7, sequence, 1);
        }
        let mut files = state.stored(&[0]).files;
        assert_eq!(state_of(&files, &[], 0, 5, 0).unwrap().unwrap().0, *state.producers());
        let (kafkas, _) = state_of(&files[..1], &[], 0, 5, 0).unwrap().unwrap();
        assert_ne!(&kafkas, state.producers(), "one batch of each producer");
        assert_eq!(kafkas.len(), 1);
        files[1].bytes[9] ^= 1;
        assert_eq!(state_of(&files, &[], 0, 5, 0), Err(StateError::Corrupt));
        files[0].bytes[9] ^= 1;
        assert_eq!(state_of(&files[..1], &[], 0, 5, 0), Err(StateError::Corrupt));
        assert_eq!(state_of(&[], &[], 0, 5, 0), Ok(None));
    }
}
