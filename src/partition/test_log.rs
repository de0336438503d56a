//! A log in memory that stalls and fails: nothing is written or published before the test says so.

use crate::log::{
    Append, EpochStart, Log, LogConfig, LogError, Offset, OwnerState, Progress, ReadError, Recovered, Replayed, Run,
    Slice, TimedOffset, Wait,
};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, StoredBatch, checksum};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A client's batch: valid header, right CRC, stand-ins for records.
pub fn batch(producer_id: i64, epoch: i16, base_sequence: i32, count: i32) -> (BatchHeader, Bytes) {
    let records = Bytes::from(format!("{producer_id}/{epoch}/{base_sequence}+{count}"));
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + records.len()) as i32,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 1_000,
        max_timestamp: 1_000 + i64::from(base_sequence),
        producer_id,
        producer_epoch: epoch,
        base_sequence,
        record_count: count,
    };
    header.crc = checksum(&header.encode(), &records);
    (header, records)
}

/// See the file's head.
pub struct TestLog {
    progress: Arc<Progress>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    start: Offset,
    end: Offset,
    batches: Vec<StoredBatch>,
    epochs: Vec<EpochStart>,
    states: Vec<(Offset, OwnerState)>,
    roll_every: usize,
    since_roll: usize,
    publish_at_once: bool,
}

impl TestLog {
    /// An empty log that stalls.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { progress: Progress::new(0), inner: Mutex::default() })
    }

    /// From now on everything is published as it is submitted.
    pub fn publish_at_once(&self) {
        self.inner.lock().publish_at_once = true;
    }

    /// A segment for every so many batches.
    pub fn roll_every(&self, batches: usize) {
        self.inner.lock().roll_every = batches;
    }

    /// Everything submitted is in the file now.
    pub fn write(&self) {
        let end = self.inner.lock().end;
        self.progress.advance_written(end);
    }

    /// Everything submitted before `end` is durable now.
    pub fn publish(&self, end: Offset) {
        self.progress.advance_written(end);
        self.progress.advance_published(end);
    }

    /// The disk breaks.
    pub fn fail(&self) {
        self.progress.fail(broken());
    }

    /// Moves the log start.
    pub fn trim(&self, start: Offset) {
        self.inner.lock().start = start;
    }

    /// What was submitted, in order.
    pub fn batches(&self) -> Vec<StoredBatch> {
        self.inner.lock().batches.clone()
    }

    /// The epoch history as stored.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.inner.lock().epochs.clone()
    }

    /// State kept at rolls, oldest first.
    pub fn states(&self) -> Vec<(Offset, OwnerState)> {
        self.inner.lock().states.clone()
    }

    /// The newest transaction index of each segment, in their order.
    pub fn transaction_indexes(&self) -> Vec<(Offset, Vec<u8>)> {
        let indexes = self.states().into_iter().flat_map(|(_, state)| state.transaction_indexes);
        indexes.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// Keeps state as a clean stop does.
    pub fn save(&self, (offset, state): (Offset, OwnerState)) {
        self.inner.lock().states.push((offset, state));
    }

    /// What a log finds that is opened after a crash: the published batches, every state and the whole history, even
    /// of what was lost.
    pub fn crash(&self) -> (Arc<Self>, Recovered) {
        let log_end = self.progress.published();
        let transaction_indexes = self.transaction_indexes();
        let inner = self.inner.lock();
        let kept: Vec<_> =
            inner.batches.iter().filter(|batch| batch.header.next_offset() <= log_end).cloned().collect();
        let states = inner.states.iter().rev().map(|(offset, state)| (*offset, state.files.clone())).collect();
        let first_batch = kept.first().map_or(log_end, |first| first.header.base_offset);
        let replayed = kept.clone();
        let recovered = Recovered {
            first_batch,
            log_end,
            epochs: inner.epochs.clone(),
            states,
            transaction_indexes,
            replay: Box::new(move |from, each| {
                for batch in replayed.iter().filter(|batch| batch.header.next_offset() >= from) {
                    each(&Replayed { header: &batch.header, control: &batch.records, append_time: 5_000 });
                }
                Ok(())
            }),
        };
        let reopened = Inner { start: inner.start, end: log_end, batches: kept, ..Inner::default() };
        (Arc::new(Self { progress: Progress::new(log_end), inner: Mutex::new(reopened) }), recovered)
    }
}

/// What [`TestLog::fail`] says.
pub fn broken() -> LogError {
    LogError::Storage("the disk broke".into())
}

impl Log for TestLog {
    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn start(&self) -> Offset {
        self.inner.lock().start
    }

    fn rolls_before(&self, header: &BatchHeader) -> bool {
        let inner = self.inner.lock();
        assert_eq!(header.base_offset, inner.end);
        inner.roll_every > 0 && inner.since_roll >= inner.roll_every
    }

    fn segment_bases(&self) -> Vec<Offset> {
        let inner = self.inner.lock();
        [inner.start].into_iter().chain(inner.states.iter().map(|(offset, _)| *offset)).collect()
    }

    fn submit(&self, append: Append) {
        let mut inner = self.inner.lock();
        assert_eq!(append.batch.header.base_offset, inner.end, "the log has no gaps");
        if let Some(epochs) = append.epochs {
            inner.epochs = epochs;
        }
        if let Some(state) = append.roll {
            assert!(inner.since_roll >= inner.roll_every);
            let base = inner.end;
            inner.states.push((base, state));
            inner.since_roll = 0;
        }
        inner.since_roll += 1;
        inner.end = append.batch.header.next_offset();
        inner.batches.push(append.batch);
        let (end, publish) = (inner.end, inner.publish_at_once);
        drop(inner);
        if publish {
            self.publish(end);
        }
    }

    fn read(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: usize,
        first_whole: bool,
        _wait: Wait,
    ) -> Result<Run, ReadError> {
        let inner = self.inner.lock();
        assert!((inner.start..=inner.end).contains(&from), "the partition checks the range");
        let (mut slices, mut size, mut until) = (Vec::new(), 0, below);
        for batch in &inner.batches {
            let wanted = batch.header.last_offset() >= from && batch.header.base_offset < below;
            if wanted && (size + batch.size() <= max_bytes || (first_whole && size == 0)) {
                size += batch.size();
                slices.push(Slice::Memory([&batch.head[..], &batch.records].concat().into()));
            } else if wanted {
                until = batch.header.base_offset;
                break;
            }
        }
        Ok(Run { slices, until })
    }

    fn offset_for_time(&self, timestamp: Millis, below: Offset) -> Result<Option<TimedOffset>, ReadError> {
        let inner = self.inner.lock();
        let found = inner.batches.iter().map(|batch| batch.header).find(|header| header.max_timestamp >= timestamp);
        Ok(found.filter(|header| header.base_offset < below).map(timed))
    }

    fn max_timestamp(&self, below: Offset) -> Result<Option<TimedOffset>, ReadError> {
        let inner = self.inner.lock();
        let visible = inner.batches.iter().map(|batch| batch.header).filter(|header| header.base_offset < below);
        Ok(visible.rev().max_by_key(|header| header.max_timestamp).map(timed))
    }

    fn size(&self) -> u64 {
        self.inner.lock().batches.iter().map(|batch| batch.size() as u64).sum()
    }

    fn reconfigure(&self, _config: LogConfig) {}
}

fn timed(header: BatchHeader) -> TimedOffset {
    TimedOffset { timestamp: header.max_timestamp, offset: header.base_offset, leader_epoch: header.leader_epoch }
}
