//! What a Produce batch must be before it may come near a partition's lock.
//!
//! The rules and their order are those of Kafka's `ProduceRequest.validateRecords`, `UnifiedLog` (analysis before an
//! append) and `LogValidator`; each [`BatchError`] stands for one of Kafka's error codes, which `api/errors` chooses.
//! Differences, all towards refusing what no client sends: a codec that does not exist and a payload that does not
//! decompress have errors of their own (Kafka's answer is UNKNOWN_SERVER_ERROR), records must have consecutive
//! offsets (Kafka stores gaps in plain batches), a producer id needs an epoch, and a transactional batch needs a
//! producer id. Left out: sequence numbers and transactions, which need the partition's state; and recompression:
//! every batch keeps its producer's codec.

use crate::time::Millis;
use crate::wire::batch::{BatchHeader, CRC_FROM, HEADER_SIZE, HeaderError, LENGTH_PREFIX, checksum};
use crate::wire::compression::{CompressionError, ZSTD};
use crate::wire::records::{Record, RecordsError, walk};
use bytes::Bytes;

/// The first Produce version whose batches may be compressed with zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// A record or batch without a timestamp (`RecordBatch.NO_TIMESTAMP`).
const NO_TIMESTAMP: Millis = -1;
/// The smallest length field that any batch format has (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_LENGTH: i32 = 14;
/// Where the magic byte is, in every format.
const MAGIC_AT: usize = 16;
/// How many bad records are named; Kafka names all, which lets a small batch ask for a large reply.
const NAMED_RECORDS: usize = 100;

/// Whose clock a topic's timestamps show: `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, within a window around now.
    CreateTime {
        /// `message.timestamp.before.max.ms`.
        before_max_ms: i64,
        /// `message.timestamp.after.max.ms`.
        after_max_ms: i64,
    },
    /// The broker's.
    LogAppendTime,
}

/// What a batch is held against.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The version of the Produce request.
    pub api_version: i16,
    /// `max.message.bytes`: the size of a whole batch as sent.
    pub max_message_bytes: usize,
    /// `segment.bytes`.
    pub segment_bytes: usize,
    /// Whether `cleanup.policy` has `compact`: every record needs a key.
    pub compacted: bool,
    /// `message.timestamp.type` with its bounds.
    pub timestamp_type: TimestampType,
    /// The wall clock.
    pub now: Millis,
    /// Bytes that the records may decompress to. Bounds the work for one batch, not its memory, which is small.
    pub decompressed_limit: usize,
}

/// A batch that may be appended once its sequence number is right.
#[derive(Clone, Debug)]
pub struct ValidBatch {
    /// The client's header, with the maximum timestamp made true (or the append time set) and the CRC to match.
    pub header: BatchHeader,
    /// Everything after the header, as the client sent it.
    pub records: Bytes,
}

/// Why a batch was refused; one variant for each answer that a client can tell apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// CORRUPT_MESSAGE: the bytes are damaged or are no batch.
    #[error("{0}")]
    Corrupt(Corruption),
    /// INVALID_RECORD: a batch, but one that may not be appended.
    #[error("{0}")]
    Invalid(Invalid),
    /// INVALID_RECORD, with the records that are at fault.
    #[error("{}", .0.message("one or more records have been rejected"))]
    InvalidRecords(RecordErrors),
    /// INVALID_TIMESTAMP, with the records that are at fault.
    #[error("{}", .0.message("one or more records have been rejected due to an invalid timestamp"))]
    InvalidTimestamps(RecordErrors),
    /// MESSAGE_TOO_LARGE: beyond `max.message.bytes`, or beyond what a batch may decompress to.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// RECORD_LIST_TOO_LARGE: beyond `segment.bytes`.
    #[error("the batch has {size} bytes, more than a segment may have ({segment_bytes})")]
    LargerThanSegment {
        /// Of the whole batch.
        size: usize,
        /// The limit.
        segment_bytes: usize,
    },
    /// UNSUPPORTED_COMPRESSION_TYPE: zstd in an old Produce version, or a codec id that is not assigned.
    #[error("compression codec {codec} may not be used with Produce version {api_version}")]
    Codec {
        /// As in the batch.
        codec: u8,
        /// Of the request.
        api_version: i16,
    },
    /// The CRC holds but the payload does not decompress: no retry will help (Kafka: UNKNOWN_SERVER_ERROR).
    #[error("the records do not decompress")]
    Undecodable,
}

