//! Opening a partition's folder: as it was left after a clean stop, by scanning after any other.
//!
//! Kafka's rules (`LogLoader`, `LogSegment.recover`), and stricter ones where Kafka would keep a hole: every batch's
//! checksum is verified, offsets must go on without a gap within and between the segments that are scanned, nothing
//! that follows a cut is kept in place. What is cut off as whole segments is put aside under another name, never
//! removed. Indexes are made anew for every segment that is scanned.

use super::directory::Checks;
use super::files::{File, Open, read_all};
use super::index::Indexes;
use super::journal::{self, LogName};
use super::partition_log::{DiskLog, Found};
use super::segment::Segment;
use super::shared::Shared;
use super::sidecars::{
    CORRUPT_SUFFIX, LEADER_EPOCHS, PARTITION_METADATA, RECOVERY_POINTS, TRANSACTION_INDEX, decode_epochs,
    decode_partition_metadata, offset_name, parse_offset_name,
};
use crate::log::{EpochStart, Log, LogConfig, LogError, Offset, Recovered, Replayed, StateFile, Wait};
use crate::time;
use crate::wire::batch::{BatchHeader, CRC_FROM, HEADER_SIZE};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Batches larger than this are not read into memory by a scan: no client can have sent them.
const BATCH_MAX: u64 = 1 << 30;

/// What a segment consists of.
const SEGMENT_FILES: [&str; 4] = ["log", "index", "timeindex", TRANSACTION_INDEX];

/// How a folder is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The last stop was clean: believe the files.
    Clean {
        /// Before it everything was synced.
        recovery_point: Offset,
    },
    /// Scan from the segment that holds the last batch before this offset on.
    Scan {
        /// Before it everything is synced.
        recovery_point: Offset,
        /// Nothing was ever trimmed: the log begins at offset 0.
        from_zero: bool,
        /// What is scanned is also written again: the page cache that shows it is not known to reach the disk.
        rewrite: bool,
    },
}

/// A log, and what its owner needs to build its own state again.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Arc<DiskLog>,
    /// Offset after the last batch.
    pub end: Offset,
    /// Leader epoch history.
    pub epochs: Vec<EpochStart>,
    /// State files as of offsets up to `end`, newest first; their content is not checked.
    pub states: Vec<(Offset, Vec<StateFile>)>,
    /// Transaction indexes of segments that were not scanned; their content is not checked.
    pub transaction_indexes: Vec<(Offset, Vec<u8>)>,
    /// Bytes that were cut off.
    pub truncated_bytes: u64,
}

impl Opened {
    /// The log, and what its owner builds its state from.
    pub fn into_recovered(self) -> (Arc<DiskLog>, Recovered) {
        let (log, replayed) = (self.log.clone(), self.log);
        let recovered = Recovered {
            first_batch: log.start(),
            log_end: self.end,
            epochs: self.epochs,
            states: self.states,
            transaction_indexes: self.transaction_indexes,
            // When a batch was appended is not known. Now is the time that keeps its producer known for longest.
            replay: Box::new(move |from, see| {
                let append_time = time::wall();
                let mut each = |header: &BatchHeader, control: &Bytes| see(&Replayed { header, control, append_time });
                replayed.replay(from, &mut each).map_err(|error| {
                    LogError::Storage(format!("reading {} failed: {error}", replayed.name().dir()).into())
                })
            }),
        };
        (log, recovered)
    }
}

/// The topic id that a folder says it belongs to.
pub(super) fn folder_topic_id(shared: &Shared, dir: &Path) -> Option<Uuid> {
    decode_partition_metadata(&read_all(&*shared.files, &dir.join(PARTITION_METADATA)).ok()?)
}

