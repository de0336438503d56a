//! Members of the classic protocol in consumer groups, and groups that change over, both ways.

use super::classic::*;
use super::world::*;
use crate::coordinator::group::request::Reply;
use crate::coordinator::group::settings::MigrationPolicy;
use crate::coordinator::group::{Group, classic};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use uuid::Uuid;

fn code(code: ErrorCode) -> i16 {
    code.code()
}

fn is_classic(bench: &Bench) -> bool {
    matches!(bench.shard.group(GROUP), Some(Group::Classic(_)))
}

/// Epochs are told as they are here: a group that was classic goes on from its generation.
fn told(response: &ConsumerGroupHeartbeatResponse) -> (i32, Option<Told>) {
    (response.member_epoch, assigned(response))
}

fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    super::world::beat(member, counted(epoch))
}

fn owning(member: &str, epoch: i32, owned: &[(Uuid, &[i32])]) -> ConsumerGroupHeartbeatRequest {
    super::world::owning(member, counted(epoch), owned)
}

#[test]
fn a_classic_group_changes_over_member_by_member_and_nothing_is_lost() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    // The first of the new protocol: the group is a consumer group, in which the old member has what it had.
    assert_eq!(told(&bench.heartbeat(join("new", &["t"]))), (2, Some(vec![])));
    let expected = [
        "-GroupMetadata",
        "MemberMetadata",
        "Metadata",
        "TargetAssignmentMember",
        "TargetAssignmentMetadata",
        "CurrentMemberAssignment",
        "MemberMetadata",
        "Metadata",
    ];
    assert_eq!(kinds(&bench.records)[..8], expected);
    let described = bench.group().describe(GROUP, &bench.settings.consumer, &bench.topics());
    let mut types: Vec<(String, i8)> =
        described.members.iter().map(|member| (member.member_id.to_string(), member.member_type)).collect();
    types.sort();
    assert_eq!(types, [(old.clone(), 0), ("new".to_owned(), 1)]);
    // The old one learns that it has to join again, gives one up, joins once more.
    assert_eq!(bench.classic_beat(&old, 1), ErrorCode::RebalanceInProgress);
    let joined = bench.join(join_request(&old, &["t"], &[("t", &[0, 1])]));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1), "it has to give up first");
    assert_eq!(joined.protocol_name, Some(text("range")));
    assert_eq!((joined.leader.as_str(), joined.members.len()), ("", 0));
    let synced = bench.sync(&old, 1, &[]);
    let kept = read(&synced.assignment);
    assert_eq!((synced.error_code, kept[0].1.len()), (0, 1));
    assert_eq!(bench.classic_beat(&old, 1), ErrorCode::RebalanceInProgress, "and say so");
    assert_eq!(told(&bench.heartbeat(beat("new", 2))), (2, None));
    let joined = bench.join(join_request(&old, &["t"], &[("t", &kept[0].1)]));
    assert_eq!(joined.generation_id, 2);
    assert_eq!(read(&bench.sync(&old, 2, &[]).assignment), kept);
    assert_eq!(bench.classic_beat(&old, 2), ErrorCode::None);
    let (_, rest) = told(&bench.heartbeat(beat("new", 2)));
    let rest = rest.unwrap();
    assert_eq!((rest[0].0, rest[0].1.len()), (topic, 1));
    assert_ne!(rest[0].1, kept[0].1);
    bench.crash();
    assert_eq!(bench.classic_beat(&old, 2), ErrorCode::None);
    // The old one goes; the group is all new.
    assert_eq!(bench.classic_leave(&[(&old, None)]), [0]);
    assert_eq!(told(&bench.heartbeat(beat("new", 2))), (3, Some(vec![(topic, vec![0, 1])])));
}

