//! The writer of one log directory: rounds of writes, one sync for many partitions, checkpoints.
//!
//! A round takes everything that was staged while the last one ran, writes it to the segments through the page
//! cache, and makes it durable: by syncing the one segment that it touched, or through the journal where it touched
//! several. A checkpoint syncs segments and small files behind the rounds' back, moves the recovery points and drops
//! journals. Both are ordinary calls, so that a test can step them; [`Disk::start`] runs them on threads.

use super::files::{Files, Open, read_all, replace};
use super::handles::Handles;
use super::journal::{self, Journal, JournalError, LogName};
use super::partition_log::{DiskLog, Writing};
use super::recovery::{self, Mode, Opened};
use super::shared::{Counters, Shared};
use super::sidecars::{CLEAN_MARKER, RECOVERY_POINTS, UNSURE_MARKER, decode_offsets, encode_offsets};
use crate::log::{Append, EpochStart, Flush, Log, LogConfig, LogError, Offset, StateFile};
use crate::time::{self, Millis};
use crate::wire::batch::{BatchHeader, HEADER_SIZE, StoredBatch};
use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// A journal file that has grown to this many bytes asks for a checkpoint.
const JOURNAL_FULL_BYTES: u64 = 64 << 20;
/// A round with more than this many bytes for each segment syncs the segments: writing twice would cost more.
const JOURNAL_BYTES_PER_SEGMENT: usize = 256 << 10;
/// Above this many logs a checkpoint or a stop syncs the file system instead of each of their files.
const LOGS_SYNCED_ONE_BY_ONE: usize = 100;
/// How often recovery points move when nothing else asks for it (Kafka's
/// `log.flush.offset.checkpoint.interval.ms`).
const CHECKPOINT_INTERVAL_MS: Millis = 60_000;
/// Syncs of this many milliseconds are worth sharing, where they take so long again and again: one that a busy machine
/// held up says nothing of the next.
const SLOW_SYNC_MS: u64 = 2;
const SLOW_SYNCS: u32 = 8;
/// The longest that a round waits for company.
const GATHER_MOST: Duration = Duration::from_millis(2);
/// How often page-cache mode looks for logs whose `flush.ms` has passed.
const FLUSH_TICK: Duration = Duration::from_millis(100);

/// How a directory is opened.
#[derive(Debug, Clone, Copy)]
pub struct DiskOptions {
    /// How many files may stay open.
    pub open_files: usize,
    /// For proving that tests find what they look for; [`Checks::default`] everywhere else.
    pub checks: Checks,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { open_files: 4096, checks: Checks::default() }
    }
}

/// What recovery does. Each can be left out by a test that has to fail then.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Verify the checksum of each batch.
    pub crc: bool,
    /// Make indexes anew instead of believing the files.
    pub rebuild_indexes: bool,
    /// Replay the journal.
    pub replay_journal: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self { crc: true, rebuild_indexes: true, replay_journal: true }
    }
}

/// What the opener knows of a folder's partition.
#[derive(Debug, Clone)]
pub enum Known {
    /// It exists, with this topic id and settings.
    Exists(uuid::Uuid, LogConfig),
    /// Its topic was deleted: remove the folder.
    Deleted,
    /// Nobody ever heard of it: keep it aside.
    Unknown,
}

/// Says what a partition folder is: topic name, partition, the topic id stored in it if any.
pub type Census<'a> = &'a dyn Fn(&str, i32, Option<uuid::Uuid>) -> Known;

