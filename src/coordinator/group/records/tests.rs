use super::*;
use crate::coordinator::records::{Decoded, RecordError};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

mod golden;

fn id() -> impl Strategy<Value = Uuid> + Clone {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}

/// An offset as Kafka can have it: with a time of expiry its version has no room for epoch and topic id.
fn offset() -> impl Strategy<Value = OffsetCommitValue> {
    let plain = (any::<i64>(), any::<i32>(), text(), any::<i64>(), id());
    let value = plain.prop_map(|(offset, leader_epoch, metadata, commit_timestamp, topic_id)| OffsetCommitValue {
        offset,
        leader_epoch,
        metadata,
        commit_timestamp,
        expire_timestamp: -1,
        topic_id,
    });
    (value, any::<i64>()).prop_flat_map(|(value, expire_timestamp)| {
        let expiring = OffsetCommitValue {
            expire_timestamp,
            leader_epoch: if expire_timestamp == -1 { value.leader_epoch } else { -1 },
            topic_id: if expire_timestamp == -1 { value.topic_id } else { Uuid::nil() },
            ..value.clone()
        };
        let unknown = OffsetCommitValue { topic_id: Uuid::nil(), ..value.clone() };
        prop_oneof![Just(value), Just(unknown), Just(expiring)]
    })
}

fn member() -> impl Strategy<Value = MemberMetadata> {
    let identity = (text(), of(text()), text(), text());
    (identity, any::<i32>(), any::<i32>(), blob(), blob()).prop_map(
        |((member_id, group_instance_id, client_id, client_host), rebalance, session, subscription, assignment)| {
            MemberMetadata {
                member_id,
                group_instance_id,
                client_id,
                client_host,
                rebalance_timeout: rebalance,
                session_timeout: session,
                subscription,
                assignment,
            }
        },
    )
}

fn classic_group() -> impl Strategy<Value = GroupMetadataValue> {
    (text(), any::<i32>(), of(text()), of(text()), any::<i64>(), vec(member(), 0..4)).prop_map(
        |(protocol_type, generation, protocol, leader, current_state_timestamp, members)| GroupMetadataValue {
            protocol_type,
            generation,
            protocol,
            leader,
            current_state_timestamp,
            members,
        },
    )
}

fn partition_metadata() -> impl Strategy<Value = ConsumerGroupPartitionMetadataValue> {
    let partition =
        (any::<i32>(), vec(text(), 0..3)).prop_map(|(partition, racks)| PartitionMetadata { partition, racks });
    let topic = (id(), text(), any::<i32>(), vec(partition, 0..3)).prop_map(
        |(topic_id, topic_name, num_partitions, partition_metadata)| TopicMetadata {
            topic_id,
            topic_name,
            num_partitions,
            partition_metadata,
        },
    );
    vec(topic, 0..3).prop_map(|topics| ConsumerGroupPartitionMetadataValue { topics })
}

fn member_metadata() -> impl Strategy<Value = ConsumerGroupMemberMetadataValue> {
    let protocol = (text(), blob()).prop_map(|(name, metadata)| ClassicProtocol { name, metadata });
    let timeout = prop_oneof![Just(0), any::<i32>()];
    let classic = (timeout, vec(protocol, 0..3)).prop_map(|(session_timeout_ms, supported_protocols)| {
        ClassicMemberMetadata { session_timeout_ms, supported_protocols }
    });
    let identity = (of(text()), of(text()), text(), text());
    let wish = (vec(text(), 0..4), of(text()), any::<i32>(), of(text()));
    (identity, wish, of(classic)).prop_map(|(identity, wish, classic_member_metadata)| {
        let (instance_id, rack_id, client_id, client_host) = identity;
        let (subscribed_topic_names, subscribed_topic_regex, rebalance_timeout_ms, server_assignor) = wish;
        ConsumerGroupMemberMetadataValue {
            instance_id,
            rack_id,
            client_id,
            client_host,
            subscribed_topic_names,
            subscribed_topic_regex,
            rebalance_timeout_ms,
            server_assignor,
            classic_member_metadata,
        }
    })
}

