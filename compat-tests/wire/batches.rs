//! Record batches made by hand, good and bad.

use ottla::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, checksum};
use std::io::Write;

/// A time that no topic minds.
pub const TIME: i64 = 1_700_000_000_000;

/// A batch as a client sends it. What it does not say otherwise is right.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The header, but for length and checksum, which [`Batch::bytes`] makes.
    pub header: BatchHeader,
    /// What follows it.
    pub payload: Vec<u8>,
}

/// The records of a batch, one after the other.
pub fn records(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, value) in values.iter().enumerate() {
        put_record(&mut out, index, Some(b"key"), value);
    }
    out
}

/// One record.
pub fn put_record(out: &mut Vec<u8>, index: usize, key: Option<&[u8]>, value: &[u8]) {
    let mut body = vec![0, 0];
    put_varint(&mut body, index as i64);
    put_varint(&mut body, key.map_or(-1, |key| key.len() as i64));
    body.extend_from_slice(key.unwrap_or_default());
    put_varint(&mut body, value.len() as i64);
    body.extend_from_slice(value);
    put_varint(&mut body, 0);
    put_varint(out, body.len() as i64);
    out.extend_from_slice(&body);
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

impl Batch {
    /// Plain records with these values.
    pub fn of(values: &[&[u8]]) -> Batch {
        let count = values.len() as i32;
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: TIME,
            max_timestamp: TIME,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: count,
        };
        Batch { header, payload: records(values) }
    }

    /// The same, with a change to the header.
    pub fn with(mut self, change: impl FnOnce(&mut BatchHeader)) -> Batch {
        change(&mut self.header);
        self
    }

    /// Of an idempotent producer.
    pub fn by(self, producer_id: i64, epoch: i16, sequence: i32) -> Batch {
        self.with(|header| {
            header.producer_id = producer_id;
            header.producer_epoch = epoch;
            header.base_sequence = sequence;
        })
    }

    /// With its payload compressed.
    pub fn compressed(mut self, codec: u8) -> Batch {
        self.payload = compress(codec, &self.payload);
        self.header.attributes |= i16::from(codec);
        self
    }

    /// The whole of it, length and checksum right.
    pub fn bytes(&self) -> Vec<u8> {
        let mut header = self.header;
        header.batch_length = (HEADER_SIZE - LENGTH_PREFIX + self.payload.len()) as i32;
        header.crc = checksum(&header.encode(), &self.payload);
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Compresses as a client does: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
pub fn compress(codec: u8, data: &[u8]) -> Vec<u8> {
    match codec {
        0 => data.to_vec(),
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(data).unwrap(),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        4 => zstd::encode_all(data, 3).unwrap(),
        other => panic!("no codec {other}"),
    }
}
