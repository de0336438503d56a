//! The disk engine: Apache Kafka's files, byte for byte.

mod files;
pub mod index;
pub mod sidecars;

pub use files::{Entry, File, Files, Open, OsFiles, read_all, replace};