fn target() -> impl Strategy<Value = ConsumerGroupTargetAssignmentMemberValue> {
    let topic =
        (id(), vec(any::<i32>(), 0..5)).prop_map(|(topic_id, partitions)| TopicPartition { topic_id, partitions });
    vec(topic, 0..4).prop_map(|topic_partitions| ConsumerGroupTargetAssignmentMemberValue { topic_partitions })
}

fn current() -> impl Strategy<Value = ConsumerGroupCurrentMemberAssignmentValue> {
    let topic = (id(), vec(any::<i32>(), 0..5), of(vec(any::<i32>(), 0..5))).prop_map(
        |(topic_id, partitions, assignment_epochs)| TopicPartitions { topic_id, partitions, assignment_epochs },
    );
    let topics = vec(topic, 0..3);
    (any::<i32>(), any::<i32>(), any::<i8>(), topics.clone(), topics).prop_map(
        |(member_epoch, previous_member_epoch, state, assigned_partitions, partitions_pending_revocation)| {
            ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch,
                previous_member_epoch,
                state,
                assigned_partitions,
                partitions_pending_revocation,
            }
        },
    )
}

fn offset_key() -> impl Strategy<Value = OffsetCommitKey> {
    (text(), text(), any::<i32>()).prop_map(|(group, topic, partition)| OffsetCommitKey { group, topic, partition })
}

fn of_group() -> impl Strategy<Value = Record> {
    let small = prop_oneof![Just(0), any::<i64>()];
    let epoch = (any::<i32>(), small.clone())
        .prop_map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue { epoch, metadata_hash });
    let target = (any::<i32>(), small).prop_map(|(assignment_epoch, assignment_timestamp)| {
        ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp }
    });
    let regex = (vec(text(), 0..4), any::<i64>(), any::<i64>())
        .prop_map(|(topics, version, timestamp)| ConsumerGroupRegularExpressionValue { topics, version, timestamp });
    prop_oneof![
        (offset_key(), of(offset())).prop_map(|(key, value)| Record::OffsetCommit { key, value }),
        (text(), of(classic_group())).prop_map(|(group_id, value)| Record::GroupMetadata { group_id, value }),
        (text(), of(epoch)).prop_map(|(group_id, value)| Record::ConsumerGroupMetadata { group_id, value }),
        (text(), of(partition_metadata()))
            .prop_map(|(group_id, value)| Record::ConsumerGroupPartitionMetadata { group_id, value }),
        (text(), of(target))
            .prop_map(|(group_id, value)| Record::ConsumerGroupTargetAssignmentMetadata { group_id, value }),
        (text(), text(), of(regex)).prop_map(|(group_id, regular_expression, value)| {
            Record::ConsumerGroupRegularExpression { group_id, regular_expression, value }
        }),
    ]
}

