//! Producer ids, from blocks that are durably taken before the first of them is handed out.

use crate::catalog::{Catalog, CatalogError, ProducerIdBlock, TopicError};
use parking_lot::Mutex;
use std::sync::Arc;

/// What is left of the block that was taken last.
#[derive(Debug, Default)]
pub struct ProducerIds {
    left: Mutex<Option<ProducerIdBlock>>,
}

/// Why there is no producer id.
#[derive(Debug, thiserror::Error)]
pub enum ProducerIdError {
    /// The catalog cannot be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// All have been handed out.
    #[error(transparent)]
    Topic(#[from] TopicError),
}

impl ProducerIds {
    /// A producer id that nobody has had before, for a task that must not wait for the disk. `None`, and an entry in the log,
    /// where there is none now.
    pub async fn fresh(ids: &Arc<Self>, catalog: &Arc<Catalog>) -> Option<i64> {
        let (ids, catalog) = (ids.clone(), catalog.clone());
        match tokio::task::spawn_blocking(move || ids.next(&catalog)).await.ok()? {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::error!(%error, "no producer id");
                None
            }
        }
    }

    /// A producer id that nobody has had before. Waits for the disk when a block is used up.
    pub fn next(&self, catalog: &Catalog) -> Result<i64, ProducerIdError> {
        let mut left = self.left.lock();
        let block = match left.take() {
            Some(block) if block.count > 0 => block,
            _ => catalog.update(|draft| draft.allocate_producer_ids())?.0?,
        };
        *left = Some(ProducerIdBlock { first: block.first + 1, count: block.count - 1 });
        Ok(block.first)
    }
}
