//! What a partition means, the same for every log engine: who may write next, what a reader may see, what survives.
//!
//! [`Partition::append`] decides and applies under the lock, hands the batch to the log, and answers when the log has
//! got far enough. Nothing is taken back: on a failure of the log the partition is dropped and opened again from what
//! is durable. Readers see what the log published; they never take the lock for data.
//!
//! Left out until they exist: followers (the divergence check of KIP-595 by last fetched epoch, which consumers do not ask
//! for).

pub mod aborted;
pub mod epochs;
pub mod producers;
pub mod state;
#[cfg(test)]
mod test_log;
#[cfg(test)]
mod tests;
pub mod transactions;
pub mod verification;

pub use aborted::AbortedTransaction;
pub use producers::{ActiveProducer, MarkerEpoch, SequenceError};
pub use state::Origin;
pub use verification::{Guard, Verify};

use crate::log::{
    Append, Log, LogError, Offset, OwnerState, ReadError, Recovered, Registration, Run, Slice, StateFile, TimedOffset,
    Wait, Waiter,
};
use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use crate::wire::control::Marker;
use aborted::Aborted;
use bytes::Bytes;
use epochs::Epochs;
use parking_lot::Mutex;
use producers::{MarkerVerdict, Producers, StateError, Stored, Verdict};
use state::{PartitionState, state_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static GUARDS: AtomicU64 = AtomicU64::new(0);

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never; the client does not wait.
    None,
    /// When it is in the file.
    Leader,
    /// When it is published: durable, unless the log is in page-cache mode.
    All,
}

/// What a reader wants to see of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything below the high watermark.
    ReadUncommitted,
    /// Everything below the last stable offset.
    ReadCommitted,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record; of the original's, for a duplicate.
    pub base_offset: Offset,
    /// The timestamp that the broker gave it; -1 where the client's is kept.
    pub log_append_time: Millis,
    /// Offset of the first record that can be read.
    pub log_start_offset: Offset,
    /// The batch had been stored before, nothing was appended.
    pub duplicate: bool,
}

/// Why an append did not happen, or may not have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The producer's state forbids it; nothing was appended.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The log failed before the answer was certain.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why a partition cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has batches of a later leader epoch: its history would be contradicted.
    #[error("leader epoch {given} is older than {stored}, which is in the log")]
    EpochBehind {
        /// The latest epoch in the log.
        stored: i32,
        /// The one to lead under.
        given: i32,
    },
}

/// Why a read gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// OFFSET_OUT_OF_RANGE: before the log start or after the log end.
    #[error("offset out of range")]
    OutOfRange,
    /// FENCED_LEADER_EPOCH (KIP-320): the client's leader epoch is older than ours.
    #[error("the client knows an older leader epoch")]
    FencedLeaderEpoch,
    /// UNKNOWN_LEADER_EPOCH (KIP-320): the client's leader epoch is newer than ours.
    #[error("the client knows a newer leader epoch")]
    UnknownLeaderEpoch,
    /// Ask again where waiting for the disk is allowed.
    #[error("the disk would have to be waited for")]
    WouldBlock,
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<ReadError> for FetchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange => FetchError::OutOfRange,
            ReadError::WouldBlock => FetchError::WouldBlock,
            ReadError::Log(error) => FetchError::Log(error),
        }
    }
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// Offset of the first record wanted.
    pub from: Offset,
    /// At most this many bytes.
    pub max_bytes: usize,
    /// Unless the first batch alone is larger, and this is set.
    pub first_whole: bool,
    /// The leader epoch that the client knows, to be checked against ours.
    pub leader_epoch: Option<i32>,
    /// How far the reader sees.
    pub isolation: Isolation,
    /// Whether the disk may be waited for.
    pub wait: Wait,
}

