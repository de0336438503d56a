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

/// Reads headers one after the other. Ends at `end`, at a header that is none, or at a batch that goes past `end`.
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

    /// The next header, if the bytes there are one and its batch ends inside.
    pub fn next_header(&mut self) -> io::Result<Option<Placed>> {
        let Some(header) = self.header_at(self.position)? else { return Ok(None) };
        let placed = Placed { header, position: self.position };
        if placed.end() > self.end {
            return Ok(None);
        }
        self.position = placed.end();
        Ok(Some(placed))
    }

    /// Where the next header would be read.
    pub fn position(&self) -> u64 {
        self.position
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
