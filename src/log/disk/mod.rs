//! The disk engine: Apache Kafka's files, byte for byte.

mod files;

pub use files::{Entry, File, Files, Open, OsFiles, read_all, replace};
