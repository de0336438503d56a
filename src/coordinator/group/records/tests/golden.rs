//! What Apache Kafka wrote (`fixtures/groups/records.txt`), byte for byte, and what its own tools read in it.

use super::*;
use crate::coordinator::partition_for;
use crate::coordinator::records::Decoded;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RECORDED: &str = include_str!("../../../../../fixtures/groups/records.txt");

/// Of `__consumer_offsets` where it was recorded.
const PARTITIONS: i32 = 50;

struct Line {
    partition: i32,
    key: Bytes,
    value: Option<Bytes>,
    read: Value,
}

fn lines() -> Vec<Line> {
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

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn decode(line: &Line) -> Record {
    match Record::decode(&line.key, line.value.as_deref()) {
        Ok(Decoded::Known(record)) => record,
        other => panic!("{other:?}: {}", line.read),
    }
}

#[test]
fn every_record_is_known_and_encodes_to_the_very_same_bytes() {
    let mut seen = BTreeMap::new();
    for line in lines() {
        let record = decode(&line);
        assert_eq!(record.encode(), Ok((line.key.clone(), line.value.clone())), "{}", line.read);
        let kinds = seen.entry(record.record_type()).or_insert((0, 0));
        kinds.0 += i32::from(line.value.is_some());
        kinds.1 += i32::from(line.value.is_none());
    }
    for record_type in [1, 2, 3, 5, 6, 7, 8, 16] {
        let (values, tombstones) = seen[&record_type];
        assert!(values > 0 && tombstones > 0, "type {record_type}: {values} values, {tombstones} tombstones");
    }
    assert!(seen[&4].1 > 0);
}

#[test]
fn every_field_says_what_kafka_reads() {
    for line in lines() {
        let record = decode(&line);
        let (data, mut value) = as_json(&record);
        assert_eq!(line.read["key"], json!({ "type": record.record_type(), "data": data }));
        let mut read = line.read["value"]["data"].clone();
        // Its converters leave out what is at its default in a tagged field; so does `stripped`.
        stripped(&mut read);
        stripped(&mut value);
        assert_eq!(read, value, "{}", line.read);
    }
}

#[test]
fn every_record_is_where_its_group_belongs() {
    for line in lines() {
        let data = &line.read["key"]["data"];
        let group = data["groupId"].as_str().or(data["group"].as_str()).unwrap();
        assert_eq!(partition_for(group, PARTITIONS), line.partition, "{group}");
    }
}

/// Without what is not written in every version.
fn stripped(value: &mut Value) {
    for (name, default) in [
        ("topicId", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("metadataHash", json!(0)),
        ("assignmentTimestamp", json!(0)),
        ("expireTimestamp", json!(-1)),
        ("leaderEpoch", json!(-1)),
    ] {
        if value.get(name) == Some(&default) {
            value.as_object_mut().unwrap().remove(name);
        }
    }
}

fn base64(bytes: &[u8], url: bool) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let last = if url { b"-_" } else { b"+/" };
    let letters = [LETTERS, last].concat();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|at| char::from(letters[bits >> (18 - 6 * at) & 63])));
        text.push_str(if url { "" } else { &"=="[chunk.len() - 1..] });
    }
    text
}

fn id(id: &Uuid) -> Value {
    base64(id.as_bytes(), true).into()
}

