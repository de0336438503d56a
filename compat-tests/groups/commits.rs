//! Commits: what is kept of them, who may make them, who goes on from them; and groups as tools see them.

use super::judge;
use super::member::Member;
use crate::clients::{Admin, config, options};
use crate::common::{DEADLINE, Rng, until};
use crate::ledger::Numbered;
use crate::stage::Stage;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A consumer that is no member of its group unless it subscribes.
fn simple(bootstrap: &str, group: &str) -> BaseConsumer {
    let settings = [("group.id", group), ("enable.auto.commit", "false"), ("auto.offset.reset", "error")];
    config(bootstrap, &settings).create().unwrap()
}

/// An offset in the first partition of topic `t`.
fn at(offset: i64, metadata: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
    list.elements_for_topic("t")[0].set_metadata(metadata);
    list
}

/// What is committed in the three partitions of topic `t`.
fn committed(consumer: &BaseConsumer) -> Vec<(Offset, String)> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range("t", 0, 2);
    let found = until("committed offsets", || consumer.committed_offsets(asked.clone(), DEADLINE).ok());
    let found = found.elements().into_iter().map(|it| {
        it.error().unwrap();
        (it.offset(), it.metadata().to_string())
    });
    found.collect()
}

fn stage() -> Stage {
    let stage = Stage::new(&mut Rng::seeded(), &[]);
    Admin::at(&stage.direct()).create("t", 3, &[]);
    stage
}

#[test]
fn commits_are_kept() {
    let mut stage = stage();
    let producer = Numbered::idempotent(0, &stage.bootstrap(), "t");
    (0..20).for_each(|_| producer.send(Some(0), None));
    producer.finish();
    let none = (Offset::Invalid, String::new());
    let consumer = simple(&stage.bootstrap(), "g");
    assert_eq!(committed(&consumer), [none.clone(), none.clone(), none.clone()], "an unknown group has none");

    consumer.commit(&at(4, "käse"), CommitMode::Sync).unwrap();
    assert_eq!(committed(&consumer), [(Offset::Offset(4), "käse".into()), none.clone(), none.clone()]);
    (5..10).for_each(|offset| consumer.commit(&at(offset, "later"), CommitMode::Async).unwrap());
    // The client does not tell how these end.
    until("the last one is there", || (committed(&consumer)[0].0 == Offset::Offset(9)).then_some(()));
    stage.kill();
    stage.start();
    let expected = [(Offset::Offset(9), "later".into()), none.clone(), none];
    assert_eq!(committed(&consumer), expected, "after the broker was killed");

    // Another one goes on from there, and commits what it has seen: with the epoch that it was written in.
    let next = simple(&stage.bootstrap(), "g");
    let mut stored = TopicPartitionList::new();
    stored.add_partition_offset("t", 0, Offset::Stored).unwrap();
    next.assign(&stored).unwrap();
    let message = until("a message", || next.poll(Duration::from_millis(10)).and_then(Result::ok));
    assert_eq!(message.offset(), 9);
    next.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(message);
    assert_eq!(committed(&consumer)[0].0, Offset::Offset(10));

    let records = judge::records(&stage.direct(), "g");
    let commits = judge::commits(&records, "t", 0);
    assert_eq!(commits.iter().map(|it| it.offset).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(records.len(), commits.len(), "one record for a commit");
    let epochs: Vec<_> = commits.iter().map(|it| it.leader_epoch).collect();
    assert_eq!(epochs[..6], [-1; 6], "nobody said one");
    assert!(epochs[6] >= 0, "{epochs:?}");
    drop((consumer, next));
    stage.stop();
}

/// A request on a connection of its own, and its answer.
fn ask<Q: Request>(bootstrap: &str, version: i16, request: &Q) -> Q::Response {
    let mut frame = Vec::new();
    let header = RequestHeader::default().with_request_api_key(Q::KEY).with_request_api_version(version);
    header.encode(&mut frame, Q::header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    let mut stream = TcpStream::connect(bootstrap).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&frame).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut reply = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut reply).unwrap();
    let mut reply = bytes::Bytes::from(reply);
    ResponseHeader::decode(&mut reply, Q::Response::header_version(version)).unwrap();
    Q::Response::decode(&mut reply, version).unwrap()
}

