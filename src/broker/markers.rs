//! The ends of transactions, written to the partitions that they touched. One way for all of them: a coordinator's own, and
//! what a client orders (WriteTxnMarkers).
//!
//! A partition of `__consumer_offsets` gets its marker through the coordinator of its groups, whose pending offsets it
//! decides; every other one directly.

use super::{Groups, PartitionError, Partitions, Use};
use crate::catalog::{CONSUMER_OFFSETS, Catalog};
use crate::config::BrokerConfig;
use crate::coordinator::{TransactionError, Unavailable};
use crate::partition::{AppendError, Partition, SequenceError, TransactionEnd};
use crate::time;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Writes markers.
pub struct Markers {
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    partitions: Arc<Partitions>,
    groups: Arc<Groups>,
}

/// Why a marker is not written, or may not be.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// There is no such partition (any more).
    #[error("no such partition")]
    Unknown,
    /// The state of the producer there forbids it.
    #[error(transparent)]
    Refused(#[from] SequenceError),
    /// The partition failed.
    #[error(transparent)]
    Append(AppendError),
    /// It cannot be opened.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The groups that live there are not to be had.
    #[error(transparent)]
    Groups(#[from] Unavailable),
}

/// A partition that a marker can be appended to without waiting for a disk.
pub enum Target {
    /// Of a topic of clients'.
    Partition(Arc<Partition>),
    /// Of `__consumer_offsets`, by its index.
    Groups(Arc<Groups>, i32),
}

/// A marker that is appended, or refused; the outcome is known when it is durable.
pub type Writing = BoxFuture<'static, Result<(), MarkerError>>;

impl Markers {
    pub(super) fn new(
        config: Arc<BrokerConfig>,
        catalog: Arc<Catalog>,
        partitions: Arc<Partitions>,
        groups: Arc<Groups>,
    ) -> Self {
        Markers { config, catalog, partitions, groups }
    }

    /// Makes ready to append a marker to a partition: opens it, loads its groups. May wait for the disk.
    pub fn prepare(&self, topic: &str, partition: i32) -> Result<Target, MarkerError> {
        let image = self.catalog.image();
        let topic = image.topic(topic).filter(|topic| (0..topic.partitions).contains(&partition));
        let topic = topic.ok_or(MarkerError::Unknown)?;
        if *topic.name == *CONSUMER_OFFSETS {
            self.groups.load_one(partition)?;
            return Ok(Target::Groups(self.groups.clone(), partition));
        }
        let served = self.partitions.get(topic, partition, Use::Append, &self.catalog, &self.config);
        Ok(Target::Partition(served.map_err(PartitionError::from)?.partition.clone()))
    }
}

impl Target {
    /// Appends a marker. Waits for nothing; what came in between, and would have to be waited for, is an outcome.
    pub fn begin(&self, end: TransactionEnd) -> Writing {
        match self {
            Target::Partition(partition) => {
                let appending = partition.end_transaction(end, time::wall());
                Box::pin(async move {
                    match appending.finish().await {
                        Ok(_) => Ok(()),
                        Err(AppendError::Sequence(refused)) => Err(MarkerError::Refused(refused)),
                        Err(error) => Err(MarkerError::Append(error)),
                    }
                })
            }
            Target::Groups(groups, index) => {
                let ending = groups.end_transaction(*index, end);
                Box::pin(async move { Ok(ending?.await?) })
            }
        }
    }
}

impl From<TransactionError> for MarkerError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Unavailable(unavailable) => MarkerError::Groups(unavailable),
            TransactionError::Refused(refused) => MarkerError::Refused(refused),
        }
    }
}
