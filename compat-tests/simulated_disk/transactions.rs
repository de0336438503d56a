//! Producers whose batches are all parts of transactions: what they append, and what readers of committed records have to be
//! told of it.

use crate::batches::{Batch, Content, Writer, client_batch};
use crate::ensure;
use crate::inspect::{Checked, NOW};
use crate::model::Part;
use bytes::Bytes;
use ottla::log::Wait;
use ottla::partition::{
    Acks, Appending, Fetch, Isolation, MarkerEpoch, Origin, Partition, SequenceError, TransactionEnd, Verify,
};
use ottla::wire::batch::{BatchHeader, HEADER_SIZE, TRANSACTIONAL, checksum};
use ottla::wire::control::Marker;
use std::collections::BTreeMap;

/// Ids from here on are those of producers with transactions.
pub const FIRST: i64 = 100;

/// A batch of a producer's transaction, which begins with it if none is open.
pub fn transactional_batch(writer: Writer, content: Content) -> (BatchHeader, Bytes) {
    let (mut header, records) = client_batch(writer, content);
    header.attributes |= TRANSACTIONAL;
    header.crc = checksum(&header.encode(), &records);
    (header, records)
}

/// Appends it, after its coordinator has said that it may.
pub fn append(partition: &Partition, header: BatchHeader, records: Bytes) -> Result<Appending, SequenceError> {
    let guard = partition.verify(Verify::of(&header, true), NOW)?;
    Ok(partition.append_from(Origin::Client(guard), header, records, Acks::All, NOW))
}

/// Ends what a producer has open, which has a new epoch from then on; with the marker as it is stored.
pub fn end(partition: &Partition, id: i64, epoch: i16, committed: bool) -> (Appending, (BatchHeader, Bytes)) {
    let (producer_epoch, marker) = (epoch + 1, Marker { committed, coordinator_epoch: 0 });
    let end = TransactionEnd { producer_id: id, producer_epoch, marker, rule: MarkerEpoch::Higher };
    (partition.end_transaction(end, NOW), marker.batch(id, producer_epoch, NOW))
}

/// The ids of producers with transactions that have written here.
pub fn ids(part: &Part) -> Vec<i64> {
    let mut ids: Vec<_> = part.log.iter().map(|batch| batch.header.producer_id).filter(|id| *id >= FIRST).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// An aborted transaction: who, first offset, offset of the marker.
type Aborted = (i64, i64, i64);

/// The last stable offset of a log with these batches, and what of it was aborted.
fn told(log: &[Batch]) -> (i64, Vec<Aborted>) {
    let mut open: BTreeMap<i64, i64> = BTreeMap::new();
    let mut aborted = Vec::new();
    for Batch { header, bytes } in log {
        let id = header.producer_id;
        if header.is_control() {
            let marker = Marker::read(header, &bytes.slice(HEADER_SIZE..)).expect("a marker");
            if let Some(first) = open.remove(&id).filter(|_| !marker.committed) {
                aborted.push((id, first, header.base_offset));
            }
        } else if header.is_transactional() {
            open.entry(id).or_insert(header.base_offset);
        }
    }
    let end = log.last().map_or(0, |batch| batch.header.next_offset());
    (open.into_values().min().unwrap_or(end), aborted)
}

/// Readers of committed records see as far as they may, and are told what to leave out; `log` is what is published.
pub fn every_reader(partition: &Partition, log: &[Batch]) -> Checked {
    let (last_stable, aborted) = told(log);
    let found = partition.last_stable();
    ensure!(found == last_stable, "the last stable offset is {found}, expected {last_stable}");
    for max_bytes in [1, 1 << 20] {
        for from in log.iter().map(|batch| batch.header.base_offset) {
            let isolation = Isolation::ReadCommitted;
            let wanted =
                Fetch { from, max_bytes, first_whole: true, leader_epoch: None, isolation, wait: Wait::Allowed };
            let fetched = partition.fetch(&wanted).map_err(|error| format!("committed, at {from}: {error}"))?;
            let mut rest: usize = fetched.slices.iter().map(|slice| slice.len()).sum();
            ensure!((rest > 0) == (from < last_stable), "committed, at {from}: {rest} bytes, stable is {last_stable}");
            let (mut until, mut read) = (from, log.iter().skip_while(|batch| batch.header.base_offset < from));
            while rest > 0 {
                let batch = read.next().filter(|batch| batch.bytes.len() <= rest);
                let batch =
                    batch.ok_or_else(|| format!("committed, at {from}: half a batch, or more than there is"))?;
                (until, rest) = (batch.header.next_offset(), rest - batch.bytes.len());
            }
            ensure!(from >= until || until <= last_stable, "committed, at {from}: to {until}, stable is {last_stable}");
            let expected: Vec<_> = aborted
                .iter()
                .filter(|it| from < until && it.1 < until && it.2 >= from)
                .map(|it| (it.0, it.1))
                .collect();
            let found: Vec<_> = fetched.aborted.iter().map(|it| (it.producer_id, it.first_offset)).collect();
            ensure!(found == expected, "committed, {from} to {until}: aborted {found:?}, expected {expected:?}");
        }
    }
    Ok(())
}
