//! Which fetch sessions there are, as a value: slots, memory, and who has to go (Kafka's `FetchSessionCacheShard`).
//!
//! A session makes room for another when it was not used for [`EVICTION_MS`], or when it is older than that and has
//! fewer partitions than the other. Beyond Kafka's slots the memory of all sessions together is bounded. Pure: the time
//! and fresh ids are handed in. Left out: privileged sessions, which followers have, and shards.

use crate::time::Millis;
use std::collections::{BTreeSet, HashMap};

/// A session that was not used for longer may go, and one that has existed for longer may go for a larger one
/// (`FetchSession.MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
pub const EVICTION_MS: Millis = 120_000;

/// Memory of all sessions together, as they reckon it: half a million partitions.
pub const MAX_BYTES: usize = 128 << 20;

/// How large a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Number of partitions.
    pub partitions: usize,
    /// Memory.
    pub bytes: usize,
}

/// The sessions, by id.
#[derive(Debug)]
pub struct Cache<S> {
    entries: HashMap<i32, Entry<S>>,
    /// All of them, the least recently used first.
    used: BTreeSet<(Millis, i32)>,
    /// Those that have existed for long enough to go, the smallest first.
    evictable: BTreeSet<(usize, i32)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<S> {
    session: S,
    size: Size,
    created: Millis,
    used: Millis,
}

impl<S> Default for Cache<S> {
    fn default() -> Self {
        Cache { entries: HashMap::new(), used: BTreeSet::new(), evictable: BTreeSet::new(), bytes: 0 }
    }
}

impl<S> Cache<S> {
    /// The session with this id.
    pub fn get(&self, id: i32) -> Option<&S> {
        self.entries.get(&id).map(|entry| &entry.session)
    }

    /// Takes a session in, if there is room or some can be made, and says its id: the first from `fresh` that is
    /// above zero and not taken.
    pub fn create(
        &mut self,
        now: Millis,
        slots: usize,
        size: Size,
        mut fresh: impl FnMut() -> i32,
        session: S,
    ) -> Option<i32> {
        if size.bytes > MAX_BYTES {
            return None;
        }
        while self.entries.len() >= slots || self.bytes.saturating_add(size.bytes) > MAX_BYTES {
            self.evict(now, Some(size.partitions))?;
        }
        let id = loop {
            let id = fresh();
            if id > 0 && !self.entries.contains_key(&id) {
                break id;
            }
        };
        self.entries.insert(id, Entry { session, size, created: now, used: now });
        self.used.insert((now, id));
        self.bytes += size.bytes;
        Some(id)
    }

    /// A session is used, and has this size now. Says whether it may stay: one that has outgrown the memory is gone.
    pub fn touch(&mut self, id: i32, now: Millis, size: Size) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        self.used.remove(&(entry.used, id));
        self.evictable.remove(&(entry.size.partitions, id));
        self.bytes = self.bytes.saturating_sub(entry.size.bytes).saturating_add(size.bytes);
        (entry.used, entry.size) = (now, size);
        self.used.insert((now, id));
        if now - entry.created > EVICTION_MS {
            self.evictable.insert((size.partitions, id));
        }
        while self.bytes > MAX_BYTES {
            if self.evict(now, None).is_none() {
                self.remove(id);
                break;
            }
        }
        self.entries.contains_key(&id)
    }

    /// Ends a session.
    pub fn remove(&mut self, id: i32) -> Option<S> {
        let entry = self.entries.remove(&id)?;
        self.used.remove(&(entry.used, id));
        self.evictable.remove(&(entry.size.partitions, id));
        self.bytes = self.bytes.saturating_sub(entry.size.bytes);
        Some(entry.session)
    }