/// How bytes fail to be a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// The length field is less than any batch has.
    #[error("batch length {0} is too small")]
    Length(i32),
    /// Fewer bytes than a v2 header has.
    #[error("{0} bytes are fewer than a batch header has")]
    Size(usize),
    /// Not a batch format that ever was.
    #[error("magic {0} is unknown")]
    Magic(i8),
    /// The checksum does not match.
    #[error("stored CRC {stored:#010x}, computed CRC {computed:#010x}")]
    Crc {
        /// In the batch.
        stored: u32,
        /// Of its bytes.
        computed: u32,
    },
}

/// How a sound batch breaks the rules for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No bytes, or not all of one batch.
    #[error("there must be one record batch per partition, and there is none")]
    NoBatch,
    /// A second batch follows.
    #[error("there must be exactly one record batch per partition")]
    SecondBatch,
    /// An older format.
    #[error("record batches must have magic 2, this one has {0}")]
    Magic(i8),
    /// Offsets are the broker's to give.
    #[error("the base offset must be 0, it is {0}")]
    BaseOffset(i64),
    /// No records, or fewer.
    #[error("the record count {0} is not positive")]
    Count(i32),
    /// The header contradicts itself.
    #[error("{count} records cannot end at offset delta {last_offset_delta}")]
    CountMismatch {
        /// The header's count of records.
        count: i32,
        /// The header's last offset delta.
        last_offset_delta: i32,
    },
    /// Markers are the broker's to write.
    #[error("clients may not write control batches")]
    Control,
    /// A producer id without a sequence.
    #[error("a batch with a producer id may not have sequence {0}")]
    Sequence(i32),
    /// A producer id without an epoch.
    #[error("a batch with a producer id may not have producer epoch {0}")]
    Epoch(i16),
    /// A transaction of nobody.
    #[error("a transactional batch must have a producer id")]
    TransactionalWithoutProducer,
    /// The payload is not the records that the header announces.
    #[error("{0}")]
    Records(RecordsError),
}

/// What was larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// The batch as sent.
    #[error("the batch has {size} bytes, more than the {max_message_bytes} allowed")]
    Batch {
        /// Of the whole batch.
        size: usize,
        /// The limit.
        max_message_bytes: usize,
    },
    /// The records, decompressed.
    #[error("the records decompress to more than {limit} bytes")]
    Decompressed {
        /// The limit.
        limit: usize,
    },
}

/// The records of a batch that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordErrors {
    /// The first of them, in order.
    pub named: Vec<RecordError>,
    /// How many there are.
    pub total: usize,
}

/// One refused record (`RecordError` in a Produce response, since version 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Why; its text is the response's message.
    pub reason: Reason,
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The topic is compacted.
    #[error("a compacted topic cannot accept a record without a key")]
    NoKey,
    /// Too far from now.
    #[error("timestamp {timestamp} is out of range, it should be within [{earliest}, {latest}]")]
    Timestamp {
        /// The record's.
        timestamp: Millis,
        /// The least that is allowed.
        earliest: Millis,
        /// The most that is allowed.
        latest: Millis,
    },
    /// The topic carries the broker's time, and the batch claims to do so already.
    #[error("a producer should not set the timestamp type to LogAppendTime")]
    AppendTime,
}

impl RecordErrors {
    fn add(&mut self, index: i32, reason: Reason) {
        if self.named.len() < NAMED_RECORDS {
            self.named.push(RecordError { index, reason });
        }
        self.total += 1;
    }

