//! One segment: a `.log` file and its indexes. The last segment of a log grows; the others are sealed.

use super::files::{File, Files, Open, overwrite, read_all, replace};
use super::handles::{FileId, Handles};
use super::index::Indexes;
use super::scan::{HeaderScan, Placed};
use super::sidecars::offset_name;
use crate::log::{Offset, Wait};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, StoredBatch};
use parking_lot::RwLock;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A segment of one log.
#[derive(Debug)]
pub struct Segment {
    base: Offset,
    dir: PathBuf,
    path: PathBuf,
    id: FileId,
    handles: Arc<Handles>,
    /// Bytes of whole batches. Stored after the index knows of them, so a reader that sees the size finds the entry.
    size: AtomicU64,
    /// The index files hold everything.
    sealed: AtomicBool,
    /// Not loaded, or given back: a sealed segment that nobody reads.
    indexes: RwLock<Option<Indexes>>,
}

impl Segment {
    /// A segment whose indexes, if given, are as its `.log` file of `size` bytes requires.
    pub fn new(handles: Arc<Handles>, dir: &Path, base: Offset, size: u64, indexes: Option<Indexes>) -> Arc<Self> {
        Arc::new(Self {
            base,
            dir: dir.to_owned(),
            path: dir.join(offset_name(base, "log")),
            id: handles.id(),
            handles,
            size: size.into(),
            sealed: AtomicBool::new(false),
            indexes: RwLock::new(indexes),
        })
    }

    /// Offset that the segment begins at.
    pub fn base(&self) -> Offset {
        self.base
    }

    /// Bytes of whole batches.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The `.log` file, made.
    pub fn make_file(&self, files: &dyn Files) -> io::Result<()> {
        let file = files.open(&self.path, Open::Create)?;
        self.handles.keep(self.id, file);
        Ok(())
    }

    /// The `.log` file, which is there.
    pub fn file(&self, wait: Wait) -> io::Result<Arc<dyn File>> {
        self.handles.get(self.id, &self.path, wait)
    }

    /// Writes batches at the end, then indexes them.
    pub fn append(&self, batches: &[StoredBatch], interval: u32) -> io::Result<()> {
        let mut slices = Vec::with_capacity(batches.len() * 2);
        for batch in batches {
            slices.push(IoSlice::new(&batch.head));
            slices.push(IoSlice::new(&batch.records));
        }
        let start = self.size();
        self.file(Wait::Allowed)?.write_at(&mut slices, start)?;
        let mut position = start;
        let mut guard = self.indexes.write();
        let indexes = guard.get_or_insert_with(|| Indexes::new(self.base));
        for batch in batches {
            indexes.note(position, batch.size(), batch.header.last_offset(), batch.header.max_timestamp, interval);
            position += batch.size() as u64;
        }
        drop(guard);
        self.size.store(position, Ordering::Release);
        Ok(())
    }

    /// Cuts off what a failed write may have left behind.
    pub fn cut_back(&self) -> io::Result<()> {
        self.file(Wait::Allowed)?.set_len(self.size())
    }

    /// Syncs the `.log` file.
    pub fn sync(&self) -> io::Result<()> {
        self.file(Wait::Allowed)?.sync()
    }

