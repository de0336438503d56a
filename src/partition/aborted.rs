//! The aborted transactions of a partition: what a reader of committed records has to leave out. Pure.
//!
//! The whole list is in memory. On disk it is where Kafka has it, in a `.txnindex` beside each segment, by the offset of the
//! marker; those files have no checksum, so our own state file has one of each ([`IndexFile`]). (`AbortedTxn`,
//! `TransactionIndex`.)

use crate::log::Offset;

/// An aborted transaction of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// The last stable offset that its end led to: from there on later entries matter too.
    pub last_stable_offset: Offset,
}

const INDEX_VERSION: i16 = 0;
const ENTRY: usize = 32;
const INDEX_ENTRY: usize = 2 + ENTRY;

impl AbortedTransaction {
    /// The fields, big endian, in the order of Kafka's file.
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let fields = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        bytes.chunks_exact_mut(8).zip(fields).for_each(|(place, field)| place.copy_from_slice(&field.to_be_bytes()));
        bytes
    }

    /// Reads the fields; `None` where they contradict each other.
    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let mut fields = bytes.as_chunks::<8>().0.iter().map(|field| i64::from_be_bytes(*field));
        let [producer_id, first_offset, last_offset, last_stable_offset] = std::array::from_fn(|_| fields.next());
        let entry = AbortedTransaction {
            producer_id: producer_id?,
            first_offset: first_offset?,
            last_offset: last_offset?,
            last_stable_offset: last_stable_offset?,
        };
        (entry.first_offset >= 0 && entry.first_offset < entry.last_offset).then_some(entry)
    }
}

/// A `.txnindex` as it was written. It may have grown since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Base offset of its segment.
    pub base: Offset,
    /// How many bytes it had.
    pub bytes: u32,
    /// CRC-32C of these.
    pub crc: u32,
}

impl IndexFile {
    fn of(base: Offset, content: &[u8]) -> Self {
        // An entry takes less than the transaction that it tells of, so this has no more bytes than a segment.
        IndexFile { base, bytes: u32::try_from(content.len()).unwrap_or(u32::MAX), crc: crc32c::crc32c(content) }
    }

    /// What of this content it had; `None` if that is not there.
    fn part_of<'a>(&self, content: &'a [u8]) -> Option<&'a [u8]> {
        let part = content.get(..usize::try_from(self.bytes).ok()?)?;
        (crc32c::crc32c(part) == self.crc).then_some(part)
    }
}

/// All of a partition, in the order of their markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aborted {
    entries: Vec<AbortedTransaction>,
    /// The files that hold those before `indexed`, in the order of their segments.
    files: Vec<IndexFile>,
    /// The markers before this offset are in files.
    indexed: Offset,
}

impl Aborted {
    /// Adds one whose marker comes after those of all others; anything else is not added, and false is returned.
    pub fn push(&mut self, entry: AbortedTransaction) -> bool {
        let in_order = self.entries.last().is_none_or(|last| last.last_offset < entry.last_offset);
        if in_order {
            self.entries.push(entry);
        }
        in_order
    }

    /// All of them.
    pub fn entries(&self) -> &[AbortedTransaction] {
        &self.entries
    }

    /// Those with records in the offsets from `from` to before `below`. (`TransactionIndex.collectAbortedTxns`.)
    pub fn overlapping(&self, from: Offset, below: Offset) -> Vec<AbortedTransaction> {
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        let mut found = Vec::new();
        for entry in self.entries.get(first..).unwrap_or_default() {
            if entry.first_offset < below {
                found.push(*entry);
            }
            // Whatever ends later began after this.
            if entry.last_stable_offset >= below {
                break;
            }
        }
        found
    }

    /// The files that were written of them.
    pub fn files(&self) -> &[IndexFile] {
        &self.files
    }

