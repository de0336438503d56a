//! Static members, regular expressions, offsets: who may do what.

use super::world::*;
use crate::coordinator::expressions::compile;
use crate::coordinator::group::request::{CommitOffset, CommitOffsets, FetchOffsets, Reply, Request};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use std::sync::Arc;
use uuid::Uuid;

fn as_instance(request: ConsumerGroupHeartbeatRequest, instance: &str) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text(instance)))
}

fn by_regex(member: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    join(member, &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(regex)))
}

#[test]
fn a_static_member_that_comes_back_takes_over_what_it_had() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 4);
    bench.heartbeat(as_instance(join("a", &["t"]), "i"));
    bench.heartbeat(join("b", &["t"]));
    let (_, kept) = told(&bench.heartbeat(owning("a", 1, &[(topic, &[0, 1, 2, 3])])));
    let kept = kept.unwrap();
    bench.heartbeat(as_instance(owning("a", 1, &[(topic, &kept[0].1)]), "i"));
    bench.heartbeat(beat("b", 2));
    assert_eq!((bench.state().name(), bench.epochs()), ("Stable", (2, 2)));

    // While it is there nobody else has its name, not even itself anew.
    for id in ["c", "a"] {
        let response = bench.heartbeat(as_instance(join(id, &["t"]), "i"));
        let message = format!(
            "Static member {id} with instance id i cannot join the group because the instance id is owned by a member."
        );
        assert_eq!(refused(&response), (ErrorCode::UnreleasedInstanceId, message.as_str()));
    }
    // It leaves for a while: nobody gets what it has.
    let response = bench.heartbeat(as_instance(beat("a", -2), "i"));
    assert_eq!((response.member_id.clone(), response.member_epoch), (Some(text("a")), -2));
    assert_eq!(kinds(&bench.records), ["CurrentMemberAssignment"]);
    assert!(bench.state().members["a"].current.assigned[&topic].values().all(|since| *since == 0));
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (2, None));
    // It is back under another id, and no epoch was counted up.
    assert_eq!(told(&bench.heartbeat(as_instance(join("c", &["t"]), "i"))), (2, Some(kept)));
    let expected = [
        "-CurrentMemberAssignment",
        "-TargetAssignmentMember",
        "-MemberMetadata",
        "MemberMetadata",
        "TargetAssignmentMember",
        "CurrentMemberAssignment",
        "CurrentMemberAssignment",
    ];
    assert_eq!(kinds(&bench.records), expected);
    assert_eq!((bench.state().name(), bench.epochs()), ("Stable", (2, 2)));
    let response = bench.heartbeat(as_instance(beat("a", 2), "i"));
    let message = "Static member a with instance id i was fenced by member c.";
    assert_eq!(refused(&response), (ErrorCode::FencedInstanceId, message));
    for epoch in [-1, -2] {
        let response = bench.heartbeat(as_instance(beat("a", epoch), "i"));
        assert_eq!(refused(&response), (ErrorCode::FencedInstanceId, message));
    }
}

#[test]
fn a_static_member_that_does_not_come_back_is_removed_after_its_session() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    bench.heartbeat(as_instance(join("a", &["t"]), "i"));
    bench.pass(10_000);
    bench.heartbeat(as_instance(beat("a", -2), "i"));
    bench.pass(34_999);
    assert_eq!(bench.state().members.len(), 1);
    bench.pass(1);
    assert_eq!(bench.state().members.len(), 0);
    let response = bench.heartbeat(as_instance(beat("a", 1), "i"));
    assert_eq!(refused(&response), (ErrorCode::UnknownMemberId, "Instance id i is unknown."));
    // Leaving for good.
    bench.heartbeat(as_instance(join("b", &["t"]), "i"));
    bench.heartbeat(as_instance(beat("b", -1), "i"));
    assert!(bench.state().members.is_empty() && bench.state().instances.is_empty());
}