/// The code for a commit of offset 1 in the name of a member.
fn commit_as(bootstrap: &str, member_id: &str, generation: i32) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let name = TopicName(StrBytes::from_static_str("t"));
    let topic = OffsetCommitRequestTopic::default().with_name(name).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_member_id(StrBytes::from_string(member_id.into()))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic]);
    ask(bootstrap, 9, &request).topics[0].partitions[0].error_code
}

fn member(stage: &Stage) -> Member {
    Member::start(&stage.bootstrap(), "g", "t", &[("client.id", "m"), ("partition.assignment.strategy", "range")])
}

#[test]
fn only_members_of_the_generation_commit() {
    let stage = stage();
    let first = member(&stage);
    let old = until("the first one has everything", || first.last().filter(|it| it.partitions.len() == 3));
    let second = member(&stage);
    let shared = |member: &Member| member.last().filter(|it| it.generation > old.generation && it.assigned);
    let now = until("they share", || shared(&first).and(shared(&second)).and(shared(&first)));
    assert_eq!(now.member_id, old.member_id);

    let code = |member_id: &str, generation| commit_as(&stage.direct(), member_id, generation);
    let (unknown, illegal) = (Code::UnknownMemberId as i16, Code::IllegalGeneration as i16);
    assert_eq!(code(&now.member_id, old.generation), illegal);
    assert_eq!(code(&now.member_id, now.generation + 1), illegal);
    assert_eq!(code("nobody", now.generation), unknown);
    assert_eq!(code("", -1), unknown);
    let bystander = simple(&stage.bootstrap(), "g");
    let refused = bystander.commit(&at(1, ""), CommitMode::Sync);
    assert_eq!(refused, Err(KafkaError::ConsumerCommit(Code::UnknownMemberId)));
    assert_eq!(committed(&bystander)[0].0, Offset::Invalid, "nothing came of all that");
    assert_eq!(code(&now.member_id, now.generation), 0);
    assert_eq!(committed(&bystander)[0].0, Offset::Offset(1));

    first.leave();
    second.leave();
    assert_eq!(code(&now.member_id, now.generation), unknown);
    // In a group without members everybody may.
    bystander.commit(&at(2, ""), CommitMode::Sync).unwrap();
    assert_eq!(committed(&bystander)[0].0, Offset::Offset(2));
    drop(bystander);
    stage.stop();
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let stage = stage();
    let simple = simple(&stage.bootstrap(), "s");
    simple.commit(&at(1, ""), CommitMode::Sync).unwrap();
    let member = member(&stage);
    until("it has everything", || member.last().filter(|it| it.partitions.len() == 3));
    let admin = Admin::at(&stage.direct());
    let describe = |group: Option<&str>| {
        let groups = admin.client.inner().fetch_group_list(group, DEADLINE).unwrap();
        let mut groups: Vec<_> = groups
            .groups()
            .iter()
            .map(|it| {
                let members: Vec<_> = it.members().iter().map(|member| member.client_id().to_string()).collect();
                [it.name(), it.state(), it.protocol_type(), it.protocol(), &members.join(",")].join(" ")
            })
            .collect();
        groups.sort();
        groups
    };
    assert_eq!(describe(None), ["g Stable consumer range m", "s Empty   "]);
    assert_eq!(describe(Some("g")), ["g Stable consumer range m"]);

    let delete = |group: &str| {
        let mut results = admin.wait(admin.client.delete_groups(&[group], &options()));
        results.remove(0).map(|_| ()).map_err(|(_, code)| code)
    };
    assert_eq!(delete("g"), Err(Code::NonEmptyGroup));
    assert_eq!(delete("never"), Err(Code::GroupIdNotFound));
    assert_eq!(delete("s"), Ok(()));
    assert_eq!(committed(&simple)[0].0, Offset::Invalid, "its offsets are gone with it");
    member.leave();
    assert_eq!(describe(None), ["g Empty consumer  "]);
    assert_eq!(delete("g"), Ok(()));
    assert_eq!(describe(None), [""; 0]);
    drop((admin, simple));
    stage.stop();
}
