use super::{offset_commit, offset_fetch};
use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use std::collections::BTreeMap;
use std::fmt::Debug;
use uuid::Uuid;

/// A name of sixteen bytes, and the id of the same bytes.
const NAME: &str = "0123456789abcdef";
const ID: Uuid = Uuid::from_u128(u128::from_be_bytes(*b"0123456789abcdef"));

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn future() -> BTreeMap<i32, Bytes> {
    BTreeMap::from([(7, Bytes::from_static(b"later")), (300, Bytes::new())])
}

fn commit() -> offset_commit::Request {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(1 << 40)
            .with_committed_leader_epoch(6)
    };
    let partitions = vec![partition(3).with_committed_metadata(Some(text("meta"))), partition(-4)];
    let topic = OffsetCommitRequestTopic::default().with_partitions(partitions);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_generation_id_or_member_epoch(5)
        .with_member_id(text("member"))
        .with_group_instance_id(Some(text("instance")))
        .with_topics(vec![topic.with_unknown_tagged_fields(future()), OffsetCommitRequestTopic::default()]);
    offset_commit::Request(request.with_unknown_tagged_fields(future()))
}

fn fetch() -> offset_fetch::Request {
    let group = |name| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(name)));
    let topic = OffsetFetchRequestTopics::default().with_partition_indexes(vec![0, 7, -1]);
    let groups = vec![
        group("all").with_topics(None).with_member_id(Some(text("member"))).with_member_epoch(9),
        group("some").with_topics(Some(vec![topic.with_unknown_tagged_fields(future())])),
        group("none").with_topics(Some(Vec::new())).with_unknown_tagged_fields(future()),
    ];
    offset_fetch::Request(OffsetFetchRequest::default().with_groups(groups).with_require_stable(true))
}

fn encoded<M: Encodable>(message: &M, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out, version).unwrap();
    assert_eq!(message.compute_size(version).unwrap(), out.len());
    out
}

fn decoded<M: Decodable>(bytes: &[u8], version: i16) -> M {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let message = M::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "bytes behind the message");
    message
}

fn round_trips<M: Encodable + Decodable + PartialEq + Debug>(message: &M, version: i16) {
    assert_eq!(decoded::<M>(&encoded(message, version), version), *message, "version {version}");
}

/// Version 9 as the codec writes it, with ids in place of the names that spell them, is version 10.
fn with_ids(version_9: &[u8]) -> Vec<u8> {
    let name = [&[NAME.len() as u8 + 1][..], NAME.as_bytes()].concat();
    let mut out = Vec::new();
    let mut rest = version_9;
    while let Some(at) = rest.windows(name.len()).position(|part| part == name) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(ID.as_bytes());
        rest = &rest[at + name.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn offset_commit_10_is_9_with_ids() {
    let (mut named, mut identified) = (commit(), commit());
    named.0.topics.iter_mut().for_each(|topic| topic.name = TopicName(text(NAME)));
    identified.0.topics.iter_mut().for_each(|topic| topic.topic_id = ID);
    assert_eq!(encoded(&identified, 10), with_ids(&encoded(&named, 9)));
    round_trips(&identified, 10);
    round_trips(&named, 9);
}

#[test]
fn offset_fetch_10_is_9_with_ids() {
    let (mut named, mut identified) = (fetch(), fetch());
    let topics = |request: &mut offset_fetch::Request| request.0.groups[1].topics.take().unwrap();
    named.0.groups[1].topics =
        Some(topics(&mut named).into_iter().map(|it| it.with_name(TopicName(text(NAME)))).collect());
    identified.0.groups[1].topics = Some(topics(&mut identified).into_iter().map(|it| it.with_topic_id(ID)).collect());
    assert_eq!(encoded(&identified, 10), with_ids(&encoded(&named, 9)));
    round_trips(&identified, 10);
    round_trips(&named, 9);
}

#[test]
fn what_a_version_cannot_say_is_left_out() {
    let mut request = commit();
    for topic in &mut request.0.topics {
        (topic.name, topic.topic_id) = (TopicName(text("name")), ID);
    }
    assert_eq!(decoded::<offset_commit::Request>(&encoded(&request, 10), 10).0.topics[0].name.as_str(), "");
    assert_eq!(decoded::<offset_commit::Request>(&encoded(&request, 9), 9).0.topics[0].topic_id, Uuid::nil());
}

#[test]
fn versions_end_with_10() {
    fn ends<R: Request + Default>(lowest: i16) {
        assert_eq!((R::VERSIONS.min, R::VERSIONS.max), (lowest, 10));
        assert_eq!(<R::Response as Message>::VERSIONS.max, 10);
        for version in lowest..=10 {
            let flexible = if R::KEY == 8 { version >= 8 } else { version >= 6 };
            let header = if flexible { (2, 1) } else { (1, 0) };
            assert_eq!((R::header_version(version), R::Response::header_version(version)), header, "{version}");
        }
        for version in [lowest - 1, 11] {
            assert!(R::default().encode(&mut Vec::new(), version).is_err(), "version {version}");
            assert!(R::decode(&mut Bytes::from(vec![0; 100]), version).is_err(), "version {version}");
        }
    }
    ends::<offset_commit::Request>(2);
    ends::<offset_fetch::Request>(1);
}

/// No cut is a message, and no byte that is wrong makes more of one than there are bytes.
#[test]
fn damage_is_an_error_or_another_message() {
    fn damage<M: Decodable + Encodable>(message: &M) {
        let whole = encoded(message, 10);
        for cut in 0..whole.len() {
            assert!(M::decode(&mut Bytes::copy_from_slice(&whole[..cut]), 10).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for lie in [&[0][..], &[0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xfe, 0xff, 0xff, 0xff, 0x7f]] {
                let mut bytes = Bytes::from([&whole[..at], lie, &whole[at + 1..]].concat());
                if let Ok(other) = M::decode(&mut bytes, 10) {
                    assert!(other.compute_size(10).unwrap() <= whole.len() + lie.len(), "{lie:x?} at {at}");
                }
            }
        }
    }
    damage(&commit());
    damage(&fetch());
}

#[test]
fn null_is_refused_where_it_may_not_be() {
    let whole = encoded(&commit(), 10);
    assert_eq!(whole[0], 6, "the group id's length");
    let null_group = [&[0][..], &whole[6..]].concat();
    let error = offset_commit::Request::decode(&mut Bytes::from(null_group), 10).unwrap_err();
    assert!(error.to_string().contains("null"), "{error}");
    assert!(offset_fetch::Request::decode(&mut Bytes::from_static(&[0, 0, 0]), 10).is_err(), "no groups");
    let not_text = [&[3, 0xff, 0xff][..], &whole[6..]].concat();
    assert!(offset_commit::Request::decode(&mut Bytes::from(not_text), 10).is_err());
}
