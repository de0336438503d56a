//! One partition's log on disk.
//!
//! Three parties touch it. The owner decides rolling and submits ([`staging`], under the owner's own lock); the writer
//! thread writes what was submitted and syncs (`writing`); readers look at `segments` and at files ([`reading`]).

mod reading;
mod staging;

use super::files::{Files, Open, overwrite};
use super::index::Indexes;
use super::journal::LogName;
use super::recovery::folder_topic_id;
use super::segment::Segment;
use super::shared::Shared;
use super::sidecars::{
    LEADER_EPOCHS, PARTITION_METADATA, TRANSACTION_INDEX, encode_epochs, encode_partition_metadata, offset_name,
};
use crate::log::{
    Append, EpochStart, Flush, Log, LogConfig, LogError, Offset, OwnerState, Progress, ReadError, Run, TimedOffset,
    Wait,
};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, StoredBatch};
use parking_lot::{Mutex, MutexGuard, RwLock};
use staging::Staging;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// A partition's log in Kafka's files.
#[derive(Debug)]
pub struct DiskLog {
    name: LogName,
    dir: PathBuf,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    config: RwLock<LogConfig>,
    start: Offset,
    staging: Mutex<Staging>,
    segments: RwLock<BTreeMap<Offset, Arc<Segment>>>,
    mark: Mutex<Mark>,
    writing: Mutex<Writing>,
    /// The folder is another's or nobody's: not even to be read.
    deleted: AtomicBool,
    me: Weak<DiskLog>,
}

/// Where the published end lies, so that reading up to it needs no search.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    offset: Offset,
    base: Offset,
    position: u64,
}

/// What the writer's side knows: what exists, and what is not durable yet.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The folder is there.
    pub exists: bool,
    /// The folder is on its way out; nothing may be made in it.
    pub deleted: bool,
    /// The topic may be deleted any time: whose a folder is has to be durable before it holds anything.
    pub may_be_deleted: bool,
    /// How often names in the folder, or the folder's own, changed, and how many of the changes are durable.
    pub names: u64,
    pub names_synced: u64,
    /// Segments with unsynced bytes.
    pub dirty: Vec<Arc<Segment>>,
    /// Small files and indexes written since the last checkpoint, not synced.
    pub sidecars: Vec<PathBuf>,
    pub sealed: Vec<Arc<Segment>>,
    /// Everything before this is synced in its segment.
    pub synced_end: Offset,
    /// End of the last bytes that were written without a journal. Above `synced_end`, a journal would have a hole.
    pub gap_end: Offset,
    /// Records written and not synced, and since when, in page-cache mode.
    pub unsynced_records: u64,
    pub unsynced_since: Option<Millis>,
}

impl Writing {
    /// Whether a durable round may put this log's batches into the journal instead of syncing its segment.
    pub fn may_journal(&self) -> bool {
        self.gap_end <= self.synced_end
    }

    /// Whether names would have to be synced too.
    pub fn names_dirty(&self) -> bool {
        self.names != self.names_synced
    }
}

/// What a checkpoint of one log has to make durable.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    end: Offset,
    dirty: Vec<(Arc<Segment>, u64)>,
    sidecars: Vec<PathBuf>,
    sealed: Vec<Arc<Segment>>,
    names: u64,
}

impl Unsynced {
    /// File by file.
    fn sync(&self, log: &DiskLog) -> io::Result<()> {
        let files = &*log.shared.files;
        self.dirty.iter().try_for_each(|(segment, _)| segment.sync())?;
        match self.sync_small_files(files) {
            // Opening it again removes what no longer says anything, and may fail after that.
            Err(error) if error.kind() == io::ErrorKind::NotFound && log.progress.failure().is_some() => {}
            outcome => outcome?,
        }
        if self.names > log.writing.lock().names_synced {
            files.sync_dir(&log.dir)?;
            files.sync_dir(&log.shared.root)?;
        }
        Ok(())
    }

    fn sync_small_files(&self, files: &dyn Files) -> io::Result<()> {
        self.sealed.iter().try_for_each(|segment| segment.sync_indexes(files))?;
        self.sidecars.iter().try_for_each(|path| files.open(path, Open::Write)?.sync())
    }
}

/// What recovery or a clean start found in a folder.
pub(super) struct Found {
    pub exists: bool,
    pub segments: Vec<Arc<Segment>>,
    pub end: Offset,
    /// From this segment on, neither content nor indexes are known to be synced.
    pub unsynced: Option<Offset>,
}

