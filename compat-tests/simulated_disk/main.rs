//! The log engine and the partitions over it on a simulated disk that loses, tears and fails, measured by a model.
//!
//! A script of operations runs on one thread, stepped by hand, until the process dies at one boundary between two
//! steps of the disk; then power fails or not, a choice of what was not synced survives, and the engine starts on
//! that. `inspect` says what has to be true then. Seeds draw scripts; `written` has those made by hand, which
//! are stopped at every boundary; `breaks` takes the engine's guards away one by one and expects to be told.
//!
//! `OTTLA_SIM_SEEDS=n` runs so many seeds instead of 2,000, `OTTLA_SIM_SEED=x` that one with its trace.
//!
//! Left out: threads (rounds and checkpoints never overlap here), LogAppendTime, verification, coordinators, retention.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batches;
mod breaks;
mod inspect;
mod model;
mod random;
mod runs;
mod script;
mod transactions;
mod world;
mod written;