#[test]
fn regular_expressions_match_whole_names_and_follow_the_topics() {
    let mut bench = Bench::new();
    let (ab, abc) = (bench.topic("ab", 1), bench.topic("abc", 1));
    assert_eq!(told(&bench.heartbeat(by_regex("a", "a.|c"))), (1, Some(vec![(ab, vec![0])])));
    let expected = [
        "MemberMetadata",
        "RegularExpression",
        "Metadata",
        "TargetAssignmentMember",
        "TargetAssignmentMetadata",
        "CurrentMemberAssignment",
    ];
    assert_eq!(kinds(&bench.records), expected);
    // New topics are seen, but not more often than every 10 s.
    let ac = bench.topic("ac", 1);
    bench.pass(10_000);
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (1, None));
    bench.pass(1);
    let (epoch, all) = told(&bench.heartbeat(beat("a", 1)));
    assert_eq!((epoch, all.unwrap().len()), (2, 2));
    bench.topic("other", 1);
    bench.pass(10_001);
    assert_eq!(told(&bench.heartbeat(beat("a", 2))), (2, None));
    assert!(bench.records.is_empty(), "what stands for the same is not written again");
    // Another expression takes the place of the first, whose record goes.
    let other = owning("a", 2, &[(ab, &[0]), (ac, &[0])]).with_subscribed_topic_regex(Some(text("abc")));
    assert_eq!(told(&bench.heartbeat(other)), (2, Some(vec![])));
    let expected = ["MemberMetadata", "-RegularExpression", "RegularExpression", "Metadata"];
    assert_eq!(kinds(&bench.records)[..4], expected);
    assert_eq!(told(&bench.heartbeat(owning("a", 2, &[]))), (3, Some(vec![(abc, vec![0])])));
    // Shared, it stays until the last has gone.
    bench.heartbeat(by_regex("b", "abc"));
    bench.heartbeat(beat("a", -1));
    assert_eq!(bench.state().regexes.len(), 1);
    bench.heartbeat(beat("b", -1));
    assert!(bench.state().regexes.is_empty() && bench.state().topics.is_empty());
    assert!(kinds(&bench.records).contains(&"-RegularExpression".to_owned()));
}

#[test]
fn an_expression_that_is_none_is_refused() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    for regex in ["(", "a)(b", "a{100000}{100000}", "[z-a]"] {
        let response = bench.heartbeat(by_regex("a", regex));
        let (code, message) = refused(&response);
        assert_eq!(code, ErrorCode::InvalidRegularExpression, "{regex}");
        let begin = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: ");
        assert!(message.starts_with(&begin), "{message}");
    }
    assert!(bench.log.is_empty());
    // A member may come without a wish.
    assert_eq!(told(&bench.heartbeat(by_regex("a", ""))), (1, Some(vec![])));
}

fn commit(bench: &mut Bench, member: &str, epoch: i32, version: i16, topic: Uuid, partitions: &[i32]) -> ErrorCode {
    let partition = |partition: &i32| CommitOffset {
        topic: "t".into(),
        topic_id: topic,
        partition: *partition,
        offset: 1,
        leader_epoch: -1,
        metadata: None,
    };
    let request = CommitOffsets {
        version,
        group_id: GROUP.into(),
        member_id: member.into(),
        generation_id_or_member_epoch: if epoch > 0 { epoch + 1 } else { epoch },
        retention_time_ms: -1,
        partitions: partitions.iter().map(partition).collect(),
        ..CommitOffsets::default()
    };
    match bench.ask(Request::CommitOffsets(request)) {
        Reply::CommitOffsets(committed) => committed.err().unwrap_or(ErrorCode::None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_commit_with_their_epoch_or_one_since_which_they_have_the_partition() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    assert_eq!(commit(&mut bench, "a", 1, 9, topic, &[0, 1]), ErrorCode::None);
    assert_eq!(commit(&mut bench, "a", 1, 8, topic, &[0]), ErrorCode::UnsupportedVersion);
    assert_eq!(commit(&mut bench, "b", 1, 9, topic, &[0]), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut bench, "", -1, 9, topic, &[0]), ErrorCode::UnknownMemberId, "it is not empty");
    bench.topic("t", 3);
    bench.heartbeat(beat("a", 1));
    assert_eq!(commit(&mut bench, "a", 3, 9, topic, &[0]), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut bench, "a", 2, 9, topic, &[0, 1, 2]), ErrorCode::None);
    // The answer with epoch 2 may be on its way.
    assert_eq!(commit(&mut bench, "a", 1, 9, topic, &[0, 1]), ErrorCode::None);
    assert_eq!(commit(&mut bench, "a", 1, 9, topic, &[2]), ErrorCode::StaleMemberEpoch, "of epoch 2");
    bench.heartbeat(join("b", &["t"]));
    let (_, kept) = told(&bench.heartbeat(owning("a", 2, &[(topic, &[0, 1, 2])])));
    assert_eq!(commit(&mut bench, "a", 2, 9, topic, &[0, 1, 2]), ErrorCode::None, "also what it has to give up");
    bench.heartbeat(owning("a", 2, &[(topic, &kept.unwrap()[0].1)]));
    assert_eq!(commit(&mut bench, "a", 2, 9, topic, &[0, 1, 2]), ErrorCode::StaleMemberEpoch, "given up");
    bench.heartbeat(beat("a", -1));
    bench.heartbeat(beat("b", -1));
    assert_eq!(commit(&mut bench, "", -1, 9, topic, &[0]), ErrorCode::None, "now it is empty");
}