/// One log directory.
#[derive(Debug)]
pub struct Disk {
    pub(super) shared: Arc<Shared>,
    checks: Checks,
    journal: Mutex<Journal>,
    /// The log that has each partition's folder.
    pub(super) logs: Mutex<HashMap<(String, i32), Weak<DiskLog>>>,
    /// Logs with something that a checkpoint has to sync.
    pub(super) dirty: Mutex<IndexMap<LogName, Arc<DiskLog>>>,
    /// There was a file of recovery points, and it could be read.
    points_known: bool,
    pub(super) recovery_points: Mutex<IndexMap<(String, i32), Offset>>,
    /// Held while the file of recovery points is written.
    storing_points: Mutex<()>,
    /// Folders were renamed, or recovery points dropped, and the disk need not know yet. Held while one is renamed and
    /// while the disk is told, so that no two look at a folder and then both take it.
    pub(super) names_unsettled: Mutex<bool>,
    /// Logs whose synced content is damaged: nobody may write there until somebody has looked.
    damaged: Mutex<IndexMap<LogName, Arc<str>>>,
    /// Kept from running twice at a time.
    checkpointing: Mutex<()>,
    wanted: Signal,
}

/// What the checkpoint thread is asked to do.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// See which logs in page-cache mode have to be synced.
    flush: bool,
    /// Make a checkpoint.
    checkpoint: bool,
    /// End.
    stop: bool,
}

/// Wakes the checkpoint thread.
#[derive(Debug, Default)]
struct Signal {
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

/// Fails the directory when the writer panics: nobody would write any more, and everybody would wait.
struct Ended<'a>(&'a Disk);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = self.0.shared.fail("the log writer", &io::Error::other("a bug: it panicked"));
            self.0.logs.lock().values().filter_map(Weak::upgrade).for_each(|log| log.progress().fail(told.clone()));
        }
    }
}

/// The threads of a directory; see [`Disk::stop`].
#[derive(Debug)]
pub struct DiskThreads(Vec<JoinHandle<()>>);

impl Disk {
    /// Opens a directory, made if it is not there. After a stop that was not clean every known partition is scanned
    /// and the journal replayed before this returns; after a clean one nothing is read.
    pub fn open(files: Arc<dyn Files>, root: &Path, options: DiskOptions, census: Census<'_>) -> io::Result<Arc<Self>> {
        files.create_dir(root)?;
        sync_names_above(&*files, root)?;
        let handles = Arc::new(Handles::new(files.clone(), options.open_files));
        let shared = Arc::new(Shared::new(root.to_owned(), files.clone(), handles));
        let marker = root.join(CLEAN_MARKER);
        let clean = files.exists(&marker)?;
        if clean {
            // Before anything is loaded: a crash from here on is no clean stop (KAFKA-10471).
            files.remove(&marker)?;
        }
        // Also where it is not there: who removed it may have been killed before this, and with the power it would be
        // back over files that recovery is about to change.
        files.sync_dir(root)?;
        let points = read_all(&*files, &root.join(RECOVERY_POINTS)).ok().and_then(|bytes| decode_offsets(&bytes));
        let numbers = journal::file_numbers(&files.list(root)?);
        let next_number = numbers.last().map_or(1, |last| last + 1);
        let disk = Arc::new(Self {
            journal: Mutex::new(Journal::new(root, next_number)),
            shared,
            checks: options.checks,
            logs: Mutex::default(),
            dirty: Mutex::default(),
            points_known: points.is_some(),
            recovery_points: Mutex::new(points.unwrap_or_default()),
            storing_points: Mutex::default(),
            names_unsettled: Mutex::default(),
            damaged: Mutex::default(),
            checkpointing: Mutex::default(),
            wanted: Signal::default(),
        });
        let partitions = disk.sort_folders(census)?;
        disk.forget_points_but_of(&partitions);
        if !clean && let Err(error) = disk.recover(partitions, &numbers, census) {
            disk.shared.note_unsure();
            return Err(error);
        }
        let unsure = root.join(UNSURE_MARKER);
        if files.exists(&unsure)? {
            files.remove(&unsure)?;
        }
        // What a damaged log has in the journal is kept for whoever mends it.
        if disk.damaged.lock().is_empty() {
            for number in numbers {
                files.remove(&root.join(journal::file_name(number)))?;
            }
        }
        journal::drop_spare(&*files, root)?;
        Ok(disk)
    }

