//! What a partition means, the same for every log engine: who may write next, what a reader may see, what survives.
//!
//! [`Partition::append`] decides and applies under the lock, hands the batch to the log, and answers when the log has
//! got far enough. Nothing is taken back: on a failure of the log the partition is dropped and opened again from what
//! is durable. Readers see what the log published; they never take the lock for data.
//!
//! Left out until they exist: transactions (the last stable offset is the high watermark, there is no aborted list),
//! markers, followers (the divergence check of KIP-595 by last fetched epoch, which consumers do not ask for).

pub mod epochs;
pub mod producers;
pub mod state;
#[cfg(test)]
mod test_log;
#[cfg(test)]
mod tests;

use crate::log::{
    Append, Log, LogError, Offset, ReadError, Recovered, Registration, Slice, StateFile, TimedOffset, Wait, Waiter,
};
use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use bytes::Bytes;
use epochs::Epochs;
use parking_lot::Mutex;
use producers::{Producers, SequenceError, Stored, Verdict};
use state::{PartitionState, producers_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// One partition, led here.
pub struct Partition {
    state: Mutex<PartitionState>,
    log: Arc<dyn Log>,
    leader_epoch: i32,
    duplicates: AtomicU64,
}

impl Partition {
    /// Builds the state from what the log found: the newest saved state that can be read, then the batches after it.
    /// May wait for the disk.
    pub fn open(log: Arc<dyn Log>, stored: Recovered, leader_epoch: i32, now: Millis) -> Result<Self, OpenError> {
        let Recovered { first_batch, log_end, epochs, states, mut replay } = stored;
        let (from, producers) = newest_usable(&states, first_batch, log_end, now);
        let mut epochs = Epochs::new(&epochs);
        epochs.truncate_end(log_end);
        let mut state = PartitionState::new(from, producers, epochs);
        if from < log_end {
            replay(from, &mut |header, append_time| {
                // The batch that contains an offset may begin before it, and is in the saved state already. What is
                // damaged below the recovery point may say that it lies beyond the end.
                if header.base_offset >= state.log_end() && header.next_offset() <= log_end {
                    state.apply(header, append_time.min(now));
                }
            })?;
        }
        state.extend_to(log_end);
        state.lead(leader_epoch).map_err(|stored| OpenError::EpochBehind { stored, given: leader_epoch })?;
        Ok(Self { state: Mutex::new(state), log, leader_epoch, duplicates: AtomicU64::new(0) })
    }

    /// Appends a client's batch whose fields, CRC and records have been validated. Everything up to the log's queue
    /// happens in this call, in the order of calls; [`Appending::finish`] tells the outcome.
    pub fn append(&self, header: BatchHeader, records: Bytes, required: Acks, now: Millis) -> Appending {
        let staged = self.stage(header, records, now);
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
        header: BatchHeader,
        records: Bytes,
        now: Millis,
    ) -> Result<(Stored, bool), (SequenceError, Offset)> {
        let mut state = self.state.lock();
        match state.check(&header) {
            Err(error) => Err((error, state.log_end())),
            Ok(Verdict::Duplicate(stored)) => {
                self.duplicates.fetch_add(1, Ordering::Relaxed);
                Ok((stored, true))
            }
            Ok(Verdict::Append) => {
                let batch = state.stamp(header, records);
                let header = batch.header;
                let roll = self.log.rolls_before(&header).then(|| state.files());
                state.apply(&header, now);
                let epochs = state.take_changed_epochs();
                self.log.submit(Append { batch, roll, epochs });
                let (base_offset, last_offset) = (header.base_offset, header.last_offset());
                Ok((Stored { base_offset, last_offset, timestamp: header.max_timestamp }, false))
            }
        }
    }

    /// Reads whole batches. Between the high watermark and the log end there is nothing to see yet, which is no error.
    pub fn fetch(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        self.check_leader_epoch(fetch.leader_epoch)?;
        let (log_start, high_watermark) = (self.log_start(), self.high_watermark());
        let last_stable = self.last_stable().min(high_watermark);
        let below = match fetch.isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable,
        };
        let beyond = fetch.from > high_watermark && fetch.from > self.state.lock().log_end();
        if fetch.from < log_start || beyond {
            return Err(FetchError::OutOfRange);
        }
        let slices = if fetch.from < below {
            self.log.read(fetch.from, below, fetch.max_bytes, fetch.first_whole, fetch.wait)?
        } else {
            Vec::new()
        };
        Ok(Fetched { slices, high_watermark, log_start, last_stable })
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
            OffsetQuery::MaxTimestamp => Ok(self.log.max_timestamp(below)?),
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

    /// Offset after the last record whose transaction is decided: the high watermark, as there are no transactions.
    pub fn last_stable(&self) -> Offset {
        self.high_watermark()
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

    /// How many producers are known.
    pub fn producer_count(&self) -> usize {
        self.state.lock().producers().len()
    }

    /// Forgets producers that appended nothing for `expiration_ms` (`producer.id.expiration.ms`); says how many.
    pub fn expire_producers(&self, now: Millis, expiration_ms: i64) -> usize {
        self.state.lock().producers_mut().expire(now, expiration_ms)
    }

    /// The state as of the log end, to be saved at a clean stop, when nothing is appended any more and everything is
    /// durable.
    pub fn close_state(&self) -> (Offset, Vec<StateFile>) {
        let state = self.state.lock();
        (state.log_end(), state.files())
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
    first_batch: Offset,
    log_end: Offset,
    now: Millis,
) -> (Offset, Producers) {
    for (offset, files) in states.iter().filter(|(offset, _)| (first_batch..=log_end).contains(offset)) {
        match producers_of(files, *offset, now) {
            Ok(Some(producers)) => return (*offset, producers),
            Ok(None) => {}
            Err(error) => tracing::warn!(offset, %error, "saved producer state skipped for an older one"),
        }
    }
    (first_batch, Producers::default())
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
