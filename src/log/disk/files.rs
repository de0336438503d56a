//! The file system as the disk engine uses it: a seam, so that a test can tear, drop and fail.
//!
//! Paths are absolute or relative to the process, as the caller built them. A name is durable after
//! [`Files::sync_dir`] of its parent, content after [`File::sync`]; nothing else is promised.

use crate::log::Wait;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must exist; read only.
    Read,
    /// It must exist; read and write.
    Write,
    /// Read and write, made if it is not there.
    Create,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the path. Names that are not UTF-8 are left out of a listing.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What the disk engine asks of a file system.
pub trait Files: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// The entries of a directory, in the order of their names.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Whether there is a file or directory of that name.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Renames a file or directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and its parents; one that exists is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes all content and all names of the file system that holds `dir` durable: one call where there would be one
    /// for every file.
    fn sync_all(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Reads at a position; fewer bytes than asked for only at the end of the file. With [`Wait::Never`] an error
    /// of kind `WouldBlock` where the bytes are not in memory.
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize>;
    /// Writes all the slices, one after the other, from a position.
    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) to a length.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error the state of unsynced bytes is unknown: never call it
    /// again for the same bytes and believe the answer.
    fn sync(&self) -> io::Result<()>;
}

/// Reads a whole file; for small ones.
pub fn read_all(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path, Open::Read)?;
    let mut content = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let got = file.read_at(&mut content, 0, Wait::Allowed)?;
    content.truncate(got);
    Ok(content)
}

/// Gives a file this content and no more, in place; says whether it had any before. After a crash it may hold any mixture
/// of the two: its reader has to find that out. (To empty it first would be no better in that, and costs ext4 a
/// millisecond.)
pub fn overwrite(file: &dyn File, content: &[u8]) -> io::Result<bool> {
    let before = file.len()?;
    file.write_at(&mut [IoSlice::new(content)], 0)?;
    if before > content.len() as u64 {
        file.set_len(content.len() as u64)?;
    }
    Ok(before > 0)
}

/// Replaces a file's content so that after a crash there is the old content or the new, never a mixture: a
/// temporary file, synced, renamed over the name, the directory synced.
pub fn replace(files: &dyn Files, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(match path.extension().and_then(|e| e.to_str()) {
        Some(extension) => format!("{extension}.tmp"),
        None => "tmp".to_owned(),
    });
    let file = files.open(&temporary, Open::Create)?;
    overwrite(&*file, content)?;
    file.sync()?;
    drop(file);
    files.rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => files.sync_dir(parent),
        None => Ok(()),
    }
}

/// The operating system's files.
#[derive(Debug, Default)]
pub struct OsFiles;

#[derive(Debug)]
struct OsFile(std::fs::File);

impl Files for OsFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(how != Open::Read)
            .create(how == Open::Create)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::File::open(path)?.sync_all()
    }

    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = position + done as u64;
            let got = match wait {
                Wait::Allowed => std::os::unix::fs::FileExt::read_at(&self.0, rest, at),
                Wait::Never => read_cached(&self.0, rest, at),
            };
            match got {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut rest = slices;
        let mut at = position;
        while rest.iter().any(|slice| !slice.is_empty()) {
            // The kernel takes at most 1,024 slices in one call.
            let some = rest.get(..rest.len().min(1024)).unwrap_or_default();
            match rustix::io::pwritev(&self.0, some, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    IoSlice::advance_slices(&mut rest, n);
                    at += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// `preadv2` with `RWF_NOWAIT`: what is in the page cache, or `WouldBlock`. File systems that cannot tell are read
/// in the ordinary way (tmpfs has nothing to wait for).
fn read_cached(file: &std::fs::File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    match preadv2(file, &mut [io::IoSliceMut::new(buffer)], position, ReadWriteFlags::NOWAIT) {
        Ok(n) => Ok(n),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => std::os::unix::fs::FileExt::read_at(file, buffer, position),
        Err(e) => Err(e.into()),
    }
}
