//! Walking the batches of a `.log` file by their headers, without reading the records.

use super::files::File;
use crate::log::Wait;
use crate::wire::batch::{BatchHeader, HEADER_SIZE};
use std::io;

/// How much is read at a time where batches are small.
const WINDOW: usize = 4096;

/// A batch's header and where it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The header.
    pub header: BatchHeader,
    /// Position of its first byte.
    pub position: u64,
}

impl Placed {
    /// Position after its last byte.
    pub fn end(&self) -> u64 {
        self.position + self.header.size() as u64
    }
}

/// Reads headers one after the other, up to `end`, which lies on a boundary between batches. Where it does not get there
/// the bytes are damaged: an error of kind `InvalidData`.
pub struct HeaderScan<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    wait: Wait,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> HeaderScan<'a> {
    /// From `position`, where a batch begins, to `end`.
    pub fn new(file: &'a dyn File, position: u64, end: u64, wait: Wait) -> Self {
        Self { file, position, end, wait, window: Vec::new(), window_at: 0 }
    }

    /// The next header, unless the end has been reached.
    pub fn next_header(&mut self) -> io::Result<Option<Placed>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let placed = self.header_at(self.position)?.map(|header| Placed { header, position: self.position });
        match placed.filter(|placed| placed.end() <= self.end) {
            Some(placed) => {
                self.position = placed.end();
                Ok(Some(placed))
            }
            None => {
                let text = format!("no batch at position {}, where one should begin", self.position);
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }

    fn header_at(&mut self, position: u64) -> io::Result<Option<BatchHeader>> {
        if position.saturating_add(HEADER_SIZE as u64) > self.end {
            return Ok(None);
        }
        if let Some(head) = self.in_window(position) {
            return Ok(BatchHeader::parse(head).ok());
        }
        let length = usize::try_from(self.end - position).unwrap_or(WINDOW).min(WINDOW);
        self.window.resize(length, 0);
        let got = self.file.read_at(&mut self.window, position, self.wait)?;
        self.window.truncate(got);
        self.window_at = position;
        Ok(self.in_window(position).and_then(|head| BatchHeader::parse(head).ok()))
    }

    fn in_window(&self, position: u64) -> Option<&[u8]> {
        let from = usize::try_from(position.checked_sub(self.window_at)?).ok()?;
        self.window.get(from..from.checked_add(HEADER_SIZE)?)
    }
}
