//! A file system in memory that loses, tears and fails as a real one may. For tests; nothing else uses it.
//!
//! It keeps what programs see (the page cache) apart from what a power cut leaves. After the last
//! [`File::sync`] each 512-byte sector of a file may survive in any of the versions it had, and the length in any
//! of the lengths it had, independently: length without data reads as zeros, data without length is not seen.
//! Names (created, renamed, removed, directories made) are durable after [`Files::sync_dir`] of the directory that
//! holds them; until then each such change survives or not by itself, in order, a rename as a whole. A synced
//! file without a durable name is lost. A rename from one directory to another belongs to the one it goes to.
//!
//! Everything is a function of the calls made and of the seed. Left out: several names for one file, permissions,
//! and blocks: space is counted in bytes of length.

mod content;
mod names;

use super::files::{Entry, File, Files, Open};
use crate::log::Wait;
use content::{Chance, Content, DataChange, pieces};
use names::{Inode, NameChange, Names, Place, ROOT};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes that a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// A write is applied to the page cache in at most so many steps, between which the process may die.
const WRITE_PIECES: usize = 4;

/// The seed with which nothing survives that was not synced.
pub const LOSE_ALL: u64 = 0;

/// The seed with which everything survives that was called for.
pub const KEEP_ALL: u64 = 1;

/// Rules bent, so that a test can show which rule something rests on. Survivors inherit them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names are durable without [`Files::sync_dir`].
    pub names_durable_at_once: bool,
    /// [`File::sync`] says yes and does nothing.
    pub sync_lies: bool,
    /// [`Files::sync_dir`] says yes and does nothing.
    pub sync_dir_lies: bool,
}

/// The simulated file system. A clone is the same file system; [`MemoryFiles::after_crash`] and
/// [`MemoryFiles::after_kill`] are independent ones.
#[derive(Clone, Default)]
pub struct MemoryFiles(Arc<Mutex<State>>);

impl std::fmt::Debug for MemoryFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryFiles")
    }
}

impl MemoryFiles {
    /// An empty file system with honest rules.
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    /// An empty file system with bent rules.
    pub fn with_rules(rules: Rules) -> MemoryFiles {
        let files = MemoryFiles::default();
        files.set_rules(rules);
        files
    }

    /// Bends the rules from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.0.lock().rules = rules;
    }

    /// Steps taken so far: each change of a name, each set_len and sync is one, each write one to four.
    pub fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    /// Successful calls of [`File::sync`] so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Calls of [`File::sync`] and [`Files::sync_all`] that failed by [`MemoryFiles::fail_sync`] so far.
    pub fn failed_syncs(&self) -> u64 {
        self.0.lock().failed_syncs
    }

    /// Lets steps happen until `steps` of them were taken (counted from the beginning, as by
    /// [`MemoryFiles::steps`]); the next one, and every call after it, fails as if the process were dead.
    pub fn crash_at(&self, steps: u64) {
        self.0.lock().crash_at = Some(steps);
    }

    /// Whether the crash that was asked for has hit a call.
    pub fn crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// What a power cut now would leave, the choice made by the seed; see [`LOSE_ALL`] and [`KEEP_ALL`].
    pub fn after_crash(&self, seed: u64) -> MemoryFiles {
        MemoryFiles(Arc::new(Mutex::new(self.0.lock().survivor(&mut Chance::new(seed)))))
    }

    /// What the death of the process now would leave: all that was written; what was not synced still is not.
    pub fn after_kill(&self) -> MemoryFiles {
        let state = self.0.lock();
        let again = State {
            now: state.now.clone(),
            durable: state.durable.clone(),
            files: state.files.clone(),
            pending: state.pending.clone(),
            next: state.next,
            rules: state.rules,
            ..State::default()
        };
        MemoryFiles(Arc::new(Mutex::new(again)))
    }

    /// The write after `skip` others fails with EIO and writes nothing.
    pub fn fail_write(&self, skip: u64) {
        self.0.lock().faults.write = Some(skip);
    }

    /// The read after `skip` others fails with EIO.
    pub fn fail_read(&self, skip: u64) {
        self.0.lock().faults.read = Some(skip);
    }

    /// The file sync after `skip` others fails with EIO and forgets what it should have written; the page cache
    /// still shows it, and the next sync says that all is well.
    pub fn fail_sync(&self, skip: u64) {
        self.0.lock().faults.sync = Some(skip);
    }

    /// The directory sync after `skip` others fails with EIO; the names stay as undurable as they were.
    pub fn fail_sync_dir(&self, skip: u64) {
        self.0.lock().faults.sync_dir = Some(skip);
    }

    /// Files may grow by so many bytes in all; the write that reaches the end is cut short and fails with ENOSPC.
    /// Cutting and removing files gives space back. None: no limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.0.lock().faults.space = bytes;
    }

    /// Whether reads that may not wait find nothing in memory.
    pub fn set_cold(&self, cold: bool) {
        self.0.lock().faults.cold = cold;
    }

    /// Every file as a program sees it now, by path from the root.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.0.lock();
        let mut found = BTreeMap::new();
        state.now.walk(|inode, path| {
            if let Some(file) = state.files.get(&inode) {
                found.insert(path.to_owned(), file.content.clone());
            }
        });
        found
    }
}