    /// After a stop that was not clean: scans every partition, adds what the journal has beyond it, and leaves the
    /// folders as a clean stop would, but for the owner's state.
    fn recover(&self, partitions: Vec<(LogName, LogConfig)>, numbers: &[u64], census: Census<'_>) -> io::Result<()> {
        let mut open = IndexMap::new();
        let rewrite = self.shared.files.exists(&self.shared.root.join(UNSURE_MARKER))?;
        for (name, config) in partitions {
            match self.open_scanning(&name, config, rewrite) {
                Ok(opened) => drop(open.insert(name, opened)),
                Err(error) => self.note_damage(name, error)?,
            }
        }
        if self.checks.replay_journal {
            for number in numbers {
                journal::replay(&*self.shared.files, &self.shared.root, *number, |name, bytes| {
                    let Some(opened) = self.log_of_entry(&mut open, census, name.clone())? else { return Ok(()) };
                    match replay_entry(&opened.log, &mut opened.epochs, Bytes::from(bytes)) {
                        Ok(()) => Ok(()),
                        Err(error) => {
                            open.shift_remove(&name);
                            self.note_damage(name, error)
                        }
                    }
                })?;
            }
        }
        self.leave(open.into_values().map(|opened| (opened.log, Vec::new())))
    }

    /// The log that a journal entry belongs to. Its folder may have been lost although its batches were acknowledged:
    /// the journal has them.
    fn log_of_entry<'a>(
        &self,
        open: &'a mut IndexMap<LogName, Opened>,
        census: Census<'_>,
        name: LogName,
    ) -> io::Result<Option<&'a mut Opened>> {
        if self.damaged.lock().contains_key(&name) {
            return Ok(None);
        }
        if !open.contains_key(&name) {
            match census(&name.topic, name.partition, Some(name.topic_id)) {
                Known::Exists(topic_id, config) if topic_id == name.topic_id => {
                    let opened = self.open_scanning(&name, config, false)?;
                    open.insert(name.clone(), opened);
                }
                _ => return Ok(None),
            }
        }
        Ok(open.get_mut(&name))
    }

    /// One damaged log does not keep the others from being served. Any other error is handed back.
    fn note_damage(&self, name: LogName, error: io::Error) -> io::Result<()> {
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        tracing::error!(log = %name.dir(), "damaged, and offline until that is mended: {error}");
        self.shared.note_log_failure();
        self.damaged.lock().insert(name, error.to_string().into());
        Ok(())
    }

    fn open_scanning(&self, name: &LogName, config: LogConfig, rewrite: bool) -> io::Result<Opened> {
        let recovery_point = self.recovery_point(name);
        // Without a point the log was never checkpointed, and a log must have been before anything of it is trimmed.
        let from_zero = self.points_known && recovery_point == 0;
        let mode = Mode::Scan { recovery_point, from_zero, rewrite };
        recovery::open(&self.shared, name.clone(), config, mode, self.checks)
    }

    /// Opens a partition's log. `again`: it failed since the start, so what its files hold is not known. `gone` says
    /// whether the topic of an id was deleted.
    pub fn open_log(
        &self,
        name: &LogName,
        config: LogConfig,
        again: bool,
        gone: &dyn Fn(uuid::Uuid) -> bool,
    ) -> io::Result<Opened> {
        if let Some(failure) = self.shared.failure() {
            return Err(io::Error::other(failure));
        }
        if let Some(damage) = self.damaged.lock().get(name) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, damage.to_string()));
        }
        self.clear_the_way(name, gone)?;
        self.settle_names()?;
        let opened = if again {
            let opened = self.open_scanning(name, config, false)?;
            self.dirty.lock().insert(name.clone(), opened.log.clone());
            opened
        } else {
            recovery::open(&self.shared, name.clone(), config, Mode::Clean, self.checks)?
        };
        let unsynced = opened.log.writing().names_dirty();
        if unsynced {
            // What a scan found is shown to readers, and answers to retries rest on it. And what it cut off must be
            // gone before new batches come to its place: a mixture of both could look whole.
            opened.log.checkpoint().map_err(|error| io::Error::other(self.shared.fail("a sync", &error)))?;
            self.set_recovery_point(name, opened.end);
        }
        if unsynced && !again {
            // The files were not as a clean stop leaves them: the stored point may lie beyond their end.
            self.store_recovery_points()?;
        }
        self.note_open(&opened.log)?;
        Ok(opened)
    }

    /// What the directory did since it was opened.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many segment files are kept open.
    pub fn open_files(&self) -> usize {
        self.shared.handles.open_count()
    }

    /// Why the directory takes nothing more, if it does not.
    pub fn failure(&self) -> Option<LogError> {
        self.shared.failure()
    }

    /// Writes everything that is staged and makes it durable as each log's policy says. Returns how many batches.
    pub fn round(&self) -> usize {
        let staged = self.shared.queue.take();
        let count = staged.len();
        if count == 0 {
            return 0;
        }
        let mut groups: IndexMap<*const DiskLog, (Arc<DiskLog>, Vec<Append>)> = IndexMap::new();
        for (log, append) in staged {
            groups.entry(Arc::as_ptr(&log)).or_insert_with(|| (log, Vec::new())).1.push(append);
        }
        let counters = &self.shared.counters;
        counters.rounds.fetch_add(1, Ordering::Relaxed);
        counters.batches.fetch_add(count as u64, Ordering::Relaxed);
        let durable = groups.into_values().filter_map(|(log, appends)| self.write_group(log, appends)).collect();
        self.make_durable(durable);
        count
    }

    /// Writes one log's part of a round. Returns it if a sync has to follow before it is published.
    fn write_group(&self, log: Arc<DiskLog>, appends: Vec<Append>) -> Option<Written> {
        if log.progress().failure().is_some() {
            return None;
        }
        if let Some(failure) = self.shared.failure() {
            log.progress().fail(failure);
            return None;
        }
        let end = appends.last()?.batch.header.next_offset();
        let mut writing = log.writing();
        if writing.deleted || log.write(&mut writing, &appends).is_err() {
            return None;
        }
        log.progress().advance_written(end);
        self.mark_dirty(&log);
        match log.flush_policy() {
            Flush::EveryRound => {
                drop(writing);
                let batches = appends.into_iter().map(|append| append.batch).collect();
                Some(Written { log, batches, end })
            }
            Flush::Later { messages, .. } => {
                let records: u64 =
                    appends.iter().map(|a| u64::from(a.batch.header.last_offset_delta.unsigned_abs()) + 1).sum();
                writing.gap_end = end;
                writing.unsynced_records += records;
                writing.unsynced_since.get_or_insert_with(time::monotonic);
                let flush = writing.unsynced_records >= messages;
                drop(writing);
                log.publish(end);
                if flush {
                    self.wanted.ask(|wanted| wanted.flush = true);
                }
                None
            }
        }
    }

    fn make_durable(&self, mut written: Vec<Written>) {
        if written.is_empty() {
            return;
        }
        // What cannot go to the journal is synced by itself; and one log alone would only be written twice.
        let bytes: usize = written.iter().flat_map(|w| &w.batches).map(StoredBatch::size).sum();
        let small = bytes <= JOURNAL_BYTES_PER_SEGMENT * written.len();
        let alone = written.len() == 1;
        let direct = |writing: &Writing| !small || alone || !writing.may_journal();
        let (direct, journaled): (Vec<_>, Vec<_>) = written.drain(..).partition(|w| direct(&w.log.writing()));
        if !journaled.is_empty() {
            self.to_journal(journaled);
        }
        direct.iter().for_each(|written| self.sync_written(written));
    }

    /// One sync for all of them.
    fn to_journal(&self, written: Vec<Written>) {
        let mut journal = self.journal.lock();
        let round = written.iter().map(|w| (w.log.name(), w.batches.as_slice()));
        let outcome = journal.append(&*self.shared.files, round);
        let full = journal.size() > JOURNAL_FULL_BYTES;
        drop(journal);
        match outcome {
            Ok(()) => {
                self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.journal_rounds.fetch_add(1, Ordering::Relaxed);
                written.iter().for_each(|w| w.log.publish(w.end));
            }
            Err(JournalError::NotWritten(error)) => {
                tracing::warn!(%error, "the journal cannot be written; syncing each segment");
                written.iter().for_each(|w| self.sync_written(w));
            }
            Err(JournalError::Unsure(error)) => {
                let told = self.shared.fail("syncing the journal", &error);
                written.iter().for_each(|w| w.log.progress().fail(told.clone()));
            }
        }
        if full {
            self.wanted.ask(|wanted| wanted.checkpoint = true);
        }
    }

    /// Syncs one log's segments and publishes, or fails it: after a failed sync the whole directory takes nothing more,
    /// and everybody who waits has to be told.
    fn sync_written(&self, written: &Written) {
        let outcome = match self.shared.failure() {
            Some(failure) => Err(failure),
            None => {
                let mut writing = written.log.writing();
                if writing.deleted {
                    return;
                }
                written.log.sync_data(&mut writing).map_err(|error| self.shared.fail("a sync", &error))
            }
        };
        match outcome {
            Ok(()) => written.log.publish(written.end),
            Err(error) => written.log.progress().fail(error),
        }
    }

    fn mark_dirty(&self, log: &Arc<DiskLog>) {
        let mut dirty = self.dirty.lock();
        if !dirty.contains_key(log.name()) {
            dirty.insert(log.name().clone(), log.clone());
        }
    }

    /// Syncs all that is not, moves the recovery points there, and drops the journal files that are not needed then.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        let _one = self.checkpointing.lock();
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        let numbers = self.journal.lock().rotate();
        let dirty = std::mem::take(&mut *self.dirty.lock());
        self.checkpoint_logs(&dirty).map_err(|error| self.shared.fail("a checkpoint", &error))?;
        let noted = if dirty.is_empty() { Ok(()) } else { self.store_recovery_points() };
        // On a full disk, say, recovery has more to read; nothing is lost.
        noted.and_then(|()| self.journal.lock().drop_files(&*self.shared.files, &numbers)).map_err(|error| {
            tracing::warn!(%error, "cannot take note of a checkpoint");
            LogError::Storage(format!("taking note of a checkpoint failed: {error}").into())
        })
    }

    fn checkpoint_logs(&self, dirty: &IndexMap<LogName, Arc<DiskLog>>) -> io::Result<()> {
        for (name, log, end) in self.sync_logs(dirty)? {
            // Under the lock: a deletion that comes after takes the point away again.
            let writing = log.writing();
            if !writing.deleted {
                self.set_recovery_point(name, end);
            }
        }
        Ok(())
    }

    /// Makes logs durable as [`Disk::leave`] does; says up to where each is.
    fn sync_logs<'a>(
        &self,
        dirty: &'a IndexMap<LogName, Arc<DiskLog>>,
    ) -> io::Result<Vec<(&'a LogName, &'a Arc<DiskLog>, Offset)>> {
        if dirty.len() <= LOGS_SYNCED_ONE_BY_ONE {
            return dirty.iter().map(|(name, log)| Ok((name, log, log.checkpoint()?))).collect();
        }
        let unsynced: Vec<_> = dirty.values().map(|log| log.unsynced()).collect();
        self.shared.files.sync_all(&self.shared.root)?;
        let synced = dirty.iter().zip(&unsynced);
        Ok(synced.map(|((name, log), unsynced)| (name, log, log.note_synced(unsynced))).collect())
    }

    /// Syncs the logs in page-cache mode whose `flush.messages` or `flush.ms` says so, and those that left that mode with
    /// something unsynced.
    pub fn flush_due(&self, now: Millis) -> Result<(), LogError> {
        let dirty: Vec<_> = self.dirty.lock().values().cloned().collect();
        for log in dirty {
            let policy = log.flush_policy();
            let due = {
                let writing = log.writing();
                let waited = writing.unsynced_since.map(|since| u64::try_from(now.saturating_sub(since)).unwrap_or(0));
                match policy {
                    _ if writing.deleted => false,
                    Flush::EveryRound => !writing.may_journal(),
                    Flush::Later { messages, ms } => {
                        writing.unsynced_records >= messages || waited.is_some_and(|waited| waited >= ms)
                    }
                }
            };
            if due {
                log.checkpoint().map_err(|error| self.shared.fail("a sync", &error))?;
            }
        }
        Ok(())
    }

    fn recovery_point(&self, name: &LogName) -> Offset {
        self.recovery_points.lock().get(&(name.topic.clone(), name.partition)).copied().unwrap_or(0)
    }

    fn set_recovery_point(&self, name: &LogName, offset: Offset) {
        self.recovery_points.lock().insert((name.topic.clone(), name.partition), offset);
    }

    /// A checkpoint and a deletion may come together; they write one after the other.
    pub(super) fn store_recovery_points(&self) -> io::Result<()> {
        let _one = self.storing_points.lock();
        let content = encode_offsets(&self.recovery_points.lock());
        replace(&*self.shared.files, &self.shared.root.join(RECOVERY_POINTS), &content)
    }

    /// Runs rounds and checkpoints on threads of their own.
    pub fn start(self: &Arc<Self>) -> io::Result<DiskThreads> {
        let writer = self.clone();
        let checkpointer = self.clone();
        Ok(DiskThreads(vec![
            std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.write_rounds())?,
            std::thread::Builder::new().name("log-checkpoint".into()).spawn(move || checkpointer.checkpoint_loop())?,
        ]))
    }

    /// Clients that wait for each batch come back as soon as a round has answered them, a moment too late for the next:
    /// half of them would wait in one round and half in the other, two syncs for each. So where syncs are slow the next
    /// round gives as many as were answered a part of a sync's time.
    fn write_rounds(&self) {
        let ended = Ended(self);
        let syncs = || self.shared.counters.syncs.load(Ordering::Relaxed);
        let mut slow = 0_u32;
        while self.shared.queue.wait(Duration::from_secs(3600)) {
            let (began, before) = (time::monotonic(), syncs());
            let answered = self.round();
            let took_ms = time::monotonic().saturating_sub(began).unsigned_abs();
            slow = if took_ms >= SLOW_SYNC_MS && syncs() > before { slow.saturating_add(1) } else { 0 };
            if slow >= SLOW_SYNCS {
                self.shared.queue.gather(answered, GATHER_MOST.min(Duration::from_millis(took_ms) / 4));
            }
        }
        drop(ended);
    }

    fn checkpoint_loop(&self) {
        let mut last = time::monotonic();
        loop {
            let wanted = self.wanted.wait(FLUSH_TICK);
            if wanted.stop || self.failure().is_some() {
                return;
            }
            let now = time::monotonic();
            // Failures have told the whole directory.
            let _ = self.flush_due(now);
            if wanted.checkpoint || now.saturating_sub(last) >= CHECKPOINT_INTERVAL_MS {
                last = now;
                let _ = self.checkpoint();
            }
        }
    }

    /// A clean stop: everything staged is written, every open log closed with its owner's state, the marker left.
    pub fn stop(
        &self,
        threads: DiskThreads,
        logs: impl Iterator<Item = (Arc<DiskLog>, Vec<StateFile>)>,
    ) -> Result<(), LogError> {
        self.shared.queue.close();
        self.wanted.ask(|wanted| wanted.stop = true);
        for thread in threads.0 {
            if thread.join().is_err() {
                let panicked = io::Error::other("a thread of the log panicked");
                return Err(self.shared.fail("stopping", &panicked));
            }
        }
        self.close(logs)
    }

    /// The end of [`Disk::stop`], for a directory without threads.
    pub fn close(&self, logs: impl Iterator<Item = (Arc<DiskLog>, Vec<StateFile>)>) -> Result<(), LogError> {
        self.round();
        self.checkpoint()?;
        // A log that failed is left for the next start to scan.
        let left = self.leave(logs.filter(|(log, _)| log.progress().failure().is_none()));
        let marked = left.and_then(|()| {
            if self.shared.had_failures() {
                return Ok(());
            }
            let file = self.shared.files.open(&self.shared.root.join(CLEAN_MARKER), Open::Create)?;
            file.write_at(&mut [io::IoSlice::new(b"{\"version\":0,\"brokerEpoch\":-1}")], 0)?;
            file.sync()?;
            self.shared.files.sync_dir(&self.shared.root)
        });
        marked.map_err(|error| self.shared.fail("the clean stop", &error))
    }

    /// Closes logs as a clean stop does, all of it durable before the recovery points say so: file by file where there
    /// are few, so that nobody waits for what others wrote, else by one sync of the whole file system.
    fn leave(&self, logs: impl Iterator<Item = (Arc<DiskLog>, Vec<StateFile>)>) -> io::Result<()> {
        let mut ends = Vec::new();
        for (log, states) in logs {
            if let Some(end) = log.close(&states)? {
                ends.push((log, end));
            }
        }
        if ends.len() > LOGS_SYNCED_ONE_BY_ONE {
            self.shared.files.sync_all(&self.shared.root)?;
        } else {
            ends.iter().try_for_each(|(log, _)| log.checkpoint().map(drop))?;
        }
        ends.iter().for_each(|(log, end)| self.set_recovery_point(log.name(), *end));
        self.store_recovery_points()
    }

    /// Where the directory is.
    pub fn root(&self) -> &PathBuf {
        &self.shared.root
    }
}

