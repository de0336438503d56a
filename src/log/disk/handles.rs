//! Open files, a bounded number of them: ten thousand partitions must fit into the process's limit.

use super::files::{File, Files, Open};
use crate::log::Wait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Names an open file here; never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(u64);

/// The open files, least recently used ones closed first. A file in use stays open until its last user lets go.
#[derive(Debug)]
pub struct Handles {
    files: Arc<dyn Files>,
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    tick: u64,
    open: HashMap<FileId, (Arc<dyn File>, u64)>,
}

impl Handles {
    /// At most `capacity` files stay open unused.
    pub fn new(files: Arc<dyn Files>, capacity: usize) -> Self {
        Self { files, capacity: capacity.max(8), inner: Mutex::default() }
    }

    /// A new name for a file.
    pub fn id(&self) -> FileId {
        let mut inner = self.inner.lock();
        inner.next_id += 1;
        FileId(inner.next_id)
    }

    /// The file behind `id`, which exists. Opened if it is not open, or `WouldBlock` where that may not be waited for.
    pub fn get(&self, id: FileId, path: &Path, wait: Wait) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.inner.lock().find(id) {
            return Ok(file);
        }
        if wait == Wait::Never {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Not under the lock: opening may wait for the disk. Of two that open the same file one is closed again.
        let file = self.files.open(path, Open::Write)?;
        Ok(self.keep(id, file))
    }

    /// Keeps a file that was just made.
    pub fn keep(&self, id: FileId, file: Arc<dyn File>) -> Arc<dyn File> {
        let mut inner = self.inner.lock();
        if let Some(open) = inner.find(id) {
            return open;
        }
        if inner.open.len() >= self.capacity {
            inner.evict();
        }
        let tick = inner.tick;
        inner.open.insert(id, (file.clone(), tick));
        file
    }

    /// Closes a file, once its users let go.
    pub fn forget(&self, id: FileId) {
        self.inner.lock().open.remove(&id);
    }

    /// How many files are kept open.
    pub fn open_count(&self) -> usize {
        self.inner.lock().open.len()
    }
}

impl Inner {
    fn find(&mut self, id: FileId) -> Option<Arc<dyn File>> {
        self.tick += 1;
        let (file, used) = self.open.get_mut(&id)?;
        *used = self.tick;
        Some(file.clone())
    }

    /// Closes the eighth that was used longest ago, so that the search for it is paid for by many openings.
    fn evict(&mut self) {
        let mut ticks: Vec<u64> = self.open.values().map(|(_, used)| *used).collect();
        let nth = ticks.len() / 8;
        let (_, &mut limit, _) = ticks.select_nth_unstable(nth);
        self.open.retain(|_, (_, used)| *used > limit);
    }
}
