//! What the owner's side of a log knows ahead of the disk: which segments there will be, and when the next one begins.

use crate::log::disk::files::Files;
use crate::log::disk::index::Indexes;
use crate::log::disk::segment::Segment;
use crate::log::{LogConfig, Offset, Wait};
use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use std::io;
use std::sync::Arc;

/// What the owner's side knows of the segment that its next batch goes to: ahead of what is written.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Of all segments, in order; the last ones may not be there yet.
    bases: Vec<Offset>,
    size: u64,
    /// Timestamp of the first batch, from which record time is measured.
    first_timestamp: Option<Millis>,
    since_entry: u32,
    entries: usize,
}

impl Staging {
    /// The base offsets of all segments.
    pub(super) fn bases(&self) -> &[Offset] {
        &self.bases
    }

    /// Continues the last segment as it is on disk.
    pub(super) fn after(segments: &[Arc<Segment>], files: &dyn Files, config: &LogConfig) -> io::Result<Self> {
        let Some(segment) = segments.last() else { return Ok(Self::default()) };
        let indexed = |indexes: &Indexes| (indexes.since_entry(), indexes.entries());
        let ((since_entry, entries), _) =
            segment.look_up(files, config.index_interval_bytes, Wait::Allowed, indexed)?;
        Ok(Self {
            bases: segments.iter().map(|segment| segment.base()).collect(),
            size: segment.size(),
            first_timestamp: segment.first_header()?.map(|header| header.max_timestamp),
            since_entry,
            entries,
        })
    }

    /// `LogSegment.shouldRoll`, but for age, which here is record time alone: the clock never rolls a segment.
    pub(super) fn rolls(&self, header: &BatchHeader, config: &LogConfig) -> bool {
        let Some(base) = self.bases.last().filter(|_| self.size > 0) else { return false };
        let too_large = self.size.saturating_add(header.size() as u64) > u64::from(config.segment_bytes);
        let too_old = self.first_timestamp.is_some_and(|first| {
            first >= 0
                && header.max_timestamp.saturating_sub(first)
                    > Millis::try_from(config.segment_ms).unwrap_or(Millis::MAX)
        });
        // Twelve bytes is the larger of the two kinds of entry; one place is kept for the entry at sealing.
        let index_full = self.entries + 1 >= (config.index_bytes as usize) / 12;
        let too_far = header.last_offset().saturating_sub(*base) > Offset::from(i32::MAX);
        too_large || too_old || index_full || too_far
    }

    /// Counts a batch that is about to be written.
    pub(super) fn add(&mut self, header: &BatchHeader, rolled: bool, config: &LogConfig) {
        if rolled || self.bases.is_empty() {
            let mut bases = std::mem::take(&mut self.bases);
            bases.push(header.base_offset);
            *self = Self { bases, ..Self::default() };
        }
        let (since, enters) = Indexes::would_enter(self.since_entry, header.size(), config.index_interval_bytes);
        self.since_entry = since;
        self.entries += usize::from(enters);
        self.size = self.size.saturating_add(header.size() as u64);
        self.first_timestamp.get_or_insert(header.max_timestamp);
    }
}
