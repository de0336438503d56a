//! Requests about transactions for the walk through the [table](crate::table), and the transactions that they are about.
//!
//! Each version of an API has a transactional id of its own, so that what one does is nothing that another one sees.

use crate::asking::{text, topic_name};
use crate::client::Client;
use crate::groups::group_id;
use crate::table::{Target, whole};
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// A producer's id and epoch.
pub type Producer = (ProducerId, i16);

/// The last version of AddPartitionsToTxn that producers speak.
pub const ADDED_BY_PRODUCERS: i16 = 3;
/// The group whose offsets transactions commit.
const GROUP: &str = "transactional";
const NOWHERE: &str = "no-such-transaction";
const NOBODY: Producer = (ProducerId(77), 0);
const TIMEOUT_MS: i32 = 60_000;
const KEY_OF_TRANSACTIONS: i8 = 1;

/// A transactional id.
pub fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

/// Asks for a coordinator of transactions, until there is one: only then are there transactions.
pub fn find_coordinator(client: &mut Client) {
    let request = FindCoordinatorRequest::default().with_key(text("id")).with_key_type(KEY_OF_TRANSACTIONS);
    while client.ask(3, &request).error_code != 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The producer of a transactional id, or a new one of none.
pub fn init(client: &mut Client, id: Option<&str>) -> Producer {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(id.map(transactional_id))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let told = client.ask(4, &request);
    assert_eq!(told.error_code, 0, "{id:?}");
    (told.producer_id, told.producer_epoch)
}

/// Makes partitions of a topic part of a transaction; versions to [`ADDED_BY_PRODUCERS`].
pub fn adding(id: &str, producer: Producer, topic: &str, partitions: Vec<i32>) -> AddPartitionsToTxnRequest {
    let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id(id))
        .with_v3_and_below_producer_id(producer.0)
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic])
}

/// Begins a transaction in partition 0 of a topic.
pub fn begin(client: &mut Client, id: &str, topic: &str) -> Producer {
    let producer = init(client, Some(id));
    let told = client.ask(ADDED_BY_PRODUCERS, &adding(id, producer, topic, vec![0]));
    assert_eq!(told.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0, "{id}");
    producer
}

/// Commits.
pub fn ending(id: &str, (producer_id, producer_epoch): Producer) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(producer_id)
        .with_producer_epoch(producer_epoch)
        .with_committed(true)
}

/// The state of a transaction, once it is none of those that pass by themselves.
pub fn settled(client: &mut Client, id: &str) -> String {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id(id)]);
    loop {
        let state = client.ask(0, &request).transaction_states.remove(0).transaction_state;
        if !state.starts_with("Prepare") {
            return state.to_string();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The end of a transaction in a partition, as an administrator orders it.
pub fn marking((producer_id, producer_epoch): Producer, topic: &str, partitions: Vec<i32>) -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default().with_name(topic_name(topic)).with_partition_indexes(partitions);
    let marker = WritableTxnMarker::default().with_producer_id(producer_id).with_producer_epoch(producer_epoch);
    WriteTxnMarkersRequest::default().with_markers(vec![marker.with_topics(vec![topic])])
}

/// Makes the transactions, and tells their producers by their ids.
pub fn prepare(client: &mut Client, topic: &str) -> BTreeMap<String, Producer> {
    find_coordinator(client);
    let mut producers = BTreeMap::new();
    for version in 0..=5 {
        for id in ["adding", "adding-offsets"].map(|api| format!("{api}-{version}")) {
            producers.insert(id.clone(), init(client, Some(&id)));
        }
        let id = format!("ending-{version}");
        producers.insert(id.clone(), begin(client, &id, topic));
        let id = format!("committing-{version}");
        let producer = begin(client, &id, topic);
        assert_eq!(client.ask(3, &adding_offsets(&id, producer)).error_code, 0, "{id}");
        producers.insert(id, producer);
    }
    producers.insert("marking".to_owned(), init(client, None));
    producers
}

/// What the walk has ended has ended: each transaction is where its request was to lead it.
pub fn check(client: &mut Client) {
    for version in 0..=5 {
        assert_eq!(settled(client, &format!("ending-{version}")), "CompleteCommit", "version {version}");
        for id in ["adding", "committing"].map(|api| format!("{api}-{version}")) {
            assert_eq!(settled(client, &id), "Ongoing", "{id}");
        }
    }
}

fn adding_offsets(id: &str, (producer_id, producer_epoch): Producer) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(producer_id)
        .with_producer_epoch(producer_epoch)
        .with_group_id(group_id(GROUP))
}

/// A whole request of one of the APIs of transactions.
pub fn request(key: ApiKey, version: i16, target: Target) -> Option<Vec<u8>> {
    let of = |api: &str| {
        let id = format!("{api}-{version}");
        match target.producers.get(&id) {
            Some(producer) => (id, *producer),
            None => (NOWHERE.to_owned(), NOBODY),
        }
    };
    Some(match key {
        ApiKey::AddPartitionsToTxn => {
            let (id, producer) = of("adding");
            let request = adding(&id, producer, target.name, vec![0]);
            if version <= ADDED_BY_PRODUCERS {
                return Some(whole(version, &request));
            }
            let transaction = AddPartitionsToTxnTransaction::default()
                .with_transactional_id(request.v3_and_below_transactional_id)
                .with_producer_id(producer.0)
                .with_producer_epoch(producer.1)
                .with_topics(request.v3_and_below_topics);
            whole(version, &AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]))
        }
        ApiKey::AddOffsetsToTxn => {
            let (id, producer) = of("adding-offsets");
            whole(version, &adding_offsets(&id, producer))
        }
        ApiKey::EndTxn => {
            let (id, producer) = of("ending");
            whole(version, &ending(&id, producer))
        }
        ApiKey::WriteTxnMarkers => {
            let producer = target.producers.get("marking").copied().unwrap_or(NOBODY);
            whole(version, &marking(producer, target.name, vec![0]))
        }
        ApiKey::TxnOffsetCommit => {
            let (id, (producer_id, producer_epoch)) = of("committing");
            let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(5);
            let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(target.name));
            let request = TxnOffsetCommitRequest::default()
                .with_transactional_id(transactional_id(&id))
                .with_group_id(group_id(GROUP))
                .with_producer_id(producer_id)
                .with_producer_epoch(producer_epoch);
            whole(version, &request.with_topics(vec![topic.with_partitions(vec![partition])]))
        }
        ApiKey::DescribeProducers => {
            let topic = TopicRequest::default().with_name(topic_name(target.name)).with_partition_indexes(vec![0]);
            whole(version, &DescribeProducersRequest::default().with_topics(vec![topic]))
        }
        ApiKey::DescribeTransactions => {
            let id = transactional_id(&of("adding").0);
            whole(version, &DescribeTransactionsRequest::default().with_transactional_ids(vec![id]))
        }
        ApiKey::ListTransactions => {
            let pattern = (version >= 2).then(|| text(if target.exists() { "adding-.*" } else { "(" }));
            whole(version, &ListTransactionsRequest::default().with_transactional_id_pattern(pattern))
        }
        _ => return None,
    })
}
