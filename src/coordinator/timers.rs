//! Timers as data: each has a key, which is set, moved or cancelled, and comes out when it is due.

use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines by key. Those of the same millisecond come out in the order of their keys.
#[derive(Debug)]
pub struct Timers<K> {
    deadlines: BTreeMap<K, Millis>,
    queue: BTreeSet<(Millis, K)>,
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Timers { deadlines: BTreeMap::new(), queue: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, key: K, at: Millis) {
        match self.deadlines.insert(key.clone(), at) {
            Some(old) if old == at => return,
            Some(old) => drop(self.queue.remove(&(old, key.clone()))),
            None => {}
        }
        self.queue.insert((at, key));
    }

    /// Takes a timer away; one that is not set is none.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.deadlines.remove(key) {
            self.queue.remove(&(at, key.clone()));
        }
    }

    /// Takes away all timers from `from` on for as long as `same` says so.
    pub fn cancel_run(&mut self, from: K, same: impl Fn(&K) -> bool) {
        let run: Vec<K> =
            self.deadlines.range(from..).map(|(key, _)| key).take_while(|key| same(key)).cloned().collect();
        run.iter().for_each(|key| self.cancel(key));
    }

    /// When a timer is due.
    pub fn deadline(&self, key: &K) -> Option<Millis> {
        self.deadlines.get(key).copied()
    }

    /// When the first is due.
    pub fn next(&self) -> Option<Millis> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out the first that is due at `now`; it is not set any more.
    pub fn pop_due(&mut self, now: Millis) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_out_when_they_are_due_and_can_be_moved_and_cancelled() {
        let mut timers = Timers::default();
        for (key, at) in [("c", 30), ("a", 10), ("b", 10), ("d", 40), ("a", 35)] {
            timers.set(key, at);
        }
        timers.cancel(&"d");
        timers.cancel(&"unknown");
        assert_eq!((timers.next(), timers.len(), timers.deadline(&"a")), (Some(10), 3, Some(35)));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(10), Some("b"));
        assert_eq!(timers.pop_due(34), Some("c"));
        assert_eq!(timers.pop_due(34), None);
        timers.set("a", 50);
        assert_eq!((timers.pop_due(49), timers.pop_due(50), timers.next()), (None, Some("a"), None));
        assert!(timers.is_empty());
    }

    #[test]
    fn a_run_of_keys_is_cancelled_together() {
        let mut timers = Timers::default();
        for key in [("f", 9), ("g", 1), ("g", 2), ("h", 0)] {
            timers.set(key, 5);
        }
        timers.cancel_run(("g", 0), |(group, _)| *group == "g");
        assert_eq!([timers.pop_due(5), timers.pop_due(5), timers.pop_due(5)], [Some(("f", 9)), Some(("h", 0)), None]);
    }
}
