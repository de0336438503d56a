//! What open and ended transactions mean for readers: how far they may read, and what they have to leave out. Pure.
//!
//! Readers of committed records get up to the last stable offset: before the first record of any transaction whose end is
//! not published. An end that is in the log and not durable yet does not count, or a crash could take it back.
//! (`ProducerStateManager.firstUnstableOffset`, with its ongoing and its unreplicated transactions.)

use super::aborted::{Aborted, AbortedTransaction};
use crate::log::Offset;
use std::collections::BTreeMap;

/// The transactions of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Those that are open, by where they began, with their producers.
    open: BTreeMap<Offset, i64>,
    /// Those that have ended, by where they began, with the offsets of their markers; until those are published.
    ended: BTreeMap<Offset, Offset>,
    aborted: Aborted,
}

impl Transactions {
    /// Those of a partition of which everything is published.
    pub fn new(open: impl Iterator<Item = (Offset, i64)>, aborted: Aborted) -> Self {
        Transactions { open: open.collect(), ended: BTreeMap::new(), aborted }
    }

    /// One begins.
    pub fn begin(&mut self, first_offset: Offset, producer_id: i64) {
        self.open.insert(first_offset, producer_id);
    }

    /// One ends.
    pub fn end(&mut self, first_offset: Offset, marker_offset: Offset, committed: bool) {
        let Some(producer_id) = self.open.remove(&first_offset) else { return };
        self.ended.insert(first_offset, marker_offset);
        if !committed {
            let stable = self.open.first_key_value().map(|(first, _)| *first);
            self.aborted.push(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset: marker_offset,
                last_stable_offset: stable.unwrap_or(marker_offset.saturating_add(1)),
            });
        }
    }

    /// How far readers of committed records see, where others see up to `published`. What has ended before that is forgotten.
    pub fn last_stable(&mut self, published: Offset) -> Offset {
        self.ended.retain(|_, marker| *marker >= published);
        let first = [self.open.first_key_value().map(|(first, _)| *first), self.ended.keys().next().copied()];
        first.into_iter().flatten().min().unwrap_or(published).min(published)
    }

    /// Whether there are none: whatever is published is stable, and nothing is to be left out.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty() && self.aborted.entries().is_empty()
    }

    /// The aborted ones.
    pub fn aborted(&self) -> &Aborted {
        &self.aborted
    }

    /// How many have ended and are still remembered.
    #[cfg(test)]
    pub fn ended(&self) -> usize {
        self.ended.len()
    }

    /// The aborted ones, to be written.
    pub fn aborted_mut(&mut self) -> &mut Aborted {
        &mut self.aborted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stable_offset_is_before_whatever_is_not_decided_and_durable() {
        let mut transactions = Transactions::default();
        assert_eq!(transactions.last_stable(7), 7);
        transactions.begin(3, 1);
        transactions.begin(5, 2);
        assert_eq!([2, 3, 7].map(|published| transactions.last_stable(published)), [2, 3, 3]);
        transactions.end(3, 8, true);
        assert_eq!(transactions.last_stable(8), 3, "the marker is not published");
        assert_eq!(transactions.last_stable(9), 5);
        transactions.end(5, 9, true);
        assert_eq!(transactions.last_stable(9), 5);
        assert!(!transactions.is_empty());
        assert_eq!(transactions.last_stable(10), 10);
        assert!(transactions.is_empty());
    }

    #[test]
    fn the_aborted_ones_know_how_far_it_was_stable_after_them() {
        let mut transactions = Transactions::default();
        transactions.begin(0, 1);
        transactions.begin(2, 2);
        transactions.end(0, 5, false);
        transactions.end(2, 6, false);
        transactions.end(99, 100, false);
        let entries = transactions.aborted().entries();
        let told = |entry: &AbortedTransaction| {
            (entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset)
        };
        assert_eq!(entries.iter().map(told).collect::<Vec<_>>(), [(1, 0, 5, 2), (2, 2, 6, 7)]);
    }
}
