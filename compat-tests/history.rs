//! Histories of real clients while brokers and clients are killed and halted, and a checker that finds in them what
//! must never be.

pub mod check;
mod made;
pub mod model;
mod nemesis;
mod producer;
mod readers;
mod script;
mod workload;
