//! The disk engine: Apache Kafka's files, byte for byte.

mod files;
pub mod handles;
pub mod index;
pub mod journal;
pub mod scan;
pub mod segment;
pub mod sidecars;

pub use files::{Entry, File, Files, Open, OsFiles, read_all, replace};