    fn message(&self, summary: &str) -> String {
        match self.named.first() {
            Some(first) => format!("{summary} ({} in all); record {}: {}", self.total, first.index, first.reason),
            None => summary.to_owned(),
        }
    }
}

impl From<RecordsError> for BatchError {
    fn from(error: RecordsError) -> Self {
        Self::Invalid(Invalid::Records(error))
    }
}

impl From<Invalid> for BatchError {
    fn from(error: Invalid) -> Self {
        Self::Invalid(error)
    }
}

impl From<Corruption> for BatchError {
    fn from(error: Corruption) -> Self {
        Self::Corrupt(error)
    }
}

/// Checks the bytes that a Produce request carries for one partition: one v2 batch, after which only the beginning
/// of another is tolerated, and dropped.
pub fn validate(bytes: Option<Bytes>, rules: &Rules) -> Result<ValidBatch, BatchError> {
    let mut bytes = bytes.unwrap_or_default();
    let size = find_batch(&bytes)?;
    let magic = magic(&bytes);
    if magic != 2 {
        return Err(Invalid::Magic(magic).into());
    }
    let mut header = BatchHeader::parse(&bytes).map_err(|error| match error {
        HeaderError::Short => BatchError::Corrupt(Corruption::Size(bytes.len())),
        HeaderError::Length(length) => BatchError::Corrupt(Corruption::Length(length)),
        HeaderError::Magic(magic) => BatchError::Invalid(Invalid::Magic(magic)),
    })?;
    check_codec(&header, rules)?;
    check_no_second_batch(bytes.get(size..).unwrap_or_default())?;
    if header.base_offset != 0 {
        return Err(Invalid::BaseOffset(header.base_offset).into());
    }
    if size > rules.max_message_bytes {
        let max_message_bytes = rules.max_message_bytes;
        return Err(BatchError::TooLarge(TooLarge::Batch { size, max_message_bytes }));
    }
    check_crc(&header, bytes.get(CRC_FROM..size).unwrap_or_default())?;
    check_header(&header)?;
    bytes.truncate(size);
    let records = bytes.split_off(HEADER_SIZE);
    let sent = header;
    if rules.timestamp_type != TimestampType::LogAppendTime {
        // As Kafka does it, but before the records are looked at, so that their own times are those that count.
        header.clear_append_time();
    }
    let max_timestamp = check_records(&header, &records, rules)?;
    if size > rules.segment_bytes {
        return Err(BatchError::LargerThanSegment { size, segment_bytes: rules.segment_bytes });
    }
    match rules.timestamp_type {
        TimestampType::CreateTime { .. } => header.max_timestamp = max_timestamp,
        TimestampType::LogAppendTime => header.set_append_time(rules.now),
    }
    if header != sent {
        header.crc = checksum(&header.encode(), &records);
    }
    Ok(ValidBatch { header, records })
}

/// The size of the batch at the front (`ByteBufferLogInputStream`).
fn find_batch(bytes: &[u8]) -> Result<usize, BatchError> {
    match next_size(bytes)? {
        Some(size) if size <= bytes.len() => Ok(size),
        _ => Err(Invalid::NoBatch.into()),
    }
}

fn check_no_second_batch(rest: &[u8]) -> Result<(), BatchError> {
    match next_size(rest)? {
        Some(size) if size <= rest.len() => Err(Invalid::SecondBatch.into()),
        _ => Ok(()),
    }
}