#[derive(Debug, Default)]
struct Faults {
    write: Option<u64>,
    read: Option<u64>,
    sync: Option<u64>,
    sync_dir: Option<u64>,
    space: Option<u64>,
    cold: bool,
}

/// Counts down; an error when it is this one's turn.
fn strike(countdown: &mut Option<u64>) -> io::Result<()> {
    match countdown {
        Some(0) => {
            *countdown = None;
            Err(Errno::IO.into())
        }
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

#[derive(Debug, Default)]
struct State {
    now: Names,
    durable: Names,
    /// Every inode that is not here is a directory.
    files: BTreeMap<Inode, Content>,
    pending: Vec<NameChange>,
    next: Inode,
    rules: Rules,
    faults: Faults,
    steps: u64,
    syncs: u64,
    failed_syncs: u64,
    crash_at: Option<u64>,
    crashed: bool,
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("the simulated process is dead")) } else { Ok(()) }
    }

    fn step(&mut self) -> io::Result<()> {
        self.crashed |= self.crash_at.is_some_and(|at| self.steps >= at);
        self.alive()?;
        self.steps += 1;
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<Inode> {
        if path.as_os_str().is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        let mut inode = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => {
                    let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
                    if self.files.contains_key(&inode) {
                        return Err(ErrorKind::NotADirectory.into());
                    }
                    inode = self.now.get(&(inode, name.to_owned())).ok_or(ErrorKind::NotFound)?;
                }
                Component::ParentDir => inode = self.now.places.get(&inode).map_or(ROOT, |place| place.0),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(inode)
    }

    fn find_dir(&self, path: &Path) -> io::Result<Inode> {
        let inode = self.find(path)?;
        if self.files.contains_key(&inode) { Err(ErrorKind::NotADirectory.into()) } else { Ok(inode) }
    }

    /// Where a path's last name is or would be.
    fn place(&self, path: &Path) -> io::Result<Place> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => ROOT,
            Some(parent) => self.find_dir(parent)?,
            None => ROOT,
        };
        Ok((parent, name.to_owned()))
    }

    fn change_name(&mut self, change: NameChange) {
        self.now.apply(&change);
        if self.rules.names_durable_at_once {
            self.durable.apply(&change);
        } else {
            self.pending.push(change);
        }
    }

    fn make(&mut self, to: Place) -> Inode {
        self.next += 1;
        let inode = self.next;
        self.change_name(NameChange::Link { to, inode, from: None });
        inode
    }

    /// Makes a directory's changes durable, and with them earlier ones elsewhere that concern the same names.
    fn sync_names(&mut self, dir: Inode) {
        let mut named: BTreeSet<Place> = BTreeSet::new();
        let mut chosen = vec![false; self.pending.len()];
        for (change, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            if change.home() == dir || change.places().any(|place| named.contains(place)) {
                *chosen = true;
                named.extend(change.places().cloned());
            }
        }
        let mut kept = Vec::new();
        for (change, chosen) in std::mem::take(&mut self.pending).into_iter().zip(chosen) {
            if chosen {
                self.durable.apply(&change);
            } else {
                kept.push(change);
            }
        }
        self.pending = kept;
    }

    fn survivor(&self, chance: &mut Chance) -> State {
        let mut names = self.durable.clone();
        for change in &self.pending {
            if chance.names.some_of(&mut chance.random, 1) == 1 {
                names.apply(change);
            }
        }
        let mut reached = Names::default();
        let mut files = BTreeMap::new();
        names.walk(|inode, _| {
            if let Some(place) = names.places.get(&inode) {
                reached.apply(&NameChange::Link { to: place.clone(), inode, from: None });
            }
            if let Some(file) = self.files.get(&inode) {
                let content = file.survivor(chance);
                files.insert(inode, Content { durable: content.clone(), content, pending: Vec::new() });
            }
        });
        State { now: reached.clone(), durable: reached, files, next: self.next, rules: self.rules, ..State::default() }
    }

    /// Takes growth out of the space there is; how much of it is granted.
    fn take_space(&mut self, growth: usize) -> usize {
        match &mut self.faults.space {
            None => growth,
            Some(left) => {
                let granted = growth.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= granted as u64;
                granted
            }
        }
    }

    fn give_space(&mut self, inode: Inode, length: usize) {
        let held = self.files.get(&inode).map_or(0, |file| file.content.len());
        if let Some(left) = &mut self.faults.space {
            *left += held.saturating_sub(length) as u64;
        }
    }

    fn file(&mut self, inode: Inode) -> io::Result<&mut Content> {
        self.files.get_mut(&inode).ok_or_else(|| ErrorKind::IsADirectory.into())
    }

    fn write(&mut self, inode: Inode, position: usize, bytes: &[u8]) -> io::Result<()> {
        strike(&mut self.faults.write)?;
        let mut rest = bytes;
        let mut at = position;
        for piece in pieces(position, bytes.len()) {
            self.step()?;
            let (part, after) = rest.split_at(piece);
            let length = self.file(inode)?.content.len();
            let growth = (at + part.len()).saturating_sub(length);
            let missing = growth - self.take_space(growth);
            let fits = part.len() - missing.min(part.len());
            let bytes = part[..fits].to_vec();
            self.file(inode)?.change(DataChange::Write { position: at, bytes });
            if missing > 0 {
                return Err(Errno::NOSPC.into());
            }
            rest = after;
            at += piece;
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let inode = self.now.get(&from).ok_or(ErrorKind::NotFound)?;
        let mut above = Some(to.0);
        while let Some(dir) = above {
            if dir == inode {
                return Err(ErrorKind::InvalidInput.into());
            }
            above = self.now.places.get(&dir).map(|place| place.0);
        }
        if let Some(there) = self.now.get(&to) {
            match (self.files.contains_key(&inode), self.files.contains_key(&there)) {
                (true, false) => return Err(ErrorKind::IsADirectory.into()),
                (false, true) => return Err(ErrorKind::NotADirectory.into()),
                (false, false) if self.now.entries.get(&there).is_some_and(|entries| !entries.is_empty()) => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                _ if there == inode => return Ok(()),
                _ => self.give_space(there, 0),
            }
        }
        self.step()?;
        self.change_name(NameChange::Link { to, inode, from: Some(from) });
        Ok(())
    }

    fn remove(&mut self, at: Place) -> io::Result<()> {
        let inode = self.now.get(&at).ok_or(ErrorKind::NotFound)?;
        self.step()?;
        self.give_space(inode, 0);
        self.change_name(NameChange::Unlink { at, inode });
        Ok(())
    }

    fn remove_dir(&mut self, at: Place) -> io::Result<()> {
        let inode = self.now.get(&at).ok_or(ErrorKind::NotFound)?;
        let inside: Vec<String> = self.now.entries.get(&inode).into_iter().flatten().map(|e| e.0.clone()).collect();
        for name in inside {
            let place = (inode, name);
            match self.now.get(&place) {
                Some(child) if !self.files.contains_key(&child) => self.remove_dir(place)?,
                _ => self.remove(place)?,
            }
        }
        self.remove(at)
    }
}