/// What was read. The offsets are from before the read, so that nothing that they promise can be missing from it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Whole batches, the first of which may begin before the offset asked for.
    pub slices: Vec<Slice>,
    /// Offset after the last record that readers may see.
    pub high_watermark: Offset,
    /// Offset of the first record that can be read.
    pub log_start: Offset,
    /// Offset after the last record whose transaction is decided.
    pub last_stable: Offset,
    /// For readers of committed records: the aborted transactions that the batches hold records of.
    pub aborted: Vec<AbortedTransaction>,
}

/// Which offset is asked for (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The log start; also the local one, as nothing is tiered.
    Earliest,
    /// The end, as far as the reader sees.
    Latest,
    /// The first record with the largest timestamp.
    MaxTimestamp,
    /// The first record at this time or later.
    AtTime(Millis),
}

/// The end of a producer's transaction, to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    /// The producer's id.
    pub producer_id: i64,
    /// The epoch that it has from here on.
    pub producer_epoch: i16,
    /// What was decided, and by whom.
    pub marker: Marker,
    /// Which epochs are right.
    pub rule: MarkerEpoch,
}

/// One partition, led here.
pub struct Partition {
    state: Mutex<PartitionState>,
    log: Arc<dyn Log>,
    leader_epoch: i32,
    duplicates: AtomicU64,
    /// There are transactions, or were: readers have to ask the state. Set before the first of them is submitted.
    transactional: AtomicBool,
}

impl Partition {
    /// Builds the state from what the log found: the newest saved state that can be read, then the batches after it.
    /// May wait for the disk.
    pub fn open(log: Arc<dyn Log>, stored: Recovered, leader_epoch: i32, now: Millis) -> Result<Self, OpenError> {
        let Recovered { first_batch, log_end, epochs, states, transaction_indexes, mut replay } = stored;
        let (from, producers, aborted) = newest_usable(&states, &transaction_indexes, first_batch, log_end, now);
        let mut epochs = Epochs::new(&epochs);
        epochs.truncate_end(log_end);
        let mut state = PartitionState::new(from, producers, aborted, epochs);
        if from < log_end {
            replay(from, &mut |batch| {
                // The batch that contains an offset may begin before it, and is in the saved state already. What is
                // damaged below the recovery point may say that it lies beyond the end.
                if batch.header.base_offset >= state.log_end() && batch.header.next_offset() <= log_end {
                    let is_control = batch.header.is_control();
                    let marker = is_control.then(|| Marker::read(batch.header, batch.control)).flatten();
                    state.apply(batch.header, marker, batch.append_time.min(now));
                }
            })?;
        }
        state.extend_to(log_end);
        state.last_stable(log_end);
        state.lead(leader_epoch).map_err(|stored| OpenError::EpochBehind { stored, given: leader_epoch })?;
        let transactional = AtomicBool::new(!state.is_without_transactions());
        Ok(Self { state: Mutex::new(state), log, leader_epoch, duplicates: AtomicU64::new(0), transactional })
    }

    /// Appends a client's batch that is part of no transaction, or of one that has begun here: see
    /// [`Partition::append_from`].
    pub fn append(&self, header: BatchHeader, records: Bytes, required: Acks, now: Millis) -> Appending {
        self.append_from(Origin::Client(None), header, records, required, now)
    }

    /// Appends a batch whose fields, CRC and records have been validated. Everything up to the log's queue happens in this
    /// call, in the order of calls; [`Appending::finish`] tells the outcome.
    pub fn append_from(
        &self,
        origin: Origin,
        header: BatchHeader,
        records: Bytes,
        required: Acks,
        now: Millis,
    ) -> Appending {
        let staged = self.stage(origin, header, records, now);
        let (outcome, end) = match staged {
            Ok((stored, duplicate)) => {
                let appended = Appended {
                    base_offset: stored.base_offset,
                    // A duplicate is told the original's time, whoever's it was (`UnifiedLog`).
                    log_append_time: if duplicate || header.is_append_time() { stored.timestamp } else { -1 },
                    log_start_offset: -1,
                    duplicate,
                };
                (Ok(appended), stored.last_offset.saturating_add(1))
            }
            Err((error, log_end)) => (Err(error), log_end),
        };
        let until = match (required, &outcome) {
            // Computed from batches that may still be lost; then it would not be true.
            (_, Err(_)) | (Acks::All, _) => Until::Published(end),
            // Nobody is told under acks=0, but the request holds its memory until then.
            (Acks::Leader | Acks::None, _) => Until::Written(end),
        };
        Appending { log: self.log.clone(), outcome, until }
    }

