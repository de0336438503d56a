//! What each idempotent producer wrote last, and what that says about its next batch. Pure.
//!
//! The rules are those of Kafka 4.3's `ProducerAppendInfo` and `ProducerStateEntry` for batches of clients: the last
//! five batches of a producer are remembered, a batch with exactly the sequence numbers of one of them is a duplicate,
//! any other must follow the last. [`Producers::apply`] and [`Producers::end_transaction`] are the only changes besides
//! expiry, and also the way back after a restart: the same batches give the same state.
//!
//! Where Kafka differs: its snapshot keeps one batch per producer, ours ([`Producers::encode`]) keeps five and the
//! time of the append; a producer expires by that time, not by the timestamps of its records.
//!
//! Of transactions it knows where each producer's open one began; what follows from that for readers is in
//! [`transactions`](super::transactions). Left out: a bound on the number of producers.

use super::aborted::IndexFile;
use crate::log::Offset;
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, increment_sequence};
use crate::wire::control::Marker;
use indexmap::IndexMap;

/// Batches remembered per producer: as many as a client keeps in flight.
pub const WINDOW: usize = 5;

const NO_EPOCH: i16 = -1;
const NO_OFFSET: Offset = -1;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It comes next.
    Append,
    /// It is stored already.
    Duplicate(Stored),
}

/// What to do with a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerVerdict {
    /// It ends a transaction, or raises the producer's epoch.
    Append,
    /// It is there already.
    Written,
}

/// Where a remembered batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its largest timestamp; its append time where the broker stamps that.
    pub timestamp: Millis,
}

/// Why a batch must not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// INVALID_PRODUCER_EPOCH (47): a newer instance of this producer has written.
    #[error("producer epoch {got} is older than {current}")]
    StaleEpoch {
        /// The epoch last seen.
        current: i16,
        /// The batch's.
        got: i16,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER (45): batches are missing before this one, or it was stored too long ago to be
    /// known as a duplicate.
    #[error("sequence number {got}, expected {expected}")]
    OutOfOrder {
        /// The sequence number that would have been right.
        expected: i32,
        /// The batch's first.
        got: i32,
    },
    /// INVALID_TXN_STATE (48): the producer has a transaction open and the batch is outside of it.
    #[error("the producer has an open transaction, the batch is not part of one")]
    OutsideTransaction,
    /// INVALID_TXN_STATE (48): the coordinator has not said that the partition is part of the transaction.
    #[error("the record is not part of an ongoing transaction")]
    NotVerified,
    /// TRANSACTION_COORDINATOR_FENCED (52): a newer coordinator has ended a transaction of this producer.
    #[error("coordinator epoch {got} is older than {current}")]
    StaleCoordinator {
        /// The epoch last seen.
        current: i32,
        /// The marker's.
        got: i32,
    },
}

/// Whether a marker may bear the epoch of the records before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerEpoch {
    /// It may: the producer keeps its epoch (transaction versions 0 and 1).
    SameOrHigher,
    /// It must be higher: each transaction ends with a new epoch, and one of an older transaction ends nothing (KIP-1228).
    Higher,
}

/// A producer as tools are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The last sequence number of its last batch; -1 where none is remembered.
    pub last_sequence: i32,
    /// The largest timestamp of its last batch, or that of its last marker.
    pub last_timestamp: Millis,
    /// Of the coordinator that ended its last transaction; -1 without one.
    pub coordinator_epoch: i32,
    /// Where its open transaction began; -1 without one.
    pub txn_first_offset: Offset,
}

/// State bytes that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Cut off, changed, or not such a file.
    #[error("the producer state is damaged")]
    Corrupt,
    /// Written by a version that is not known here.
    #[error("producer state of unknown version {0}")]
    Version(i16),
    /// A transaction index that belongs to it is not there, as after a crash, or damaged.
    #[error("the transaction indexes of this producer state are not all there")]
    TransactionIndex,
}

/// One remembered batch. The first offset and sequence number follow from the last and the delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Batch {
    last_offset: Offset,
    timestamp: Millis,
    last_sequence: i32,
    offset_delta: i32,
}