impl Files for MemoryFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        state.alive()?;
        let inode = match state.find(path) {
            Ok(inode) => inode,
            Err(e) if e.kind() == ErrorKind::NotFound && how == Open::Create => {
                let place = state.place(path)?;
                state.step()?;
                let inode = state.make(place);
                state.files.insert(inode, Content::default());
                inode
            }
            Err(e) => return Err(e),
        };
        state.file(inode)?;
        Ok(Arc::new(MemoryFile { files: self.clone(), inode, writable: how != Open::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock();
        state.alive()?;
        let inode = state.find_dir(dir)?;
        let entries = state.now.entries.get(&inode).into_iter().flatten();
        Ok(entries.map(|(name, i)| Entry { name: name.clone(), is_dir: !state.files.contains_key(i) }).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.0.lock();
        state.alive()?;
        match state.find(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        state.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        let inode = state.find(path)?;
        state.file(inode)?;
        let place = state.place(path)?;
        state.remove(place)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        let mut above: Vec<&Path> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        for dir in above {
            match state.find_dir(dir) {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let place = state.place(dir)?;
                    state.step()?;
                    state.make(place);
                }
                found => drop(found?),
            }
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        state.find_dir(path)?;
        let place = state.place(path)?;
        state.remove_dir(place)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        let inode = state.find_dir(path)?;
        state.step()?;
        strike(&mut state.faults.sync_dir)?;
        if !state.rules.sync_dir_lies {
            state.sync_names(inode);
        }
        Ok(())
    }

    /// File by file, so that a crash may come between; the names last.
    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        state.find_dir(dir)?;
        for inode in state.files.keys().copied().collect::<Vec<_>>() {
            state.step()?;
            if let Err(e) = strike(&mut state.faults.sync) {
                state.file(inode)?.sync_lost();
                state.failed_syncs += 1;
                return Err(e);
            }
            state.syncs += 1;
            if !state.rules.sync_lies {
                state.file(inode)?.sync();
            }
        }
        state.step()?;
        if !state.rules.sync_dir_lies {
            for change in std::mem::take(&mut state.pending) {
                state.durable.apply(&change);
            }
        }
        Ok(())
    }
}

struct MemoryFile {
    files: MemoryFiles,
    inode: Inode,
    writable: bool,
}

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryFile({})", self.inode)
    }
}

