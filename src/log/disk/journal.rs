//! One file for many partitions: a durable round that touches several of them appends their batches here and syncs
//! once, instead of syncing every segment. Replayed after an unclean stop.
//!
//! A journal is a row of files named by a rising number. An entry carries its file's number under its checksum, so
//! that a file may be used again without being cleared: what it held before is not taken for entries. A file is
//! dropped once every segment that its entries went to has been synced.
//!
//! Entry, all integers big endian:
//! ```text
//! crc32c u32 | length u32 of what follows | file number u64 | topic id 16 | partition i32
//!            | name length u16, topic name | batches
//! ```
//! The checksum covers everything after itself.

use super::files::{Entry, File, Files, Open};
use crate::log::Wait;
use crate::wire::batch::StoredBatch;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// What the names of journal files end in.
pub const EXTENSION: &str = "journal";
const SPARE: &str = "spare.journal";
/// Checksum, length, file number, topic id, partition, length of the name.
const ENTRY_HEAD: usize = 4 + 4 + 8 + 16 + 4 + 2;

/// Which partition an entry belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName {
    /// Topic name; with the partition it names the folder.
    pub topic: String,
    /// The topic's identity: a topic of the same name made later has another.
    pub topic_id: Uuid,
    /// Partition number.
    pub partition: i32,
}

impl LogName {
    /// The partition's folder, `<topic>-<partition>`.
    pub fn dir(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}

/// The journal of one log directory, being written.
#[derive(Debug)]
pub struct Journal {
    root: PathBuf,
    current: Option<Current>,
    /// Files that are full or were set aside by a checkpoint, oldest first.
    older: Vec<u64>,
    next_number: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: Arc<dyn File>,
    end: u64,
}

/// What went wrong, and what it means for the disk.
#[derive(Debug)]
pub enum JournalError {
    /// Nothing was added: the disk is full, or would not take it. The round can still sync its segments.
    NotWritten(io::Error),
    /// The sync failed: what is on the disk is not known any more.
    Unsure(io::Error),
}

impl Journal {
    /// A journal whose next file gets `next_number`. Nothing is touched until the first append.
    pub fn new(root: &Path, next_number: u64) -> Self {
        Self { root: root.to_owned(), current: None, older: Vec::new(), next_number }
    }

    /// Bytes in the file that is written.
    pub fn size(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.end)
    }

    /// Adds one round's batches and syncs.
    pub fn append<'a>(
        &mut self,
        files: &dyn Files,
        round: impl Iterator<Item = (&'a LogName, &'a [StoredBatch])>,
    ) -> Result<(), JournalError> {
        if self.current.is_none() {
            self.current = Some(self.begin(files).map_err(JournalError::NotWritten)?);
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let entries: Vec<_> =
            round.map(|(name, batches)| (entry_head(current.number, name, batches), batches)).collect();
        let mut slices = Vec::new();
        for (head, batches) in &entries {
            slices.push(IoSlice::new(head));
            for batch in *batches {
                slices.push(IoSlice::new(&batch.head));
                slices.push(IoSlice::new(&batch.records));
            }
        }
        let length: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        if let Err(error) = current.file.write_at(&mut slices, current.end) {
            // What was written of it is no whole round: the next append overwrites it, and until then replay may
            // find batches there that nobody was told are durable.
            return Err(JournalError::NotWritten(error));
        }
        current.file.sync().map_err(JournalError::Unsure)?;
        current.end += length;
        Ok(())
    }

    /// Sets the current file aside; the next append begins a new one. Returns the files that may be dropped once all
    /// that was written before this call is synced elsewhere.
    pub fn rotate(&mut self) -> Vec<u64> {
        if let Some(current) = self.current.take() {
            self.older.push(current.number);
        }
        self.older.clone()
    }

    /// Drops files that [`Journal::rotate`] named. One is kept to be used again: writing over existing bytes syncs
    /// faster than making a file longer.
    pub fn drop_files(&mut self, files: &dyn Files, numbers: &[u64]) -> io::Result<()> {
        for number in numbers {
            let path = self.root.join(file_name(*number));
            if files.exists(&self.root.join(SPARE))? {
                files.remove(&path)?;
            } else {
                files.rename(&path, &self.root.join(SPARE))?;
            }
            self.older.retain(|older| older != number);
        }
        Ok(())
    }

    fn begin(&mut self, files: &dyn Files) -> io::Result<Current> {
        let number = self.next_number;
        let path = self.root.join(file_name(number));
        if files.exists(&self.root.join(SPARE))? {
            files.rename(&self.root.join(SPARE), &path)?;
        }
        let file = files.open(&path, Open::Create)?;
        files.sync_dir(&self.root)?;
        self.next_number += 1;
        Ok(Current { number, file, end: 0 })
    }
}