#[test]
fn the_group_becomes_classic_again_when_the_last_of_the_new_protocol_goes() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    bench.heartbeat(join("new", &["t"]));
    bench.join(join_request(&old, &["t"], &[("t", &[0, 1])]));
    let kept = read(&bench.sync(&old, 1, &[]).assignment);
    bench.join(join_request(&old, &["t"], &[("t", &kept[0].1)]));
    bench.sync(&old, 2, &[]);
    bench.heartbeat(beat("new", -1));
    assert!(is_classic(&bench));
    assert!(matches!(bench.replica.group(GROUP), Some(Group::Classic(_))));
    assert_eq!(kinds(&bench.records).last().map(String::as_str), Some("GroupMetadata"), "after all tombstones");
    // It keeps what it has, and is asked to join again.
    let Some(Group::Classic(group)) = bench.shard.group(GROUP) else { panic!() };
    assert_eq!((group.generation(), group.protocol()), (2, Some("range")));
    assert_eq!(read(&group.member(&old).unwrap().assignment), kept);
    assert_eq!(bench.classic_beat(&old, 2), ErrorCode::RebalanceInProgress);
    let (ticket, replies) = bench.send_join(9, join_request(&old, &["t"], &[]));
    let joined = join_reply(ticket, replies);
    assert_eq!((joined.generation_id, joined.leader.as_str()), (3, old.as_str()));
    bench.crash();
    assert!(is_classic(&bench));
}

#[test]
fn a_crash_after_the_group_became_classic_again_has_its_members_join() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    bench.heartbeat(join("new", &["t"]));
    bench.join(join_request(&old, &["t"], &[("t", &[0, 1])]));
    let kept = read(&bench.sync(&old, 1, &[]).assignment);
    bench.join(join_request(&old, &["t"], &[("t", &kept[0].1)]));
    bench.sync(&old, 2, &[]);
    bench.heartbeat(beat("new", -1));
    assert!(is_classic(&bench));
    bench.crash();
    // Else nobody would have what the other one had.
    assert_ne!(bench.classic_beat(&old, 2), ErrorCode::None);
    let (ticket, replies) = bench.send_join(9, join_request(&old, &["t"], &[]));
    assert!(join_reply(ticket, replies).generation_id > 3);
}

#[test]
fn who_rebalances_cooperatively_keeps_what_it_has_when_the_group_changes_over() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    // In the middle of a rebalance nothing is assigned, but it goes on reading.
    bench.topic("t", 3);
    let (_, replies) = bench.send_join(9, join_request(&old, &["t"], &[("t", &[0, 1])]));
    assert!(!replies.is_empty(), "it is alone");
    let (_, assigned) = told(&bench.heartbeat(join("new", &["t"])));
    assert_eq!(assigned, Some(vec![(topic, vec![2])]), "what nobody has");
}

#[test]
fn a_reload_does_not_hold_classic_members_to_the_other_protocols_timers() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    bench.heartbeat(join("new", &["t"]));
    bench.join(join_request(&old, &["t"], &[("t", &[0, 1])]));
    bench.crash();
    let kept = read(&bench.sync(&old, 1, &[]).assignment);
    bench.join(join_request(&old, &["t"], &[("t", &kept[0].1)]));
    bench.sync(&old, 2, &[]);
    for _ in 0..10 {
        bench.pass(5_000);
        assert_eq!(bench.classic_beat(&old, 2), ErrorCode::None);
        bench.heartbeat(beat("new", 2));
    }
}

#[test]
fn a_static_member_goes_back_to_the_classic_protocol() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    bench.heartbeat(join("new", &["t"]).with_instance_id(Some(text("i"))));
    let request = join_request("", &["t"], &[]).with_group_instance_id(Some(text("i")));
    let joined = bench.join(request);
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert!(is_classic(&bench));
    let Some(Group::Classic(group)) = bench.shard.group(GROUP) else { panic!() };
    let member = group.member(&joined.member_id).expect("under its new id");
    assert_eq!(read(&member.assignment), named("t", &[0, 1]));
    assert_eq!(group.static_member("i").as_deref(), Some(joined.member_id.as_str()));
}