/// The announced size of the next batch; `None` where even its magic byte is not there.
fn next_size(bytes: &[u8]) -> Result<Option<usize>, Corruption> {
    let Some(length) = bytes.get(LENGTH_PREFIX - 4..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    if length < SMALLEST_LENGTH {
        return Err(Corruption::Length(length));
    }
    if bytes.len() <= MAGIC_AT {
        return Ok(None);
    }
    let magic = magic(bytes);
    if !(0..=2).contains(&magic) {
        return Err(Corruption::Magic(magic));
    }
    Ok(usize::try_from(length).ok().map(|length| length.saturating_add(LENGTH_PREFIX)))
}

fn magic(bytes: &[u8]) -> i8 {
    bytes.get(MAGIC_AT).map_or(-1, |&magic| magic as i8)
}

fn check_codec(header: &BatchHeader, rules: &Rules) -> Result<(), BatchError> {
    let codec = header.codec();
    if codec > ZSTD || (codec == ZSTD && rules.api_version < ZSTD_SINCE) {
        return Err(BatchError::Codec { codec, api_version: rules.api_version });
    }
    Ok(())
}

fn check_crc(header: &BatchHeader, covered: &[u8]) -> Result<(), Corruption> {
    let computed = crc32c::crc32c(covered);
    if computed == header.crc { Ok(()) } else { Err(Corruption::Crc { stored: header.crc, computed }) }
}

/// `LogValidator.validateBatch` for a client's batch.
fn check_header(header: &BatchHeader) -> Result<(), Invalid> {
    let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
    if count <= 0 {
        return Err(Invalid::Count(count));
    }
    if last_offset_delta != count - 1 {
        return Err(Invalid::CountMismatch { count, last_offset_delta });
    }
    if header.is_control() {
        return Err(Invalid::Control);
    }
    if header.has_producer_id() {
        if header.base_sequence < 0 {
            return Err(Invalid::Sequence(header.base_sequence));
        }
        if header.producer_epoch < 0 {
            return Err(Invalid::Epoch(header.producer_epoch));
        }
    } else if header.is_transactional() {
        return Err(Invalid::TransactionalWithoutProducer);
    }
    Ok(())
}

/// Walks the records, and gives their largest timestamp.
fn check_records(header: &BatchHeader, records: &[u8], rules: &Rules) -> Result<Millis, BatchError> {
    let mut max_timestamp = NO_TIMESTAMP;
    let mut errors = RecordErrors::default();
    let mut in_time = true;
    let walked = walk(header, records, rules.decompressed_limit, |record| {
        max_timestamp = max_timestamp.max(record.timestamp);
        if let Some(reason) = fault_of(header, record, rules) {
            in_time &= reason == Reason::NoKey;
            errors.add(record.offset_delta, reason);
        }
        Ok(())
    });
    walked.map_err(|error| match error {
        RecordsError::Compression(CompressionError::TooLarge) => {
            BatchError::TooLarge(TooLarge::Decompressed { limit: rules.decompressed_limit })
        }
        RecordsError::Compression(CompressionError::Corrupt) => BatchError::Undecodable,
        RecordsError::Compression(CompressionError::UnknownCodec(codec)) => {
            BatchError::Codec { codec, api_version: rules.api_version }
        }
        malformed => malformed.into(),
    })?;
    match errors.total {
        0 => Ok(max_timestamp),
        _ if in_time => Err(BatchError::InvalidRecords(errors)),
        _ => Err(BatchError::InvalidTimestamps(errors)),
    }
}

/// `LogValidator.validateRecord`: first the key, then the time.
fn fault_of(header: &BatchHeader, record: &Record, rules: &Rules) -> Option<Reason> {
    if rules.compacted && record.key_size.is_none() {
        return Some(Reason::NoKey);
    }
    if header.is_append_time() {
        return Some(Reason::AppendTime);
    }
    let TimestampType::CreateTime { before_max_ms, after_max_ms } = rules.timestamp_type else { return None };
    let timestamp = record.timestamp;
    if timestamp == NO_TIMESTAMP {
        return None;
    }
    // Wrapping as Java does, so that the far ends of the range fall on the same side.
    let age = rules.now.wrapping_sub(timestamp);
    let is_outside = age > before_max_ms || age.wrapping_neg() > after_max_ms;
    is_outside.then(|| Reason::Timestamp {
        timestamp,
        earliest: rules.now.saturating_sub(before_max_ms),
        latest: rules.now.saturating_add(after_max_ms),
    })
}

#[cfg(test)]
mod tests;
