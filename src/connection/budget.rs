//! Memory for frames, shared by all connections: a request that is being read or waits for its answer holds its size.
//!
//! Only large frames reserve, and each reserves all of itself at once before it is read, so that two half-read frames
//! can never wait for each other. The buffers of large frames go from one to the next (`spares`).

use super::spares::Spares;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that may be in flight over all connections.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    total: u32,
    spares: Arc<Spares>,
}

/// A part of the budget, given back when dropped.
pub type Reserved = OwnedSemaphorePermit;

impl Budget {
    /// A budget of this many bytes, at most 4 GiB.
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX);
        Budget { free: Arc::new(Semaphore::new(total as usize)), total, spares: Arc::default() }
    }

    /// Bytes that nobody holds.
    pub fn available(&self) -> usize {
        self.free.available_permits()
    }

    /// Buffers that are not in use.
    pub(super) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Waits for this many bytes; first come, first served. What is larger than the whole budget takes all of it.
    pub fn reserve(&self, bytes: usize) -> BoxFuture<'static, Option<Reserved>> {
        let (free, permits) = (self.free.clone(), self.permits(bytes));
        Box::pin(async move { free.acquire_many_owned(permits).await.ok() })
    }

    /// This many bytes, if they are free now and nobody waits for them.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reserved> {
        self.free.clone().try_acquire_many_owned(self.permits(bytes)).ok()
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }
}