    /// Ends a session that is stale, else one that is smaller than the `partitions` of one that is to come.
    fn evict(&mut self, now: Millis, partitions: Option<usize>) -> Option<S> {
        let stale = self.used.first().filter(|(used, _)| now - used > EVICTION_MS).map(|(_, id)| *id);
        let smaller = || {
            let (smallest, id) = self.evictable.first()?;
            partitions.is_some_and(|partitions| partitions > *smallest).then_some(*id)
        };
        let id = stale.or_else(smaller)?;
        self.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(partitions: usize) -> Size {
        Size { partitions, bytes: partitions }
    }

    /// Sessions are called by their ids.
    fn add(cache: &mut Cache<()>, now: Millis, slots: usize, partitions: usize, id: i32) -> bool {
        cache.create(now, slots, size(partitions), || id, ()) == Some(id)
    }

    fn ids(cache: &Cache<()>) -> Vec<i32> {
        let mut ids: Vec<i32> = cache.entries.keys().copied().collect();
        ids.sort();
        assert_eq!(cache.used.len(), ids.len());
        assert!(cache.evictable.iter().all(|(_, id)| ids.contains(id)));
        assert_eq!(cache.bytes, cache.entries.values().map(|entry| entry.size.bytes).sum::<usize>());
        ids
    }

    #[test]
    fn ids_are_above_zero_and_not_taken() {
        let mut cache = Cache::default();
        assert!(add(&mut cache, 0, 9, 1, 5));
        let mut fresh = [0, i32::MIN, -1, 5, 7].into_iter();
        assert_eq!(cache.create(0, 9, size(1), || fresh.next().unwrap(), ()), Some(7));
        assert_eq!(ids(&cache), [5, 7]);
    }

    #[test]
    fn without_slots_there_are_no_sessions() {
        let mut cache = Cache::default();
        assert!(!add(&mut cache, 0, 0, 1, 1));
        assert!(ids(&cache).is_empty());
    }

    #[test]
    fn young_sessions_stay_even_for_larger_ones() {
        let mut cache = Cache::default();
        assert!(add(&mut cache, 0, 2, 10, 1) && add(&mut cache, 0, 2, 20, 2));
        cache.touch(1, EVICTION_MS, size(10));
        cache.touch(2, EVICTION_MS, size(20));
        assert!(!add(&mut cache, EVICTION_MS, 2, 1000, 3));
        assert_eq!(ids(&cache), [1, 2]);
    }

    #[test]
    fn an_old_session_goes_for_a_larger_one_but_not_for_its_equal() {
        let mut cache = Cache::default();
        assert!(add(&mut cache, 0, 2, 10, 1) && add(&mut cache, 0, 2, 20, 2));
        let later = EVICTION_MS + 1;
        cache.touch(1, later, size(10));
        cache.touch(2, later, size(20));
        assert!(!add(&mut cache, later, 2, 10, 3));
        assert!(add(&mut cache, later, 2, 11, 3));
        assert_eq!(ids(&cache), [2, 3]);
    }

    #[test]
    fn a_stale_session_goes_for_any_other_the_longest_unused_first() {
        let mut cache = Cache::default();
        assert!(add(&mut cache, 0, 2, 10, 1) && add(&mut cache, 0, 2, 20, 2));
        cache.touch(1, 5, size(10));
        assert!(!add(&mut cache, EVICTION_MS, 2, 1, 3));
        assert!(add(&mut cache, EVICTION_MS + 1, 2, 1, 3));
        assert_eq!(ids(&cache), [1, 3]);
    }

    #[test]
    fn memory_is_bounded_beside_the_slots() {
        let mut cache = Cache::default();
        let half = Size { partitions: 1, bytes: MAX_BYTES / 2 };
        assert!(cache.create(0, 9, Size { partitions: 1, bytes: MAX_BYTES + 1 }, || 1, ()).is_none());
        assert!(cache.create(0, 9, half, || 1, ()).is_some());
        assert!(cache.create(0, 9, half, || 2, ()).is_some());
        assert!(cache.create(0, 9, half, || 3, ()).is_none());
        // One that outgrows the memory ends itself, unless a stale one can.
        assert!(!cache.touch(2, 1, Size { partitions: 2, bytes: MAX_BYTES / 2 + 1 }));
        assert_eq!(ids(&cache), [1]);
        assert!(cache.create(1, 9, half, || 4, ()).is_some());
        assert!(cache.touch(4, EVICTION_MS + 1, Size { partitions: 2, bytes: MAX_BYTES / 2 + 1 }));
        assert_eq!(ids(&cache), [4]);
    }

    #[test]
    fn a_session_that_is_gone_is_not_touched() {
        let mut cache = Cache::default();
        assert!(add(&mut cache, 0, 2, 10, 1));
        assert_eq!(cache.remove(1), Some(()));
        assert_eq!(cache.remove(1), None);
        assert!(!cache.touch(1, 1, size(10)));
        assert_eq!(cache.get(1), None);
        assert!(ids(&cache).is_empty());
    }
}