impl DiskLog {
    pub(super) fn new(name: LogName, shared: Arc<Shared>, config: LogConfig, found: Found) -> io::Result<Arc<Self>> {
        let staging = Staging::after(&found.segments, &*shared.files, &config)?;
        let last = found.segments.last();
        if let Some((_, sealed)) = found.segments.split_last() {
            sealed.iter().for_each(|segment| segment.was_sealed());
        }
        let mark = Mark {
            offset: found.end,
            base: last.map_or(0, |segment| segment.base()),
            position: last.map_or(0, |segment| segment.size()),
        };
        let unsynced: Vec<_> = match found.unsynced {
            Some(from) => found.segments.iter().filter(|segment| segment.base() >= from).cloned().collect(),
            None => Vec::new(),
        };
        let writing = Writing {
            exists: found.exists,
            names: u64::from(found.unsynced.is_some()),
            dirty: unsynced.clone(),
            // Their indexes are written anew, and nobody scans them again once the recovery point has moved.
            sealed: unsynced,
            synced_end: if found.unsynced.is_some() { 0 } else { found.end },
            gap_end: if found.unsynced.is_some() { found.end } else { 0 },
            ..Writing::default()
        };
        Ok(Arc::new_cyclic(|me| Self {
            dir: shared.root.join(name.dir()),
            name,
            progress: Progress::new(found.end),
            config: RwLock::new(config),
            start: found.segments.first().map_or(0, |segment| segment.base()),
            staging: Mutex::new(staging),
            segments: RwLock::new(found.segments.into_iter().map(|segment| (segment.base(), segment)).collect()),
            mark: Mutex::new(mark),
            writing: Mutex::new(writing),
            deleted: AtomicBool::new(false),
            me: me.clone(),
            shared,
        }))
    }

    /// Which partition this is.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// Counts a batch that is about to be written.
    pub(super) fn stage(&self, header: &BatchHeader, rolled: bool) {
        self.staging.lock().add(header, rolled, &self.config.read());
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock()
    }

    pub(super) fn flush_policy(&self) -> Flush {
        self.config.read().flush
    }

    /// Writes a round's batches into the page cache. On an error the log has failed: what was written of the round
    /// is cut off again as far as the disk lets us.
    pub(super) fn write(&self, writing: &mut Writing, appends: &[Append]) -> Result<(), LogError> {
        let result = self.try_write(writing, appends);
        result.map_err(|error| {
            if let Some(active) = self.active()
                && let Err(error) = active.cut_back()
            {
                tracing::warn!(log = %self.name.dir(), %error, "cannot cut off a failed write; recovery will");
            }
            self.fail_storage("write", &error)
        })
    }

    /// Ends this log for good. When this returns nothing is being written, and nothing will be: what has the folder's
    /// name next may be another log.
    pub(super) fn end_deleted(&self) {
        self.writing.lock().deleted = true;
        self.deleted.store(true, Ordering::Release);
        self.progress.fail(self.was_deleted());
        // An open file would keep its space on the disk.
        self.close_files();
    }

    fn was_deleted(&self) -> LogError {
        LogError::Storage(format!("{} was deleted", self.name.dir()).into())
    }

    fn check_readable(&self) -> Result<(), ReadError> {
        if self.deleted.load(Ordering::Acquire) { Err(ReadError::Log(self.was_deleted())) } else { Ok(()) }
    }

    /// Ends this log; its owner opens it again. Returns the error that everybody is told.
    pub(super) fn fail_storage(&self, what: &str, error: &io::Error) -> LogError {
        let error = LogError::Storage(format!("{what} of {} failed: {error}", self.name.dir()).into());
        tracing::error!(log = %self.name.dir(), "{error}");
        self.shared.note_log_failure();
        self.progress.fail(error.clone());
        error
    }

    fn try_write(&self, writing: &mut Writing, appends: &[Append]) -> io::Result<()> {
        self.make_folder(writing)?;
        let interval = self.config.read().index_interval_bytes;
        let mut run: Vec<StoredBatch> = Vec::with_capacity(appends.len());
        for append in appends {
            if let Some(epochs) = &append.epochs {
                // Not synced: recovery finds the epochs of unsynced batches in their headers.
                self.write_small(writing, LEADER_EPOCHS, &encode_epochs(epochs))?;
            }
            if append.roll.is_some() || self.active().is_none() {
                self.write_run(writing, &mut run, interval)?;
                self.roll(writing, append)?;
            }
            run.push(append.batch.clone());
        }
        self.write_run(writing, &mut run, interval)
    }

