//! The disk engine: Apache Kafka's files, byte for byte.

mod checkpoint;
mod directory;
mod files;
mod folders;
mod handles;
mod index;
mod journal;
mod partition_log;
mod recovery;
mod scan;
mod segment;
mod shared;
mod sidecars;
mod threads;
mod timed;
mod writer;

pub mod memory;
#[cfg(test)]
mod tests;

pub use directory::{Census, Checks, Disk, DiskOptions, Known};
pub use files::{Entry, File, Files, Open, OsFiles, read_all, replace};
pub use journal::LogName;
pub use partition_log::DiskLog;
pub use recovery::Opened;
pub use shared::Counters;
pub use sidecars::{base64_url, parse_base64_url};
pub use threads::DiskThreads;
