//! Stand-ins for what a partition works with.

use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, checksum};
use bytes::Bytes;

/// A client's batch: valid header, right CRC, stand-ins for records.
pub fn batch(producer_id: i64, epoch: i16, base_sequence: i32, count: i32) -> (BatchHeader, Bytes) {
    let records = Bytes::from(format!("{producer_id}/{epoch}/{base_sequence}+{count}"));
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + records.len()) as i32,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 1_000,
        max_timestamp: 1_000 + i64::from(base_sequence),
        producer_id,
        producer_epoch: epoch,
        base_sequence,
        record_count: count,
    };
    header.crc = checksum(&header.encode(), &records);
    (header, records)
}
