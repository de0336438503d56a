//! What a partition means, the same for every log engine.

pub mod epochs;
pub mod producers;
pub mod state;
#[cfg(test)]
mod test_log;
