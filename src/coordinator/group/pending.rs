//! Offsets that were committed in transactions, until those end.
//!
//! Of all commits for a partition the last one counts, whether it was part of a transaction or not, and by when it was made,
//! not by when its transaction ended. (Kafka's `OffsetMetadataManager`, with its pending transactional offsets and its open
//! transactions.)

use super::records::{OffsetCommitKey, OffsetCommitValue};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The pending offsets of all transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingOffsets {
    by_producer: BTreeMap<i64, BTreeMap<OffsetCommitKey, Pending>>,
    /// Which producers have an offset pending, by partition.
    open: BTreeMap<OffsetCommitKey, BTreeSet<i64>>,
    /// Commits are numbered in the order in which they were made, as far as it matters.
    last: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    made: u64,
    value: OffsetCommitValue,
    /// A commit that was made later is in force.
    is_superseded: bool,
}

impl PendingOffsets {
    /// A producer commits an offset in its transaction.
    pub fn add(&mut self, producer_id: i64, key: OffsetCommitKey, value: OffsetCommitValue) {
        self.last += 1;
        let pending = Pending { made: self.last, value, is_superseded: false };
        self.open.entry(key.clone()).or_default().insert(producer_id);
        self.by_producer.entry(producer_id).or_default().insert(key, pending);
    }

    /// An offset was committed outside of transactions: those that are pending came before it.
    pub fn supersede(&mut self, key: &OffsetCommitKey) {
        self.supersede_until(key, u64::MAX);
    }

    /// A tombstone: what is pending for the partition never comes into force.
    pub fn remove(&mut self, key: &OffsetCommitKey) {
        for producer_id in self.open.remove(key).unwrap_or_default() {
            if let Some(pending) = self.by_producer.get_mut(&producer_id) {
                pending.remove(key);
                if pending.is_empty() {
                    self.by_producer.remove(&producer_id);
                }
            }
        }
    }

    /// A producer's transaction ends; gives what comes into force if it was committed.
    pub fn end(&mut self, producer_id: i64, committed: bool) -> Vec<(OffsetCommitKey, OffsetCommitValue)> {
        let ended = self.by_producer.remove(&producer_id).unwrap_or_default();
        let mut in_force = Vec::new();
        for (key, pending) in ended {
            if let Some(producers) = self.open.get_mut(&key) {
                producers.remove(&producer_id);
                if producers.is_empty() {
                    self.open.remove(&key);
                }
            }
            if committed && !pending.is_superseded {
                self.supersede_until(&key, pending.made);
                in_force.push((key, pending.value));
            }
        }
        in_force
    }

    /// Whether an offset of this partition is pending.
    pub fn has(&self, key: &OffsetCommitKey) -> bool {
        self.open.contains_key(key)
    }

    /// Whether none is pending at all.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The partitions of a group with pending offsets.
    pub fn of_group<'a>(&'a self, group_id: &'a str) -> impl Iterator<Item = &'a OffsetCommitKey> {
        let first = OffsetCommitKey { group: group_id.to_owned(), topic: String::new(), partition: i32::MIN };
        self.open.range(first..).map(|(key, _)| key).take_while(move |key| key.group == group_id)
    }

    /// The partitions with pending offsets whose topic's name and id are such; the last first.
    pub fn select(&self, which: impl Fn(&str, Uuid) -> bool) -> Vec<OffsetCommitKey> {
        let all = self.by_producer.values().flatten();
        let chosen = all.filter(|(key, pending)| which(&key.topic, pending.value.topic_id)).map(|(key, _)| key.clone());
        let chosen: BTreeSet<OffsetCommitKey> = chosen.collect();
        chosen.into_iter().rev().collect()
    }

    fn supersede_until(&mut self, key: &OffsetCommitKey, made: u64) {
        for producer_id in self.open.get(key).into_iter().flatten() {
            let pending = self.by_producer.get_mut(producer_id).and_then(|pending| pending.get_mut(key));
            if let Some(pending) = pending.filter(|pending| pending.made < made) {
                pending.is_superseded = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, partition: i32) -> OffsetCommitKey {
        OffsetCommitKey { group: group.into(), topic: "t".into(), partition }
    }

    fn value(offset: i64) -> OffsetCommitValue {
        OffsetCommitValue {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
            topic_id: Uuid::nil(),
        }
    }

    fn ended(pending: &mut PendingOffsets, producer_id: i64, committed: bool) -> Vec<(i32, i64)> {
        pending.end(producer_id, committed).into_iter().map(|(key, value)| (key.partition, value.offset)).collect()
    }

    #[test]
    fn what_is_pending_comes_into_force_with_the_commit_and_never_with_the_abort() {
        let mut pending = PendingOffsets::default();
        pending.add(1, key("g", 0), value(10));
        pending.add(1, key("g", 1), value(11));
        pending.add(1, key("g", 0), value(12));
        pending.add(2, key("h", 0), value(20));
        assert!(pending.has(&key("g", 0)) && pending.has(&key("h", 0)) && !pending.has(&key("h", 1)));
        assert_eq!(pending.of_group("g").count(), 2);
        assert_eq!(ended(&mut pending, 1, true), [(0, 12), (1, 11)]);
        assert_eq!(ended(&mut pending, 1, true), []);
        assert_eq!(ended(&mut pending, 2, false), []);
        assert!(pending.is_empty());
    }

    #[test]
    fn the_last_commit_counts_however_long_a_transaction_takes() {
        let mut pending = PendingOffsets::default();
        pending.add(1, key("g", 0), value(10));
        pending.supersede(&key("g", 0));
        assert!(pending.has(&key("g", 0)), "the transaction is still open");
        assert_eq!(ended(&mut pending, 1, true), []);
        // Of two transactions the one that committed the offset last, not the one that ended last.
        pending.add(1, key("g", 0), value(10));
        pending.add(2, key("g", 0), value(20));
        assert_eq!(ended(&mut pending, 2, true), [(0, 20)]);
        assert_eq!(ended(&mut pending, 1, true), []);
        pending.add(1, key("g", 0), value(10));
        pending.add(2, key("g", 0), value(20));
        assert_eq!(ended(&mut pending, 2, false), []);
        assert_eq!(ended(&mut pending, 1, true), [(0, 10)]);
    }

    #[test]
    fn a_tombstone_takes_what_is_pending_with_it() {
        let mut pending = PendingOffsets::default();
        pending.add(1, key("g", 0), value(10));
        pending.add(1, key("g", 1), value(11));
        pending.remove(&key("g", 0));
        assert!(!pending.has(&key("g", 0)));
        assert_eq!(pending.select(|topic, id| topic == "t" && id.is_nil()), [key("g", 1)]);
        assert_eq!(ended(&mut pending, 1, true), [(1, 11)]);
    }
}
