//! Open files, a bounded number of them: ten thousand partitions must fit into the process's limit.

use super::files::{File, Files, Open};
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

    /// The file behind `id`, opened if it is not open. The lock is held while a file is opened, which is short, and
    /// keeps two callers from opening it twice.
    pub fn get(&self, id: FileId, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let tick = inner.tick;
        if let Some((file, used)) = inner.open.get_mut(&id) {
            *used = tick;
            return Ok(file.clone());
        }
        if inner.open.len() >= self.capacity {
            inner.evict();
        }
        let file = self.files.open(path, Open::Create)?;
        inner.open.insert(id, (file.clone(), tick));
        Ok(file)
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
    /// Closes the eighth that was used longest ago, so that the search for it is paid for by many openings.
    fn evict(&mut self) {
        let mut ticks: Vec<u64> = self.open.values().map(|(_, used)| *used).collect();
        let nth = ticks.len() / 8;
        let (_, &mut limit, _) = ticks.select_nth_unstable(nth);
        self.open.retain(|_, (_, used)| *used > limit);
    }
}