    /// No more batches will come.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        if let Some(indexes) = self.indexes.write().as_mut() {
            indexes.seal();
        }
    }

    /// Writes the index files, not synced. After [`Segment::seal`] this is what Kafka leaves at a clean stop.
    pub fn write_indexes(&self, files: &dyn Files) -> io::Result<()> {
        let (offsets, times) = match self.indexes.read().as_ref() {
            Some(indexes) => (indexes.offset_file(), indexes.time_file()),
            None => return Ok(()),
        };
        for (path, content) in self.index_paths().iter().zip([offsets, times]) {
            overwrite(&*files.open(path, Open::Create)?, &content)?;
        }
        Ok(())
    }

    /// Writes the index files so that there are always whole ones.
    pub fn replace_indexes(&self, files: &dyn Files) -> io::Result<()> {
        let (offsets, times) = match self.indexes.read().as_ref() {
            Some(indexes) => (indexes.offset_file(), indexes.time_file()),
            None => return Ok(()),
        };
        self.index_paths().iter().zip([offsets, times]).try_for_each(|(path, content)| replace(files, path, &content))
    }

    /// Makes the index files durable.
    pub fn sync_indexes(&self, files: &dyn Files) -> io::Result<()> {
        for path in self.index_paths() {
            if files.exists(&path)? {
                files.open(&path, Open::Write)?.sync()?;
            }
        }
        Ok(())
    }

    /// Asks the indexes, which are loaded if they are not, or made again where the files are missing or wrong. Says
    /// whether they had to be. `ask` only looks things up: it holds up whoever appends.
    pub fn look_up<T>(
        &self,
        files: &dyn Files,
        interval: u32,
        wait: Wait,
        ask: impl FnOnce(&Indexes) -> T,
    ) -> io::Result<(T, bool)> {
        if let Some(indexes) = self.indexes.read().as_ref() {
            return Ok((ask(indexes), false));
        }
        if wait == Wait::Never {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Over the lock, so that of two readers only one loads: nobody appends to a segment that is not loaded.
        let mut indexes = self.indexes.write();
        let indexes = match &mut *indexes {
            Some(indexes) => indexes,
            none => none.insert(self.load_indexes(files, interval)?),
        };
        Ok((ask(indexes), true))
    }

    /// The largest timestamp of a sealed segment from the end of its time index alone; `None` where that does not tell.
    pub fn stored_largest_timestamp(&self, files: &dyn Files) -> io::Result<Option<Millis>> {
        let [_, times] = self.index_paths();
        if !self.sealed.load(Ordering::Acquire) || self.indexes.read().is_some() || !files.exists(&times)? {
            return Ok(None);
        }
        let file = files.open(&times, Open::Read)?;
        let length = file.len()?;
        let mut timestamp = [0; 8];
        if length < 12 || !length.is_multiple_of(12) || file.read_at(&mut timestamp, length - 12, Wait::Allowed)? < 8 {
            return Ok(None);
        }
        Ok(Some(Millis::from_be_bytes(timestamp)))
    }

    /// The index files hold everything, as of a segment that an earlier process sealed.
    pub fn was_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Gives the memory of the indexes back, unless the segment may still grow.
    pub fn unload_if_sealed(&self) {
        if self.sealed.load(Ordering::Acquire) {
            *self.indexes.write() = None;
        }
    }

    /// Closes the file.
    pub fn close(&self) {
        self.handles.forget(self.id);
    }

    /// Header and position of the batch that contains `offset`, or of the first after it. `from` is where the index
    /// says that a batch at or before it begins; where that is not true the segment is searched from its start.
    pub fn find(&self, from: u64, offset: Offset, wait: Wait) -> io::Result<Option<Placed>> {
        match self.first_where(from, wait, |header| header.last_offset() >= offset) {
            Ok(Some(placed)) if placed.header.base_offset > offset && from > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData && from > 0 => {}
            outcome => return outcome,
        }
        self.first_where(0, wait, |header| header.last_offset() >= offset)
    }

    /// The last boundary between batches at or before `limit`, and the offset of the batch that it left out. `from` is a
    /// boundary.
    pub fn boundary(&self, from: u64, limit: u64, wait: Wait) -> io::Result<(u64, Option<Offset>)> {
        let size = self.size();
        if limit >= size {
            return Ok((size, None));
        }
        let file = self.file(wait)?;
        let mut scan = HeaderScan::new(&*file, from, size, wait);
        let mut boundary = from;
        while let Some(placed) = scan.next_header()? {
            if placed.end() > limit {
                return Ok((boundary, Some(placed.header.base_offset)));
            }
            boundary = placed.end();
        }
        Ok((boundary, None))
    }

    /// The first batch from `from` on with a timestamp of at least `timestamp`.
    pub fn find_time(&self, from: u64, timestamp: Millis) -> io::Result<Option<Placed>> {
        self.first_where(from, Wait::Allowed, |header| header.max_timestamp >= timestamp)
    }

    fn first_where(&self, from: u64, wait: Wait, wanted: impl Fn(&BatchHeader) -> bool) -> io::Result<Option<Placed>> {
        let file = self.file(wait)?;
        let mut scan = HeaderScan::new(&*file, from, self.size(), wait);
        while let Some(placed) = scan.next_header()? {
            if wanted(&placed.header) {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }

    /// Gives every batch from `position` on, where one begins, to `see`.
    pub fn headers(&self, position: u64, see: &mut dyn FnMut(&Placed)) -> io::Result<()> {
        let file = self.file(Wait::Allowed)?;
        let mut scan = HeaderScan::new(&*file, position, self.size(), Wait::Allowed);
        while let Some(placed) = scan.next_header()? {
            see(&placed);
        }
        Ok(())
    }

    /// The first batch's header.
    pub fn first_header(&self) -> io::Result<Option<BatchHeader>> {
        let file = self.file(Wait::Allowed)?;
        let first = HeaderScan::new(&*file, 0, self.size(), Wait::Allowed).next_header()?;
        Ok(first.map(|placed| placed.header))
    }

    /// The first of the batches that begin before `below` with the largest timestamp.
    pub fn largest_below(&self, below: Offset) -> io::Result<Option<Placed>> {
        let mut best: Option<Placed> = None;
        self.headers(0, &mut |placed| {
            let larger = best.is_none_or(|best| placed.header.max_timestamp > best.header.max_timestamp);
            if placed.header.base_offset < below && placed.header.max_timestamp >= 0 && larger {
                best = Some(*placed);
            }
        })?;
        Ok(best)
    }

    fn load_indexes(&self, files: &dyn Files, interval: u32) -> io::Result<Indexes> {
        let [offsets, times] = self.index_paths();
        let stored = read_all(files, &offsets).and_then(|o| Ok((o, read_all(files, &times)?)));
        if let Ok((offsets, times)) = stored
            && let Ok(indexes) = Indexes::load(self.base, &offsets, &times, self.size())
        {
            return Ok(indexes);
        }
        tracing::warn!(segment = %self.path.display(), "index missing or damaged; made again from the batches");
        // Kept in memory alone: a reader may come late, when the folder is another log's.
        let mut indexes = self.scan_indexes(interval)?;
        indexes.seal();
        Ok(indexes)
    }

    /// Indexes made from the headers of the file.
    fn scan_indexes(&self, interval: u32) -> io::Result<Indexes> {
        let mut indexes = Indexes::new(self.base);
        self.headers(0, &mut |Placed { header, position }| {
            indexes.note(*position, header.size(), header.last_offset(), header.max_timestamp, interval);
        })?;
        Ok(indexes)
    }

    fn index_paths(&self) -> [PathBuf; 2] {
        ["index", "timeindex"].map(|extension| self.dir.join(offset_name(self.base, extension)))
    }
}