    /// Kafka's `.txnindex` of each segment that has any, of those that are not written yet, or not whole: to be written now.
    /// The log ends at `end` and has segments with these base offsets; what ended before the first is forgotten.
    pub fn write_files(&mut self, bases: &[Offset], end: Offset) -> Vec<(Offset, Vec<u8>)> {
        let Some(log_start) = bases.first() else { return Vec::new() };
        let gone = self.entries.partition_point(|entry| entry.last_offset < *log_start);
        self.entries.drain(..gone);
        let begun = bases.partition_point(|base| *base <= self.indexed).saturating_sub(1);
        let from = bases.get(begun).copied().unwrap_or_default();
        self.files.retain(|file| (*log_start..from).contains(&file.base));
        let mut contents: Vec<(Offset, Vec<u8>)> = Vec::new();
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        for entry in self.entries.get(first..).unwrap_or_default() {
            let segment = bases.partition_point(|base| *base <= entry.last_offset).saturating_sub(1);
            let base = bases.get(segment).copied().unwrap_or_default();
            let bytes = INDEX_VERSION.to_be_bytes().into_iter().chain(entry.encode());
            match contents.last_mut().filter(|(last, _)| *last == base) {
                Some((_, content)) => content.extend(bytes),
                None => contents.push((base, bytes.collect())),
            }
        }
        self.files.extend(contents.iter().map(|(base, content)| IndexFile::of(*base, content)));
        self.indexed = end;
        contents
    }

    /// What these `.txnindex` files, given in the order of their segments, say of the offsets from `log_start` to before
    /// `end`: what our state file of `end` knows them to have said. `None` if one is not as it was.
    pub fn from_files(
        contents: &[(Offset, Vec<u8>)],
        files: Vec<IndexFile>,
        log_start: Offset,
        end: Offset,
    ) -> Option<Self> {
        let mut aborted = Aborted::default();
        for file in &files {
            match contents.binary_search_by_key(&file.base, |(base, _)| *base).ok().and_then(|at| contents.get(at)) {
                Some((base, content)) => aborted.read(*base, file.part_of(content)?, end)?,
                // Its segment has been removed.
                None if file.base < log_start => {}
                None => return None,
            }
        }
        Some(Aborted { files, indexed: end, ..aborted })
    }

    /// What the `.txnindex` files that Kafka has left say of the offsets before `end`, given in the order of their segments;
    /// `None` if one of them is damaged.
    pub fn from_kafkas_files(contents: &[(Offset, Vec<u8>)], end: Offset) -> Option<Self> {
        let mut aborted = Aborted::default();
        let mut before = contents.iter().filter(|(base, _)| *base < end);
        before.try_for_each(|(base, content)| aborted.read(*base, content, end))?;
        Some(aborted)
    }

