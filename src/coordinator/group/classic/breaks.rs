//! Rules that a test can switch off, to see that it would notice.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Requests of an older generation are let in.
    GenerationCheck,
    /// The timer for syncs that never come is not set.
    SyncTimer,
    /// A generation is told before it is stored.
    StoredGeneration,
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
