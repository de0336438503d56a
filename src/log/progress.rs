//! How far a log has come, and who waits for it to come further.
//!
//! Two ends move: `written` (in the file, readable by the kernel) and `published` (what readers may see: the synced
//! end, or the written one in page-cache mode). Waiters sit in offset order, so that an advance wakes exactly those
//! whose offset it passed.

use super::{LogError, Offset};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::Notify;

/// Wakes one task, once or many times; may wait on many logs together.
#[derive(Debug, Default)]
pub struct Waiter {
    fired: AtomicBool,
    notify: Notify,
}

impl Waiter {
    /// A waiter that nothing has woken.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes it; a wake before [`Waiter::wait`] is not lost.
    pub fn wake(&self) {
        if !self.fired.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Returns once it has been woken since the last call.
    pub async fn wait(&self) {
        while !self.fired.swap(false, Ordering::AcqRel) {
            self.notify.notified().await;
        }
    }
}

/// Which end a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Written,
    Published,
}

/// The two ends of a log and its waiters.
#[derive(Debug)]
pub struct Progress {
    written: AtomicI64,
    published: AtomicI64,
    has_failed: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failed: Option<LogError>,
    next_id: u64,
    written: Waiters,
    published: Waiters,
}

/// Waiters by the end that they need; the number tells apart two that need the same.
type Waiters = BTreeMap<(Offset, u64), Arc<Waiter>>;

impl Progress {
    /// A log whose content ends at `end`, all of it published.
    pub fn new(end: Offset) -> Arc<Self> {
        Arc::new(Self {
            written: end.into(),
            published: end.into(),
            has_failed: AtomicBool::new(false),
            inner: Mutex::default(),
        })
    }

    /// Offset after the last record in the file.
    pub fn written(&self) -> Offset {
        self.written.load(Ordering::Acquire)
    }

    /// Offset after the last record that readers may see: the high watermark.
    pub fn published(&self) -> Offset {
        self.published.load(Ordering::Acquire)
    }

    /// Whether the log takes nothing more.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why the log takes nothing more, if it does not.
    pub fn failure(&self) -> Option<LogError> {
        self.inner.lock().failed.clone()
    }

    /// Moves the written end forward.
    pub fn advance_written(&self, end: Offset) {
        self.advance(&self.written, End::Written, end);
    }

    /// Moves the published end forward.
    pub fn advance_published(&self, end: Offset) {
        self.advance(&self.published, End::Published, end);
    }

    /// Ends the log: every waiter, present and future, is told why.
    pub fn fail(&self, error: LogError) {
        let woken = {
            let mut inner = self.inner.lock();
            inner.failed.get_or_insert(error);
            self.has_failed.store(true, Ordering::Release);
            let mut woken = std::mem::take(&mut inner.written);
            woken.append(&mut std::mem::take(&mut inner.published));
            woken
        };
        woken.values().for_each(|waiter| waiter.wake());
    }

    /// Resolves when everything before `end` is in the file.
    pub async fn wait_written(&self, end: Offset) -> Result<(), LogError> {
        self.wait_for(End::Written, end).await
    }

    /// Resolves when everything before `end` is published.
    pub async fn wait_published(&self, end: Offset) -> Result<(), LogError> {
        self.wait_for(End::Published, end).await
    }

    /// Wakes `waiter` when the published end reaches `end`, or the log fails; at once if that is so already. Holds
    /// until the registration is dropped or has fired.
    pub fn register(self: &Arc<Self>, end: Offset, waiter: &Arc<Waiter>) -> Registration {
        let id = self.insert(End::Published, end, waiter);
        Registration { progress: self.clone(), key: id.map(|id| (end, id)) }
    }

    fn advance(&self, place: &AtomicI64, which: End, end: Offset) {
        let woken = {
            let mut inner = self.inner.lock();
            if place.load(Ordering::Acquire) >= end {
                return;
            }
            place.store(end, Ordering::Release);
            let waiters = inner.waiters(which);
            let later = waiters.split_off(&(end.saturating_add(1), 0));
            std::mem::replace(waiters, later)
        };
        woken.values().for_each(|waiter| waiter.wake());
    }

    async fn wait_for(&self, which: End, end: Offset) -> Result<(), LogError> {
        let waiter = Waiter::new();
        let Some(id) = self.insert(which, end, &waiter) else { return self.outcome(which, end) };
        let guard = RemoveOnDrop { progress: self, which, key: (end, id) };
        waiter.wait().await;
        drop(guard);
        self.outcome(which, end)
    }

    /// `None`, and the waiter woken, where there is nothing to wait for. The ends only move under the lock, so a
    /// waiter that is put in cannot have missed an advance.
    fn insert(&self, which: End, end: Offset, waiter: &Arc<Waiter>) -> Option<u64> {
        let mut inner = self.inner.lock();
        if inner.failed.is_some() || self.end(which) >= end {
            drop(inner);
            waiter.wake();
            return None;
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.waiters(which).insert((end, id), waiter.clone());
        Some(id)
    }

    fn end(&self, which: End) -> Offset {
        match which {
            End::Written => self.written(),
            End::Published => self.published(),
        }
    }

    fn outcome(&self, which: End, end: Offset) -> Result<(), LogError> {
        if self.end(which) >= end {
            return Ok(());
        }
        Err(self.failure().unwrap_or_else(|| LogError::Storage("the log was closed".into())))
    }
}

impl Inner {
    fn waiters(&mut self, which: End) -> &mut Waiters {
        match which {
            End::Written => &mut self.written,
            End::Published => &mut self.published,
        }
    }
}

/// A waiter's place in a log; dropping it takes the waiter out.
#[derive(Debug)]
pub struct Registration {
    progress: Arc<Progress>,
    key: Option<(Offset, u64)>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.progress.inner.lock().published.remove(&key);
        }
    }
}

/// Takes a waiter out when its future is dropped before it was woken, so that abandoned waits do not pile up.
struct RemoveOnDrop<'a> {
    progress: &'a Progress,
    which: End,
    key: (Offset, u64),
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        self.progress.inner.lock().waiters(self.which).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_advance_wakes_those_it_passed_and_no_others() {
        let progress = Progress::new(10);
        let (near, far) = (Waiter::new(), Waiter::new());
        let _near = progress.register(11, &near);
        let _far = progress.register(13, &far);
        progress.advance_published(12);
        near.wait().await;
        assert!(!far.fired.load(Ordering::Acquire));
        assert_eq!(progress.inner.lock().published.len(), 1);
        progress.advance_published(13);
        far.wait().await;
    }

    #[tokio::test]
    async fn what_is_already_there_is_not_waited_for() {
        let progress = Progress::new(10);
        assert_eq!(progress.wait_published(10).await, Ok(()));
        assert_eq!(progress.wait_written(3).await, Ok(()));
    }

    #[tokio::test]
    async fn failure_reaches_present_and_future_waiters_but_not_what_was_done() {
        let progress = Progress::new(10);
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.wait_published(11).await }
        });
        tokio::task::yield_now().await;
        let error = LogError::Storage("gone".into());
        progress.fail(error.clone());
        assert_eq!(waiting.await.unwrap(), Err(error.clone()));
        assert_eq!(progress.wait_written(11).await, Err(error));
        assert_eq!(progress.wait_published(10).await, Ok(()));
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_nothing_behind() {
        let progress = Progress::new(0);
        let abandoned = tokio::time::timeout(std::time::Duration::ZERO, progress.wait_published(1)).await;
        assert!(abandoned.is_err());
        drop(progress.register(5, &Waiter::new()));
        assert!(progress.inner.lock().published.is_empty());
    }
}
