//! That a transaction is known to its coordinator before its first record is in a partition (KIP-890). Pure.
//!
//! Whoever wants to begin a transaction here takes a [`Guard`], asks the coordinator, and appends under the guard. A marker
//! that came meanwhile has taken the guard away, so that no record is left behind it in a transaction that nobody will
//! end. What is left behind by appends that never came expires. (`VerificationStateEntry`, `VerificationGuard`.)

use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use std::collections::BTreeMap;

/// Stands for one verification of one producer; none is given twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(pub u64);

/// Who wants to begin a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The first sequence number that it wants to write; -1 for a coordinator, which has none.
    pub base_sequence: i32,
    /// The producer's epoch rises with each transaction (transaction version 2).
    pub bumps_epoch: bool,
}

impl Verify {
    /// The producer of a batch.
    pub fn of(header: &BatchHeader, bumps_epoch: bool) -> Self {
        let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *header;
        Verify { producer_id, producer_epoch, base_sequence, bumps_epoch }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    guard: Guard,
    /// The lowest sequence number that was seen. A higher one must not be stored before it: the lower one, repeated, would
    /// then be out of order for ever.
    lowest_sequence: i32,
    epoch: i16,
    bumps_epoch: bool,
    since: Millis,
}

/// The verifications of a partition that are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifications {
    by_producer: BTreeMap<i64, Entry>,
}

impl Verifications {
    /// Begins one for a producer under a guard that nobody has had, or goes on with the one there is.
    pub fn begin(&mut self, verify: Verify, guard: Guard, now: Millis) -> Guard {
        let Verify { producer_id, producer_epoch: epoch, base_sequence: lowest_sequence, bumps_epoch } = verify;
        let entry = self.by_producer.entry(producer_id).or_insert_with(|| Entry {
            guard,
            lowest_sequence,
            epoch,
            bumps_epoch,
            since: now,
        });
        if epoch > entry.epoch || (epoch == entry.epoch && lowest_sequence < entry.lowest_sequence) {
            (entry.epoch, entry.lowest_sequence) = (epoch, lowest_sequence);
        }
        entry.guard
    }

    /// Whether this guard still holds.
    pub fn holds(&self, producer_id: i64, guard: Option<Guard>) -> bool {
        let entry = self.by_producer.get(&producer_id);
        entry.is_some_and(|entry| Some(entry.guard) == guard)
    }

    /// The sequence number that the producer has to begin with, where one below this batch's is known; `known` says whether
    /// anything of it is stored.
    pub fn expected(&self, header: &BatchHeader, known: bool) -> Option<i32> {
        let entry = self.by_producer.get(&header.producer_id)?;
        if entry.bumps_epoch && !known && header.base_sequence != 0 {
            return Some(0);
        }
        (header.base_sequence > entry.lowest_sequence).then_some(entry.lowest_sequence)
    }

    /// A batch of a transaction, or the end of one, was appended: what was verified before counts no more. But where each
    /// transaction has an epoch of its own, one of the marker's epoch is about the next.
    pub fn appended(&mut self, header: &BatchHeader) {
        let entry = self.by_producer.get(&header.producer_id);
        let is_next = |entry: &Entry| entry.bumps_epoch && header.is_control() && header.producer_epoch == entry.epoch;
        if !entry.is_some_and(is_next) {
            self.by_producer.remove(&header.producer_id);
        }
    }

    /// Forgets those that began so long ago.
    pub fn expire(&mut self, now: Millis, expiration_ms: i64) {
        self.by_producer.retain(|_, entry| {
            entry.since = entry.since.min(now);
            now.saturating_sub(entry.since) < expiration_ms
        });
    }
}
