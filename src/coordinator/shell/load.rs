//! Loading a shard: its partition is read from the start to the published end, and every record applied.

use crate::coordinator::{Shard, Unreadable};
use crate::log::{Offset, Slice, Wait};
use crate::partition::{Fetch, Isolation, Partition};
use crate::time::{self, OncePerSecond};
use crate::wire::batch::BatchHeader;
use crate::wire::control::Marker;
use crate::wire::entries::{self, Contents};
use bytes::Bytes;

/// Bytes read at once while a shard is loaded.
const LOAD_BYTES: usize = 4 << 20;
/// What a compressed batch may become, bytes.
const LOAD_INFLATED: usize = 64 << 20;

static SKIPPED: OncePerSecond = OncePerSecond::new();

/// Reads a partition into a shard that is empty; tells where the end is that it was read to. Waits for the disk. Ends early
/// when `stopped` says so.
pub fn read<S: Shard>(
    shard: &mut S,
    partition: &Partition,
    least_end: Offset,
    stopped: impl Fn() -> bool,
) -> Result<Offset, String> {
    let end = partition.high_watermark();
    if end < least_end {
        return Err(format!("the log is published up to {end} yet, and {least_end} was appended"));
    }
    let mut from = partition.log_start();
    while from < end {
        if stopped() {
            return Err("the broker stops".into());
        }
        let fetch = Fetch {
            from,
            max_bytes: LOAD_BYTES,
            first_whole: true,
            leader_epoch: None,
            isolation: Isolation::ReadUncommitted,
            wait: Wait::Allowed,
        };
        let fetched = partition.fetch(&fetch).map_err(|error| error.to_string())?;
        let before = from;
        for slice in fetched.slices {
            from = apply_slice(shard, content(slice)?, from)?;
        }
        if from == before {
            return Err(format!("nothing to read at offset {from}, before the end at {end}"));
        }
    }
    Ok(end)
}

/// The bytes of a slice. Waits for the disk.
fn content(slice: Slice) -> Result<Bytes, String> {
    match slice {
        Slice::Memory(bytes) => Ok(bytes),
        Slice::File { file, position, length } => {
            let mut bytes = vec![0; length];
            let read = file.read_at(&mut bytes, position, Wait::Allowed).map_err(|error| error.to_string())?;
            if read < length { Err("a file ends early".into()) } else { Ok(bytes.into()) }
        }
    }
}

/// Applies the records of whole batches, those before `from` apart; tells where the last batch ends.
fn apply_slice<S: Shard>(shard: &mut S, bytes: Bytes, from: Offset) -> Result<Offset, String> {
    let mut end = from;
    for batch in entries::batches(bytes) {
        let (header, payload) = batch.map_err(|error| error.to_string())?;
        if header.next_offset() > end {
            apply_batch(shard, &header, &payload)?;
            end = header.next_offset();
        }
    }
    Ok(end)
}

/// Applies the records of a batch. What others wrote here, and nobody can read, must not keep the groups from being served;
/// what a newer broker wrote must.
fn apply_batch<S: Shard>(shard: &mut S, header: &BatchHeader, payload: &Bytes) -> Result<(), String> {
    let skipped = |error: String| {
        if SKIPPED.lets_through(time::monotonic()) {
            tracing::warn!(offset = header.base_offset, error, "a coordinator skips what it cannot read");
        }
    };
    let records = match entries::read(header, payload, LOAD_INFLATED) {
        Ok(Contents::Records(records)) => records,
        Ok(Contents::Control(_)) => {
            if let Some(marker) = Marker::read(header, payload) {
                shard.end_transaction(header.producer_id, marker.committed);
            }
            return Ok(());
        }
        Err(error) => {
            skipped(error.to_string());
            return Ok(());
        }
    };
    for entry in records {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                skipped(error.to_string());
                return Ok(());
            }
        };
        match entry.key.as_ref().map(|key| S::decode(key, entry.value.as_deref())) {
            Some(Ok(Some(record))) if header.is_transactional() => {
                shard.apply_in_transaction(header.producer_id, record);
            }
            Some(Ok(Some(record))) => shard.apply(record),
            Some(Ok(None)) | None => {}
            Some(Err(Unreadable::Foreign(error))) => skipped(error),
            Some(Err(Unreadable::Newer(error))) => return Err(format!("offset {}: {error}", entry.offset)),
        }
    }
    Ok(())
}