impl Batch {
    fn of(header: &BatchHeader) -> Self {
        Self {
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
            last_sequence: header.last_sequence(),
            offset_delta: header.last_offset_delta,
        }
    }

    fn base_sequence(&self) -> i32 {
        const SEQUENCES: i64 = i32::MAX as i64 + 1;
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(SEQUENCES) as i32
    }

    fn stored(&self) -> Stored {
        Stored {
            base_offset: self.last_offset.saturating_sub(i64::from(self.offset_delta)),
            last_offset: self.last_offset,
            timestamp: self.timestamp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Producer {
    /// Oldest first; only `held` of them count, the others are zero.
    batches: [Batch; WINDOW],
    held: u8,
    epoch: i16,
    coordinator_epoch: i32,
    /// Where the open transaction began, or -1.
    txn_first_offset: Offset,
    /// The largest timestamp of the last batch, or the timestamp of the last marker.
    last_timestamp: Millis,
    /// When the last batch was appended, by the broker's wall clock.
    append_time: Millis,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self {
            batches: Default::default(),
            held: 0,
            epoch,
            coordinator_epoch: -1,
            txn_first_offset: NO_OFFSET,
            last_timestamp: -1,
            append_time: -1,
        }
    }

    fn window(&self) -> &[Batch] {
        self.batches.get(..usize::from(self.held)).unwrap_or_default()
    }

    fn push(&mut self, batch: Batch) {
        if usize::from(self.held) == WINDOW {
            self.batches.rotate_left(1);
            self.held -= 1;
        }
        if let Some(free) = self.batches.get_mut(usize::from(self.held)) {
            *free = batch;
            self.held += 1;
        }
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = Default::default();
            self.held = 0;
        }
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<Stored> {
        let same = |batch: &&Batch| {
            batch.last_sequence == header.last_sequence() && batch.base_sequence() == header.base_sequence
        };
        self.window().iter().find(same).map(Batch::stored)
    }

    /// The sequence number that a batch of this epoch must begin with; `None` where any will do.
    fn expected(&self, epoch: i16) -> Option<i32> {
        if self.epoch == NO_EPOCH {
            return None;
        }
        let last = self.window().last().filter(|_| epoch == self.epoch);
        // Nothing remembered of the epoch (only a marker is left of it) counts as -1 written last.
        Some(last.map_or(0, |batch| increment_sequence(batch.last_sequence, 1)))
    }
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: IndexMap<i64, Producer>,
}

impl Producers {
    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether anything is known of this producer.
    pub fn knows(&self, producer_id: i64) -> bool {
        self.by_id.contains_key(&producer_id)
    }

    /// Judges a client's data batch whose fields have been validated. A producer of which nothing is known may begin
    /// with any sequence number, as in Kafka from 2.5 to 4.4.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, SequenceError> {
        if !header.has_producer_id() {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(Verdict::Append) };
        let (current, got) = (producer.epoch, header.producer_epoch);
        if got == current
            && let Some(stored) = producer.duplicate_of(header)
        {
            return Ok(Verdict::Duplicate(stored));
        }
        if got < current {
            return Err(SequenceError::StaleEpoch { current, got });
        }
        if let Some(expected) = producer.expected(got)
            && expected != header.base_sequence
        {
            return Err(SequenceError::OutOfOrder { expected, got: header.base_sequence });
        }
        if producer.txn_first_offset != NO_OFFSET && !header.is_transactional() {
            return Err(SequenceError::OutsideTransaction);
        }
        Ok(Verdict::Append)
    }

    /// Judges a batch that a coordinator writes in a producer's transaction: it has no sequence numbers.
    pub fn check_coordinated(&self, producer_id: i64, producer_epoch: i16) -> Result<(), SequenceError> {
        match self.by_id.get(&producer_id) {
            Some(producer) if producer_epoch < producer.epoch => {
                Err(SequenceError::StaleEpoch { current: producer.epoch, got: producer_epoch })
            }
            _ => Ok(()),
        }
    }

    /// Judges the end of a transaction. One that was written before, as far as that can be told, is a duplicate
    /// (KAFKA-19999). (`ProducerAppendInfo.appendEndTxnMarker`.)
    pub fn check_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        marker: Marker,
        rule: MarkerEpoch,
    ) -> Result<MarkerVerdict, SequenceError> {
        let Some(producer) = self.by_id.get(&producer_id) else { return Ok(MarkerVerdict::Append) };
        let (current, got) = (producer.epoch, producer_epoch);
        let repeated = rule == MarkerEpoch::Higher && got == current;
        if got < current || (repeated && producer.txn_first_offset != NO_OFFSET) {
            return Err(SequenceError::StaleEpoch { current, got });
        }
        if marker.coordinator_epoch < producer.coordinator_epoch {
            let (current, got) = (producer.coordinator_epoch, marker.coordinator_epoch);
            return Err(SequenceError::StaleCoordinator { current, got });
        }
        Ok(if repeated { MarkerVerdict::Written } else { MarkerVerdict::Append })
    }