    /// Decides, applies and submits: tells where the batch is and whether it was there before. With an error goes the
    /// log end that it was computed from.
    fn stage(
        &self,
        origin: Origin,
        header: BatchHeader,
        records: Bytes,
        now: Millis,
    ) -> Result<(Stored, bool), (SequenceError, Offset)> {
        let mut state = self.state.lock();
        match state.check(&header, origin) {
            Err(error) => Err((error, state.log_end())),
            Ok(Verdict::Duplicate(stored)) => {
                self.duplicates.fetch_add(1, Ordering::Relaxed);
                Ok((stored, true))
            }
            Ok(Verdict::Append) => Ok((self.submit(&mut state, header, records, None, now), false)),
        }
    }

    /// Stamps, applies and hands to the log.
    fn submit(
        &self,
        state: &mut PartitionState,
        header: BatchHeader,
        records: Bytes,
        marker: Option<Marker>,
        now: Millis,
    ) -> Stored {
        let batch = state.stamp(header, records);
        let header = batch.header;
        let roll = self.log.rolls_before(&header).then(|| state.stored(&self.log.segment_bases()));
        if header.is_transactional() {
            self.transactional.store(true, Ordering::Release);
        }
        state.apply(&header, marker, now);
        let epochs = state.take_changed_epochs();
        self.log.submit(Append { batch, roll, epochs });
        Stored { base_offset: header.base_offset, last_offset: header.last_offset(), timestamp: header.max_timestamp }
    }

    /// The guard to ask the transaction's coordinator under, before a batch of this producer may be appended in a
    /// transaction, by [`Partition::append_from`]; `None` where one has begun here, and there is nothing to ask.
    ///
    /// # Errors
    /// A newer instance of the producer has written; nobody need be asked.
    pub fn verify(&self, verify: Verify, now: Millis) -> Result<Option<Guard>, SequenceError> {
        // Over all partitions: one that is opened again must not take the guard of before for its own.
        let fresh = Guard(GUARDS.fetch_add(1, Ordering::Relaxed));
        self.state.lock().verify(verify, fresh, now)
    }

    /// Whether a coordinator may write in this producer's transaction.
    pub fn check_coordinated(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        guard: Option<Guard>,
    ) -> Result<(), SequenceError> {
        self.state.lock().check_coordinated(producer_id, producer_epoch, guard)
    }

    /// Appends the end of a producer's transaction, unless it is there already: the outcome is a duplicate then, without an
    /// offset. Like [`Partition::append_from`] in all else.
    pub fn end_transaction(&self, end: TransactionEnd, now: Millis) -> Appending {
        let TransactionEnd { producer_id, producer_epoch, marker, rule } = end;
        let mut state = self.state.lock();
        // Nobody may ever read here; what has ended must not be remembered for readers for ever.
        state.last_stable(self.high_watermark());
        let (outcome, until) = match state.check_marker(producer_id, producer_epoch, marker, rule) {
            Err(error) => (Err(error), state.log_end()),
            Ok(MarkerVerdict::Written) => (Ok((-1, true)), state.log_end()),
            Ok(MarkerVerdict::Append) => {
                let (header, records) = marker.batch(producer_id, producer_epoch, now);
                let stored = self.submit(&mut state, header, records, Some(marker), now);
                (Ok((stored.base_offset, false)), stored.last_offset.saturating_add(1))
            }
        };
        let appended =
            |(base_offset, duplicate)| Appended { base_offset, log_append_time: -1, log_start_offset: -1, duplicate };
        Appending { log: self.log.clone(), outcome: outcome.map(appended), until: Until::Published(until) }
    }

