//! For tests: a disk that can be made to stall, and a slow one.

use crate::log::Wait;
use crate::log::disk::memory::MemoryFiles;
use crate::log::disk::{Entry, File, Files, Open};
use parking_lot::{Condvar, Mutex};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Files whose syncs can be made to wait.
#[derive(Clone, Debug)]
pub struct Stalling {
    files: Arc<dyn Files>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct StallingFile {
    file: Arc<dyn File>,
    path: PathBuf,
    gate: Arc<Gate>,
}

/// Holds up what is done to a path that has this in it, and everything for a while.
#[derive(Debug, Default)]
struct Gate {
    stalled: Mutex<Option<&'static str>>,
    changed: Condvar,
    slow: Duration,
}

impl Stalling {
    /// On an empty file system in memory.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self::over(MemoryFiles::new())
    }

    /// On these files.
    pub fn over(files: MemoryFiles) -> Self {
        Self { files: Arc::new(files), gate: Arc::default() }
    }

    /// On an empty file system in memory whose syncs take so long.
    pub fn slow(slow: Duration) -> Self {
        Self { files: Arc::new(MemoryFiles::new()), gate: Arc::new(Gate { slow, ..Gate::default() }) }
    }

    /// From now on syncs wait, or no longer.
    pub fn stall(&self, stalled: bool) {
        self.gate.set(stalled.then_some(""));
    }

    /// From now on syncs of what has this in its path wait, and no others.
    pub fn stall_only(&self, part: &'static str) {
        self.gate.set(Some(part));
    }
}

impl Gate {
    fn set(&self, part: Option<&'static str>) {
        *self.stalled.lock() = part;
        self.changed.notify_all();
    }

    fn pass(&self, path: &Path) {
        if !self.slow.is_zero() {
            std::thread::sleep(self.slow);
        }
        let path = path.to_string_lossy();
        let holds = |stalled: &mut Option<&str>| stalled.is_some_and(|part| path.contains(part));
        self.changed.wait_while(&mut self.stalled.lock(), holds);
    }
}

impl Files for Stalling {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.files.open(path, how)?;
        Ok(Arc::new(StallingFile { file, path: path.into(), gate: self.gate.clone() }))
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
        self.gate.pass(path);
        self.files.sync_dir(path)
    }
    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        self.gate.pass(dir);
        self.files.sync_all(dir)
    }
}

impl File for StallingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        self.file.read_at(buffer, position, wait)
    }
    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.file.write_at(slices, position)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass(&self.path);
        self.file.sync()
    }
}
