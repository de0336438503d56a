//! Rules that a test can switch off, to see that it would notice.

/// What goes wrong without a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Classic: requests of an older generation are let in.
    GenerationCheck,
    /// Classic: the timer for syncs that never come is not set.
    SyncTimer,
    /// Classic: a generation is told before it is stored.
    StoredGeneration,
    /// Consumer: a partition is given to a member while another has it.
    Unreleased,
    /// Consumer: a member goes on without having said that it has given partitions up.
    Unrevoked,
    /// Consumer: heartbeats of any epoch are let in.
    EpochCheck,
    /// Consumer: topics are looked at only when a subscription changes.
    Topics,
    /// Transactions: requests of any epoch are let in.
    ProducerEpoch,
    /// Transactions: who is aborted keeps its epoch.
    Fence,
    /// Transactions: what was reported to a shard that has been dropped counts for its successor.
    LateReport,
}

/// Whether a rule is switched off.
#[cfg(not(test))]
pub const fn broken(_: Break) -> bool {
    false
}

#[cfg(test)]
pub use in_tests::{broken, with_broken};

#[cfg(test)]
mod in_tests {
    use super::Break;
    use std::cell::Cell;

    thread_local!(static BROKEN: Cell<Option<Break>> = const { Cell::new(None) });

    pub fn broken(rule: Break) -> bool {
        BROKEN.get() == Some(rule)
    }

    /// Does something without a rule.
    pub fn with_broken<T>(rule: Break, f: impl FnOnce() -> T) -> T {
        struct Mended;
        impl Drop for Mended {
            fn drop(&mut self) {
                BROKEN.set(None);
            }
        }
        BROKEN.set(Some(rule));
        let _mended = Mended;
        f()
    }
}
