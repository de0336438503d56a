//! The readers' side of a log: batches from an offset on, offsets by time, and everything once more after a restart.

use super::DiskLog;
use crate::log::disk::index::Indexes;
use crate::log::disk::scan::Placed;
use crate::log::disk::segment::Segment;
use crate::log::disk::timed;
use crate::log::{Offset, Run, Slice, TimedOffset, Wait};
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, HEADER_SIZE};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

impl DiskLog {
    /// The segment that holds `offset`, and the base of the one after it.
    fn segment_of(&self, offset: Offset) -> Option<(Arc<Segment>, Option<Offset>)> {
        let segments = self.segments.read();
        let (_, segment) = segments.range(..=offset).next_back()?;
        let next = segments.range(offset.saturating_add(1)..).next().map(|(base, _)| *base);
        Some((segment.clone(), next))
    }

    /// All segments that begin before `below`.
    fn segments_below(&self, below: Offset) -> Vec<Arc<Segment>> {
        self.segments.read().range(..below).map(|(_, segment)| segment.clone()).collect()
    }

    /// Asks a segment's indexes, which may have to be loaded first.
    fn look_up<T>(&self, segment: &Arc<Segment>, wait: Wait, ask: impl FnOnce(&Indexes) -> T) -> io::Result<T> {
        let interval = self.config.read().index_interval_bytes;
        let (answer, loaded) = segment.look_up(&*self.shared.files, interval, wait, ask)?;
        if loaded {
            self.shared.keep_loaded(segment);
        }
        Ok(answer)
    }

    pub(super) fn try_read(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: usize,
        first_whole: bool,
        wait: Wait,
    ) -> io::Result<Run> {
        let mut offset = from;
        while offset < below {
            let Some((segment, next)) = self.segment_of(offset) else { break };
            let start = self.look_up(&segment, wait, |indexes| indexes.position_of(offset))?;
            if let Some(first) = segment.find(start, offset, wait)? {
                let limit = self.limit(&segment, next, below, wait)?;
                let wanted = first.position.saturating_add(max_bytes as u64).min(limit);
                let near = self.look_up(&segment, wait, |indexes| indexes.start_at_or_before(wanted))?;
                let (boundary, left_out) = segment.boundary(near.max(first.position), wanted, wait)?;
                let mut end = boundary.min(limit);
                let mut until = left_out.unwrap_or(below).min(next.unwrap_or(below)).min(below);
                if end < first.end() {
                    end = if first_whole && first.end() <= limit { first.end() } else { first.position };
                    until = first.header.next_offset();
                }
                let length = usize::try_from(end.saturating_sub(first.position)).unwrap_or(0);
                let (file, position) = (segment.file(wait)?, first.position);
                let slices = if length == 0 { Vec::new() } else { vec![Slice::File { file, position, length }] };
                return Ok(Run { slices, until });
            }
            // Nothing at or after the offset in this segment: the batches there were compacted away.
            match next {
                Some(next) => offset = next,
                None => break,
            }
        }
        Ok(Run::default())
    }

    /// Where the bytes that may be shown end in a segment. `below` lies on a boundary between batches.
    fn limit(&self, segment: &Arc<Segment>, next: Option<Offset>, below: Offset, wait: Wait) -> io::Result<u64> {
        if next.is_some_and(|next| next <= below) {
            return Ok(segment.size());
        }
        let mark = *self.mark.lock();
        if mark.offset == below && mark.base == segment.base() {
            return Ok(mark.position);
        }
        let start = self.look_up(segment, wait, |indexes| indexes.position_of(below))?;
        Ok(segment.find(start, below, wait)?.map_or(segment.size(), |placed| placed.position))
    }

    /// A whole batch, read into memory.
    fn read_batch(&self, segment: &Segment, placed: &Placed) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; placed.header.size()];
        let got = segment.file(Wait::Allowed)?.read_at(&mut bytes, placed.position, Wait::Allowed)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// The largest timestamp of a segment; of a sealed one that nobody reads without loading its indexes.
    fn largest_timestamp(&self, segment: &Arc<Segment>) -> io::Result<Option<Millis>> {
        if let Some(stored) = segment.stored_largest_timestamp(&*self.shared.files)? {
            return Ok(Some(stored));
        }
        self.look_up(segment, Wait::Allowed, |indexes| indexes.largest_timestamp().map(|(largest, _)| largest))
    }

    fn find_time(&self, segment: &Arc<Segment>, timestamp: Millis) -> io::Result<Option<Placed>> {
        let start = self.look_up(segment, Wait::Allowed, |indexes| indexes.position_of_time(timestamp))?;
        segment.find_time(start, timestamp)
    }

    pub(super) fn try_offset_for_time(&self, timestamp: Millis, below: Offset) -> io::Result<Option<TimedOffset>> {
        for segment in self.segments_below(below) {
            if self.largest_timestamp(&segment)?.is_none_or(|largest| largest < timestamp) {
                continue;
            }
            let found = self.find_time(&segment, timestamp)?;
            if let Some(placed) = found.filter(|placed| placed.header.base_offset < below) {
                let bytes = self.read_batch(&segment, &placed)?;
                return Ok(timed::first_at_or_after(&placed.header, &bytes, timestamp));
            }
        }
        Ok(None)
    }

    pub(super) fn try_max_timestamp(&self, below: Offset) -> io::Result<Option<TimedOffset>> {
        let mut best: Option<(Millis, Arc<Segment>, Placed)> = None;
        for segment in self.segments_below(below) {
            let Some(largest) = self.largest_timestamp(&segment)? else { continue };
            if best.as_ref().is_some_and(|(best, _, _)| *best >= largest) {
                continue;
            }
            match self.find_time(&segment, largest)? {
                Some(placed) if placed.header.base_offset < below => best = Some((largest, segment, placed)),
                // The largest of this segment is not published yet: look at every batch that is.
                _ => {
                    if let Some(placed) = segment.largest_below(below)?
                        && best.as_ref().is_none_or(|(best, _, _)| placed.header.max_timestamp > *best)
                    {
                        best = Some((placed.header.max_timestamp, segment, placed));
                    }
                }
            }
        }
        let Some((timestamp, segment, placed)) = best else { return Ok(None) };
        let bytes = self.read_batch(&segment, &placed)?;
        Ok(timed::first_at_or_after(&placed.header, &bytes, timestamp))
    }

    /// Gives every batch from `from` on to `see`, in order: its header, and of a control batch what follows that.
    pub(in crate::log::disk) fn replay(
        &self,
        from: Offset,
        see: &mut dyn FnMut(&BatchHeader, &Bytes),
    ) -> io::Result<()> {
        let segments = self.segments_below(Offset::MAX);
        let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        for segment in segments.get(first..).unwrap_or_default() {
            let start = self.look_up(segment, Wait::Allowed, |indexes| indexes.position_of(from))?;
            let mut failed = None;
            segment.headers(start, &mut |placed| {
                if placed.header.base_offset < from || failed.is_some() {
                    return;
                }
                let whole = if placed.header.is_control() { self.read_batch(segment, placed) } else { Ok(Vec::new()) };
                match whole {
                    Ok(whole) => see(&placed.header, &payload(whole)),
                    Err(error) => failed = Some(error),
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// What follows the header.
fn payload(batch: Vec<u8>) -> Bytes {
    let mut batch = Bytes::from(batch);
    batch.split_off(HEADER_SIZE.min(batch.len()))
}
