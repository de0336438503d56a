//! A broker over disks that stall, fill up and forget.

use super::stalling::Stalling;
use super::*;
use crate::api::Dispatch;
use crate::api::context::{Listener, Peer};
use crate::api::{Answer, Api};
use crate::log::disk::Files;
use crate::log::disk::memory::{LOSE_ALL, MemoryFiles};
use crate::log::{Slice, Wait};
use crate::partition::{Acks, AppendError, Appended, Fetch, Isolation};
use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, checksum};
use bytes::Bytes;
use futures_util::FutureExt;
use std::time::Duration;

/// Ends a hang; nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(30);

fn config() -> BrokerConfig {
    BrokerConfig::from_pairs([("log.dirs", "/data")]).unwrap()
}

fn open(files: impl Files + 'static) -> Arc<Broker> {
    Broker::open(Arc::new(files), config(), 64).unwrap()
}

fn create(broker: &Broker, name: &str) -> Arc<Topic> {
    broker.create_on_first_use(&[name.to_owned()]).unwrap().remove(0).unwrap()
}

fn batch(sequence: i32, size: usize) -> (BatchHeader, Bytes) {
    let records = Bytes::from(vec![7; size]);
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + size) as i32,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 1,
        max_timestamp: 1,
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: sequence,
        record_count: 1,
    };
    header.crc = checksum(&header.encode(), &records);
    (header, records)
}

fn append(
    broker: &Broker,
    topic: &Topic,
    sequence: i32,
    size: usize,
) -> impl Future<Output = Result<Appended, AppendError>> + use<> {
    let served = broker.partition_to_append(topic, 0).unwrap();
    let (header, records) = batch(sequence, size);
    served.partition.append(header, records, Acks::All, 1_000).finish()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap()
}

fn read(broker: &Broker, topic: &Topic) -> usize {
    let fetch = Fetch {
        from: 0,
        max_bytes: 1 << 20,
        first_whole: true,
        leader_epoch: None,
        isolation: Isolation::ReadUncommitted,
        wait: Wait::Never,
    };
    let fetched = broker.partition(topic, 0).unwrap().partition.fetch(&fetch).unwrap();
    fetched.slices.iter().map(Slice::len).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_stalls_neither_reads_nor_other_requests() {
    let files = Stalling::new();
    let broker = open(files.clone());
    let (a, b) = (create(&broker, "a"), create(&broker, "b"));
    soon(append(&broker, &a, 0, 100)).await.unwrap();
    files.stall(true);
    let mut stalled = Box::pin(append(&broker, &b, 0, 100));
    let _more: Vec<_> = (1..50).map(|sequence| Box::pin(append(&broker, &a, sequence, 100))).collect();
    assert!((&mut stalled).now_or_never().is_none());
    assert_eq!(read(&broker, &a), HEADER_SIZE + 100);
    assert_eq!(read(&broker, &b), 0, "not synced is not shown");
    let api = Api::new(broker.clone());
    let address = "127.0.0.1:1".parse().unwrap();
    let peer = Arc::new(Peer::new(Arc::new(Listener { name: "P".into(), advertised: None }), address, address));
    let api_versions = Bytes::from_static(&[0, 18, 0, 0, 0, 0, 0, 9, 255, 255]);
    assert!(matches!(soon(api.start(&peer, api_versions).unwrap().answer).await, Answer::Send(_)));
    files.stall(false);
    soon(stalled).await.unwrap();
    assert_eq!(read(&broker, &b), HEADER_SIZE + 100);
    broker.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_goes_on_once_there_is_space() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    let topic = create(&broker, "t");
    let first = soon(append(&broker, &topic, 0, 5_000)).await.unwrap();
    files.set_space(Some(1_000));
    let refused = soon(append(&broker, &topic, 1, 5_000)).await;
    assert!(matches!(refused, Err(AppendError::Log(LogError::Storage(_)))), "{refused:?}");
    files.set_space(None);
    // It is left alone for a while, so that a full disk is not scanned for every request.
    assert!(matches!(broker.partition_to_append(&topic, 0), Err(PartitionError::Open(_))));
    assert_eq!(read(&broker, &topic), HEADER_SIZE + 5_000, "what was there can be read");
    while broker.partition_to_append(&topic, 0).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = soon(append(&broker, &topic, 1, 5_000)).await.unwrap();
    assert_eq!((first.base_offset, second.base_offset, second.duplicate), (0, 1, false));
    let again = soon(append(&broker, &topic, 0, 5_000)).await.unwrap();
    assert_eq!((again.base_offset, again.duplicate), (0, true), "the window survived the failure");
    drop(broker);
    let broker = open(files.after_crash(LOSE_ALL));
    assert_eq!(read(&broker, &broker.catalog().image().topic("t").unwrap().clone()), 2 * (HEADER_SIZE + 5_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_more_is_acknowledged() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    let topic = create(&broker, "t");
    soon(append(&broker, &topic, 0, 100)).await.unwrap();
    files.fail_sync(0);
    for sequence in 1..4 {
        match broker.partition_to_append(&topic, 0) {
            Ok(served) => {
                let (header, records) = batch(sequence, 100);
                let outcome = soon(served.partition.append(header, records, Acks::All, 1_000).finish()).await;
                assert!(outcome.is_err(), "{outcome:?}");
            }
            Err(error) => assert!(matches!(error, PartitionError::Open(OpenError::Log(_))), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_has_nothing_of_the_old_one() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    let old = create(&broker, "t");
    soon(append(&broker, &old, 0, 100)).await.unwrap();
    let (deleted, _) = broker.catalog().update(|draft| draft.delete_topic(old.id)).unwrap();
    deleted.unwrap();
    // The new one comes before the old one's folder is out of the way.
    let new = create(&broker, "t");
    let late = append(&broker, &old, 1, 100);
    soon(append(&broker, &new, 0, 50)).await.unwrap();
    soon(late).await.ok();
    broker.remove_topic(&old).unwrap();
    assert_eq!(read(&broker, &new), HEADER_SIZE + 50);
    assert!(matches!(broker.partition(&old, 0), Err(PartitionError::Open(_))), "the old one is gone");
    broker.stop().unwrap();
    drop(broker);
    let broker = open(files.after_kill());
    let topics: Vec<_> = broker.catalog().image().topics().map(|topic| topic.id).collect();
    assert_eq!(topics, [new.id]);
    assert_eq!(read(&broker, &new), HEADER_SIZE + 50);
    let left: Vec<_> = files.contents().into_keys().filter(|path| path.to_string_lossy().contains("-delete")).collect();
    assert!(left.is_empty(), "{left:?}");
}
