//! Sparse indexes of a segment, in the format of Kafka's `OffsetIndex` and `TimeIndex` files.
//!
//! An offset entry says at which position in the `.log` file a batch begins whose last offset is the entry's; a time
//! entry says which offset had the largest timestamp so far. The segment that is written keeps them in memory and
//! stores them when it is sealed or closed; a sealed one is loaded when it is first read.

use crate::log::Offset;
use crate::time::Millis;

/// Bytes of an entry of `.index`: relative offset (i32), position (i32).
const OFFSET_ENTRY: usize = 8;
/// Bytes of an entry of `.timeindex`: timestamp (i64), relative offset (i32).
const TIME_ENTRY: usize = 12;

/// A batch found in the index: its last offset and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetEntry {
    relative: u32,
    position: u32,
}

/// The largest timestamp up to some batch, and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeEntry {
    timestamp: Millis,
    relative: u32,
}

/// Both indexes of one segment, and what is needed to extend them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    base: Offset,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    since_entry: u32,
    /// The largest timestamp so far and the last offset of its batch.
    largest: Option<(Millis, Offset)>,
}

/// Why an index file is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Its length is no multiple of an entry's.
    #[error("the length is not a multiple of the entry size")]
    Length,
    /// Entries are not in order, or point outside the log file.
    #[error("the entries are out of order or out of range")]
    Order,
}

impl Indexes {
    /// Empty indexes of a segment that begins at `base`.
    pub fn new(base: Offset) -> Self {
        Self { base, ..Self::default() }
    }

    /// Takes note of a batch at `position`. An entry is made before the batch is counted, when more than
    /// `interval` bytes came since the last entry (`LogSegment.append`).
    pub fn note(&mut self, position: u64, size: usize, last_offset: Offset, max_timestamp: Millis, interval: u32) {
        // A batch without timestamps has -1, which is no time.
        if max_timestamp > self.largest.map_or(-1, |(timestamp, _)| timestamp) {
            self.largest = Some((max_timestamp, last_offset));
        }
        if self.since_entry > interval {
            self.push_offset(last_offset, position);
            self.push_time();
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// What [`Indexes::note`] would leave `since_entry` at, and whether it would make an entry; for the side that
    /// decides about rolling before the bytes are written.
    pub fn would_enter(since_entry: u32, size: usize, interval: u32) -> (u32, bool) {
        let enters = since_entry > interval;
        let from = if enters { 0 } else { since_entry };
        (from.saturating_add(u32::try_from(size).unwrap_or(u32::MAX)), enters)
    }

    /// Bytes since the last entry.
    pub fn since_entry(&self) -> u32 {
        self.since_entry
    }

    /// How many offset entries there are.
    pub fn entries(&self) -> usize {
        self.offsets.len()
    }

    /// The segment gets no more batches: the time index ends with the largest timestamp.
    pub fn seal(&mut self) {
        self.push_time();
    }

    /// The largest timestamp and the last offset of the batch that has it.
    pub fn largest_timestamp(&self) -> Option<(Millis, Offset)> {
        self.largest
    }

    /// A position at or before the batch that contains `offset`: scan from there.
    pub fn position_of(&self, offset: Offset) -> u64 {
        let relative = offset.saturating_sub(self.base);
        let after = self.offsets.partition_point(|e| i64::from(e.relative) <= relative);
        self.before(after)
    }

    /// The last known start of a batch at or before `position`.
    pub fn start_at_or_before(&self, position: u64) -> u64 {
        let after = self.offsets.partition_point(|e| u64::from(e.position) <= position);
        self.before(after)
    }

    /// A position at or before the first batch with a timestamp of at least `timestamp`: all batches before it have
    /// smaller ones.
    pub fn position_of_time(&self, timestamp: Millis) -> u64 {
        let after = self.times.partition_point(|e| e.timestamp < timestamp);
        match after.checked_sub(1).and_then(|i| self.times.get(i)) {
            // Batches up to this offset have smaller timestamps; the next one begins after it.
            Some(entry) => self.position_of(self.base.saturating_add(i64::from(entry.relative))),
            None => 0,
        }
    }

    /// The `.index` file.
    pub fn offset_file(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.offsets.len() * OFFSET_ENTRY);
        for entry in &self.offsets {
            out.extend_from_slice(&entry.relative.to_be_bytes());
            out.extend_from_slice(&entry.position.to_be_bytes());
        }
        out
    }

    /// The `.timeindex` file.
    pub fn time_file(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.times.len() * TIME_ENTRY);
        for entry in &self.times {
            out.extend_from_slice(&entry.timestamp.to_be_bytes());
            out.extend_from_slice(&entry.relative.to_be_bytes());
        }
        out
    }