    /// All producers, in the order in which they came.
    pub fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.by_id.iter().map(|(id, producer)| ActiveProducer {
            producer_id: *id,
            producer_epoch: producer.epoch,
            last_sequence: producer.window().last().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            txn_first_offset: producer.txn_first_offset,
        })
    }

    /// Whether the producer has a transaction open here, under this epoch.
    pub fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let producer = self.by_id.get(&producer_id);
        producer.is_some_and(|it| it.txn_first_offset != NO_OFFSET && it.epoch == producer_epoch)
    }

    /// The open transactions: where each began, and whose it is.
    pub fn open_transactions(&self) -> impl Iterator<Item = (Offset, i64)> {
        let open = self.by_id.iter().filter(|(_, producer)| producer.txn_first_offset != NO_OFFSET);
        open.map(|(id, producer)| (producer.txn_first_offset, *id))
    }

    /// Takes up a stored batch of records, `append_time` being when it was appended by the broker's wall clock. Never
    /// refuses: what is in the log is so. Says where a transaction began with it.
    pub fn apply(&mut self, header: &BatchHeader, append_time: Millis) -> Option<Offset> {
        let producer = self.seen(header, append_time)?;
        producer.push(Batch::of(header));
        let begins = header.is_transactional() && producer.txn_first_offset == NO_OFFSET;
        if begins {
            producer.txn_first_offset = header.base_offset;
        }
        begins.then_some(header.base_offset)
    }

    /// Takes up a stored marker. Says where the transaction that it ends began, if there was one.
    pub fn end_transaction(&mut self, header: &BatchHeader, marker: Marker, append_time: Millis) -> Option<Offset> {
        let producer = self.seen(header, append_time)?;
        producer.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = std::mem::replace(&mut producer.txn_first_offset, NO_OFFSET);
        (first_offset != NO_OFFSET).then_some(first_offset)
    }

    fn seen(&mut self, header: &BatchHeader, append_time: Millis) -> Option<&mut Producer> {
        if !header.has_producer_id() {
            return None;
        }
        let fresh = || Producer::new(header.producer_epoch);
        let producer = self.by_id.entry(header.producer_id).or_insert_with(fresh);
        producer.set_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        producer.append_time = append_time;
        Some(producer)
    }

    /// Forgets those without an open transaction that appended nothing for `expiration_ms`; says how many.
    pub fn expire(&mut self, now: Millis, expiration_ms: i64) -> usize {
        let before = self.by_id.len();
        self.by_id.retain(|_, producer| {
            // A stamp from before the clock was set back counts from now, or it would hold for as long as that.
            producer.append_time = producer.append_time.min(now);
            producer.txn_first_offset != NO_OFFSET || now.saturating_sub(producer.append_time) < expiration_ms
        });
        before - self.by_id.len()
    }
}