/// One log's part of a round, written and not yet durable.
struct Written {
    log: Arc<DiskLog>,
    batches: Vec<StoredBatch>,
    end: Offset,
}

impl Signal {
    fn ask(&self, what: impl FnOnce(&mut Wanted)) {
        what(&mut self.wanted.lock());
        self.wake.notify_all();
    }

    /// What was asked for since the last call, after at most the given time.
    fn wait(&self, at_most: Duration) -> Wanted {
        let mut wanted = self.wanted.lock();
        if !(wanted.flush || wanted.checkpoint || wanted.stop) {
            self.wake.wait_for(&mut wanted, at_most);
        }
        let stop = wanted.stop;
        std::mem::replace(&mut *wanted, Wanted { stop, ..Wanted::default() })
    }
}

/// Makes the names of a directory and of those that it lies in durable, at every start: the one that made them may have
/// died before it could. Nothing inside survives a power cut that they do not survive.
fn sync_names_above(files: &dyn Files, dir: &Path) -> io::Result<()> {
    for parent in dir.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match files.sync_dir(parent) {
            // Some directories up there may be closed to us; they are older than we are.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// The batches of a journal entry, which stand end to end.
fn split_batches(bytes: Bytes) -> impl Iterator<Item = StoredBatch> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = BatchHeader::parse(&rest).ok()?;
        if header.size() > rest.len() {
            return None;
        }
        let batch = rest.split_to(header.size());
        Some(StoredBatch::new(header, batch.slice(HEADER_SIZE..)))
    })
}

/// Adds what an entry has beyond the end of its log.
fn replay_entry(log: &DiskLog, epochs: &mut Vec<EpochStart>, bytes: Bytes) -> io::Result<()> {
    let mut end = log.progress().written();
    let mut appends = Vec::new();
    for batch in split_batches(bytes) {
        let base = batch.header.base_offset;
        if base > end {
            let dir = log.name().dir();
            let text = format!("{dir} ends at {end} but the journal goes on at {base}: synced data is missing");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if base == end {
            end = batch.header.next_offset();
            // The owner's state is not known here; its files at older offsets and the batches themselves give it.
            let roll = log.rolls_before(&batch.header).then(Vec::new);
            log.stage(&batch.header, roll.is_some());
            let epochs = recovery::note_epoch(epochs, &batch.header).then(|| epochs.clone());
            appends.push(Append { batch, roll, epochs });
        }
    }
    if !appends.is_empty() {
        log.write(&mut log.writing(), &appends).map_err(io::Error::other)?;
        log.progress().advance_written(end);
    }
    Ok(())
}
