//! The aborted transactions of a partition: what a reader of committed records has to leave out. Pure.
//!
//! Kafka keeps them in a `.txnindex` beside each segment, by the offset of the marker, and so do we for its tools
//! ([`Aborted::index_files`]); the whole list is in memory, and in our own state file, which has a checksum.
//! (`AbortedTxn`, `TransactionIndex`.)

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

/// Bytes of an entry after its version, in a `.txnindex` and in our own file.
pub const ENTRY: usize = 32;
const INDEX_VERSION: i16 = 0;
const INDEX_ENTRY: usize = 2 + ENTRY;

impl AbortedTransaction {
    /// The fields, big endian, in the order of Kafka's file.
    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let fields = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        bytes.chunks_exact_mut(8).zip(fields).for_each(|(place, field)| place.copy_from_slice(&field.to_be_bytes()));
        bytes
    }

    /// Reads the fields; `None` where they contradict each other.
    pub fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
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

/// All of a partition, in the order of their markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aborted(Vec<AbortedTransaction>);

impl Aborted {
    /// Adds one whose marker comes after those of all others; anything else is not added, and false is returned.
    pub fn push(&mut self, entry: AbortedTransaction) -> bool {
        let in_order = self.0.last().is_none_or(|last| last.last_offset < entry.last_offset);
        if in_order {
            self.0.push(entry);
        }
        in_order
    }

    /// All of them.
    pub fn entries(&self) -> &[AbortedTransaction] {
        &self.0
    }

    /// Those with records in the offsets from `from` to before `below`. (`TransactionIndex.collectAbortedTxns`.)
    pub fn overlapping(&self, from: Offset, below: Offset) -> Vec<AbortedTransaction> {
        let first = self.0.partition_point(|entry| entry.last_offset < from);
        let mut found = Vec::new();
        for entry in self.0.get(first..).unwrap_or_default() {
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

    /// Forgets those that ended before the log begins.
    pub fn truncate_start(&mut self, log_start: Offset) {
        let gone = self.0.partition_point(|entry| entry.last_offset < log_start);
        self.0.drain(..gone);
    }

    /// Kafka's `.txnindex` of each of these segments, given by their base offsets in order, that has any, from the segment
    /// that holds `from` on.
    pub fn index_files(&self, bases: &[Offset], from: Offset) -> Vec<(Offset, Vec<u8>)> {
        let mut files: Vec<(Offset, Vec<u8>)> = Vec::new();
        let first = self.0.partition_point(|entry| entry.last_offset < from);
        for entry in self.0.get(first..).unwrap_or_default() {
            let segment = bases.partition_point(|base| *base <= entry.last_offset).checked_sub(1);
            let Some(base) = segment.and_then(|index| bases.get(index)) else { continue };
            if files.last().is_none_or(|(last, _)| last != base) {
                files.push((*base, Vec::new()));
            }
            if let Some((_, file)) = files.last_mut() {
                file.extend(INDEX_VERSION.to_be_bytes());
                file.extend(entry.encode());
            }
        }
        files
    }

    /// What Kafka's `.txnindex` files say of the offsets before `end`, given in the order of their segments; `None` if one
    /// of them is damaged.
    pub fn from_index_files(files: &[(Offset, Vec<u8>)], end: Offset) -> Option<Self> {
        let mut aborted = Aborted::default();
        for (base, bytes) in files {
            let (entries, rest) = bytes.as_chunks::<INDEX_ENTRY>();
            if !rest.is_empty() {
                return None;
            }
            for entry in entries {
                let (version, fields) = entry.split_first_chunk::<2>()?;
                let entry = AbortedTransaction::decode(fields.first_chunk()?)?;
                if i16::from_be_bytes(*version) != INDEX_VERSION || entry.last_offset < *base {
                    return None;
                }
                if entry.last_offset < end && !aborted.push(entry) {
                    return None;
                }
            }
        }
        Some(aborted)
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
        let files = three().index_files(&[0, 15, 25], 0);
        assert_eq!(
            files.iter().map(|(base, bytes)| (*base, bytes.len())).collect::<Vec<_>>(),
            [(0, 34), (15, 34), (25, 34)]
        );
        let fields: [i64; 4] = [2, 5, 20, 21];
        let expected: Vec<u8> = [0u8, 0].into_iter().chain(fields.iter().flat_map(|it| it.to_be_bytes())).collect();
        assert_eq!(files[1].1, expected);
        assert_eq!(Aborted::from_index_files(&files, 100), Some(three()));
        assert_eq!(Aborted::from_index_files(&files, 40).unwrap().entries(), &three().entries()[..2]);
        assert_eq!(three().index_files(&[0, 15, 25], 25).len(), 1);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let files = three().index_files(&[0], 0);
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            |bytes: &mut Vec<u8>| bytes[1] = 1,
            |bytes: &mut Vec<u8>| bytes[10] = 0xff,
            |bytes: &mut Vec<u8>| bytes.rotate_left(34),
        ] {
            let mut changed = files.clone();
            change(&mut changed[0].1);
            assert_eq!(Aborted::from_index_files(&changed, 100), None);
        }
        assert_eq!(Aborted::from_index_files(&[(50, files[0].1.clone())], 100), None, "another segment's");
    }

    #[test]
    fn what_ended_before_the_log_begins_is_forgotten() {
        let mut aborted = three();
        aborted.truncate_start(20);
        assert_eq!(aborted.entries().len(), 2);
    }

    proptest! {
        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), base in any::<i64>()) {
            let _ = Aborted::from_index_files(&[(base, bytes)], i64::MAX);
        }
    }
}
