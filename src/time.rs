//! Time as the rest of the broker sees it: a number that is handed in. Only this file reads a clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds. Since the Unix epoch where Kafka's data carries it, since the start of the process for timers.
pub type Millis = i64;

/// The wall clock, in milliseconds since the Unix epoch. For what Kafka's data carries: append times, timestamps
/// to check. It may step; timers use [`monotonic`].
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// Milliseconds since the process first asked; never steps.
pub fn monotonic() -> Millis {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX)
}

/// Lets something through once a second: keeps clients from filling the log with what they can cause at will.
#[derive(Debug)]
pub(crate) struct OncePerSecond(AtomicI64);

impl OncePerSecond {
    /// Lets the first through.
    #[allow(clippy::new_without_default)]
    pub(crate) const fn new() -> Self {
        OncePerSecond(AtomicI64::new(Millis::MIN))
    }

    /// Whether a second has passed since it last was, by a monotonic `now`.
    pub(crate) fn lets_through(&self, now: Millis) -> bool {
        let next = self.0.load(Ordering::Relaxed);
        now >= next
            && self.0.compare_exchange(next, now.saturating_add(1000), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