/// The stored forms. Both begin with a version (i16) and the CRC-32C (u32) of everything after it; integers are big
/// endian; producers come in the order of their ids.
impl Producers {
    /// Kafka's `.snapshot`, version 1: the last batch of each producer.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = vec![0; ENVELOPE];
        out.reserve(4 + self.by_id.len() * SNAPSHOT_ENTRY);
        out.extend(self.count().to_be_bytes());
        for (id, producer) in self.sorted() {
            let none = Batch { last_offset: NO_OFFSET, last_sequence: -1, ..Batch::default() };
            let last = producer.window().last().unwrap_or(&none);
            out.extend(id.to_be_bytes());
            out.extend(producer.epoch.to_be_bytes());
            out.extend(last.last_sequence.to_be_bytes());
            out.extend(last.last_offset.to_be_bytes());
            out.extend(last.offset_delta.to_be_bytes());
            out.extend(producer.last_timestamp.to_be_bytes());
            out.extend(producer.coordinator_epoch.to_be_bytes());
            out.extend(producer.txn_first_offset.to_be_bytes());
        }
        seal(out, SNAPSHOT_VERSION)
    }

    /// Reads Kafka's `.snapshot` as of offset `end`. It does not say when a producer appended, so that is now.
    pub fn decode_snapshot(bytes: &[u8], end: Offset, now: Millis) -> Result<Self, StateError> {
        let mut input = open(bytes, SNAPSHOT_VERSION)?;
        let (mut producers, count) = Self::with_room(&mut input, SNAPSHOT_ENTRY)?;
        for _ in 0..count {
            let id = i64::from_be_bytes(input.take()?);
            let mut producer = Producer::new(i16::from_be_bytes(input.take()?));
            let mut last = Batch { last_sequence: i32::from_be_bytes(input.take()?), ..Batch::default() };
            last.last_offset = i64::from_be_bytes(input.take()?);
            last.offset_delta = i32::from_be_bytes(input.take()?);
            last.timestamp = i64::from_be_bytes(input.take()?);
            producer.coordinator_epoch = i32::from_be_bytes(input.take()?);
            producer.txn_first_offset = i64::from_be_bytes(input.take()?).max(NO_OFFSET);
            producer.last_timestamp = last.timestamp;
            producer.append_time = now;
            if last.last_offset >= 0 {
                producer.push(last);
            }
            producers.insert(id, producer, end)?;
        }
        input.end().map(|()| producers)
    }

    /// Our `.producers`, version 2: everything that is known, and which files have the aborted transactions, which version 1
    /// was without.
    pub fn encode(&self, aborted: &[IndexFile]) -> Vec<u8> {
        let mut out = vec![0; ENVELOPE];
        out.reserve(4 + self.by_id.len() * (ENTRY + WINDOW * ENTRY_BATCH));
        out.extend(self.count().to_be_bytes());
        for (id, producer) in self.sorted() {
            out.extend(id.to_be_bytes());
            out.extend(producer.epoch.to_be_bytes());
            out.extend(producer.coordinator_epoch.to_be_bytes());
            out.extend(producer.txn_first_offset.to_be_bytes());
            out.extend(producer.last_timestamp.to_be_bytes());
            out.extend(producer.append_time.to_be_bytes());
            out.push(producer.held);
            for batch in producer.window() {
                out.extend(batch.last_offset.to_be_bytes());
                out.extend(batch.timestamp.to_be_bytes());
                out.extend(batch.last_sequence.to_be_bytes());
                out.extend(batch.offset_delta.to_be_bytes());
            }
        }
        out.extend(i32::try_from(aborted.len()).unwrap_or(i32::MAX).to_be_bytes());
        for file in aborted {
            out.extend(file.base.to_be_bytes());
            out.extend(file.bytes.to_be_bytes());
            out.extend(file.crc.to_be_bytes());
        }
        seal(out, PRODUCERS_VERSION)
    }

    /// Reads our `.producers` as of offset `end`.
    pub fn decode(bytes: &[u8], end: Offset) -> Result<(Self, Vec<IndexFile>), StateError> {
        let (version, mut input) = match open(bytes, PRODUCERS_VERSION) {
            Err(StateError::Version(1)) => (1, open(bytes, 1)?),
            opened => (PRODUCERS_VERSION, opened?),
        };
        let (mut producers, count) = Self::with_room(&mut input, ENTRY)?;
        for _ in 0..count {
            let id = i64::from_be_bytes(input.take()?);
            let mut producer = Producer::new(i16::from_be_bytes(input.take()?));
            producer.coordinator_epoch = i32::from_be_bytes(input.take()?);
            producer.txn_first_offset = i64::from_be_bytes(input.take()?);
            producer.last_timestamp = i64::from_be_bytes(input.take()?);
            producer.append_time = i64::from_be_bytes(input.take()?);
            let [held] = input.take()?;
            if usize::from(held) > WINDOW {
                return Err(StateError::Corrupt);
            }
            for _ in 0..held {
                producer.push(Batch {
                    last_offset: i64::from_be_bytes(input.take()?),
                    timestamp: i64::from_be_bytes(input.take()?),
                    last_sequence: i32::from_be_bytes(input.take()?),
                    offset_delta: i32::from_be_bytes(input.take()?),
                });
            }
            producers.insert(id, producer, end)?;
        }
        let aborted = if version == 1 { Vec::new() } else { decode_files(&mut input, end)? };
        input.end().map(|()| (producers, aborted))
    }

    fn count(&self) -> i32 {
        i32::try_from(self.by_id.len()).unwrap_or(i32::MAX)
    }

    fn sorted(&self) -> Vec<(i64, &Producer)> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, producer)| (*id, producer)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Reads the count and makes room for it, but for no more than the bytes that follow can hold.
    fn with_room(input: &mut Input<'_>, smallest: usize) -> Result<(Self, usize), StateError> {
        let count = usize::try_from(i32::from_be_bytes(input.take()?)).map_err(|_| StateError::Corrupt)?;
        if count > input.0.len() / smallest {
            return Err(StateError::Corrupt);
        }
        Ok((Self { by_id: IndexMap::with_capacity(count) }, count))
    }

    /// Puts in one decoded producer. A batch past `end` would be a duplicate's original that never becomes durable.
    fn insert(&mut self, id: i64, producer: Producer, end: Offset) -> Result<(), StateError> {
        let sound = |batch: &Batch| batch.last_offset < end && batch.offset_delta >= 0 && batch.last_sequence >= -1;
        let began = producer.txn_first_offset;
        if !producer.window().iter().all(sound) || !(NO_OFFSET..end.max(0)).contains(&began) {
            return Err(StateError::Corrupt);
        }
        match self.by_id.insert(id, producer) {
            None => Ok(()),
            Some(_) => Err(StateError::Corrupt),
        }
    }
}

