//! The group coordinator over disks that stall, fill up and forget.

use super::*;
use crate::broker::Broker;
use crate::broker::stalling::Stalling;
use crate::catalog::{ConfigRules, Configs};
use crate::coordinator::Now;
use crate::coordinator::group::request::{Caller, CommitOffset, CommitOffsets, FetchOffsets, FetchedOffset};
use crate::log::disk::Files;
use crate::log::disk::memory::{LOSE_ALL, MemoryFiles};
use crate::time;
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use futures_util::FutureExt;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, HeartbeatRequest, JoinGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// Ends a hang; nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap()
}

fn open(files: impl Files + 'static) -> Arc<Broker> {
    open_with(files, &[])
}

fn open_with(files: impl Files + 'static, settings: &[(&str, &str)]) -> Arc<Broker> {
    let always = [("log.dirs", "/data"), ("offsets.topic.num.partitions", "1")];
    let config = BrokerConfig::from_pairs(always.iter().chain(settings).copied()).unwrap();
    let broker = Broker::open(Arc::new(files), config, 64).unwrap();
    for topic in [CONSUMER_OFFSETS, "t"] {
        broker.create_on_first_use(&[topic.to_owned()]).unwrap().remove(0).unwrap();
    }
    broker
}

fn commit(group_id: &str, topic: &str, offset: i64) -> Request {
    commit_of(Uuid::nil(), group_id, topic, offset)
}

fn commit_of(topic_id: Uuid, group_id: &str, topic: &str, offset: i64) -> Request {
    let partition =
        CommitOffset { topic: topic.into(), topic_id, partition: 0, offset, leader_epoch: -1, metadata: None };
    Request::CommitOffsets(CommitOffsets {
        version: 9,
        group_id: group_id.into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        partitions: vec![partition],
        ..CommitOffsets::default()
    })
}

fn fetch(group_id: &str) -> Request {
    Request::FetchOffsets(FetchOffsets { group_id: group_id.into(), member_epoch: -1, ..FetchOffsets::default() })
}

