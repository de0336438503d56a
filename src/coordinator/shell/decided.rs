//! What a command rests on: the decision of a shard that may be gone by the time that the command is carried out.

use crate::log::{Offset, Progress};
use parking_lot::Mutex;
use std::sync::Arc;

/// Whether a shard is still the one that speaks for its partition. Whoever is told that it is may act before it is not.
#[derive(Debug)]
pub struct Standing(Arc<Mutex<bool>>);

impl Standing {
    /// Of a shard that has just been loaded.
    pub fn new() -> Self {
        Standing(Arc::new(Mutex::new(true)))
    }
}

/// A shard that is dropped has none; waits for whoever acts in its name at this moment.
impl Drop for Standing {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

/// The decision that a command comes from.
#[derive(Clone, Debug)]
pub struct Decided {
    progress: Arc<Progress>,
    end: Offset,
    standing: Arc<Mutex<bool>>,
}

impl Decided {
    /// One that is durable when the log is published up to `end`.
    pub fn new(progress: Arc<Progress>, end: Offset, standing: &Standing) -> Self {
        Decided { progress, end, standing: standing.0.clone() }
    }

    /// Waits until it is durable; false where it never will be, and nothing may be done for it.
    pub async fn is_durable(&self) -> bool {
        self.progress.wait_published(self.end).await.is_ok()
    }

    /// Acts in the shard's name, unless the shard has been dropped: then the one that is loaded next decides what is to be
    /// done. Must not wait, nor ask that shard.
    pub fn act<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let standing = self.standing.lock();
        standing.then(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn nobody_acts_for_a_shard_that_is_gone() {
        let standing = Standing::new();
        let decided = Decided::new(Progress::new(0), 0, &standing);
        assert_eq!(decided.act(|| 1), Some(1));
        drop(standing);
        assert_eq!(decided.act(|| 1), None);
    }

    #[test]
    fn a_shard_does_not_go_while_somebody_acts_for_it() {
        let standing = Standing::new();
        let decided = Decided::new(Progress::new(0), 0, &standing);
        let (going, gone) = mpsc::channel();
        let dropping = decided.act(|| {
            let dropping = thread::spawn(move || {
                going.send("going").unwrap();
                drop(standing);
                going.send("gone").unwrap();
            });
            assert_eq!(gone.recv(), Ok("going"));
            (0..1_000).for_each(|_| thread::yield_now());
            assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Empty));
            dropping
        });
        dropping.unwrap().join().unwrap();
        assert_eq!(gone.recv(), Ok("gone"));
    }
}
