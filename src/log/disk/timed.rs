//! A record found by its timestamp inside one batch.

use crate::log::TimedOffset;
use crate::time::Millis;
use crate::wire::batch::{BatchHeader, HEADER_SIZE};
use crate::wire::records::{Record, RecordsError, walk};

/// Bytes that a stored batch is decompressed to in search of a time, at most. They stream through a small buffer;
/// this bounds the work.
const DECOMPRESSED_LIMIT: usize = 1 << 30;

/// Ends a walk, with the record it was for or because the batch cannot be walked.
enum Stop {
    Found(Record),
    Damaged,
}

impl From<RecordsError> for Stop {
    fn from(_: RecordsError) -> Self {
        Stop::Damaged
    }
}

/// The first record of a batch with a timestamp of at least `timestamp`. `bytes` is the whole batch. A batch that
/// cannot be walked answers for itself by its first offset: reading from there finds all that is wanted, and more.
pub(super) fn first_at_or_after(header: &BatchHeader, bytes: &[u8], timestamp: Millis) -> Option<TimedOffset> {
    let payload = bytes.get(HEADER_SIZE..).unwrap_or_default();
    let outcome = walk(header, payload, DECOMPRESSED_LIMIT, |record| {
        if record.timestamp >= timestamp { Err(Stop::Found(*record)) } else { Ok(()) }
    });
    let (offset_delta, timestamp) = match outcome {
        Ok(()) => return None,
        Err(Stop::Found(record)) => (record.offset_delta, record.timestamp),
        Err(Stop::Damaged) => (0, header.max_timestamp),
    };
    let offset = header.base_offset.saturating_add(i64::from(offset_delta));
    Some(TimedOffset { timestamp, offset, leader_epoch: header.leader_epoch })
}