    fn make_folder(&self, writing: &mut Writing) -> io::Result<()> {
        if writing.exists {
            return Ok(());
        }
        self.shared.files.create_dir(&self.dir)?;
        self.write_small(writing, PARTITION_METADATA, &encode_partition_metadata(self.name.topic_id))?;
        if writing.may_be_deleted {
            self.shared.files.open(&self.dir.join(PARTITION_METADATA), Open::Write)?.sync()?;
            self.shared.files.sync_dir(&self.dir)?;
        }
        writing.exists = true;
        writing.names += 1;
        Ok(())
    }

    fn write_run(&self, writing: &mut Writing, run: &mut Vec<StoredBatch>, interval: u32) -> io::Result<()> {
        let Some(active) = self.active().filter(|_| !run.is_empty()) else { return Ok(()) };
        active.append(run, interval)?;
        if !writing.dirty.iter().any(|segment| segment.base() == active.base()) {
            writing.dirty.push(active);
        }
        run.clear();
        Ok(())
    }

    /// Seals the active segment, if there is one, and begins the next with `append`'s batch.
    fn roll(&self, writing: &mut Writing, append: &Append) -> io::Result<()> {
        let base = append.batch.header.base_offset;
        if let Some(active) = self.active() {
            active.seal();
            active.write_indexes(&*self.shared.files)?;
            self.shared.keep_loaded(&active);
            writing.sealed.push(active);
        }
        if let Some(state) = &append.roll {
            self.write_state(writing, base, state)?;
        }
        let segment = Segment::new(self.shared.handles.clone(), &self.dir, base, 0, Some(Indexes::new(base)));
        segment.make_file(&*self.shared.files)?;
        writing.names += 1;
        self.segments.write().insert(base, segment);
        Ok(())
    }

    /// Writes the owner's state as of an offset, and its indexes of segments that end there or before.
    fn write_state(&self, writing: &mut Writing, offset: Offset, state: &OwnerState) -> io::Result<()> {
        for file in &state.files {
            self.write_small(writing, &offset_name(offset, file.extension), &file.bytes)?;
        }
        for (base, bytes) in &state.transaction_indexes {
            self.write_small(writing, &offset_name(*base, TRANSACTION_INDEX), bytes)?;
        }
        Ok(())
    }

    /// Writes a small file without syncing it; the next checkpoint does. Its reader must cope with damage.
    fn write_small(&self, writing: &mut Writing, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.dir.join(name);
        let known = overwrite(&*self.shared.files.open(&path, Open::Create)?, content)?;
        // What has content has a name, durable or counted when it was made.
        writing.names += u64::from(!known);
        if !writing.sidecars.contains(&path) {
            writing.sidecars.push(path);
        }
        Ok(())
    }

