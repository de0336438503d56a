//! The record batch, format v2: the 61-byte header that the broker acts on, and the 61 bytes that it stores.
//!
//! Records themselves are never built here. A client's batch is a header to read ([`BatchHeader`]) and a slice to
//! keep; appending stamps a copy of the header and leaves the slice alone. Layout after Kafka's
//! `DefaultRecordBatch`: all integers big endian, the CRC covers everything from `attributes` on.

use crate::time::Millis;
use bytes::Bytes;

/// The size in bytes of a v2 batch header.
pub const HEADER_SIZE: usize = 61;
/// `base_offset` and `batch_length`: what has to be read to know how long a batch is.
pub const LENGTH_PREFIX: usize = 12;
/// The CRC covers the batch from here (`attributes`) to its end.
pub const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0x07;
const APPEND_TIME: i16 = 0x08;
/// The attribute of batches that belong to a transaction.
pub const TRANSACTIONAL: i16 = 0x10;
/// The attribute of batches with markers of the broker's.
pub const CONTROL: i16 = 0x20;

/// The fields of a v2 batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from a client, stamped at append.
    pub base_offset: i64,
    /// Bytes after this field: the whole batch less [`LENGTH_PREFIX`].
    pub batch_length: i32,
    /// Stamped at append.
    pub leader_epoch: i32,
    /// Always 2 here.
    pub magic: i8,
    /// CRC-32C from [`CRC_FROM`] to the end.
    pub crc: u32,
    /// Codec (bits 0-2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Offset of the last record less the base offset.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, milliseconds.
    pub base_timestamp: Millis,
    /// Largest timestamp of the records, or the append time.
    pub max_timestamp: Millis,
    /// -1 where the producer is not idempotent.
    pub producer_id: i64,
    /// -1 where the producer is not idempotent.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 where the producer is not idempotent.
    pub base_sequence: i32,
    /// How many records follow.
    pub record_count: i32,
}

/// Why bytes are not a v2 batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("shorter than a batch header")]
    Short,
    /// The length field is less than the rest of a header.
    #[error("the length field {0} is too small for a batch")]
    Length(i32),
    /// Not format v2. (Formats 0 and 1 keep their magic byte at the same place.)
    #[error("magic {0}, only 2 is supported")]
    Magic(i8),
}

impl BatchHeader {
    /// Reads a header from the front of `bytes`, which may go on after it. Checks the length field and the magic,
    /// nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let head: &[u8; HEADER_SIZE] = bytes.first_chunk().ok_or(HeaderError::Short)?;
        let header = Self {
            base_offset: i64::from_be_bytes(at(head, 0)),
            batch_length: i32::from_be_bytes(at(head, 8)),
            leader_epoch: i32::from_be_bytes(at(head, 12)),
            magic: i8::from_be_bytes(at(head, 16)),
            crc: u32::from_be_bytes(at(head, 17)),
            attributes: i16::from_be_bytes(at(head, 21)),
            last_offset_delta: i32::from_be_bytes(at(head, 23)),
            base_timestamp: i64::from_be_bytes(at(head, 27)),
            max_timestamp: i64::from_be_bytes(at(head, 35)),
            producer_id: i64::from_be_bytes(at(head, 43)),
            producer_epoch: i16::from_be_bytes(at(head, 51)),
            base_sequence: i32::from_be_bytes(at(head, 53)),
            record_count: i32::from_be_bytes(at(head, 57)),
        };
        if header.magic != 2 {
            return Err(HeaderError::Magic(header.magic));
        }
        if (header.batch_length as i64) < (HEADER_SIZE - LENGTH_PREFIX) as i64 {
            return Err(HeaderError::Length(header.batch_length));
        }
        Ok(header)
    }

    /// The header as it is stored.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut head = [0; HEADER_SIZE];
        let mut put = |from: usize, bytes: &[u8]| {
            if let Some(place) = head.get_mut(from..from + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &self.base_offset.to_be_bytes());
        put(8, &self.batch_length.to_be_bytes());
        put(12, &self.leader_epoch.to_be_bytes());
        put(16, &self.magic.to_be_bytes());
        put(17, &self.crc.to_be_bytes());
        put(21, &self.attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &self.producer_id.to_be_bytes());
        put(51, &self.producer_epoch.to_be_bytes());
        put(53, &self.base_sequence.to_be_bytes());
        put(57, &self.record_count.to_be_bytes());
        head
    }

    /// The size of the whole batch in bytes, header included.
    pub fn size(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record; sequences run 0..=i32::MAX and wrap to 0 (`DefaultRecordBatch`).
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 { -1 } else { increment_sequence(self.base_sequence, self.last_offset_delta) }
    }

    /// The compression codec's id: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are not assigned.
    pub fn codec(&self) -> u8 {
        (self.attributes & CODEC_MASK) as u8
    }

    /// Whether `max_timestamp` is the broker's append time and stands for every record.
    pub fn is_append_time(&self) -> bool {
        self.attributes & APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker of the broker's, not records of a client's.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether an idempotent producer wrote it.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// Makes the batch carry the broker's append time. The CRC covers these fields, so [`checksum`] follows.
    pub fn set_append_time(&mut self, now: Millis) {
        self.attributes |= APPEND_TIME;
        self.max_timestamp = now;
    }

    /// Makes the timestamps of the records count again. The CRC covers the bit, so [`checksum`] follows.
    pub fn clear_append_time(&mut self) {
        self.attributes &= !APPEND_TIME;
    }
}

