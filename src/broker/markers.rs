//! The ends of transactions, written to the partitions that they touched. One way for all of them: a coordinator's own, and
//! what a client orders (WriteTxnMarkers).
//!
//! A partition of `__consumer_offsets` gets its marker through the coordinator of its groups, whose pending offsets it
//! decides; every other one directly.

use super::{Groups, PartitionError, Partitions, Use};
use crate::catalog::{CONSUMER_OFFSETS, Catalog};
use crate::config::BrokerConfig;
use crate::coordinator::{TransactionError, Unavailable};
use crate::partition::{AppendError, SequenceError, TransactionEnd};
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
    /// The partition is not to be had, or failed.
    #[error(transparent)]
    Append(AppendError),
    /// It cannot be opened.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The groups that live there are not to be had.
    #[error(transparent)]
    Groups(#[from] Unavailable),
    /// Whoever wanted it has no say any more; it is not written.
    #[error("nobody wants it any more")]
    Revoked,
}

type Writing = BoxFuture<'static, Result<(), MarkerError>>;

impl Markers {
    pub(super) fn new(
        config: Arc<BrokerConfig>,
        catalog: Arc<Catalog>,
        partitions: Arc<Partitions>,
        groups: Arc<Groups>,
    ) -> Self {
        Markers { config, catalog, partitions, groups }
    }

    /// Writes a marker to a partition; resolves when it is durable. `guarded` runs what appends it, or does not.
    pub async fn write(
        &self,
        topic: &str,
        partition: i32,
        end: TransactionEnd,
        guarded: impl FnOnce(&mut dyn FnMut()) + Send,
    ) -> Result<(), MarkerError> {
        let mut started = Err(MarkerError::Revoked);
        if topic == CONSUMER_OFFSETS {
            self.check(topic, partition)?;
            guarded(&mut || started = self.end_in_groups(partition, end));
        } else {
            let image = self.catalog.image();
            let topic = image.topic(topic).filter(|topic| (0..topic.partitions).contains(&partition));
            let topic = topic.ok_or(MarkerError::Unknown)?;
            let served = self.partitions.get(topic, partition, Use::Append, &self.catalog, &self.config);
            let partition = served.map_err(PartitionError::from)?.partition.clone();
            guarded(&mut || {
                let appending = partition.end_transaction(end, time::wall());
                started = Ok(Box::pin(async move {
                    match appending.finish().await {
                        Ok(_) => Ok(()),
                        Err(AppendError::Sequence(refused)) => Err(MarkerError::Refused(refused)),
                        Err(error) => Err(MarkerError::Append(error)),
                    }
                }));
            });
        }
        started?.await
    }

    fn check(&self, topic: &str, partition: i32) -> Result<(), MarkerError> {
        let image = self.catalog.image();
        let known = image.topic(topic).is_some_and(|topic| (0..topic.partitions).contains(&partition));
        if known { Ok(()) } else { Err(MarkerError::Unknown) }
    }

    fn end_in_groups(&self, partition: i32, end: TransactionEnd) -> Result<Writing, MarkerError> {
        let ending = self.groups.end_transaction(partition, end)?;
        Ok(Box::pin(async move { Ok(ending.await?) }))
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