    /// Makes everything that is written durable: what an acknowledgement needs, and no more.
    pub(super) fn sync_data(&self, writing: &mut Writing) -> io::Result<()> {
        let end = self.progress.written();
        for segment in &writing.dirty {
            segment.sync()?;
            self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        if writing.names_dirty() {
            self.shared.files.sync_dir(&self.dir)?;
            self.shared.files.sync_dir(&self.shared.root)?;
            self.shared.counters.syncs.fetch_add(2, Ordering::Relaxed);
        }
        writing.dirty.clear();
        writing.names_synced = writing.names;
        writing.synced_end = end;
        writing.unsynced_records = 0;
        writing.unsynced_since = None;
        Ok(())
    }

    /// Makes the small files and indexes durable too, so that recovery may begin at the returned offset. Rounds go
    /// on meanwhile: the lock is not held over the syncs.
    pub(super) fn checkpoint(&self) -> io::Result<Offset> {
        match self.try_checkpoint() {
            // Its folder was taken away meanwhile.
            Err(_) if self.writing.lock().deleted => Ok(self.progress.written()),
            outcome => outcome,
        }
    }

    fn try_checkpoint(&self) -> io::Result<Offset> {
        let unsynced = self.unsynced();
        unsynced.sync(self)?;
        Ok(self.note_synced(&unsynced))
    }

    /// Everything of this log that is written and may not be durable. What comes later is the next checkpoint's.
    pub(super) fn unsynced(&self) -> Unsynced {
        let mut writing = self.writing.lock();
        if writing.deleted {
            return Unsynced { end: writing.synced_end, names: writing.names_synced, ..Unsynced::default() };
        }
        writing.unsynced_records = 0;
        writing.unsynced_since = None;
        Unsynced {
            end: self.progress.written(),
            dirty: writing.dirty.iter().map(|segment| (segment.clone(), segment.size())).collect(),
            sidecars: std::mem::take(&mut writing.sidecars),
            sealed: std::mem::take(&mut writing.sealed),
            names: writing.names,
        }
    }

    /// Takes note that all of it is durable now; returns the offset that recovery may begin at.
    pub(super) fn note_synced(&self, unsynced: &Unsynced) -> Offset {
        let Unsynced { end, dirty, names, .. } = unsynced;
        let mut writing = self.writing.lock();
        // A segment that grew meanwhile stays dirty.
        writing.dirty.retain(|segment| {
            !dirty.iter().any(|(synced, size)| Arc::ptr_eq(synced, segment) && segment.size() == *size)
        });
        writing.names_synced = writing.names_synced.max(*names);
        writing.synced_end = writing.synced_end.max(*end);
        *end
    }

    /// Moves the published end to the written one.
    pub(super) fn publish(&self, end: Offset) {
        if let Some(active) = self.active() {
            let mut mark = self.mark.lock();
            *mark = Mark { offset: end, base: active.base(), position: active.size() };
        }
        self.progress.advance_published(end);
    }

    /// A clean end: indexes and state as Kafka leaves them at a clean stop, nothing of it synced yet. `state` is the
    /// owner's as of the log's end. Says where that is, if there is a folder.
    pub(super) fn close(&self, state: &OwnerState) -> io::Result<Option<Offset>> {
        let end = self.progress.written();
        let mut writing = self.writing.lock();
        if !writing.exists || writing.deleted {
            return Ok(None);
        }
        self.write_state(&mut writing, end, state)?;
        if let Some(active) = self.active() {
            active.seal();
            active.write_indexes(&*self.shared.files)?;
            writing.sealed.push(active);
        }
        self.close_files();
        Ok(Some(end))
    }

    /// Closes the segments' files, once their readers let go.
    pub(super) fn close_files(&self) {
        self.segments.read().values().for_each(|segment| segment.close());
    }

    /// Stores what recovery found out and no batch to come would store: the epoch history, and the topic's id where
    /// that was lost.
    pub(super) fn store_sidecars(&self, epochs: &[EpochStart], rewrite: bool) -> io::Result<()> {
        let mut writing = self.writing.lock();
        // Written over itself only where what is read may be in the page cache alone.
        if rewrite || folder_topic_id(&self.shared, &self.dir) != Some(self.name.topic_id) {
            self.write_small(&mut writing, PARTITION_METADATA, &encode_partition_metadata(self.name.topic_id))?;
        }
        self.write_small(&mut writing, LEADER_EPOCHS, &encode_epochs(epochs))
    }

    fn active(&self) -> Option<Arc<Segment>> {
        self.segments.read().last_key_value().map(|(_, segment)| segment.clone())
    }
}

impl Log for DiskLog {
    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn start(&self) -> Offset {
        self.start
    }

    fn rolls_before(&self, header: &BatchHeader) -> bool {
        self.staging.lock().rolls(header, &self.config.read())
    }

    fn segment_bases(&self) -> Vec<Offset> {
        self.staging.lock().bases().to_vec()
    }

    fn is_congested(&self) -> bool {
        self.shared.queue.is_full()
    }

    fn submit(&self, append: Append) {
        if let Some(failure) = self.shared.failure() {
            self.progress.fail(failure);
            return;
        }
        self.stage(&append.batch.header, append.roll.is_some());
        if let Some(me) = self.me.upgrade() {
            self.shared.queue.push(me, append);
        }
    }

    fn read(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: usize,
        first_whole: bool,
        wait: Wait,
    ) -> Result<Run, ReadError> {
        self.check_readable()?;
        if from < self.start {
            return Err(ReadError::OutOfRange);
        }
        self.try_read(from, below, max_bytes, first_whole, wait).map_err(|error| self.read_error(&error))
    }

    fn offset_for_time(&self, timestamp: Millis, below: Offset) -> Result<Option<TimedOffset>, ReadError> {
        self.check_readable()?;
        self.try_offset_for_time(timestamp, below).map_err(|error| self.read_error(&error))
    }

    fn max_timestamp(&self, below: Offset) -> Result<Option<TimedOffset>, ReadError> {
        self.check_readable()?;
        self.try_max_timestamp(below).map_err(|error| self.read_error(&error))
    }

    fn size(&self) -> u64 {
        self.segments.read().values().map(|segment| segment.size()).sum()
    }

    fn reconfigure(&self, config: LogConfig) {
        *self.config.write() = config;
    }
}

impl DiskLog {
    /// A read that fails leaves the log as it is: what is wrong with one place need not be wrong with another.
    fn read_error(&self, error: &io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::WouldBlock {
            return ReadError::WouldBlock;
        }
        tracing::error!(log = %self.name.dir(), %error, "cannot read");
        ReadError::Log(LogError::Storage(format!("reading {} failed: {error}", self.name.dir()).into()))
    }
}