impl MemoryFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

/// A position or length in bytes; 4 GiB are more than a test should need.
fn in_memory(bytes: u64) -> io::Result<usize> {
    u32::try_from(bytes).map(|bytes| bytes as usize).map_err(|_| Errno::FBIG.into())
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        let mut state = self.files.0.lock();
        state.alive()?;
        if state.faults.cold && wait == Wait::Never {
            return Err(ErrorKind::WouldBlock.into());
        }
        strike(&mut state.faults.read)?;
        let content = &state.file(self.inode)?.content;
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(content.len());
        let got = buffer.len().min(content.len() - from);
        buffer[..got].copy_from_slice(&content[from..from + got]);
        Ok(got)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut state = self.files.0.lock();
        state.alive()?;
        self.check_writable()?;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        state.write(self.inode, in_memory(position)?, &bytes)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.files.0.lock();
        state.alive()?;
        Ok(state.file(self.inode)?.content.len() as u64)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.files.0.lock();
        state.alive()?;
        self.check_writable()?;
        let length = in_memory(length)?;
        let growth = length.saturating_sub(state.file(self.inode)?.content.len());
        state.step()?;
        let granted = state.take_space(growth);
        if granted < growth {
            // A length changes whole or not at all.
            state.faults.space = state.faults.space.map(|left| left + granted as u64);
            return Err(Errno::NOSPC.into());
        }
        state.give_space(self.inode, length);
        state.file(self.inode)?.change(DataChange::SetLen(length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.files.0.lock();
        state.alive()?;
        state.step()?;
        if let Err(e) = strike(&mut state.faults.sync) {
            state.file(self.inode)?.sync_lost();
            state.failed_syncs += 1;
            return Err(e);
        }
        state.syncs += 1;
        if !state.rules.sync_lies {
            state.file(self.inode)?.sync();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