fn as_json(record: &Record) -> (Value, Value) {
    let group = |group_id: &String| json!({ "groupId": group_id });
    let member = |group_id: &String, member_id: &String| json!({ "groupId": group_id, "memberId": member_id });
    match record {
        Record::OffsetCommit { key, value } => (
            json!({ "group": key.group, "topic": key.topic, "partition": key.partition }),
            value.as_ref().map_or(Value::Null, offset),
        ),
        Record::GroupMetadata { group_id, value } => {
            (json!({ "group": group_id }), value.as_ref().map_or(Value::Null, classic_group))
        }
        Record::ConsumerGroupMetadata { group_id, value } => (
            group(group_id),
            value.as_ref().map_or(Value::Null, |v| json!({ "epoch": v.epoch, "metadataHash": v.metadata_hash })),
        ),
        Record::ConsumerGroupPartitionMetadata { group_id, value } => {
            assert_eq!(*value, None);
            (group(group_id), Value::Null)
        }
        Record::ConsumerGroupMemberMetadata { group_id, member_id, value } => {
            (member(group_id, member_id), value.as_ref().map_or(Value::Null, member_metadata))
        }
        Record::ConsumerGroupTargetAssignmentMetadata { group_id, value } => {
            let of = |v: &ConsumerGroupTargetAssignmentMetadataValue| json!({ "assignmentEpoch": v.assignment_epoch, "assignmentTimestamp": v.assignment_timestamp });
            (group(group_id), value.as_ref().map_or(Value::Null, of))
        }
        Record::ConsumerGroupTargetAssignmentMember { group_id, member_id, value } => {
            let topic = |t: &TopicPartition| json!({ "topicId": id(&t.topic_id), "partitions": t.partitions });
            let of = |v: &ConsumerGroupTargetAssignmentMemberValue| json!({ "topicPartitions": v.topic_partitions.iter().map(topic).collect::<Vec<_>>() });
            (member(group_id, member_id), value.as_ref().map_or(Value::Null, of))
        }
        Record::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value } => {
            (member(group_id, member_id), value.as_ref().map_or(Value::Null, current))
        }
        Record::ConsumerGroupRegularExpression { group_id, regular_expression, value } => (
            json!({ "groupId": group_id, "regularExpression": regular_expression }),
            value
                .as_ref()
                .map_or(Value::Null, |v| json!({ "topics": v.topics, "version": v.version, "timestamp": v.timestamp })),
        ),
    }
}

fn offset(value: &OffsetCommitValue) -> Value {
    json!({
        "offset": value.offset,
        "leaderEpoch": value.leader_epoch,
        "metadata": value.metadata,
        "commitTimestamp": value.commit_timestamp,
        "expireTimestamp": value.expire_timestamp,
        "topicId": id(&value.topic_id),
    })
}

fn classic_group(value: &GroupMetadataValue) -> Value {
    let member = |member: &MemberMetadata| {
        json!({
            "memberId": member.member_id,
            "groupInstanceId": member.group_instance_id,
            "clientId": member.client_id,
            "clientHost": member.client_host,
            "rebalanceTimeout": member.rebalance_timeout,
            "sessionTimeout": member.session_timeout,
            "subscription": base64(&member.subscription, false),
            "assignment": base64(&member.assignment, false),
        })
    };
    json!({
        "protocolType": value.protocol_type,
        "generation": value.generation,
        "protocol": value.protocol,
        "leader": value.leader,
        "currentStateTimestamp": value.current_state_timestamp,
        "members": value.members.iter().map(member).collect::<Vec<_>>(),
    })
}

fn member_metadata(value: &ConsumerGroupMemberMetadataValue) -> Value {
    let protocol = |p: &ClassicProtocol| json!({ "name": p.name, "metadata": base64(&p.metadata, false) });
    let classic = value.classic_member_metadata.as_ref().map(|classic| {
        json!({
            "sessionTimeoutMs": classic.session_timeout_ms,
            "supportedProtocols": classic.supported_protocols.iter().map(protocol).collect::<Vec<_>>(),
        })
    });
    json!({
        "instanceId": value.instance_id,
        "rackId": value.rack_id,
        "clientId": value.client_id,
        "clientHost": value.client_host,
        "subscribedTopicNames": value.subscribed_topic_names,
        "subscribedTopicRegex": value.subscribed_topic_regex,
        "rebalanceTimeoutMs": value.rebalance_timeout_ms,
        "serverAssignor": value.server_assignor,
        "classicMemberMetadata": classic,
    })
}

fn current(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Value {
    let topic = |topic: &TopicPartitions| {
        json!({
            "topicId": id(&topic.topic_id),
            "partitions": topic.partitions,
            "assignmentEpochs": topic.assignment_epochs,
        })
    };
    json!({
        "memberEpoch": value.member_epoch,
        "previousMemberEpoch": value.previous_member_epoch,
        "state": value.state,
        "assignedPartitions": value.assigned_partitions.iter().map(topic).collect::<Vec<_>>(),
        "partitionsPendingRevocation": value.partitions_pending_revocation.iter().map(topic).collect::<Vec<_>>(),
    })
}