/// Sequence numbers after `by` more records; they wrap from i32::MAX to 0.
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) % (i64::from(i32::MAX) + 1)) as i32
}

/// CRC-32C of a batch given as its header and what follows the header.
pub fn checksum(head: &[u8; HEADER_SIZE], records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head.get(CRC_FROM..).unwrap_or_default()), records)
}

/// A batch in the form it is stored in: the stamped header and the client's bytes after it.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// The header, as stamped.
    pub header: BatchHeader,
    /// `header`, encoded.
    pub head: [u8; HEADER_SIZE],
    /// Everything after the header, as the client sent it.
    pub records: Bytes,
}

impl StoredBatch {
    /// Encodes the header once; the CRC in it must already be right.
    pub fn new(header: BatchHeader, records: Bytes) -> Self {
        Self { header, head: header.encode(), records }
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.records.len()
    }
}

fn at<const N: usize>(head: &[u8; HEADER_SIZE], from: usize) -> [u8; N] {
    head.get(from..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn sample() -> BatchHeader {
        BatchHeader {
            base_offset: 7,
            batch_length: 60,
            leader_epoch: 3,
            magic: 2,
            crc: 0xdead_beef,
            attributes: 0,
            last_offset_delta: 4,
            base_timestamp: 1_000,
            max_timestamp: 1_004,
            producer_id: 9,
            producer_epoch: 1,
            base_sequence: 10,
            record_count: 5,
        }
    }

    #[test]
    fn header_round_trips_field_by_field() {
        let header = sample();
        assert_eq!(BatchHeader::parse(&header.encode()), Ok(header));
    }

    #[test]
    fn refuses_what_is_not_a_v2_header() {
        let head = sample().encode();
        assert_eq!(BatchHeader::parse(&head[..60]), Err(HeaderError::Short));
        assert_eq!(BatchHeader::parse(&BatchHeader { magic: 1, ..sample() }.encode()), Err(HeaderError::Magic(1)));
        for length in [i32::MIN, -1, 0, 48] {
            let bad = BatchHeader { batch_length: length, ..sample() }.encode();
            assert_eq!(BatchHeader::parse(&bad), Err(HeaderError::Length(length)));
        }
        assert!(BatchHeader::parse(&BatchHeader { batch_length: 49, ..sample() }.encode()).is_ok());
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
        let spanning = BatchHeader { base_sequence: i32::MAX - 1, last_offset_delta: 4, ..sample() };
        assert_eq!(spanning.last_sequence(), 2);
        assert_eq!(BatchHeader { base_sequence: -1, ..sample() }.last_sequence(), -1);
    }

    proptest! {
        #[test]
        fn parse_never_panics_and_encode_is_its_inverse(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(header) = BatchHeader::parse(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_SIZE]);
            }
        }
    }
}