/// Everything of an entry that stands before its batches.
fn entry_head(number: u64, name: &LogName, batches: &[StoredBatch]) -> Vec<u8> {
    let bytes: usize = batches.iter().map(StoredBatch::size).sum();
    let length = ENTRY_HEAD - 8 + name.topic.len() + bytes;
    let mut head = Vec::with_capacity(ENTRY_HEAD + name.topic.len());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    head.extend_from_slice(&number.to_be_bytes());
    head.extend_from_slice(name.topic_id.as_bytes());
    head.extend_from_slice(&name.partition.to_be_bytes());
    head.extend_from_slice(&u16::try_from(name.topic.len()).unwrap_or(u16::MAX).to_be_bytes());
    head.extend_from_slice(name.topic.as_bytes());
    let mut crc = crc32c::crc32c(head.get(4..).unwrap_or_default());
    for batch in batches {
        crc = crc32c::crc32c_append(crc, &batch.head);
        crc = crc32c::crc32c_append(crc, &batch.records);
    }
    if let Some(place) = head.first_chunk_mut() {
        *place = crc.to_be_bytes();
    }
    head
}

/// The numbers of the journal files among a directory's entries, oldest first.
pub fn file_numbers(entries: &[Entry]) -> Vec<u64> {
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| entry.name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Removes the file that was kept to be used again: numbers begin anew, and what it holds might be taken for entries.
pub fn drop_spare(files: &dyn Files, root: &Path) -> io::Result<()> {
    let spare = root.join(SPARE);
    if files.exists(&spare)? { files.remove(&spare) } else { Ok(()) }
}

/// The file of a number.
pub fn file_name(number: u64) -> String {
    format!("{number:020}.{EXTENSION}")
}

/// Gives each entry of a file to `found`: the partition and its batches, end to end. Stops at the first bytes that
/// are no entry of this file.
pub fn replay(
    files: &dyn Files,
    root: &Path,
    number: u64,
    mut found: impl FnMut(LogName, Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let file = files.open(&root.join(file_name(number)), Open::Read)?;
    let size = file.len()?;
    let mut position = 0;
    while let Some((name, batches, end)) = read_entry(&*file, number, position, size)? {
        found(name, batches)?;
        position = end;
    }
    Ok(())
}

fn read_entry(file: &dyn File, number: u64, position: u64, size: u64) -> io::Result<Option<(LogName, Vec<u8>, u64)>> {
    let mut prefix = [0; 8];
    if position.saturating_add(ENTRY_HEAD as u64) > size || file.read_at(&mut prefix, position, Wait::Allowed)? < 8 {
        return Ok(None);
    }
    let [a, b, c, d, e, f, g, h] = prefix;
    let (crc, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    let end = position + 8 + u64::from(length);
    if (length as usize) < ENTRY_HEAD - 8 || end > size {
        return Ok(None);
    }
    let mut body = vec![0; 4 + length as usize];
    if file.read_at(&mut body, position + 4, Wait::Allowed)? < body.len() || crc32c::crc32c(&body) != crc {
        return Ok(None);
    }
    Ok(parse_body(&body, number).map(|(name, batches)| (name, batches, end)))
}

/// `body` begins with the length field.
fn parse_body(body: &[u8], number: u64) -> Option<(LogName, Vec<u8>)> {
    let (_length, rest) = body.split_first_chunk::<4>()?;
    let (file_number, rest) = rest.split_first_chunk::<8>()?;
    let (topic_id, rest) = rest.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (name_length, rest) = rest.split_first_chunk::<2>()?;
    let (topic, batches) = rest.split_at_checked(usize::from(u16::from_be_bytes(*name_length)))?;
    if u64::from_be_bytes(*file_number) != number {
        return None;
    }
    let name = LogName {
        topic: std::str::from_utf8(topic).ok()?.to_owned(),
        topic_id: Uuid::from_bytes(*topic_id),
        partition: i32::from_be_bytes(*partition),
    };
    Some((name, batches.to_vec()))
}
