//! The history of leader epochs: at which offset each began. Pure.
//!
//! Clients use it to find out whether what they read was cut off since (OffsetForLeaderEpoch, KIP-320). The rules are
//! those of Kafka's `LeaderEpochFileCache`; storing the history is the log's part.

use crate::log::{EpochStart, Offset};

/// The epoch history of one partition: epochs and offsets both strictly increase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    entries: Vec<EpochStart>,
}

impl Epochs {
    /// The history that these entries tell, taken in one by one as [`Epochs::begin`] does.
    pub fn new(entries: &[EpochStart]) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.begin(entry.epoch, entry.start);
        }
        epochs
    }

    /// Lets `epoch` begin at `start` and says whether that changed anything. Entries that contradict it are dropped:
    /// an epoch that began at the same offset or later has no batch. Negative values are no epochs.
    pub fn begin(&mut self, epoch: i32, start: Offset) -> bool {
        let known = self.entries.last().is_some_and(|last| last.epoch == epoch && last.start <= start);
        if known || epoch < 0 || start < 0 {
            return false;
        }
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
        true
    }

    /// Forgets epochs that began at or after the log's end: their batches are gone.
    pub fn truncate_end(&mut self, log_end: Offset) {
        let kept = self.entries.partition_point(|entry| entry.start < log_end);
        self.entries.truncate(kept);
    }

    /// Forgets epochs that ended before the log's start; the one in force there begins there.
    pub fn truncate_start(&mut self, log_start: Offset) {
        let before = self.entries.partition_point(|entry| entry.start <= log_start);
        self.entries.drain(..before.saturating_sub(1));
        if before > 0
            && let Some(first) = self.entries.first_mut()
        {
            first.start = log_start;
        }
    }

    /// The largest known epoch not above `epoch`, and where it ended: the start of the next one, or `log_end` for the
    /// latest. An epoch older than all known ones ended where those begin. `None` where Kafka answers -1 and -1.
    pub fn end_offset_for(&self, epoch: i32, log_end: Offset) -> Option<(i32, Offset)> {
        if epoch < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(above)?.start;
        let floor = above.checked_sub(1).and_then(|at| self.entries.get(at));
        Some((floor.map_or(epoch, |entry| entry.epoch), end))
    }

    /// The epoch of the batch at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch)
    }

    /// The last epoch that began.
    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The whole history, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn history(entries: &[(i32, Offset)]) -> Epochs {
        let entries: Vec<_> = entries.iter().map(|&(epoch, start)| EpochStart { epoch, start }).collect();
        Epochs::new(&entries)
    }

    fn pairs(epochs: &Epochs) -> Vec<(i32, Offset)> {
        epochs.entries().iter().map(|entry| (entry.epoch, entry.start)).collect()
    }

    /// The cases of `LeaderEpochFileCache.endOffsetFor`, in its order.
    #[test]
    fn end_offsets() {
        let epochs = history(&[(2, 10), (4, 20), (7, 30)]);
        for (asked, answer) in [
            (-1, None),
            (7, Some((7, 35))),
            (8, None),
            (0, Some((0, 10))),
            (1, Some((1, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 30))),
            (6, Some((4, 30))),
        ] {
            assert_eq!(epochs.end_offset_for(asked, 35), answer, "epoch {asked}");
        }
        assert_eq!(Epochs::default().end_offset_for(0, 35), None);
    }

    #[test]
    fn an_epoch_begins_once_and_drops_what_contradicts_it() {
        let mut epochs = history(&[(2, 10), (4, 20)]);
        assert!(!epochs.begin(4, 25));
        assert!(epochs.begin(5, 20));
        assert_eq!(pairs(&epochs), [(2, 10), (5, 20)]);
        assert!(epochs.begin(5, 15));
        assert_eq!(pairs(&epochs), [(2, 10), (5, 15)]);
        assert!(epochs.begin(1, 40));
        assert_eq!(pairs(&epochs), [(1, 40)]);
        assert!(!epochs.begin(-1, 50));
        assert!(!epochs.begin(3, -1));
    }

    #[test]
    fn epochs_at_offsets() {
        let epochs = history(&[(2, 10), (4, 20)]);
        assert_eq!([9, 10, 19, 20, 99].map(|at| epochs.epoch_at(at)), [None, Some(2), Some(2), Some(4), Some(4)]);
    }

    #[test]
    fn truncation_at_both_ends() {
        let whole = history(&[(2, 10), (4, 20), (7, 30)]);
        for (end, left) in [(31, 3), (30, 2), (20, 1), (10, 0), (0, 0)] {
            let mut epochs = whole.clone();
            epochs.truncate_end(end);
            assert_eq!(epochs.entries().len(), left, "end {end}");
        }
        for (start, left) in [
            (5, vec![(2, 10), (4, 20), (7, 30)]),
            (10, vec![(2, 10), (4, 20), (7, 30)]),
            (15, vec![(2, 15), (4, 20), (7, 30)]),
            (20, vec![(4, 20), (7, 30)]),
            (50, vec![(7, 50)]),
        ] {
            let mut epochs = whole.clone();
            epochs.truncate_start(start);
            assert_eq!(pairs(&epochs), left, "start {start}");
        }
    }

    proptest! {
        #[test]
        fn any_history_stays_strictly_increasing(entries in proptest::collection::vec((-1..20i32, -1..50i64), 0..30)) {
            let epochs = history(&entries);
            for pair in epochs.entries().windows(2) {
                prop_assert!(pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start);
            }
        }
    }
}