    /// Adds what a file says of the offsets before `end`.
    fn read(&mut self, base: Offset, content: &[u8], end: Offset) -> Option<()> {
        let (entries, rest) = content.as_chunks::<INDEX_ENTRY>();
        if !rest.is_empty() {
            return None;
        }
        for entry in entries {
            let (version, fields) = entry.split_first_chunk::<2>()?;
            let entry = AbortedTransaction::decode(fields.first_chunk()?)?;
            let sound = i16::from_be_bytes(*version) == INDEX_VERSION && entry.last_offset >= base;
            if !sound || (entry.last_offset < end && !self.push(entry)) {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(producer_id: i64, first_offset: Offset, last_offset: Offset, stable: Offset) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset: stable }
    }

    /// Three producers: 1 from 0 to 10, 2 from 5 to 20 and 3 from 30 to 40.
    fn three() -> Aborted {
        let mut aborted = Aborted::default();
        for one in [entry(1, 0, 10, 5), entry(2, 5, 20, 21), entry(3, 30, 40, 41)] {
            assert!(aborted.push(one));
        }
        aborted
    }

    #[test]
    fn a_reader_is_told_of_those_in_its_range_and_no_others() {
        for (from, below, expected) in [
            (0, 1, vec![1]),
            (0, 6, vec![1, 2]),
            (10, 11, vec![1, 2]),
            (11, 12, vec![2]),
            (20, 30, vec![2]),
            (21, 30, vec![]),
            (0, 31, vec![1, 2, 3]),
            (40, 99, vec![3]),
            (41, 99, vec![]),
        ] {
            let found: Vec<i64> = three().overlapping(from, below).iter().map(|entry| entry.producer_id).collect();
            assert_eq!(found, expected, "{from}..{below}");
        }
    }

    #[test]
    fn the_files_are_kafkas_one_for_each_segment() {
        let contents = three().write_files(&[0, 15, 25], 50);
        assert_eq!(
            contents.iter().map(|(base, bytes)| (*base, bytes.len())).collect::<Vec<_>>(),
            [(0, 34), (15, 34), (25, 34)]
        );
        let fields: [i64; 4] = [2, 5, 20, 21];
        let expected: Vec<u8> = [0u8, 0].into_iter().chain(fields.iter().flat_map(|it| it.to_be_bytes())).collect();
        assert_eq!(contents[1].1, expected);
        assert_eq!(Aborted::from_kafkas_files(&contents, 100), Some(three()));
        assert_eq!(Aborted::from_kafkas_files(&contents, 40).unwrap().entries(), &three().entries()[..2]);
        let damaged_later = [contents[0].clone(), contents[1].clone(), (25, vec![0; 3])];
        assert_eq!(Aborted::from_kafkas_files(&damaged_later, 25).unwrap().entries(), &three().entries()[..2]);
        assert_eq!(Aborted::from_kafkas_files(&damaged_later, 26), None);
    }

    #[test]
    fn what_is_written_is_written_once() {
        let mut aborted = three();
        let bases = |contents: &[(Offset, Vec<u8>)]| contents.iter().map(|(base, _)| *base).collect::<Vec<_>>();
        let first = aborted.write_files(&[0, 25], 50);
        assert_eq!(bases(&first), [0, 25]);
        // The last segment has grown, and then another has begun where it ends.
        aborted.push(entry(4, 50, 55, 56));
        let second = aborted.write_files(&[0, 25], 60);
        assert_eq!(bases(&second), [25]);
        assert!(second[0].1.starts_with(&first[1].1));
        aborted.push(entry(5, 60, 70, 71));
        assert_eq!(bases(&aborted.write_files(&[0, 25, 60], 80)), [60]);
        assert_eq!(aborted.write_files(&[0, 25, 60, 80], 80), []);
        assert_eq!(aborted.files().iter().map(|file| file.base).collect::<Vec<_>>(), [0, 25, 60]);
        // Segments are removed at the front.
        assert_eq!(aborted.write_files(&[25, 60, 80], 90), []);
        assert_eq!(aborted.entries().iter().map(|it| it.producer_id).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(aborted.files().iter().map(|file| file.base).collect::<Vec<_>>(), [25, 60]);
    }

    #[test]
    fn files_are_read_as_the_state_file_knows_them() {
        let mut aborted = three();
        let contents = aborted.write_files(&[0, 15, 25], 50);
        let read = |contents: &[(Offset, Vec<u8>)], log_start| {
            Aborted::from_files(contents, aborted.files().to_vec(), log_start, 50)
        };
        assert_eq!(read(&contents, 0), Some(aborted.clone()));
        assert_eq!(read(&contents[1..], 15).unwrap().entries(), &aborted.entries()[1..]);
        assert_eq!(read(&contents[1..], 0), None, "one is missing");
        let mut grown = contents.clone();
        grown[2].1.extend([1; 34]);
        assert_eq!(read(&grown, 0), Some(aborted.clone()));
        for byte in 0..34 {
            let mut changed = contents.clone();
            changed[1].1[byte] ^= 1;
            assert_eq!(read(&changed, 0), None, "byte {byte}");
            changed[1].1.truncate(byte);
            assert_eq!(read(&changed, 0), None, "first {byte}");
        }
    }

    #[test]
    fn a_damaged_file_of_kafkas_is_none() {
        let contents = three().write_files(&[0], 50);
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            |bytes: &mut Vec<u8>| bytes[1] = 1,
            |bytes: &mut Vec<u8>| bytes[10] = 0xff,
            |bytes: &mut Vec<u8>| bytes.rotate_left(34),
        ] {
            let mut changed = contents.clone();
            change(&mut changed[0].1);
            assert_eq!(Aborted::from_kafkas_files(&changed, 100), None);
        }
        assert_eq!(Aborted::from_kafkas_files(&[(50, contents[0].1.clone())], 100), None, "another segment's");
    }

    proptest! {
        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), base in any::<i64>()) {
            let _ = Aborted::from_kafkas_files(&[(base, bytes)], i64::MAX);
        }
    }
}
