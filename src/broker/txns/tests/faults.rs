//! Transactions over disks that stall and fill up.

use super::*;
use futures_util::FutureExt;

/// Has everybody else go on for a while; what is awaited must not come.
async fn nothing_comes_of(awaited: &mut (impl Future<Output: std::fmt::Debug> + Unpin)) {
    for _ in 0..50 {
        let early = (&mut *awaited).now_or_never();
        assert!(early.is_none(), "{early:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_marker_is_written_before_the_decision_is_durable() {
    let disk = MemoryFiles::new();
    let files = Stalling::over(disk.clone());
    let bench = Bench::open(files.clone());
    let producer = bench.init("tx").await;
    assert_eq!(bench.produce("tx", producer, &[0, 2]).await, [ErrorCode::None; 2]);
    files.stall(true);
    let mut ending = Box::pin(bench.end("tx", producer, true));
    nothing_comes_of(&mut ending).await;
    assert_eq!(bench.partition(0).close_state().0, 1, "not even on its way to the disk");
    let lost = disk.after_crash(LOSE_ALL);
    files.stall(false);
    assert!(ending.await.is_ok());
    bench.stop();

    let bench = Bench::open(lost);
    bench.until("tx", "Ongoing").await;
    assert_eq!((bench.read(0).last_stable, bench.read(0).high_watermark), (0, 1));
    // Nobody was told of a decision: it may be the other.
    bench.end("tx", producer, false).await.unwrap();
    bench.until("tx", "CompleteAbort").await;
    assert_eq!((bench.read(0).last_stable, bench.read(0).aborted.len()), (2, 1));
    bench.stop();
}

/// With transaction version 2 a producer writes again as soon as the last transaction is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_transaction_waits_for_the_markers_of_the_last() {
    for (patience_ms, waits) in [("30000", true), ("0", false)] {
        let files = Stalling::new();
        let bench = Bench::open_with(files.clone(), &[("add.partitions.to.txn.retry.backoff.max.ms", patience_ms)]);
        let producer = bench.init("tx").await;
        assert_eq!(bench.produce("tx", producer, &[0]).await, [ErrorCode::None]);
        // One partition's records need no journal.
        files.stall_only("/t-0");
        let producer = bench.end("tx", producer, true).await.unwrap();
        let mut writing = Box::pin(bench.produce("tx", producer, &[0]));
        if waits {
            nothing_comes_of(&mut writing).await;
            files.stall(false);
            assert_eq!(writing.await, [ErrorCode::None]);
        } else {
            assert_eq!(writing.await, [ErrorCode::ConcurrentTransactions]);
            files.stall(false);
            bench.until("tx", "CompleteCommit").await;
            assert_eq!(bench.produce("tx", producer, &[0]).await, [ErrorCode::None]);
        }
        bench.end("tx", producer, true).await.unwrap();
        bench.until("tx", "CompleteCommit").await;
        assert_eq!((bench.read(0).last_stable, bench.read(0).high_watermark), (4, 4));
        bench.stop();
    }
}

/// Its transactions hold readers back: nobody may have to ask for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_whose_log_has_failed_comes_back_by_itself() {
    let files = MemoryFiles::new();
    let bench = Bench::open(files.clone());
    let producer = bench.init_with("tx", 1_000).await;
    assert_eq!(bench.produce("tx", producer, &[0, 1]).await, [ErrorCode::None; 2]);
    files.set_space(Some(0));
    assert!(bench.end("tx", producer, true).await.is_err());
    files.set_space(None);
    let released = async {
        while bench.partition(0).last_stable() < 2 || bench.partition(1).last_stable() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, released).await.unwrap();
    for partition in [0, 1] {
        let read = bench.read(partition);
        assert_eq!((read.high_watermark, read.aborted.len()), (2, 1), "the commit that was refused is not there");
    }
    bench.stop();
}