fn of_member() -> impl Strategy<Value = Record> {
    prop_oneof![
        (text(), text(), of(member_metadata())).prop_map(|(group_id, member_id, value)| {
            Record::ConsumerGroupMemberMetadata { group_id, member_id, value }
        }),
        (text(), text(), of(target())).prop_map(|(group_id, member_id, value)| {
            Record::ConsumerGroupTargetAssignmentMember { group_id, member_id, value }
        }),
        (text(), text(), of(current())).prop_map(|(group_id, member_id, value)| {
            Record::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value }
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(record in prop_oneof![of_group(), of_member()]) {
        let (key, value) = record.encode().unwrap();
        prop_assert_eq!(Record::decode(&key, value.as_deref()), Ok(Decoded::Known(record)));
        for end in 0..key.len() {
            prop_assert!(Record::decode(&key[..end], value.as_deref()).is_err(), "key cut at {}", end);
        }
        let value = value.unwrap_or_default();
        for end in 0..value.len() {
            prop_assert!(Record::decode(&key, Some(&value[..end])).is_err(), "value cut at {}", end);
        }
    }

    #[test]
    fn noise_never_panics(
        record_type in 0i16..17,
        key in vec(any::<u8>(), 0..30),
        version in -1i16..6,
        value in vec(any::<u8>(), 0..80),
    ) {
        let key = [&record_type.to_be_bytes()[..], &key].concat();
        let value = [&version.to_be_bytes()[..], &value].concat();
        drop(Record::decode(&key, Some(&value)));
        drop(Record::decode(&value, Some(&key)));
    }

    #[test]
    fn damage_never_panics(record in prop_oneof![of_group(), of_member()], at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (key, value) = record.encode().unwrap();
        let mut value = value.unwrap_or_else(|| Bytes::from_static(&[0, 0])).to_vec();
        let at = at.index(value.len());
        value[at] = byte;
        drop(Record::decode(&key, Some(&value)));
    }
}

/// Bytes by hand: text with a length of two bytes, the rest as it stands.
macro_rules! bytes {
    ($($part:expr),* $(,)?) => { [$(Part::from($part).0),*].concat() };
}

struct Part(Vec<u8>);

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self([&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat())
    }
}

macro_rules! part_from {
    ($($kind:ty),*) => { $(impl From<$kind> for Part {
        fn from(value: $kind) -> Self {
            Self(value.to_be_bytes().to_vec())
        }
    })* };
}

part_from!(i8, i16, i32, i64);

fn decode(key: &[u8], value: &[u8]) -> Record {
    match Record::decode(key, Some(value)) {
        Ok(Decoded::Known(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn older_versions_of_an_offset() {
    let of = |leader_epoch, expire_timestamp| Record::OffsetCommit {
        key: OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 },
        value: Some(OffsetCommitValue {
            offset: 7,
            leader_epoch,
            metadata: "m".to_owned(),
            commit_timestamp: 9,
            expire_timestamp,
            topic_id: Uuid::nil(),
        }),
    };
    let key = bytes![1i16, "g", "t", 3i32];
    let legacy = bytes![0i16, "g", "t", 3i32];
    assert_eq!(decode(&legacy, &bytes![0i16, 7i64, "m", 9i64]), of(-1, -1));
    assert_eq!(decode(&key, &bytes![0i16, 7i64, "m", 9i64]), of(-1, -1));
    assert_eq!(decode(&key, &bytes![1i16, 7i64, "m", 9i64, 11i64]), of(-1, 11));
    assert_eq!(decode(&key, &bytes![2i16, 7i64, "m", 9i64]), of(-1, -1));
    assert_eq!(decode(&key, &bytes![3i16, 7i64, 5i32, "m", 9i64]), of(5, -1));
    assert_eq!(decode(&key, &bytes![4i16, 7i64, 5i32, 2i8, b'm' as i8, 9i64, 0i8]), of(5, -1));
    // An unknown tagged field, number 9 of two bytes, is passed over.
    assert_eq!(decode(&key, &bytes![4i16, 7i64, 5i32, 2i8, b'm' as i8, 9i64, 1i8, 9i8, 2i8, 77i16]), of(5, -1));

    // Written as Kafka writes them: version 1 with a time of expiry, 4 without.
    assert_eq!(of(-1, 11).encode().unwrap().1.unwrap(), bytes![1i16, 7i64, "m", 9i64, 11i64]);
    assert_eq!(of(5, -1).encode().unwrap().1.unwrap(), bytes![4i16, 7i64, 5i32, 2i8, b'm' as i8, 9i64, 0i8]);
    assert_eq!(of(5, -1).encode().unwrap().0, key);
}

#[test]
fn older_versions_of_a_group() {
    let of = |current_state_timestamp, instance: Option<&str>, rebalance_timeout| Record::GroupMetadata {
        group_id: "g".to_owned(),
        value: Some(GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation: 2,
            protocol: Some("range".to_owned()),
            leader: None,
            current_state_timestamp,
            members: vec![MemberMetadata {
                member_id: "m".to_owned(),
                group_instance_id: instance.map(str::to_owned),
                client_id: "c".to_owned(),
                client_host: "/h".to_owned(),
                rebalance_timeout,
                session_timeout: 30,
                subscription: Bytes::from_static(&[7]),
                assignment: Bytes::new(),
            }],
        }),
    };
    let key = bytes![2i16, "g"];
    let group = bytes!["consumer", 2i32, "range", -1i16];
    let end = bytes![30i32, 1i32, 7i8, 0i32];
    let cases = [
        ([bytes![0i16], group.clone(), bytes![1i32, "m", "c", "/h"], end.clone()].concat(), of(-1, None, -1)),
        ([bytes![1i16], group.clone(), bytes![1i32, "m", "c", "/h", 60i32], end.clone()].concat(), of(-1, None, 60)),
        (
            [bytes![2i16], group.clone(), bytes![5i64, 1i32, "m", "c", "/h", 60i32], end.clone()].concat(),
            of(5, None, 60),
        ),
        ([bytes![3i16], group, bytes![5i64, 1i32, "m", "i", "c", "/h", 60i32], end].concat(), of(5, Some("i"), 60)),
    ];
    for (value, expected) in &cases {
        assert_eq!(&decode(&key, value), expected);
    }
    let (value, record) = &cases[3];
    assert_eq!(record.encode().unwrap(), (key.clone().into(), Some(value.clone().into())));

    let empty = bytes![4i16, 1i8, 0i32, 0i8, 0i8, 5i64, 1i8, 0i8];
    let Record::GroupMetadata { value: Some(group), .. } = decode(&key, &empty) else { panic!("another record") };
    assert_eq!((group.protocol, group.leader, group.members.len()), (None, None, 0));
}

#[test]
fn what_is_not_known_is_told_apart() {
    for record_type in [-1i16, 9, 10, 15, 17, 22, 23, i16::MAX] {
        assert_eq!(Record::decode(&record_type.to_be_bytes(), None), Ok(Decoded::Unknown(record_type)));
    }
    assert_eq!(Record::decode(&[0], None), Err(RecordError::NoType));
    for (record_type, version) in [(0, 1), (1, 5), (2, 5), (3, 1), (16, 1), (1, -1)] {
        let key = bytes![record_type, "g", "t", 0i32];
        let error = RecordError::Version { record_type, version };
        assert_eq!(Record::decode(&key, Some(&version.to_be_bytes())), Err(error), "type {record_type}");
    }
}

#[test]
fn errors_name_the_type() {
    let said = |key: &[u8], value: Option<&[u8]>| Record::decode(key, value).unwrap_err().to_string();
    let table = [
        (said(&bytes![2i16, 5i16], None), "record of type 2, key: group cannot have length 5"),
        (said(&bytes![3i16, "g"], Some(&[])), "record of type 3, value: the bytes end inside version"),
        (said(&bytes![3i16, "g"], Some(&bytes![0i16, 1i16])), "record of type 3, value: the bytes end inside epoch"),
        (
            said(&bytes![1i16, "g", "t", 0i32], Some(&bytes![2i16, 7i64, -1i16])),
            "record of type 1, value: metadata is null",
        ),
    ];
    for (said, expected) in table {
        assert_eq!(said, expected);
    }
}

#[test]
fn text_too_long_for_its_length_is_not_written() {
    let tombstone = |size: usize| Record::ConsumerGroupMetadata { group_id: "x".repeat(size), value: None };
    assert!(tombstone(32767).encode().is_ok());
    assert!(matches!(tombstone(32768).encode(), Err(RecordError::Key { record_type: 3, .. })));
}
