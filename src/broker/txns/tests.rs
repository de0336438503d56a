//! Transactions through the APIs, over disks that count and forget.

mod faults;

use crate::api::Api;
use crate::api::testing::{ask, make_topic, name, text};
use crate::broker::Broker;
use crate::broker::stalling::Stalling;
use crate::catalog::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::config::BrokerConfig;
use crate::log::Wait;
use crate::log::disk::Files;
use crate::log::disk::memory::{LOSE_ALL, MemoryFiles};
use crate::partition::{Fetch, Fetched, Isolation, Partition};
use crate::time;
use crate::wire::batch::{BatchHeader, TRANSACTIONAL, checksum};
use crate::wire::build::{Kind, parts};
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest,
    TransactionalId, WriteTxnMarkersRequest,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Ends a hang; nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(30);

struct Bench {
    broker: Arc<Broker>,
    api: Api,
    running: tokio::task::JoinHandle<()>,
}

/// A producer of transaction version 2.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Producer {
    id: i64,
    epoch: i16,
}

impl Bench {
    fn open(files: impl Files + 'static) -> Self {
        Self::open_with(files, &[])
    }

    fn open_with(files: impl Files + 'static, settings: &[(&str, &str)]) -> Self {
        let always = [("log.dirs", "/data"), ("transaction.state.log.num.partitions", "1")];
        let config = BrokerConfig::from_pairs(always.iter().chain(settings).copied()).unwrap();
        let broker = Broker::open(Arc::new(files), config, 64).unwrap();
        for topic in [TRANSACTION_STATE, CONSUMER_OFFSETS] {
            broker.create_on_first_use(&[topic.to_owned()]).unwrap().remove(0).unwrap();
        }
        if broker.catalog().image().topic("t").is_none() {
            make_topic(&broker, "t", 3);
        }
        let running = tokio::spawn(broker.txns().clone().run());
        Bench { api: Api::new(broker.clone()), broker, running }
    }

    async fn init(&self, id: &str) -> Producer {
        self.init_with(id, 60_000).await
    }