#[test]
fn members_ask_for_offsets_with_their_epoch() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    bench.heartbeat(join("a", &["t"]));
    let cases = [
        (None, -1, ErrorCode::None),
        (Some("a"), 2, ErrorCode::None),
        (Some("a"), 0, ErrorCode::StaleMemberEpoch),
        (Some("b"), 1, ErrorCode::UnknownMemberId),
        (None, 1, ErrorCode::UnknownMemberId),
    ];
    for (member, member_epoch, expected) in cases {
        let member_id = member.map(str::to_owned);
        let fetch = FetchOffsets { group_id: GROUP.into(), member_id, member_epoch, ..FetchOffsets::default() };
        match bench.ask(Request::FetchOffsets(fetch)) {
            Reply::FetchOffsets(fetched) => assert_eq!(fetched.err().unwrap_or(ErrorCode::None), expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_group_is_deleted_when_it_is_empty_and_nothing_of_it_stays() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.heartbeat(join("a", &["t"]));
    commit(&mut bench, "a", 1, 9, topic, &[0]);
    let delete = || Request::DeleteGroup(GROUP.into());
    assert_eq!(bench.ask(delete()), Reply::DeleteGroup(ErrorCode::NonEmptyGroup));
    assert!(bench.records.is_empty());
    bench.heartbeat(beat("a", -1));
    assert_eq!(bench.ask(delete()), Reply::DeleteGroup(ErrorCode::None));
    assert!(bench.shard.group(GROUP).is_none() && bench.replica.group(GROUP).is_none());
    let expected = ["-TargetAssignmentMetadata", "-PartitionMetadata", "-Metadata"];
    assert!(kinds(&bench.records).ends_with(&expected.map(str::to_owned)), "{:?}", bench.records);
    assert_eq!(told(&bench.heartbeat(join("a", &["t"]))).0, 1);
    let group: Arc<str> = GROUP.into();
    assert!(bench.shard.groups().any(|(id, _)| *id == group));
}

#[test]
fn five_hundred_members_and_two_thousand_partitions_are_settled_in_time() {
    let mut settings = Bench::new().settings;
    settings.consumer.assignment_interval_ms = 1_000;
    let mut bench = Bench::with(settings);
    bench.quick = true;
    let topic = bench.topic("t", 2_000);
    let ids: Vec<String> = (0..500).map(|at| format!("m{at}")).collect();
    let began = std::time::Instant::now();
    let mut epochs: Vec<i32> = ids.iter().map(|id| counted(bench.heartbeat(join(id, &["t"])).member_epoch)).collect();
    let mut owned: Vec<Vec<i32>> = vec![Vec::new(); ids.len()];
    for round in 0..20 {
        bench.pass(1_000);
        for (at, id) in ids.iter().enumerate() {
            let (epoch, all) = told(&bench.heartbeat(owning(id, epochs[at], &[(topic, &owned[at])])));
            epochs[at] = epoch;
            if let Some(all) = all {
                owned[at] = all.into_iter().next().map(|(_, all)| all).unwrap_or_default();
            }
        }
        if round > 2 && bench.state().name() == "Stable" {
            break;
        }
    }
    assert_eq!(bench.state().name(), "Stable");
    assert!(owned.iter().all(|all| all.len() == 4));
    bench.check_replica();
    // Each step over all members or all partitions of all would be minutes.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn what_members_say_is_bounded() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let long = "n".repeat(30_000);
    let many: Vec<String> = (0..40).map(|at| format!("{long}{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused_code = |response| refused(&response).0;
    assert_eq!(
        refused_code(bench.heartbeat(join("a", &many))),
        ErrorCode::UnknownServerError,
        "no record could hold it"
    );
    let mut joined = 0;
    while refused(&bench.heartbeat(join(&format!("m{joined}"), &many[..30]))).0 == ErrorCode::None {
        joined += 1;
    }
    assert_eq!(joined, 9);
    assert_eq!(refused_code(bench.heartbeat(join("b", &many[..30]))), ErrorCode::GroupMaxSizeReached);
    assert_eq!(refused_code(bench.heartbeat(join("b", &["t"]))), ErrorCode::None, "one that says little");
}

#[test]
fn expressions_that_cost_much_are_refused() {
    for pattern in ["(?i)[\\0-\\u{10FFFF}]".repeat(100), "a".repeat(1_025), "\\w{500}".repeat(100)] {
        assert!(compile(&pattern).is_err(), "{pattern}");
    }
}
