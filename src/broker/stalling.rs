//! For tests: a disk that can be made to stall.

use crate::log::Wait;
use crate::log::disk::memory::MemoryFiles;
use crate::log::disk::{Entry, File, Files, Open};
use parking_lot::{Condvar, Mutex};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// Files whose syncs can be made to wait.
#[derive(Clone, Debug)]
pub struct Stalling {
    files: Arc<dyn Files>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug)]
struct StallingFile(Arc<dyn File>, Arc<(Mutex<bool>, Condvar)>);

impl Stalling {
    /// On an empty file system in memory.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { files: Arc::new(MemoryFiles::new()), gate: Arc::default() }
    }

    /// From now on syncs wait, or no longer.
    pub fn stall(&self, stalled: bool) {
        *self.gate.0.lock() = stalled;
        self.gate.1.notify_all();
    }
}

fn pass(gate: &(Mutex<bool>, Condvar)) {
    let mut stalled = gate.0.lock();
    while *stalled {
        gate.1.wait(&mut stalled);
    }
}

impl Files for Stalling {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StallingFile(self.files.open(path, how)?, self.gate.clone())))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.files.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.files.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        pass(&self.gate);
        self.files.sync_dir(path)
    }
    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        pass(&self.gate);
        self.files.sync_all(dir)
    }
}

impl File for StallingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        self.0.read_at(buffer, position, wait)
    }
    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.0.write_at(slices, position)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        pass(&self.1);
        self.0.sync()
    }
}
