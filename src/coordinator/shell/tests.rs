//! What becomes of a shard that cannot be loaded.

use super::*;
use crate::coordinator::txn::TxnShard;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A home whose partition is not to be had, the first time for a defect.
struct Broken(AtomicBool);

impl Home<TxnShard> for Broken {
    fn partition(&self, _index: i32) -> Option<Arc<Partition>> {
        assert!(self.0.swap(true, Ordering::SeqCst), "a defect");
        None
    }

    fn empty(&self) -> TxnShard {
        unreachable!("there is no partition")
    }

    fn carry_out(&self, _index: i32, _command: <TxnShard as Shard>::Command, _decided: Decided) {}
}

#[test]
fn a_shard_whose_loading_panicked_is_loaded_again() {
    let shell = Shell::new(Arc::new(Broken(AtomicBool::new(false))));
    let panicked = catch_unwind(AssertUnwindSafe(|| shell.load(0)));
    assert!(panicked.is_err());
    assert_eq!(shell.load(0), Err(Unavailable::Gone), "not loading for ever");
    assert_eq!(shell.load(0), Err(Unavailable::Gone));
}
