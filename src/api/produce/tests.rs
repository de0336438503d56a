use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;
use crate::broker::stalling::Stalling;
use crate::config::BrokerConfig;
use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, TRANSACTIONAL, checksum};
use futures_util::FutureExt;

/// A batch of one record with a null key and value.
fn batch(sequence: i32) -> Bytes {
    let record = [12u8, 0, 0, 0, 1, 1, 0];
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + record.len()) as i32,
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
    header.crc = checksum(&header.encode(), &record);
    [&header.encode()[..], &record].concat().into()
}

/// The same of a transaction.
fn of_transaction(producer_id: i64, sequence: i32) -> Bytes {
    let plain = batch(sequence);
    let mut header = BatchHeader::parse(&plain).unwrap();
    (header.attributes, header.producer_id) = (TRANSACTIONAL, producer_id);
    header.crc = checksum(&header.encode(), &plain[HEADER_SIZE..]);
    [&header.encode()[..], &plain[HEADER_SIZE..]].concat().into()
}

fn request(acks: i16, timeout_ms: i32, partitions: &[(&str, i32, Bytes)]) -> ProduceRequest {
    let topics = partitions.iter().map(|(topic, index, records)| {
        let data = PartitionProduceData::default().with_index(*index).with_records(Some(records.clone()));
        TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data])
    });
    ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout_ms).with_topic_data(topics.collect())
}

async fn codes(broker: &Arc<Broker>, request: ProduceRequest) -> Vec<ErrorCode> {
    let Reply::Send(response) = handle(ctx(broker, 9), request).await else { panic!("no reply") };
    let response = received(response, 9);
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.map(|partition| ErrorCode::from_code(partition.error_code).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_partition_does_not_fail_the_others() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "t", 1);
    let mut damaged = batch(0).to_vec();
    damaged[62] ^= 1;
    let parts = [
        ("t", 0, batch(0)),
        ("t", 1, batch(0)),
        ("none", 0, batch(0)),
        ("t", 0, damaged.into()),
        ("t", 0, batch(9)),
        ("t", 0, batch(0)),
        ("t", 0, batch(1)),
    ];
    let expected = [
        ErrorCode::None,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::CorruptMessage,
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::None,
        ErrorCode::None,
    ];
    assert_eq!(codes(&broker, request(-1, 30_000, &parts)).await, expected);
    assert_eq!(broker.partitions().duplicates(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_as_a_whole() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "t", 1);
    let part = [("t", 0, batch(0))];
    assert_eq!(codes(&broker, request(2, 30_000, &part)).await, [ErrorCode::InvalidRequiredAcks]);
    // What is transactional the batches say, whatever the request does.
    let transactional = [("t", 0, of_transaction(5, 0)), ("t", 0, batch(0))];
    let refused = [ErrorCode::TransactionalIdAuthorizationFailed; 2];
    assert_eq!(codes(&broker, request(-1, 30_000, &transactional)).await, refused);
    let two = [("t", 0, of_transaction(5, 0)), ("t", 0, of_transaction(6, 0))];
    let two = request(-1, 30_000, &two).with_transactional_id(Some(StrBytes::from_static_str("x").into()));
    assert_eq!(codes(&broker, two).await, [ErrorCode::InvalidProducerIdMapping; 2]);
    assert_eq!(codes(&broker, request(-1, 30_000, &part)).await, [ErrorCode::None], "nothing of it was stored");
    assert_eq!(broker.partitions().duplicates(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_acks_only_an_error_is_told_and_only_by_closing() {
    let broker = Broker::in_memory(&[]);
    make_topic(&broker, "t", 1);
    let silent = handle(ctx(&broker, 9), request(0, 0, &[("t", 0, batch(0))])).await;
    assert!(matches!(silent, Reply::Silent), "{silent:?}");
    let closed = handle(ctx(&broker, 9), request(0, 0, &[("none", 0, batch(0))])).await;
    assert!(matches!(closed, Reply::Close), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_all_is_timed_out_on_a_stalled_disk_and_stored_all_the_same() {
    let files = Stalling::new();
    let config = BrokerConfig::from_pairs([("log.dirs", "/data")]).unwrap();
    let broker = Broker::open(Arc::new(files.clone()), config, 64).unwrap();
    make_topic(&broker, "t", 1);
    files.stall(true);
    assert_eq!(codes(&broker, request(-1, 20, &[("t", 0, batch(0))])).await, [ErrorCode::RequestTimedOut]);
    let mut retry = Box::pin(codes(&broker, request(-1, 600_000, &[("t", 0, batch(0))])));
    assert_eq!((&mut retry).now_or_never(), None, "a retry waits for the original");
    files.stall(false);
    assert_eq!(retry.await, [ErrorCode::None]);
    assert_eq!(broker.partitions().duplicates(), 1);
}