    /// Reads whole batches. Between the high watermark and the log end there is nothing to see yet, which is no error.
    pub fn fetch(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        self.check_leader_epoch(fetch.leader_epoch)?;
        let (log_start, high_watermark) = (self.log_start(), self.high_watermark());
        let last_stable = self.last_stable_below(high_watermark);
        let below = match fetch.isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable,
        };
        let beyond = fetch.from > high_watermark && fetch.from > self.state.lock().log_end();
        if fetch.from < log_start || beyond {
            return Err(FetchError::OutOfRange);
        }
        let Run { slices, until } = if fetch.from < below {
            self.log.read(fetch.from, below, fetch.max_bytes, fetch.first_whole, fetch.wait)?
        } else {
            Run::default()
        };
        // What was stable is decided for good, so it does not matter that the list may be newer than the end.
        let aborted = match fetch.isolation {
            Isolation::ReadCommitted if !slices.is_empty() && self.is_transactional() => {
                self.state.lock().aborted(fetch.from, until)
            }
            _ => Vec::new(),
        };
        Ok(Fetched { slices, high_watermark, log_start, last_stable, aborted })
    }

    /// Wakes `waiter` when something at or after `from` is published, or the log fails; at once if that is so already.
    pub fn register(&self, from: Offset, waiter: &Arc<Waiter>) -> Registration {
        self.log.progress().register(from.saturating_add(1), waiter)
    }

    /// Answers ListOffsets; `None` where no record fits. Looking for a time may wait for the disk.
    pub fn offset_for(
        &self,
        query: OffsetQuery,
        isolation: Isolation,
        leader_epoch: Option<i32>,
    ) -> Result<Option<TimedOffset>, FetchError> {
        self.check_leader_epoch(leader_epoch)?;
        let high = self.high_watermark();
        let below = self.visible_end(isolation);
        match query {
            OffsetQuery::Earliest => {
                let offset = self.log_start();
                let leader_epoch = self.state.lock().epochs_from(offset).epoch_at(offset).unwrap_or(-1);
                Ok(Some(TimedOffset { timestamp: -1, offset, leader_epoch }))
            }
            OffsetQuery::Latest => {
                Ok(Some(TimedOffset { timestamp: -1, offset: below, leader_epoch: self.leader_epoch }))
            }
            // As in Kafka: of all records, and nothing where that one is not to be read yet.
            OffsetQuery::MaxTimestamp => {
                let latest = self.log.max_timestamp(high)?;
                Ok(latest.filter(|found| found.offset < below))
            }
            OffsetQuery::AtTime(timestamp) => Ok(self.log.offset_for_time(timestamp, below)?),
        }
    }

    /// Answers OffsetForLeaderEpoch: the largest epoch not above `epoch` and where it ended. The current one ends at
    /// the high watermark, where Kafka says log end: what is not durable may still not be there tomorrow.
    pub fn end_offset_for_epoch(
        &self,
        epoch: i32,
        leader_epoch: Option<i32>,
    ) -> Result<Option<(i32, Offset)>, FetchError> {
        self.check_leader_epoch(leader_epoch)?;
        let (log_start, end) = (self.log_start(), self.high_watermark());
        Ok(self.state.lock().epochs_from(log_start).end_offset_for(epoch, end))
    }

    /// Offset after the last record that readers may see.
    pub fn high_watermark(&self) -> Offset {
        self.log.progress().published()
    }

    /// Offset before the first record of any transaction whose end is not published; the high watermark without one.
    pub fn last_stable(&self) -> Offset {
        self.last_stable_below(self.high_watermark())
    }

    /// As of an earlier high watermark: whatever began below it was submitted before that was published.
    fn last_stable_below(&self, published: Offset) -> Offset {
        if self.is_transactional() { self.state.lock().last_stable(published) } else { published }
    }

    fn is_transactional(&self) -> bool {
        self.transactional.load(Ordering::Acquire)
    }

    /// Offset of the first record that can be read.
    pub fn log_start(&self) -> Offset {
        self.log.start()
    }

    /// The epoch that this partition is led under.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The log, for its size and its settings.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Whether so much waits for the disk that nothing should be appended for now.
    pub fn is_congested(&self) -> bool {
        self.log.is_congested()
    }

    /// Why the log takes nothing more, if it does not: the partition has to be opened again.
    pub fn failed(&self) -> Option<LogError> {
        self.log.progress().failure()
    }

    /// Batches that were not appended because they had been before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// The producers that are known.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.state.lock().producers().active().collect()
    }

    /// How many producers are known.
    pub fn producer_count(&self) -> usize {
        self.state.lock().producers().len()
    }

    /// Forgets producers that appended nothing for `expiration_ms` (`producer.id.expiration.ms`); says how many.
    pub fn expire_producers(&self, now: Millis, expiration_ms: i64) -> usize {
        self.state.lock().expire_producers(now, expiration_ms)
    }

    /// The state as of the log end, to be saved at a clean stop, when nothing is appended any more and everything is
    /// durable.
    pub fn close_state(&self) -> (Offset, OwnerState) {
        let mut state = self.state.lock();
        (state.log_end(), state.stored(&self.log.segment_bases()))
    }

    fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark(),
            Isolation::ReadCommitted => self.last_stable(),
        }
    }

    fn check_leader_epoch(&self, client: Option<i32>) -> Result<(), FetchError> {
        match client {
            Some(epoch) if epoch < self.leader_epoch => Err(FetchError::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(FetchError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}

/// The newest saved state that can be read, and its offset. One from before the first batch that is left would not
/// know of the batches between and would see a gap where there is none.
fn newest_usable(
    states: &[(Offset, Vec<StateFile>)],
    transaction_indexes: &[(Offset, Vec<u8>)],
    first_batch: Offset,
    log_end: Offset,
    now: Millis,
) -> (Offset, Producers, Aborted) {
    for (offset, files) in states.iter().filter(|(offset, _)| (first_batch..=log_end).contains(offset)) {
        match state_of(files, transaction_indexes, first_batch, *offset, now) {
            Ok(Some((producers, aborted))) => return (*offset, producers, aborted),
            Ok(None) => {}
            Err(error @ StateError::TransactionIndex) => {
                tracing::debug!(offset, %error, "saved producer state skipped for an older one");
            }
            Err(error) => tracing::warn!(offset, %error, "saved producer state skipped for an older one"),
        }
    }
    (first_batch, Producers::default(), Aborted::default())
}

/// How far the log has to come before an outcome may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Written(Offset),
    Published(Offset),
}

/// An append on its way. Dropping it changes nothing but that nobody is told.
#[must_use = "the outcome is known when it is finished"]
pub struct Appending {
    log: Arc<dyn Log>,
    outcome: Result<Appended, SequenceError>,
    until: Until,
}

impl Appending {
    /// Offset up to which the log has to be published before anything may be told that was computed after this append.
    pub fn published_at(&self) -> Offset {
        match self.until {
            Until::Written(end) | Until::Published(end) => end,
        }
    }

    /// Whether something was appended, which may still be lost.
    pub fn is_appended(&self) -> bool {
        self.outcome.is_ok_and(|appended| !appended.duplicate)
    }

    /// Resolves when the answer may be given. An error computed from the state waits until that state is published.
    pub async fn finish(self) -> Result<Appended, AppendError> {
        let progress = self.log.progress();
        match self.until {
            Until::Written(end) => progress.wait_written(end).await?,
            Until::Published(end) => progress.wait_published(end).await?,
        }
        let appended = self.outcome?;
        Ok(Appended { log_start_offset: self.log.start(), ..appended })
    }
}