/// Opens a partition's folder, or prepares a log for one that is not there yet.
pub(super) fn open(
    shared: &Arc<Shared>,
    name: LogName,
    config: LogConfig,
    mode: Mode,
    checks: Checks,
) -> io::Result<Opened> {
    let dir = shared.root.join(name.dir());
    if !shared.files.exists(&dir)? {
        let found = Found { exists: false, segments: Vec::new(), end: 0, unsynced: None };
        let log = DiskLog::new(name, shared.clone(), config, found)?;
        let (states, transaction_indexes) = (Vec::new(), Vec::new());
        return Ok(Opened { log, end: 0, epochs: Vec::new(), states, transaction_indexes, truncated_bytes: 0 });
    }
    let mut folder = Folder::list(shared, &dir, config, checks)?;
    match mode {
        Mode::Clean { recovery_point } if folder.load_clean(recovery_point)? => {}
        Mode::Clean { recovery_point } => {
            tracing::warn!(log = %name.dir(), "the files do not end where a clean stop left them; scanning");
            folder.was_clean = true;
            folder.scan(0, recovery_point, false)?;
            // Their transaction indexes are gone.
            folder.drop_snapshots()?;
        }
        Mode::Scan { recovery_point, from_zero, rewrite } => {
            if from_zero {
                folder.require_first_segment()?;
            }
            folder.scan(recovery_point, recovery_point, rewrite)?;
            folder.drop_snapshots()?;
        }
    }
    folder.drop_states_beyond_end()?;
    folder.drop_stray_indexes()?;
    let states = folder.states()?;
    let transaction_indexes = folder.transaction_indexes()?;
    if folder.truncated_bytes > 0 {
        tracing::warn!(log = %name.dir(), end = folder.end, bytes = folder.truncated_bytes, "cut off what was not whole");
    }
    let unsynced = folder.unsynced;
    let found = Found { exists: true, segments: folder.segments, end: folder.end, unsynced };
    let log = DiskLog::new(name, shared.clone(), config, found)?;
    if unsynced.is_some() || folder_topic_id(shared, &dir) != Some(log.name().topic_id) {
        let rewrite = matches!(mode, Mode::Scan { rewrite: true, .. });
        log.store_sidecars(&folder.epochs, rewrite)?;
    }
    let Folder { end, epochs, truncated_bytes, .. } = folder;
    Ok(Opened { log, end, epochs, states, transaction_indexes, truncated_bytes })
}

/// Adds the epoch that a batch begins, if it does. Says so.
pub(super) fn note_epoch(epochs: &mut Vec<EpochStart>, header: &BatchHeader) -> bool {
    let begins = header.leader_epoch >= 0 && epochs.last().is_none_or(|last| header.leader_epoch > last.epoch);
    if begins {
        epochs.push(EpochStart { epoch: header.leader_epoch, start: header.base_offset });
    }
    begins
}

/// A partition's folder while it is being opened.
struct Folder<'a> {
    shared: &'a Arc<Shared>,
    dir: &'a Path,
    config: LogConfig,
    checks: Checks,
    /// Base offsets of the `.log` files.
    bases: Vec<Offset>,
    /// Base offsets of the `.txnindex` files, which there are for segments with aborted transactions.
    indexed: BTreeSet<Offset>,
    /// Offsets of the state files and which kinds there are.
    state_files: BTreeMap<Offset, Vec<&'static str>>,
    epochs: Vec<EpochStart>,
    epochs_known: bool,
    /// The stored recovery point lies at the end of all: a start that is interrupted must not leave torn indexes.
    was_clean: bool,
    segments: Vec<Arc<Segment>>,
    end: Offset,
    /// Where the scan began, if there was one.
    unsynced: Option<Offset>,
    truncated_bytes: u64,
}

impl<'a> Folder<'a> {
    fn list(shared: &'a Arc<Shared>, dir: &'a Path, config: LogConfig, checks: Checks) -> io::Result<Self> {
        let mut bases = Vec::new();
        let mut indexed = BTreeSet::new();
        let mut state_files: BTreeMap<Offset, Vec<&'static str>> = BTreeMap::new();
        for entry in shared.files.list(dir)? {
            match parse_offset_name(&entry.name) {
                Some((base, "log")) => bases.push(base),
                Some((base, TRANSACTION_INDEX)) => drop(indexed.insert(base)),
                Some((offset, extension)) => {
                    if let Some(kind) = StateFile::EXTENSIONS.iter().find(|kind| **kind == extension) {
                        state_files.entry(offset).or_default().push(kind);
                    }
                }
                None => {}
            }
        }
        bases.sort_unstable();
        // An empty file is one whose content was lost, not the history of a log without batches.
        let stored = read_all(&*shared.files, &dir.join(LEADER_EPOCHS)).ok().filter(|bytes| !bytes.is_empty());
        let epochs = stored.and_then(|bytes| decode_epochs(&bytes));
        let epochs_known = epochs.is_some();
        let end = bases.first().copied().unwrap_or(0);
        Ok(Self {
            shared,
            dir,
            config,
            checks,
            bases,
            indexed,
            state_files,
            epochs: epochs.unwrap_or_default(),
            epochs_known,
            was_clean: false,
            segments: Vec::new(),
            end,
            unsynced: None,
            truncated_bytes: 0,
        })
    }