    async fn init_with(&self, id: &str, timeout_ms: i32) -> Producer {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        loop {
            let begun = ask(&self.api, 5, &request).await;
            match ErrorCode::from_code(begun.error_code) {
                Some(ErrorCode::None) => return Producer { id: begun.producer_id.0, epoch: begun.producer_epoch },
                Some(ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorLoadInProgress) => {
                    tokio::task::yield_now().await;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends one record to each of these partitions, in one request.
    async fn produce(&self, id: &str, producer: Producer, partitions: &[i32]) -> Vec<ErrorCode> {
        let data = |partition: &i32| {
            PartitionProduceData::default().with_index(*partition).with_records(Some(batch(producer)))
        };
        let topic =
            TopicProduceData::default().with_name(name("t")).with_partition_data(partitions.iter().map(data).collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let response = ask(&self.api, 12, &request).await;
        let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        partitions.map(|it| ErrorCode::from_code(it.error_code).unwrap()).collect()
    }

    async fn end(&self, id: &str, producer: Producer, committed: bool) -> Result<Producer, ErrorCode> {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch)
            .with_committed(committed);
        let ended = ask(&self.api, 5, &request).await;
        match ErrorCode::from_code(ended.error_code) {
            Some(ErrorCode::None) => Ok(Producer { id: ended.producer_id.0, epoch: ended.producer_epoch }),
            code => Err(code.unwrap()),
        }
    }

    async fn until(&self, id: &str, state: &str) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(id))]);
        let reached = async {
            while ask(&self.api, 0, &request).await.transaction_states[0].transaction_state.as_str() != state {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap();
    }

    fn partition(&self, partition: i32) -> Arc<Partition> {
        let topic = self.broker.catalog().image().topic("t").cloned().unwrap();
        self.broker.partition(&topic, partition).unwrap().partition.clone()
    }

    /// What readers of committed records are told of a partition.
    fn read(&self, partition: i32) -> Fetched {
        let fetch = Fetch {
            from: 0,
            max_bytes: 1 << 20,
            first_whole: true,
            leader_epoch: None,
            isolation: Isolation::ReadCommitted,
            wait: Wait::Allowed,
        };
        self.partition(partition).fetch(&fetch).unwrap()
    }

    fn rounds(&self) -> u64 {
        self.broker.partitions().disk().counters().rounds.load(Ordering::Relaxed)
    }

    async fn marker(&self, producer: Producer, coordinator_epoch: i32) -> ErrorCode {
        let topic = WritableTxnMarkerTopic::default().with_name(name("t")).with_partition_indexes(vec![0, 0]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic]);
        let response = ask(&self.api, 1, &WriteTxnMarkersRequest::default().with_markers(vec![marker])).await;
        ErrorCode::from_code(response.markers[0].topics[0].partitions[0].error_code).unwrap()
    }

    fn stop(self) {
        self.running.abort();
        self.broker.txns().stop();
        self.broker.stop().unwrap();
    }
}

fn batch(producer: Producer) -> Bytes {
    let kind = Kind::Transactional { producer_id: producer.id, producer_epoch: producer.epoch };
    let record = (Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")));
    // The markers will bear the time, too: a segment is sealed where it jumps.
    let (header, payload) = parts(kind, &[record], time::wall());
    assert_eq!(header.attributes, TRANSACTIONAL);
    let mut header = BatchHeader { base_sequence: 0, ..header };
    header.crc = checksum(&header.encode(), &payload);
    [&header.encode()[..], &payload].concat().into()
}

/// The goal is six: to add the partitions, the records, the decision, the markers, that they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_three_partitions_takes_five_durable_rounds() {
    let bench = Bench::open(MemoryFiles::new());
    let mut producer = bench.init("tx").await;
    let mut rounds = Vec::new();
    for nth in 0..21 {
        let committed = nth != 1;
        let before = bench.rounds();
        assert_eq!(bench.produce("tx", producer, &[0, 1, 2]).await, [ErrorCode::None; 3]);
        producer = bench.end("tx", producer, committed).await.unwrap();
        bench.until("tx", if committed { "CompleteCommit" } else { "CompleteAbort" }).await;
        rounds.push(bench.rounds() - before);
    }
    // Whoever stages them may be interrupted, and the writer does not wait for long.
    rounds.sort_unstable();
    assert!(rounds[0] == 5 && rounds[rounds.len() / 2] <= 6, "{rounds:?}");
    let read = bench.read(1);
    assert_eq!((read.last_stable, read.aborted.len()), (2 * 21, 1));
    bench.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_share_the_durable_rounds() {
    const PRODUCERS: u64 = 64;
    const EACH: u64 = 10;
    let bench = Arc::new(Bench::open(Stalling::slow(Duration::from_millis(1))));
    let names: Vec<_> = (0..PRODUCERS).map(|nth| format!("tx-{nth}")).collect();
    let mut begun = Vec::new();
    for name in names {
        let producer = bench.init(&name).await;
        begun.push((name, producer));
    }
    let before = bench.rounds();
    let one = |(id, mut producer): (String, Producer)| {
        let bench = bench.clone();
        async move {
            for _ in 0..EACH {
                while bench.produce(&id, producer, &[0, 1, 2]).await != [ErrorCode::None; 3] {}
                producer = bench.end(&id, producer, true).await.unwrap();
            }
        }
    };
    let all: tokio::task::JoinSet<()> = begun.into_iter().map(one).collect();
    tokio::time::timeout(DEADLINE, all.join_all()).await.unwrap();
    let rounds = bench.rounds() - before;
    println!("{rounds} rounds for {} transactions", PRODUCERS * EACH);
    assert!(rounds < PRODUCERS * EACH, "{rounds}: less than one for each, where one alone takes five");
}

/// Wherever the power goes, what was decided is completed and what was not is aborted by the next session; both are decided
/// once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_survive_the_loss_of_power() {
    let files = MemoryFiles::new();
    let bench = Bench::open(files.clone());
    let first = bench.init("tx").await;
    assert_eq!(bench.produce("tx", first, &[0, 2]).await, [ErrorCode::None; 2]);
    let other = bench.init("other").await;
    assert_eq!(bench.produce("other", other, &[0]).await, [ErrorCode::None]);
    let second = bench.end("tx", first, true).await.unwrap();
    assert_eq!((second.id, second.epoch), (first.id, first.epoch + 1));
    bench.running.abort();
    let files = files.after_crash(LOSE_ALL);

    // Nobody asks for it.
    let bench = Bench::open(files);
    bench.until("tx", "CompleteCommit").await;
    assert_eq!(bench.end("tx", first, true).await, Ok(second), "the same decision, once more");
    assert_eq!(bench.end("tx", first, false).await, Err(ErrorCode::InvalidTxnState));
    let read = bench.read(0);
    assert_eq!((read.last_stable, read.high_watermark), (1, 3), "the other transaction is open");
    let again = bench.init("other").await;
    assert!(again.epoch > other.epoch);
    bench.until("other", "Empty").await;
    let read = bench.read(0);
    assert_eq!((read.last_stable, read.high_watermark), (4, 4));
    assert_eq!(read.aborted.iter().map(|it| (it.producer_id, it.first_offset)).collect::<Vec<_>>(), [(other.id, 1)]);
    assert_eq!(bench.produce("other", other, &[1]).await, [ErrorCode::InvalidProducerEpoch]);
    bench.stop();
}

/// Kafka takes a marker from outside that bears the epoch of a coordinator that there is not. It must not keep this one from
/// ending anything there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_of_a_coordinator_that_there_is_not_stops_nobody() {
    let bench = Bench::open(MemoryFiles::new());
    let mut producer = bench.init("tx").await;
    assert_eq!(bench.produce("tx", producer, &[0, 1]).await, [ErrorCode::None; 2]);
    assert_eq!(bench.marker(producer, i32::MAX).await, ErrorCode::None);
    assert_eq!(bench.read(0).high_watermark, 2, "what is named twice is written once");
    for ended in 1..=2 {
        producer = bench.end("tx", producer, true).await.unwrap();
        bench.until("tx", "CompleteCommit").await;
        if ended == 1 {
            assert_eq!(bench.produce("tx", producer, &[0]).await, [ErrorCode::None]);
        }
    }
    for (partition, end) in [(0, 5), (1, 2)] {
        let read = bench.read(partition);
        assert_eq!((read.last_stable, read.high_watermark), (end, end), "partition {partition}");
    }
    bench.stop();
}

/// Nobody looks for the group's coordinator before this has succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_added_though_nobody_has_looked_for_the_group() {
    let broker = Broker::in_memory(&[]);
    broker.create_on_first_use(&[TRANSACTION_STATE.to_owned()]).unwrap().remove(0).unwrap();
    let running = tokio::spawn(broker.txns().clone().run());
    let bench = Bench { api: Api::new(broker.clone()), broker, running };
    for version in 0..=4 {
        let id = format!("tx-{version}");
        let producer = bench.init(&id).await;
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&id)))
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch)
            .with_group_id(text("g").into());
        assert_eq!(ask(&bench.api, version, &request).await.error_code, 0, "version {version}");
    }
    bench.stop();
}
