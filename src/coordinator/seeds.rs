//! How many random schedules a test runs.

/// 1,000 where the code is fast; `OTTLA_COORDINATOR_SEEDS` says otherwise.
pub fn seeds() -> u32 {
    let given = std::env::var("OTTLA_COORDINATOR_SEEDS").ok().and_then(|given| given.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 60 } else { 1_000 })
}
