//! Batches of the broker's own: records as keys and values, made into one batch of format v2.
//!
//! For internal topics, and for the markers that end transactions; a client's batch is never built, nor built again. Left
//! out: compression, headers, sequence numbers. [`entries`](crate::wire::entries) is the way back.

use crate::time::Millis;
use crate::wire::batch::{BatchHeader, CONTROL, HEADER_SIZE, LENGTH_PREFIX, TRANSACTIONAL, checksum};
use crate::wire::fields::FieldWriter;
use bytes::Bytes;

/// What a batch of the broker's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records of nobody's.
    Plain,
    /// Records of a producer's transaction, without sequence numbers.
    Transactional {
        /// The producer's id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
    },
    /// Control records: the end of a producer's transaction.
    Control {
        /// The producer's id.
        producer_id: i64,
        /// The epoch that it has from here on.
        producer_epoch: i16,
    },
}

/// The batch as the log takes it: a header with base offset 0, create time and the right CRC, and what follows the header.
/// All records have the one timestamp. There must be a record at least, and all of them together must stay below 2 GiB: a
/// batch without records is not valid, and one beyond that has a length that is not.
pub fn parts(kind: Kind, records: &[(Bytes, Option<Bytes>)], timestamp: Millis) -> (BatchHeader, Bytes) {
    let mut payload = FieldWriter::new(true);
    for (delta, (key, value)) in records.iter().enumerate() {
        let body = body(delta as i64, key, value.as_deref());
        payload.varlong(body.len() as i64);
        payload.raw(&body);
    }
    let payload = payload.finish().unwrap_or_default();
    let length = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
    let (attributes, producer_id, producer_epoch) = match kind {
        Kind::Plain => (0, -1, -1),
        Kind::Transactional { producer_id, producer_epoch } => (TRANSACTIONAL, producer_id, producer_epoch),
        Kind::Control { producer_id, producer_epoch } => (TRANSACTIONAL | CONTROL, producer_id, producer_epoch),
    };
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: length(HEADER_SIZE - LENGTH_PREFIX + payload.len()),
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes,
        last_offset_delta: length(records.len()).saturating_sub(1),
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        record_count: length(records.len()),
    };
    header.crc = checksum(&header.encode(), &payload);
    (header, payload)
}

/// A plain batch in one piece.
pub fn batch(records: &[(Bytes, Option<Bytes>)], timestamp: Millis) -> Bytes {
    let (header, payload) = parts(Kind::Plain, records, timestamp);
    [&header.encode()[..], &payload].concat().into()
}

/// A record after its length: no attributes, no distance from the base timestamp, its place, key, value, no headers.
fn body(delta: i64, key: &[u8], value: Option<&[u8]>) -> Bytes {
    let mut out = FieldWriter::new(true);
    out.int8(0);
    out.varlong(0);
    out.varlong(delta);
    out.varlong(key.len() as i64);
    out.raw(key);
    out.varlong(value.map_or(-1, |value| value.len() as i64));
    out.raw(value.unwrap_or_default());
    out.varlong(0);
    // Nothing of the above can fail.
    out.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::validate::{Rules, TimestampType, validate};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn rules(now: Millis) -> Rules {
        Rules {
            api_version: 13,
            max_message_bytes: 1 << 20,
            segment_bytes: 1 << 20,
            compacted: true,
            timestamp_type: TimestampType::CreateTime { before_max_ms: 0, after_max_ms: 0 },
            now,
            decompressed_limit: 1 << 20,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let records = [(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v"))), (Bytes::from_static(b"gone"), None)];
        let bytes = batch(&records, 1_000);
        let payload = [&[16, 0, 0, 0, 2, b'k', 2, b'v', 0][..], &[20, 0, 0, 2, 8], b"gone", &[1, 0]].concat();
        assert_eq!(&bytes[HEADER_SIZE..], &payload);
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!((header.record_count, header.last_offset_delta, header.attributes), (2, 1, 0));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 1_000));
    }

    proptest! {
        #[test]
        fn what_is_built_is_valid(
            records in vec((vec(any::<u8>(), 0..50), proptest::option::of(vec(any::<u8>(), 0..200))), 1..40),
            timestamp in 0i64..i64::MAX,
        ) {
            let records: Vec<_> = records.into_iter().map(|(key, value)| (key.into(), value.map(Bytes::from))).collect();
            let valid = validate(Some(batch(&records, timestamp)), &rules(timestamp)).unwrap();
            let (header, payload) = parts(Kind::Plain, &records, timestamp);
            prop_assert_eq!((valid.header, valid.records), (header, payload));
        }
    }
}
