//! What exists: topics, their ids and settings, blocks of producer ids, and the epoch of this start.

mod ids;
mod image;
mod records;
mod topics;

pub use ids::{FreshIds, id_text, is_reserved, parse_id};
pub use image::{Configs, Contradiction, DeletedTopic, Image, ProducerIdBlock, Topic};
pub use records::Record;
pub use topics::{
    CONSUMER_OFFSETS, ConfigChange, ConfigRules, MAX_NAME_LENGTH, MAX_PARTITIONS_PER_REQUEST, NewTopic,
    PRODUCER_ID_BLOCK_SIZE, SHARE_GROUP_STATE, TRANSACTION_STATE, TopicError, check_name, is_internal,
};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the catalog's file, in the first log directory.
pub const FILE: &str = "catalog.ottla";

/// Why the catalog cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{path}, line {line}: {what}. The catalog is damaged: restore the file from a copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The file is whole but not understood.
    #[error("{path}, line {line}: not understood ({what}). Was it written by a newer version?")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is not understood.
        what: String,
    },
    /// The directory belongs to another broker or cluster.
    #[error("{path}: {what}")]
    Identity {
        /// The file that says so.
        path: PathBuf,
        /// What it says and what to do.
        what: String,
    },
    /// There are partitions but no catalog.
    #[error(
        "{dir} holds partitions ({example}) but no {FILE}: restore that file, or use another directory for log.dirs"
    )]
    Orphans {
        /// The log directory.
        dir: PathBuf,
        /// One of them.
        example: String,
    },
    /// A write failed before; what is on disk is known again after a restart.
    #[error("the catalog takes no changes until a restart, since a write failed: {0}")]
    Failed(Arc<str>),
    /// A record does not follow from the image; nothing was written.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// A record cannot be put into text; nothing was written.
    #[error("a record cannot be written: {0}")]
    Unwritable(String),
}

impl CatalogError {
    fn io(path: &Path) -> impl Fn(io::Error) -> CatalogError + use<> {
        let path = path.to_owned();
        move |source| CatalogError::Io { path: path.clone(), source }
    }
}