    /// Reads the files of a segment whose `.log` has `log_size` bytes.
    pub fn load(base: Offset, offset_file: &[u8], time_file: &[u8], log_size: u64) -> Result<Self, IndexError> {
        let (offset_entries, rest) = offset_file.as_chunks::<OFFSET_ENTRY>();
        let (time_entries, time_rest) = time_file.as_chunks::<TIME_ENTRY>();
        if !rest.is_empty() || !time_rest.is_empty() {
            return Err(IndexError::Length);
        }
        let offsets: Vec<_> = offset_entries
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| OffsetEntry {
                relative: u32::from_be_bytes([a, b, c, d]),
                position: u32::from_be_bytes([e, f, g, h]),
            })
            .collect();
        let times: Vec<_> = time_entries
            .iter()
            .map(|&[a, b, c, d, e, f, g, h, i, j, k, l]| TimeEntry {
                timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                relative: u32::from_be_bytes([i, j, k, l]),
            })
            .collect();
        let rising = offsets.is_sorted_by(|a, b| a.relative < b.relative && a.position < b.position);
        let inside = offsets.iter().all(|e| u64::from(e.position) < log_size && i32::try_from(e.relative).is_ok());
        let in_time = times.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.relative <= b.relative);
        if !rising || !inside || !in_time || times.iter().any(|e| i32::try_from(e.relative).is_err()) {
            return Err(IndexError::Order);
        }
        let largest = times.last().map(|e| (e.timestamp, base.saturating_add(i64::from(e.relative))));
        Ok(Self { base, offsets, times, since_entry: 0, largest })
    }

    fn before(&self, after: usize) -> u64 {
        after.checked_sub(1).and_then(|i| self.offsets.get(i)).map_or(0, |e| u64::from(e.position))
    }

    fn push_offset(&mut self, last_offset: Offset, position: u64) {
        let relative = u32::try_from(last_offset.saturating_sub(self.base));
        if let (Ok(relative), Ok(position)) = (relative, u32::try_from(position)) {
            self.offsets.push(OffsetEntry { relative, position });
        }
    }

    fn push_time(&mut self) {
        let Some((timestamp, offset)) = self.largest else { return };
        let Ok(relative) = u32::try_from(offset.saturating_sub(self.base)) else { return };
        if self.times.last().is_none_or(|last| timestamp > last.timestamp) {
            self.times.push(TimeEntry { timestamp, relative });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Position, first and last offset, timestamp of a batch.
    type Laid = (u64, Offset, Offset, Millis);

    /// Batches of one segment: (size, records, timestamp).
    fn build(batches: &[(usize, i64, i64)], interval: u32) -> (Indexes, Vec<Laid>, u64) {
        let base = 100;
        let mut indexes = Indexes::new(base);
        let (mut position, mut offset, mut laid) = (0, base, Vec::new());
        for &(size, records, timestamp) in batches {
            let last = offset + records - 1;
            indexes.note(position, size, last, timestamp, interval);
            laid.push((position, offset, last, timestamp));
            position += size as u64;
            offset = last + 1;
        }
        (indexes, laid, position)
    }

    proptest! {
        #[test]
        fn lookups_never_skip_what_they_look_for(
            batches in proptest::collection::vec((61usize..3000, 1i64..20, 0i64..50), 1..80),
            interval in 0u32..5000,
        ) {
            let (mut indexes, laid, size) = build(&batches, interval);
            indexes.seal();
            for &(position, first, last, _) in &laid {
                for offset in [first, last] {
                    prop_assert!(indexes.position_of(offset) <= position);
                }
                prop_assert!(indexes.start_at_or_before(position) <= position);
            }
            for timestamp in 0..52 {
                let from = indexes.position_of_time(timestamp);
                let first = laid.iter().find(|b| b.3 >= timestamp);
                prop_assert!(first.is_none_or(|b| from <= b.0), "time {} from {} {:?}", timestamp, from, first);
            }
            let again = Indexes::load(100, &indexes.offset_file(), &indexes.time_file(), size);
            prop_assert_eq!(again.map(|i| (i.offsets, i.times, i.largest)), Ok((indexes.offsets, indexes.times, indexes.largest)));
        }

        #[test]
        fn would_enter_foretells_note(batches in proptest::collection::vec((61usize..3000, 1i64..20, 0i64..50), 1..80), interval in 0u32..5000) {
            let (indexes, _, _) = build(&batches, interval);
            let (mut since, mut entries) = (0, 0);
            for (size, _, _) in batches {
                let (next, enters) = Indexes::would_enter(since, size, interval);
                since = next;
                entries += usize::from(enters);
            }
            prop_assert_eq!((since, entries), (indexes.since_entry(), indexes.entries()));
        }

        #[test]
        fn any_bytes_load_or_are_refused(a in proptest::collection::vec(any::<u8>(), 0..64), b in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Indexes::load(5, &a, &b, 1 << 20);
        }
    }

    #[test]
    fn files_that_lie_are_refused() {
        let (indexes, _, size) = build(&[(100, 1, 1), (100, 1, 2), (100, 1, 3)], 0);
        let (offsets, times) = (indexes.offset_file(), indexes.time_file());
        assert_eq!(offsets.len(), 16);
        assert_eq!(Indexes::load(100, &offsets[..9], &times, size), Err(IndexError::Length));
        assert_eq!(Indexes::load(100, &offsets, &times, 200), Err(IndexError::Order));
        let swapped = [&offsets[8..], &offsets[..8]].concat();
        assert_eq!(Indexes::load(100, &swapped, &times, size), Err(IndexError::Order));
        // The preallocated tail that a killed Kafka leaves: zeros.
        assert_eq!(Indexes::load(100, &[offsets, vec![0; 16]].concat(), &times, size), Err(IndexError::Order));
    }
}