#[test]
fn who_waits_in_a_classic_group_that_changes_over_is_told_to_join_again() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let old = bench.classic_group("t", &[0, 1]);
    let response = bench.join(join_request("", &["t"], &[]));
    let second = response.member_id.to_string();
    let (ticket, replies) = bench.send_join(9, join_request(&second, &["t"], &[]));
    assert!(replies.is_empty(), "it waits for the first");
    let (_, replies) = {
        let caller = crate::coordinator::group::request::Caller { version: 1, ..Default::default() };
        let fresh_id = bench.fresh_id();
        let request = join("new", &["t"]);
        bench.request(crate::coordinator::group::request::Request::ConsumerGroupHeartbeat { caller, request, fresh_id })
    };
    let waited = replies.iter().find(|(of, _)| *of == ticket).map(|(_, reply)| reply.clone());
    let Some(Reply::JoinGroup(refused)) = waited else { panic!("{replies:?}") };
    assert_eq!(refused.error_code, code(ErrorCode::RebalanceInProgress));
    assert_eq!(bench.state().classic_members, 2);
    assert_eq!(bench.classic_beat(&old, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn groups_change_over_only_where_they_may() {
    let refused_with = |bench: &mut Bench, why: &str| {
        let before = bench.log.len();
        let response = bench.heartbeat(join("new", &["t"]));
        let message = format!("Cannot upgrade classic group g to consumer group because {why}.");
        assert_eq!(refused(&response), (ErrorCode::GroupIdNotFound, message.as_str()));
        assert_eq!(bench.log.len(), before);
        assert!(is_classic(bench));
    };
    let mut settings = Bench::new().settings;
    settings.consumer.migration = MigrationPolicy::Downgrade;
    let mut bench = Bench::with(settings.clone());
    bench.topic("t", 1);
    bench.classic_group("t", &[0]);
    refused_with(&mut bench, "online upgrade is disabled");
    assert_eq!(
        refused(&bench.heartbeat(beat("new", 3))),
        (ErrorCode::GroupIdNotFound, "Group g is not a consumer group.")
    );

    settings.consumer.migration = MigrationPolicy::Bidirectional;
    let mut bench = Bench::with(settings.clone());
    bench.topic("t", 1);
    let old = bench.classic_group("t", &[0]);
    bench.sync(&old, 1, &[]);
    let joined = bench.join(join_request(&old, &["t"], &[]).with_protocols(vec![]));
    assert_ne!(joined.error_code, 0);

    // An assignor of the clients' own keeps data that would be lost.
    let mut bench = Bench::with(settings.clone());
    bench.topic("t", 1);
    let id = bench.join(join_request("", &["t"], &[])).member_id.to_string();
    let (ticket, replies) = bench.send_join(9, join_request(&id, &["t"], &[]));
    let replies = if replies.is_empty() { bench.pass(10) } else { replies };
    assert_eq!(join_reply(ticket, replies).generation_id, 1);
    bench.sync(&id, 1, &[(&id, assignment(&[("t", &[0])], Some(b"sticky")))]);
    let why = "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
               assignor before re-attempting the upgrade";
    refused_with(&mut bench, why);

    // Without a way back the group stays what it is.
    settings.consumer.migration = MigrationPolicy::Upgrade;
    let mut bench = Bench::with(settings);
    bench.topic("t", 1);
    let old = bench.classic_group("t", &[0]);
    bench.heartbeat(join("new", &["t"]));
    bench.heartbeat(beat("new", -1));
    assert!(!is_classic(&bench));
    assert_eq!(bench.state().epoch, 3);
    assert_eq!(bench.classic_beat(&old, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn empty_groups_are_replaced_either_way_and_their_offsets_stay() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.heartbeat(join("new", &["t"]));
    bench.heartbeat(beat("new", -1));
    let unknown = bench.join(join_request("somebody", &["t"], &[]));
    assert_eq!(unknown.error_code, code(ErrorCode::UnknownMemberId));
    assert!(!is_classic(&bench));
    let old = bench.classic_group("t", &[0]);
    assert!(is_classic(&bench));
    bench.classic_leave(&[(&old, None)]);
    let Some(Group::Classic(group)) = bench.shard.group(GROUP) else { panic!() };
    assert_eq!(group.state(), classic::State::Empty);
    assert_eq!(told(&bench.heartbeat(join("new", &["t"]))), (2, Some(vec![(topic, vec![0])])));
    assert_eq!(kinds(&bench.records)[0], "-GroupMetadata");
    bench.crash();
    assert_eq!(told(&bench.heartbeat(beat("new", 2))), (2, None));
}

#[test]
fn members_of_the_classic_protocol_are_held_to_its_rules() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    bench.heartbeat(join("new", &["t"]));
    let asked = bench.join(join_request("", &["t"], &[]));
    assert_eq!(asked.error_code, code(ErrorCode::MemberIdRequired));
    let other = join_request("", &["t"], &[]).with_protocol_type(text("connect"));
    assert_eq!(bench.join(other).error_code, code(ErrorCode::InconsistentGroupProtocol));
    let mut broken = join_request("x", &["t"], &[]);
    broken.protocols[0].metadata = vec![0, 0, 0x7f, 0xff, 0xff, 0xff].into();
    assert_eq!(bench.join(broken).error_code, code(ErrorCode::UnknownServerError));
    let id = asked.member_id.to_string();
    let joined = bench.join(join_request(&id, &["t"], &[]));
    assert_eq!((joined.error_code, joined.generation_id), (0, 3));
    // One that shares no protocol with it.
    let mut other = join_request("y", &["t"], &[]);
    other.protocols[0].name = text("other");
    assert_eq!(bench.join(other).error_code, code(ErrorCode::InconsistentGroupProtocol));

    assert_eq!(bench.sync("new", 2, &[]).error_code, code(ErrorCode::UnknownMemberId));
    assert_eq!(bench.sync(&id, 2, &[]).error_code, code(ErrorCode::IllegalGeneration));
    assert_eq!(bench.classic_beat("new", 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.classic_beat("nobody", 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.classic_beat(&id, 4), ErrorCode::IllegalGeneration);
    assert_eq!(bench.sync(&id, 3, &[]).error_code, 0);
    assert_eq!(bench.classic_beat(&id, 3), ErrorCode::None, "it waits for what another has");
    // The other gives it up: join to get it.
    let topic = topic_id("t", 1);
    let (_, kept) = told(&bench.heartbeat(owning("new", 2, &[(topic, &[0, 1])])));
    bench.heartbeat(owning("new", 2, &[(topic, &kept.unwrap()[0].1)]));
    assert_eq!(bench.classic_beat(&id, 3), ErrorCode::RebalanceInProgress);
    let joined = bench.join(join_request(&id, &["t"], &[]));
    assert_eq!(joined.generation_id, 3);
    assert_eq!(read(&bench.sync(&id, 3, &[]).assignment)[0].1.len(), 1);
    assert_eq!(bench.classic_beat(&id, 3), ErrorCode::None);
    let unknown = code(ErrorCode::UnknownMemberId);
    assert_eq!(
        bench.classic_leave(&[("nobody", None), ("", Some("i")), (&id, None), ("new", None)]),
        [unknown, unknown, 0, 0]
    );
    assert!(bench.state().members.is_empty());
}

#[test]
fn members_of_the_classic_protocol_have_timers_of_their_own() {
    let start = || {
        let mut bench = Bench::new();
        bench.topic("t", 2);
        bench.heartbeat(join("new", &["t"]));
        bench.join(join_request("old", &["t"], &[]));
        bench
    };
    // Its own session.
    let mut bench = start();
    bench.pass(9_999);
    assert_eq!(bench.state().members.len(), 2);
    bench.pass(1);
    assert_eq!(bench.state().members.len(), 1);
    // It must sync.
    let mut bench = start();
    for _ in 0..5 {
        bench.pass(5_900);
        bench.classic_beat("old", 3);
        bench.heartbeat(beat("new", 2));
    }
    assert_eq!(bench.state().members.len(), 2);
    bench.pass(500);
    assert_eq!(bench.state().members.len(), 1, "30 s are over");
    // It must join when it is told to.
    let mut bench = start();
    bench.sync("old", 3, &[]);
    bench.topic("t", 4);
    let topic = topic_id("t", 1);
    let (_, kept) = told(&bench.heartbeat(owning("new", 2, &[(topic, &[0, 1])])));
    let kept: Vec<i32> = kept.unwrap().into_iter().next().map(|(_, kept)| kept).unwrap_or_default();
    let epoch = bench.heartbeat(owning("new", 2, &[(topic, &kept)])).member_epoch;
    for _ in 0..5 {
        assert_eq!(bench.classic_beat("old", 3), ErrorCode::RebalanceInProgress);
        bench.heartbeat(beat("new", epoch));
        bench.pass(5_900);
    }
    bench.classic_beat("old", 3);
    assert!(bench.state().members.contains_key("old"));
    bench.pass(500);
    assert!(!bench.state().members.contains_key("old"), "30 s are over");
}