    fn segment(&self, base: Offset, size: u64, indexes: Option<Indexes>) -> Arc<Segment> {
        Segment::new(self.shared.handles.clone(), self.dir, base, size, indexes)
    }

    fn log_file(&self, base: Offset) -> io::Result<Arc<dyn File>> {
        self.shared.files.open(&self.dir.join(offset_name(base, "log")), Open::Write)
    }

    /// Believes sizes and indexes; finds the end from the last index entry on. False if the last segment's batches
    /// do not end where its file does. An error, before anything is changed, if they end below `recovery_point`.
    fn load_clean(&mut self, recovery_point: Offset) -> io::Result<bool> {
        if !self.epochs_known && !self.bases.is_empty() {
            return Ok(false);
        }
        for base in self.bases.clone() {
            let size = self.log_file(base)?.len()?;
            self.segments.push(self.segment(base, size, None));
        }
        let Some(last) = self.segments.last().cloned() else {
            return self.require_synced(recovery_point).map(|()| true);
        };
        match self.end_of(&last) {
            Ok(end) => {
                self.end = end;
                self.require_synced(recovery_point).map(|()| true)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The offset after a segment's last batch, from its last index entry on.
    fn end_of(&self, last: &Segment) -> io::Result<Offset> {
        let (files, interval) = (&*self.shared.files, self.config.index_interval_bytes);
        let near_end = |indexes: &Indexes| indexes.start_at_or_before(last.size());
        let (from, _) = last.look_up(files, interval, Wait::Allowed, near_end)?;
        let mut end = last.base();
        last.headers(from, &mut |placed| end = placed.header.next_offset())?;
        Ok(end)
    }

    /// Verifies every batch from the segment that ends at `from` or holds it, and cuts at the first that is not whole, but
    /// never below `recovery_point`.
    fn scan(&mut self, from: Offset, recovery_point: Offset, rewrite: bool) -> io::Result<()> {
        self.segments.clear();
        // The segment that ends at the recovery point may have been sealed after it was set, and its indexes with it.
        let first = self.bases.partition_point(|base| *base < from).saturating_sub(1);
        let bases = std::mem::take(&mut self.bases);
        for &base in bases.get(..first).unwrap_or_default() {
            let size = self.log_file(base)?.len()?;
            let segment = self.segment(base, size, None);
            if !self.epochs_known {
                // Without a readable history the epochs have to come from all the batches there are.
                segment.headers(0, &mut |placed| {
                    note_epoch(&mut self.epochs, &placed.header);
                })?;
            }
            self.segments.push(segment);
        }
        let scanned = bases.get(first..).unwrap_or_default();
        self.unsynced = Some(scanned.first().copied().unwrap_or(0));
        if let Some(start) = scanned.first() {
            self.epochs.retain(|entry| entry.start < *start);
            self.end = *start;
        }
        for (index, &base) in scanned.iter().enumerate() {
            // A segment that does not begin where the last one ended would leave a hole.
            let follows = base == self.end;
            if follows && self.scan_segment(base, rewrite, recovery_point)? {
                continue;
            }
            if self.end < recovery_point {
                break;
            }
            let aside = if follows { index + 1 } else { index };
            self.put_aside(scanned.get(aside..).unwrap_or_default())?;
            break;
        }
        self.require_synced(recovery_point)
    }

    /// No crash loses what was synced: it is damaged, or was taken away. Cutting it off would give its offsets to other
    /// records; somebody has to look.
    fn require_synced(&self, recovery_point: Offset) -> io::Result<()> {
        let end = self.end;
        if end >= recovery_point {
            return Ok(());
        }
        let text = format!(
            "synced up to {recovery_point}, but whole only up to {end}: left as it is. To go on without the rest, stop the \
             broker, set the partition's offset in {RECOVERY_POINTS} to {end}, and take away any *.{}",
            journal::EXTENSION
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// Puts everything aside if the first segment is missing: its name was lost while that of a later one survived.
    fn require_first_segment(&mut self) -> io::Result<()> {
        if self.bases.first().is_none_or(|first| *first == 0) {
            return Ok(());
        }
        let bases = std::mem::take(&mut self.bases);
        self.end = 0;
        self.put_aside(&bases)
    }

    /// Scans one segment; false if it had to be cut, or would have to be below the recovery point.
    fn scan_segment(&mut self, base: Offset, rewrite: bool, recovery_point: Offset) -> io::Result<bool> {
        let file = self.log_file(base)?;
        let size = file.len()?;
        let mut scan = BatchScan { file: &*file, size, position: 0, expected: base, check_crc: self.checks.crc };
        let mut indexes = Indexes::new(base);
        while let Some(header) = scan.next_batch()? {
            let position = scan.position - header.size() as u64;
            let interval = self.config.index_interval_bytes;
            indexes.note(position, header.size(), header.last_offset(), header.max_timestamp, interval);
            note_epoch(&mut self.epochs, &header);
        }
        indexes.seal();
        let valid = scan.position;
        if valid < size && scan.expected < recovery_point {
            self.end = scan.expected;
            return Ok(false);
        }
        if valid < size {
            file.set_len(valid)?;
            self.truncated_bytes += size - valid;
        }
        // May tell of what is not there; the owner makes it again from the batches.
        if self.indexed.remove(&base) {
            self.shared.files.remove(&self.dir.join(offset_name(base, TRANSACTION_INDEX)))?;
        }
        self.end = scan.expected;
        if rewrite {
            write_again(&*file, valid)?;
        }
        let indexes = if self.checks.rebuild_indexes { Some(indexes) } else { None };
        let segment = self.segment(base, valid, indexes);
        if self.was_clean {
            segment.replace_indexes(&*self.shared.files)?;
        } else {
            segment.write_indexes(&*self.shared.files)?;
        }
        self.segments.push(segment);
        Ok(valid == size)
    }

    /// Renames segments that follow a cut, with their indexes, out of the way.
    fn put_aside(&mut self, bases: &[Offset]) -> io::Result<()> {
        for base in bases {
            let suffix = self.aside(*base)?;
            for extension in SEGMENT_FILES {
                let path = self.dir.join(offset_name(*base, extension));
                if self.shared.files.exists(&path)? {
                    if extension == "log" {
                        self.truncated_bytes += self.shared.files.open(&path, Open::Read)?.len()?;
                        tracing::error!(segment = %path.display(), "follows a cut; put aside as .{suffix}");
                    }
                    self.shared.files.rename(&path, &path.with_extension(format!("{extension}.{suffix}")))?;
                }
            }
            self.indexed.remove(base);
        }
        Ok(())
    }

    /// What the files of a segment are called that is put aside, so that none takes the place of one from before.
    fn aside(&self, base: Offset) -> io::Result<String> {
        let mut suffix = CORRUPT_SUFFIX.to_owned();
        let mut number = 0;
        let taken = |suffix: &str| {
            let path = |extension| self.dir.join(offset_name(base, &format!("{extension}.{suffix}")));
            SEGMENT_FILES
                .iter()
                .map(|extension| self.shared.files.exists(&path(extension)))
                .collect::<io::Result<Vec<_>>>()
        };
        while taken(&suffix)?.contains(&true) {
            number += 1;
            suffix = format!("{number}.{CORRUPT_SUFFIX}");
        }
        Ok(suffix)
    }

    /// Kafka believes a transaction index beside any segment. One whose segment was lost, or taken away, must not be there
    /// when another segment begins at its offset.
    fn drop_stray_indexes(&mut self) -> io::Result<()> {
        let there: BTreeSet<Offset> = self.segments.iter().map(|segment| segment.base()).collect();
        for base in self.indexed.extract_if(.., |base| !there.contains(base)) {
            self.shared.files.remove(&self.dir.join(offset_name(base, TRANSACTION_INDEX)))?;
        }
        Ok(())
    }

    fn drop_states_beyond_end(&mut self) -> io::Result<()> {
        for (offset, kinds) in self.state_files.split_off(&self.end.saturating_add(1)) {
            for kind in kinds {
                self.shared.files.remove(&self.dir.join(offset_name(offset, kind)))?;
            }
        }
        Ok(())
    }

    /// Of the two files of a state each may be there and whole where the other is not: written and not synced, or removed
    /// and the removal not synced. Kafka's alone knows one batch of each producer. Without ours the state comes from
    /// further back, from the first batch on if it must.
    fn drop_snapshots(&mut self) -> io::Result<()> {
        for (offset, kinds) in &mut self.state_files {
            if kinds.contains(&StateFile::SNAPSHOT) {
                self.shared.files.remove(&self.dir.join(offset_name(*offset, StateFile::SNAPSHOT)))?;
                kinds.retain(|kind| *kind != StateFile::SNAPSHOT);
            }
        }
        self.state_files.retain(|_, kinds| !kinds.is_empty());
        Ok(())
    }

    /// The transaction indexes, in the order of their segments.
    fn transaction_indexes(&self) -> io::Result<Vec<(Offset, Vec<u8>)>> {
        let read = |base: &Offset| read_all(&*self.shared.files, &self.dir.join(offset_name(*base, TRANSACTION_INDEX)));
        self.indexed.iter().map(|base| Ok((*base, read(base)?))).collect()
    }

    /// The state files' contents, newest first. Those that are neither the newest nor at the base of a segment have
    /// served their purpose and are removed, as Kafka removes stray snapshots.
    fn states(&mut self) -> io::Result<Vec<(Offset, Vec<StateFile>)>> {
        let newest = self.state_files.keys().next_back().copied();
        let mut states = Vec::new();
        for (offset, kinds) in self.state_files.iter().rev() {
            if Some(*offset) != newest && !self.segments.iter().any(|segment| segment.base() == *offset) {
                for kind in kinds {
                    self.shared.files.remove(&self.dir.join(offset_name(*offset, kind)))?;
                }
                continue;
            }
            let mut found = Vec::new();
            for &extension in kinds {
                let bytes = read_all(&*self.shared.files, &self.dir.join(offset_name(*offset, extension)))?;
                found.push(StateFile { extension, bytes });
            }
            states.push((*offset, found));
        }
        Ok(states)
    }
}

/// Writes the first bytes of a file over themselves.
fn write_again(file: &dyn File, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut position = 0;
    while position < length {
        let want = usize::try_from(length - position).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..want).unwrap_or_default();
        let got = file.read_at(part, position, Wait::Allowed)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&mut [IoSlice::new(part.get(..got).unwrap_or_default())], position)?;
        position += got as u64;
    }
    Ok(())
}

/// Walks whole, valid batches whose offsets go on without a gap.
struct BatchScan<'a> {
    file: &'a dyn File,
    size: u64,
    position: u64,
    expected: Offset,
    check_crc: bool,
}

impl BatchScan<'_> {
    fn next_batch(&mut self) -> io::Result<Option<BatchHeader>> {
        let mut head = [0; HEADER_SIZE];
        if self.file.read_at(&mut head, self.position, Wait::Allowed)? < HEADER_SIZE {
            return Ok(None);
        }
        let Ok(header) = BatchHeader::parse(&head) else { return Ok(None) };
        let length = header.size() as u64;
        let fits = length <= BATCH_MAX && self.position.saturating_add(length) <= self.size;
        let in_order = header.base_offset == self.expected && header.last_offset_delta >= 0;
        // A batch at the very last offset has none behind it: nobody could tell that it is there.
        let in_order = in_order && header.last_offset() < Offset::MAX;
        if !fits || !in_order || (self.check_crc && !self.crc_holds(&header, &head)?) {
            return Ok(None);
        }
        self.position += length;
        self.expected = header.next_offset();
        Ok(Some(header))
    }

    fn crc_holds(&self, header: &BatchHeader, head: &[u8; HEADER_SIZE]) -> io::Result<bool> {
        let mut crc = crc32c::crc32c(head.get(CRC_FROM..).unwrap_or_default());
        let mut position = self.position + HEADER_SIZE as u64;
        let mut rest = header.size() - HEADER_SIZE;
        let mut buffer = vec![0; rest.min(256 * 1024)];
        while rest > 0 {
            let want = rest.min(buffer.len());
            let part = buffer.get_mut(..want).unwrap_or_default();
            if self.file.read_at(part, position, Wait::Allowed)? < want {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, part);
            position += want as u64;
            rest -= want;
        }
        Ok(crc == header.crc)
    }
}
