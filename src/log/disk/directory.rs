//! One log directory: what is in it, how it is opened, and what recovery does after a stop that was not clean.
//!
//! Rounds of writes are in [`super::writer`], checkpoints and the clean stop in [`super::checkpoint`], the threads that run
//! both in [`super::threads`].

use super::files::{Files, read_all};
use super::handles::Handles;
use super::journal::{self, Journal, LogName};
use super::partition_log::DiskLog;
use super::recovery::{self, Mode, Opened};
use super::shared::{Counters, Shared, Together};
use super::sidecars::{CLEAN_MARKER, RECOVERY_POINTS, UNSURE_MARKER, decode_offsets};
use super::threads::Signal;
use crate::log::{Append, EpochStart, Log, LogConfig, LogError, Offset, OwnerState};
use crate::wire::batch::{BatchHeader, HEADER_SIZE, StoredBatch};
use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
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
    pub(super) journal: Mutex<Journal>,
    /// The log that has each partition's folder.
    pub(super) logs: Mutex<HashMap<(String, i32), Weak<DiskLog>>>,
    /// Logs with something that a checkpoint has to sync.
    pub(super) dirty: Mutex<IndexMap<LogName, Arc<DiskLog>>>,
    /// There was a file of recovery points, and it could be read.
    points_known: bool,
    pub(super) recovery_points: Mutex<IndexMap<(String, i32), Offset>>,
    /// Held while the file of recovery points is written.
    pub(super) storing_points: Mutex<()>,
    /// Folders were renamed, or recovery points dropped, and the disk need not know yet. Held while one is renamed and
    /// while the disk is told, so that no two look at a folder and then both take it.
    pub(super) names_unsettled: Mutex<bool>,
    /// Logs whose synced content is damaged: nobody may write there until somebody has looked.
    pub(super) damaged: Mutex<IndexMap<LogName, Arc<str>>>,
    /// Kept from running twice at a time.
    pub(super) checkpointing: Mutex<()>,
    pub(super) wanted: Signal,
}

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
                // What the owner's state comes from is not needed here, and may be a lot in all.
                Ok(opened) => {
                    let opened = Opened { states: Vec::new(), transaction_indexes: Vec::new(), ..opened };
                    open.insert(name, opened);
                }
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
        self.leave(open.into_values().map(|opened| (opened.log, OwnerState::default())))
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
            let mode = Mode::Clean { recovery_point: self.recovery_point(name) };
            match recovery::open(&self.shared, name.clone(), config, mode, self.checks) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let told = io::Error::new(error.kind(), error.to_string());
                    self.note_damage(name.clone(), error)?;
                    return Err(told);
                }
                opened => opened?,
            }
        };
        let unsynced = opened.log.writing().names_dirty();
        if unsynced {
            // What a scan found is shown to readers, and answers to retries rest on it. And what it cut off must be
            // gone before new batches come to its place: a mixture of both could look whole.
            opened.log.checkpoint().map_err(|error| io::Error::other(self.shared.fail("a sync", &error)))?;
            self.set_recovery_point(name, opened.end);
        }
        if unsynced && !again {
            // The files were not as a clean stop leaves them.
            self.store_recovery_points()?;
        }
        self.note_open(&opened.log)?;
        Ok(opened)
    }

    /// Until it is dropped, batches that are submitted to logs of this directory wait for more, so that those of one request
    /// share a sync. Not to be held while anything is waited for.
    pub fn together(&self) -> Together<'_> {
        self.shared.queue.together()
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

    /// Where the directory is.
    pub fn root(&self) -> &PathBuf {
        &self.shared.root
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
            let roll = log.rolls_before(&batch.header).then(OwnerState::default);
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
