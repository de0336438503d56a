//! Batches as a client sends them, with real records, so that times can be looked up inside.

use bytes::Bytes;
use ottla::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, StoredBatch, checksum};

/// Who writes a batch: id, epoch, first sequence number; all -1 for a producer that is not idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub id: i64,
    pub epoch: i16,
    pub sequence: i32,
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub records: i32,
    /// Bytes of each value.
    pub value: usize,
    /// Timestamp of the first record; each later one has one more, the last one less than the first.
    pub time: i64,
    /// Makes the bytes unlike those of any other batch.
    pub salt: u64,
}

/// A batch in the log: what was stored, byte for byte, and what can be asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl Batch {
    pub fn stamped(header: BatchHeader, records: Bytes, base_offset: i64, leader_epoch: i32) -> Self {
        let stored = StoredBatch::new(BatchHeader { base_offset, leader_epoch, ..header }, records);
        let bytes = [&stored.head[..], &stored.records].concat().into();
        Self { header: stored.header, bytes }
    }

    /// The same batch as its client would send it again.
    pub fn as_sent(&self) -> (BatchHeader, Bytes) {
        let header = BatchHeader { base_offset: 0, leader_epoch: -1, ..self.header };
        (header, self.bytes.slice(HEADER_SIZE..))
    }

    /// Offset and timestamp of each record.
    pub fn records(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let header = self.header;
        (0..header.record_count).map(move |index| {
            (header.base_offset + i64::from(index), header.base_timestamp + time_delta(index, header.record_count))
        })
    }
}

/// Times rise within a batch but for the last record, so that the largest is not the last.
fn time_delta(index: i32, records: i32) -> i64 {
    if index > 0 && index + 1 == records { -1 } else { i64::from(index) }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A batch that a client would send.
pub fn client_batch(writer: Writer, content: Content) -> (BatchHeader, Bytes) {
    let mut payload = Vec::new();
    for index in 0..content.records {
        let mut record = vec![0];
        varint(&mut record, time_delta(index, content.records));
        varint(&mut record, i64::from(index));
        varint(&mut record, -1);
        varint(&mut record, content.value as i64);
        let mut salt = super::random::Random::new(content.salt ^ (index as u64) << 48);
        record.extend((0..content.value).map(|_| (salt.next() >> 32) as u8 | 1));
        varint(&mut record, 0);
        varint(&mut payload, record.len() as i64);
        payload.extend(record);
    }
    let largest = (0..content.records).map(|index| time_delta(index, content.records)).max().unwrap_or(0);
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + payload.len()) as i32,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: content.records - 1,
        base_timestamp: content.time,
        max_timestamp: content.time + largest,
        producer_id: writer.id,
        producer_epoch: writer.epoch,
        base_sequence: writer.sequence,
        record_count: content.records,
    };
    header.crc = checksum(&header.encode(), &payload);
    (header, payload.into())
}
