//! What Apache Kafka wrote (`fixtures/transactions/records.txt`), byte for byte, and what its own tools read in it.

use super::*;
use crate::coordinator::partition_for;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RECORDED: &str = include_str!("../../../../../fixtures/transactions/records.txt");

/// Of `__transaction_state` where it was recorded.
const PARTITIONS: i32 = 50;

struct Line {
    partition: i32,
    key: Bytes,
    value: Option<Bytes>,
    read: Value,
}

fn lines() -> Vec<Line> {
    let unhex = |text: &str| -> Bytes {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let of = |line: &str| {
        let [partition, key, value, read] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
        Line {
            partition: partition.parse().unwrap(),
            key: unhex(key),
            value: (value != "null").then(|| unhex(value)),
            read: serde_json::from_str(read).unwrap(),
        }
    };
    RECORDED.lines().filter(|line| !line.starts_with('#')).map(of).collect()
}

fn decode(line: &Line) -> Record {
    match Record::decode(&line.key, line.value.as_deref()) {
        Ok(Decoded::Known(record)) => record,
        other => panic!("{other:?}: {}", line.read),
    }
}

#[test]
fn every_record_is_known_and_encodes_to_the_very_same_bytes() {
    let (mut seen, mut tombstones) = (BTreeMap::new(), 0);
    for line in lines() {
        let record = decode(&line);
        assert_eq!(record.encode(), Ok((line.key.clone(), line.value.clone())), "{}", line.read);
        match record.value {
            Some(value) => *seen.entry(value.transaction_status).or_insert(0) += 1,
            None => tombstones += 1,
        }
    }
    assert!(TransactionState::ALL.iter().all(|state| seen.contains_key(state)), "{seen:?}");
    assert_eq!(tombstones, 1);
}

#[test]
fn every_field_says_what_kafka_reads() {
    for line in lines() {
        let record = decode(&line);
        let key = json!({ "type": 0, "data": { "transactionalId": &*record.transactional_id } });
        assert_eq!(line.read["key"], key);
        let value = record.value.as_ref().map_or(Value::Null, |value| json!({ "version": 1, "data": as_json(value) }));
        assert_eq!(line.read["value"], value);
    }
}

#[test]
fn every_record_is_where_its_id_belongs() {
    for line in lines() {
        let record = decode(&line);
        assert_eq!(partition_for(&record.transactional_id, PARTITIONS), line.partition, "{}", record.transactional_id);
    }
}

/// As Kafka's converter prints it: without tagged fields that are at their defaults.
fn as_json(value: &TransactionLogValue) -> Value {
    let partitions = value.transaction_partitions.as_ref().map(|topics| {
        let of = |topic: &PartitionsSchema| json!({ "topic": &*topic.topic, "partitionIds": topic.partition_ids });
        topics.iter().map(of).collect::<Vec<_>>()
    });
    let mut fields = json!({
        "producerId": value.producer_id,
        "producerEpoch": value.producer_epoch,
        "transactionTimeoutMs": value.transaction_timeout_ms,
        "transactionStatus": value.transaction_status.id(),
        "transactionPartitions": partitions,
        "transactionLastUpdateTimestampMs": value.transaction_last_update_timestamp_ms,
        "transactionStartTimestampMs": value.transaction_start_timestamp_ms,
    });
    let tagged = [
        ("previousProducerId", value.previous_producer_id, -1),
        ("nextProducerId", value.next_producer_id, -1),
        ("nextProducerEpoch", value.next_producer_epoch.into(), -1),
        ("clientTransactionVersion", value.client_transaction_version as i64, 0),
    ];
    for (name, number, _) in tagged.into_iter().filter(|(_, number, default)| number != default) {
        fields[name] = number.into();
    }
    fields
}