async fn committed(broker: &Broker, group_id: &str) -> Vec<(String, i64)> {
    match soon(broker.groups().ask(group_id, fetch(group_id))).await {
        Ok(Reply::FetchOffsets(Ok(offsets))) => {
            offsets.iter().map(|FetchedOffset { topic, offset, .. }| (topic.to_string(), *offset)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// A join of version 1: the member gets its id at once.
fn join(group_id: &str) -> Request {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(b"topics"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from(group_id.to_owned())))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(StrBytes::from_static_str("connect"))
        .with_protocols(vec![protocol]);
    let caller = Caller { version: 1, client_id: "c".into(), client_host: "/h".into() };
    Request::JoinGroup { caller, request, fresh_id: Uuid::new_v4() }
}

/// Generation and member id of a member that has joined alone.
async fn joined(broker: &Broker, group_id: &str) -> (i32, StrBytes) {
    match soon(broker.groups().ask(group_id, join(group_id))).await {
        Ok(Reply::JoinGroup(response)) if response.error_code == 0 => (response.generation_id, response.member_id),
        other => panic!("{other:?}"),
    }
}

fn accepted(reply: Result<Reply, Unavailable>) -> bool {
    reply == Ok(Reply::CommitOffsets(Ok(vec![ErrorCode::None])))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_before_it_is_durable_not_even_to_readers() {
    let files = Stalling::new();
    let broker = open(files.clone());
    assert!(accepted(soon(broker.groups().ask("g", commit("g", "t", 1))).await));
    files.stall(true);
    let mut writing = Box::pin(broker.groups().ask("g", commit("g", "t", 2)));
    assert!((&mut writing).now_or_never().is_none());
    let mut reading = Box::pin(broker.groups().ask("g", fetch("g")));
    for _ in 0..100 {
        assert!((&mut reading).now_or_never().is_none(), "an offset was told that is not durable");
        tokio::task::yield_now().await;
    }
    files.stall(false);
    assert!(accepted(soon(writing).await));
    assert!(soon(reading).await.is_ok());
    assert_eq!(committed(&broker, "g").await, [("t".to_owned(), 2)]);
    broker.stop().unwrap();
}

/// Whoever writes much waits for better times; a heartbeat that was turned away would cost a member its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_commits_are_turned_away_while_the_log_does_not_keep_up() {
    let files = Stalling::new();
    let broker = open_with(files.clone(), &[("offset.metadata.max.bytes", "30000")]);
    let (generation_id, member_id) = joined(&broker, "g").await;
    files.stall(true);
    let mut waiting = Vec::new();
    let much = || {
        let Request::CommitOffsets(mut commit) = commit("c", "t", 1) else { unreachable!() };
        commit.partitions[0].metadata = Some("m".repeat(30_000));
        commit.partitions = vec![commit.partitions.remove(0); 30];
        Request::CommitOffsets(commit)
    };
    let refused = loop {
        let mut committing = Box::pin(broker.groups().ask("c", much()));
        match (&mut committing).now_or_never() {
            None => waiting.push(committing),
            Some(answer) => break answer,
        }
    };
    assert_eq!(refused, Err(Unavailable::Congested));
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_generation_id(generation_id)
        .with_member_id(member_id);
    let mut beating = Box::pin(broker.groups().ask("g", Request::Heartbeat(heartbeat)));
    assert_eq!((&mut beating).now_or_never(), None, "taken, and answered when what came before is durable");
    files.stall(false);
    assert_eq!(soon(beating).await, Ok(Reply::Heartbeat(ErrorCode::None)));
    for committing in waiting {
        assert!(soon(committing).await.is_ok());
    }
    broker.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_the_loss_of_power() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    for group in ["a", "b", "c", "d"] {
        assert!(accepted(soon(broker.groups().ask(group, commit(group, "t", 7))).await));
    }
    let (generation, member_id) = joined(&broker, "members").await;
    assert_eq!(generation, 1);
    drop(broker);
    let broker = open(files.after_crash(LOSE_ALL));
    for group in ["a", "b", "c", "d"] {
        assert_eq!(committed(&broker, group).await, [("t".to_owned(), 7)], "{group}");
    }
    // The rebalance that was under way begins anew, and its generation is not given to another.
    let sync = SyncGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("members")))
        .with_generation_id(generation)
        .with_member_id(member_id);
    let caller = Caller { version: 3, ..Caller::default() };
    let synced = soon(broker.groups().ask("members", Request::SyncGroup { caller, request: sync })).await;
    let Ok(Reply::SyncGroup(refused)) = synced else { panic!("{synced:?}") };
    assert_eq!(refused.error_code, ErrorCode::RebalanceInProgress.code());
    // The member does not come back.
    broker.groups().fire(Now { monotonic: time::monotonic() + 61_000, wall: time::wall() + 61_000 });
    assert_eq!(joined(&broker, "members").await.0, 3, "1 was told, 2 is the empty group that the old member left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_log_takes_the_shard_with_it_and_it_comes_back() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    assert!(accepted(soon(broker.groups().ask("g", commit("g", "t", 1))).await));
    // Parked: it waits for the other member of its group.
    joined(&broker, "members").await;
    let mut parked = Box::pin(broker.groups().ask("members", join("members")));
    assert!((&mut parked).now_or_never().is_none());
    files.set_space(Some(0));
    let refused = soon(broker.groups().ask("g", commit("g", "t", 2))).await;
    assert_eq!(refused, Err(Unavailable::Gone));
    assert_eq!(soon(parked).await, Err(Unavailable::Gone), "who waits in the shard is sent away with it");
    files.set_space(None);
    while broker.groups().ask("g", fetch("g")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(committed(&broker, "g").await, [("t".to_owned(), 1)], "what was refused is not there");
    assert!(accepted(soon(broker.groups().ask("g", commit("g", "t", 3))).await));
    assert_eq!(committed(&broker, "g").await, [("t".to_owned(), 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_sends_away_who_waits_for_others() {
    let broker = open(MemoryFiles::new());
    joined(&broker, "g").await;
    let mut parked = Box::pin(broker.groups().ask("g", join("g")));
    assert!((&mut parked).now_or_never().is_none());
    broker.groups().stop();
    assert_eq!(soon(parked).await, Err(Unavailable::Stopping));
    assert_eq!(soon(broker.groups().ask("g", fetch("g"))).await, Err(Unavailable::Stopping));
    // One that was never asked for is stopped too.
    for group in ["a", "b", "c", "d"] {
        assert_eq!(soon(broker.groups().ask(group, fetch(group))).await, Err(Unavailable::Stopping));
    }
    broker.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_deleted_topics_go_and_so_do_all_with_their_own_topic() {
    let broker = open(MemoryFiles::new());
    for topic in ["kept", "gone"] {
        broker.create_on_first_use(&[topic.to_owned()]).unwrap().remove(0).unwrap();
        assert!(accepted(soon(broker.groups().ask("g", commit("g", topic, 5))).await));
    }
    soon(broker.groups().topics_deleted(&[("gone".into(), Uuid::from_u128(9)), ("other".into(), Uuid::nil())].into()))
        .await;
    assert_eq!(committed(&broker, "g").await, [("kept".to_owned(), 5)]);

    let own = broker.groups().topic().unwrap();
    let (deleted, _) = broker.catalog().update(|draft| draft.delete_topic(own.id)).unwrap();
    deleted.unwrap();
    broker.remove_topic(&own).unwrap();
    assert_eq!(soon(broker.groups().ask("g", fetch("g"))).await, Err(Unavailable::Gone));
    broker.create_on_first_use(&[CONSUMER_OFFSETS.to_owned()]).unwrap().remove(0).unwrap();
    assert_eq!(committed(&broker, "g").await, []);
    assert!(accepted(soon(broker.groups().ask("g", commit("g", "kept", 1))).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_topic_that_went_unseen_go_when_they_are_loaded() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    let id = broker.catalog().image().topic("t").unwrap().id;
    assert!(accepted(soon(broker.groups().ask("g", commit_of(id, "g", "t", 5))).await));
    assert!(accepted(soon(broker.groups().ask("g", commit("g", CONSUMER_OFFSETS, 6))).await));
    let (deleted, _) = broker.catalog().update(|draft| draft.delete_topic(id)).unwrap();
    deleted.unwrap();
    drop(broker);
    let broker = open(files.after_crash(LOSE_ALL));
    // By now there is another topic of its name.
    assert_ne!(broker.catalog().image().topic("t").unwrap().id, id);
    assert_eq!(committed(&broker, "g").await, [(CONSUMER_OFFSETS.to_owned(), 6)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_groups_makes_no_folders() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    broker.groups().load();
    assert_eq!(soon(broker.groups().list()).await, Ok(Vec::new()));
    assert_eq!(committed(&broker, "g").await, []);
    let folders =
        || files.contents().into_keys().filter(|path| path.to_string_lossy().contains(CONSUMER_OFFSETS)).count();
    assert_eq!(folders(), 0);
    assert!(accepted(soon(broker.groups().ask("g", commit("g", "t", 1))).await));
    assert!(folders() > 0);
    let listed = soon(broker.groups().list()).await.unwrap();
    assert!(matches!(&listed[..], [one] if one.group_id == "g" && one.state == "Empty"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_go_off_though_nobody_asks() {
    let broker = open(MemoryFiles::new());
    let running = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.groups().run().await })
    };
    // The second join waits for the first member, which never comes back: its rebalance timeout is what ends it.
    let mut request = join("g");
    if let Request::JoinGroup { request, .. } = &mut request {
        request.rebalance_timeout_ms = 50;
    }
    soon(broker.groups().ask("g", request.clone())).await.unwrap();
    let second = soon(broker.groups().ask("g", request)).await;
    assert!(
        matches!(second, Ok(Reply::JoinGroup(response)) if response.error_code == 0 && response.generation_id == 2)
    );
    running.abort();
}

/// The heartbeat interval that a new member of a consumer group is told.
async fn told_interval(broker: &Broker, group_id: &str) -> i32 {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(StrBytes::from(group_id.to_owned())))
        .with_member_id(StrBytes::from(Uuid::new_v4().to_string()))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![StrBytes::from_static_str("t").into()]))
        .with_topic_partitions(Some(vec![]));
    let caller = Caller { version: 1, client_id: "c".into(), client_host: "/h".into() };
    let beating = Request::ConsumerGroupHeartbeat { caller, request, fresh_id: Uuid::new_v4() };
    match soon(broker.groups().ask(group_id, beating)).await {
        Ok(Reply::ConsumerGroupHeartbeat(response)) if response.error_code == 0 => response.heartbeat_interval_ms,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_heeds_settings_of_its_own_at_once_and_after_a_restart() {
    let files = MemoryFiles::new();
    let broker = open(files.clone());
    assert_eq!(told_interval(&broker, "g").await, 5_000);
    let configs = Configs::from([
        ("consumer.heartbeat.interval.ms".to_owned(), "14000".to_owned()),
        ("consumer.session.timeout.ms".to_owned(), "50000".to_owned()),
    ]);
    let set =
        |rules: ConfigRules<'_>| broker.catalog().update(|draft| draft.replace_group_configs("g", configs, rules));
    broker.with_group_config_rules(set).unwrap().0.unwrap();
    assert_eq!((told_interval(&broker, "g").await, told_interval(&broker, "h").await), (14_000, 5_000));
    broker.stop().unwrap();

    let broker = open(files.after_crash(LOSE_ALL));
    assert_eq!((told_interval(&broker, "g").await, told_interval(&broker, "h").await), (14_000, 5_000));
    broker.stop().unwrap();

    // A setting that the broker has come to exclude acts as its bound.
    let broker = open_with(files.after_crash(LOSE_ALL), &[("group.consumer.max.heartbeat.interval.ms", "9000")]);
    assert_eq!(told_interval(&broker, "g").await, 9_000);
    broker.stop().unwrap();
}