const SNAPSHOT_VERSION: i16 = 1;
const PRODUCERS_VERSION: i16 = 2;
/// Version and CRC.
const ENVELOPE: usize = 6;
const SNAPSHOT_ENTRY: usize = 46;
const ENTRY: usize = 39;
const ENTRY_BATCH: usize = 24;

fn decode_files(input: &mut Input<'_>, end: Offset) -> Result<Vec<IndexFile>, StateError> {
    let count = i32::from_be_bytes(input.take()?);
    let mut files: Vec<IndexFile> = Vec::new();
    for _ in 0..count {
        let base = i64::from_be_bytes(input.take()?);
        let (bytes, crc) = (u32::from_be_bytes(input.take()?), u32::from_be_bytes(input.take()?));
        if !(0..end).contains(&base) || files.last().is_some_and(|last| last.base >= base) {
            return Err(StateError::Corrupt);
        }
        files.push(IndexFile { base, bytes, crc });
    }
    Ok(files)
}

/// Fills in the version and the CRC, for which `bytes` has room at its front.
fn seal(mut bytes: Vec<u8>, version: i16) -> Vec<u8> {
    let crc = crc32c::crc32c(bytes.get(ENVELOPE..).unwrap_or_default());
    if let Some((front, _)) = bytes.split_first_chunk_mut::<ENVELOPE>() {
        let [v0, v1] = version.to_be_bytes();
        let [c0, c1, c2, c3] = crc.to_be_bytes();
        *front = [v0, v1, c0, c1, c2, c3];
    }
    bytes
}

/// Checks the version and the CRC and gives what follows.
fn open(bytes: &[u8], version: i16) -> Result<Input<'_>, StateError> {
    let mut input = Input(bytes);
    let found = i16::from_be_bytes(input.take()?);
    if found != version {
        return Err(StateError::Version(found));
    }
    let crc = u32::from_be_bytes(input.take()?);
    if crc != crc32c::crc32c(input.0) {
        return Err(StateError::Corrupt);
    }
    Ok(input)
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StateError::Corrupt)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn end(&self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Corrupt) }
    }
}

#[cfg(test)]
mod tests;
