//! What a partition knows: its end, its producers, its epochs. Pure: judges a batch, stamps it, takes it up.
//!
//! [`PartitionState::apply`] is the only way forward, for a batch that was just stamped and for one that is read back
//! from the log. High watermark and log start are the log's and are not kept here.
//!
//! Left out: transactions (no open ones, no aborted list).

use super::epochs::Epochs;
use super::producers::{Producers, SequenceError, StateError, Verdict};
use crate::log::{EpochStart, Offset, StateFile};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, StoredBatch};
use bytes::Bytes;

/// Kafka 4.5's rule that a partition which never held a record takes only sequence 0 from an idempotent producer
/// (KAFKA-19880). Off, as in 4.3: a client that goes on after its topic was deleted and made again would be stuck.
const NEW_PARTITION_STARTS_AT_ZERO: bool = false;

/// The state of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    log_end: Offset,
    leader_epoch: i32,
    producers: Producers,
    epochs: Epochs,
    /// The log does not have this history yet; it gets it with the next batch.
    epochs_changed: bool,
    new_starts_at_zero: bool,
}

impl PartitionState {
    /// The state as of offset `end`, before the batches from there on are applied.
    pub fn new(end: Offset, producers: Producers, epochs: Epochs) -> Self {
        Self {
            log_end: end,
            leader_epoch: -1,
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

    /// Judges a client's batch whose fields have been validated.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, SequenceError> {
        let new = self.new_starts_at_zero && self.log_end == 0 && header.has_producer_id();
        if new && header.base_sequence != 0 && !self.producers.knows(header.producer_id) {
            return Err(SequenceError::OutOfOrder { expected: 0, got: header.base_sequence });
        }
        self.producers.check(header)
    }

    /// The batch as it will be stored: its offset and the leader epoch, which lie outside of the CRC.
    pub fn stamp(&self, header: BatchHeader, records: Bytes) -> StoredBatch {
        let stamped = BatchHeader { base_offset: self.log_end, leader_epoch: self.leader_epoch, ..header };
        StoredBatch::new(stamped, records)
    }

    /// Takes up a stamped batch, `append_time` being when it was appended by the broker's wall clock.
    pub fn apply(&mut self, header: &BatchHeader, append_time: Millis) {
        debug_assert!(header.base_offset >= self.log_end, "batches come in order");
        if self.epochs.latest() < Some(header.leader_epoch) {
            self.epochs_changed |= self.epochs.begin(header.leader_epoch, header.base_offset);
        }
        self.producers.apply(header, append_time);
        self.extend_to(header.next_offset());
    }

    /// The epoch history, once, when the log does not have it yet.
    pub fn take_changed_epochs(&mut self) -> Option<Vec<EpochStart>> {
        std::mem::take(&mut self.epochs_changed).then(|| self.epochs.entries().to_vec())
    }

    /// The state as of the log end, in the forms that are stored: Kafka's and ours.
    pub fn files(&self) -> Vec<StateFile> {
        vec![
            StateFile { extension: StateFile::SNAPSHOT, bytes: self.producers.encode_snapshot() },
            StateFile { extension: StateFile::PRODUCERS, bytes: self.producers.encode() },
        ]
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

    /// The producers, to expire some.
    pub fn producers_mut(&mut self) -> &mut Producers {
        &mut self.producers
    }

    /// The epoch history as of a log that begins at `log_start`.
    pub fn epochs_from(&mut self, log_start: Offset) -> &Epochs {
        self.epochs.truncate_start(log_start);
        &self.epochs
    }
}

/// The producers that state files of offset `end` tell of: ours if it can be read, else Kafka's. `None` if neither is
/// there; an error if neither that is can be read.
pub fn producers_of(files: &[StateFile], end: Offset, now: Millis) -> Result<Option<Producers>, StateError> {
    let mut outcome = Ok(None);
    for extension in [StateFile::PRODUCERS, StateFile::SNAPSHOT] {
        let Some(file) = files.iter().find(|file| file.extension == extension) else { continue };
        let decoded = match extension {
            StateFile::PRODUCERS => Producers::decode(&file.bytes, end),
            _ => Producers::decode_snapshot(&file.bytes, end, now),
        };
        match decoded {
            Ok(producers) => return Ok(Some(producers)),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::test_log::batch;
    use super::*;
    use crate::wire::batch::checksum;

    fn leading(epoch: i32) -> PartitionState {
        let mut state = PartitionState::new(0, Producers::default(), Epochs::default());
        state.lead(epoch).unwrap();
        state
    }

    fn append(state: &mut PartitionState, producer_id: i64, sequence: i32, count: i32) -> BatchHeader {
        let (header, records) = batch(producer_id, 0, sequence, count);
        assert_eq!(state.check(&header), Ok(Verdict::Append));
        let stored = state.stamp(header, records);
        state.apply(&stored.header, 9);
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
        let mut state = PartitionState::new(0, Producers::default(), Epochs::default());
        let header = BatchHeader { base_offset: 5, leader_epoch: 2, ..batch(7, 0, 0, 3).0 };
        state.apply(&header, 0);
        assert_eq!(state.epochs_from(0).entries(), [EpochStart { epoch: 2, start: 5 }]);
        assert_eq!(state.log_end(), 8);
        assert_eq!(state.lead(1), Err(2));
    }

    #[test]
    fn the_rule_for_new_partitions_is_off_and_works() {
        let (late, _) = batch(7, 0, 5, 1);
        let mut state = leading(0);
        assert_eq!(state.check(&late), Ok(Verdict::Append));
        state.new_starts_at_zero = true;
        assert_eq!(state.check(&late), Err(SequenceError::OutOfOrder { expected: 0, got: 5 }));
        assert_eq!(state.check(&batch(-1, -1, -1, 1).0), Ok(Verdict::Append));
        append(&mut state, 8, 0, 1);
        assert_eq!(state.check(&late), Ok(Verdict::Append));
    }

    #[test]
    fn our_file_is_preferred_and_a_damaged_one_is_not_used() {
        let mut state = leading(0);
        for sequence in 0..5 {
            append(&mut state, 7, sequence, 1);
        }
        let mut files = state.files();
        assert_eq!(producers_of(&files, 5, 0).unwrap().as_ref(), Some(state.producers()));
        files[1].bytes[9] ^= 1;
        let kafkas = producers_of(&files, 5, 0).unwrap().unwrap();
        assert_ne!(&kafkas, state.producers());
        assert_eq!(kafkas.len(), 1);
        files[0].bytes[9] ^= 1;
        assert_eq!(producers_of(&files, 5, 0), Err(StateError::Corrupt));
        assert_eq!(producers_of(&[], 5, 0), Ok(None));
    }
}
