//! Rules of heartbeats, one by one.

use super::world::*;
use crate::coordinator::group::Group;
use crate::coordinator::group::request::{Reply, Request};
use crate::coordinator::group::settings::GroupOverrides;
use crate::wire::errors::ErrorCode;

#[test]
fn requests_that_make_no_sense_are_refused_in_kafkas_words() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let valid = || join("m", &["t"]);
    let cases = [
        (1, join("", &["t"]), "MemberId can't be empty."),
        (0, beat("", 5), "MemberId can't be empty."),
        (0, beat("", -1), "MemberId can't be empty."),
        (1, valid().with_group_id(Default::default()), "GroupId can't be empty."),
        (1, valid().with_instance_id(Some(text(""))), "InstanceId can't be empty."),
        (1, valid().with_rack_id(Some(text(" "))), "RackId can't be empty."),
        (1, valid().with_rebalance_timeout_ms(-1), "RebalanceTimeoutMs must be provided in first request."),
        (1, valid().with_topic_partitions(None), "TopicPartitions must be empty when (re-)joining."),
        (
            1,
            valid().with_subscribed_topic_names(None),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (1, beat("m", -2), "InstanceId can't be null."),
        (1, beat("m", -3), "MemberEpoch is invalid."),
    ];
    for (version, request, message) in cases {
        let response = bench.heartbeat_of(version, request);
        assert_eq!(refused(&response), (ErrorCode::InvalidRequest, message));
    }
    let response = bench.heartbeat(valid().with_server_assignor(Some(text("sticky"))));
    let message = "ServerAssignor sticky is not supported. Supported assignors: uniform, range.";
    assert_eq!(refused(&response), (ErrorCode::UnsupportedAssignor, message));
    assert!(bench.shard.group(GROUP).is_none(), "nothing was made");
    assert!(bench.log.is_empty());
}

#[test]
fn a_member_alone_gets_everything_at_once_and_records_are_in_kafkas_order() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 3);
    let response = bench.heartbeat(join("a", &["t", "not there"]));
    assert_eq!(told(&response), (1, Some(vec![(topic, vec![0, 1, 2])])));
    assert_eq!(response.heartbeat_interval_ms, 5_000);
    assert_eq!(response.member_id, Some(text("a")));
    let expected =
        ["MemberMetadata", "Metadata", "TargetAssignmentMember", "TargetAssignmentMetadata", "CurrentMemberAssignment"];
    assert_eq!(kinds(&bench.records), expected);
    assert_eq!(bench.state().name(), "Stable");

    // Nothing new: nothing is told, nothing written.
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (1, None));
    assert!(bench.records.is_empty());
    // A full request is told all.
    let full = owning("a", 1, &[(topic, &[0, 1, 2])])
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(names(&["t", "not there"]));
    assert_eq!(told(&bench.heartbeat(full)), (1, Some(vec![(topic, vec![0, 1, 2])])));
    assert!(bench.records.is_empty());
}

#[test]
fn in_version_0_the_coordinator_makes_the_member_id() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let response = bench.heartbeat_of(0, join("", &["t"]));
    assert_eq!(response.member_id, Some(text("AAAAAAAAAAAAAAAAAAAAAQ")), "a uuid as Kafka prints it");
    assert_eq!(told(&bench.heartbeat_of(0, beat("AAAAAAAAAAAAAAAAAAAAAQ", 1))), (1, None));
}

#[test]
fn partitions_go_to_a_new_member_only_after_their_owner_has_given_them_up() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 4);
    bench.heartbeat(join("a", &["t"]));
    // b is in the epoch of the target and waits.
    assert_eq!(told(&bench.heartbeat(join("b", &["t"]))), (2, Some(vec![])));
    assert_eq!(bench.state().name(), "Reconciling");
    // a stays in its epoch and is told to keep half.
    let all: &[i32] = &[0, 1, 2, 3];
    let (epoch, kept) = told(&bench.heartbeat(owning("a", 1, &[(topic, all)])));
    let kept = kept.unwrap()[0].1.clone();
    assert_eq!((epoch, kept.len()), (1, 2));
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (2, None), "not given up yet");
    assert_eq!(told(&bench.heartbeat(owning("a", 1, &[(topic, all)]))), (1, None), "still owned");
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (1, None), "says nothing of what it owns");
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (2, None));
    // a says what is left: it goes to the epoch of the target.
    assert_eq!(told(&bench.heartbeat(owning("a", 1, &[(topic, &kept)]))), (2, None));
    let rest: Vec<i32> = all.iter().copied().filter(|partition| !kept.contains(partition)).collect();
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (2, Some(vec![(topic, rest)])));
    assert_eq!(bench.state().name(), "Stable");
    assert_eq!(bench.epochs(), (2, 2));
}

#[test]
fn an_epoch_is_accepted_once_more_if_its_answer_may_have_been_lost() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    // Unknown epochs, both ways.
    let greater = bench.heartbeat(beat("a", 2));
    let message = "The consumer group member has a greater member epoch (3) than the one known by the group \
                   coordinator (2). The member must abandon all its partitions and rejoin.";
    assert_eq!(refused(&greater), (ErrorCode::FencedMemberEpoch, message));
    // The join may be repeated.
    assert_eq!(told(&bench.heartbeat(join("a", &["t"]))), (1, Some(vec![(topic, vec![0, 1])])));
    // A new epoch whose answer is lost.
    bench.topic("t", 3);
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (2, Some(vec![(topic, vec![0, 1, 2])])));
    let without = bench.heartbeat(beat("a", 1));
    let message = "The consumer group member has a smaller member epoch (2) than the one known by the group \
                   coordinator (3). The member must abandon all its partitions and rejoin.";
    assert_eq!(refused(&without), (ErrorCode::FencedMemberEpoch, message));
    let too_much = bench.heartbeat(owning("a", 1, &[(topic, &[0, 1, 3])]));
    assert_eq!(refused(&too_much).0, ErrorCode::FencedMemberEpoch);
    assert_eq!(told(&bench.heartbeat(owning("a", 1, &[(topic, &[0, 1])]))), (2, None));
    // One that is older yet is not.
    bench.topic("t", 4);
    assert_eq!(told(&bench.heartbeat(beat("a", 2))).0, 3);
    assert_eq!(refused(&bench.heartbeat(owning("a", 1, &[(topic, &[0])]))).0, ErrorCode::FencedMemberEpoch);
}

#[test]
fn who_is_not_known_is_told_so() {
    let mut bench = Bench::new();
    let response = bench.heartbeat(beat("a", 1));
    assert_eq!(refused(&response), (ErrorCode::GroupIdNotFound, "Consumer group g not found."));
    let response = bench.heartbeat(beat("a", -1));
    assert_eq!(refused(&response), (ErrorCode::GroupIdNotFound, "Group g not found."));
    bench.topic("t", 1);
    bench.heartbeat(join("a", &["t"]));
    for epoch in [1, -1] {
        let response = bench.heartbeat(beat("b", epoch));
        assert_eq!(refused(&response), (ErrorCode::UnknownMemberId, "Member b is not a member of group g."));
    }
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut settings = Bench::new().settings;
    settings.consumer.max_size = 1;
    let mut bench = Bench::with(settings);
    bench.topic("t", 1);
    bench.heartbeat(join("a", &["t"]));
    let response = bench.heartbeat(join("b", &["t"]));
    let message = "The consumer group has reached its maximum capacity of 1 members.";
    assert_eq!(refused(&response), (ErrorCode::GroupMaxSizeReached, message));
    assert_eq!(told(&bench.heartbeat(beat("a", 1))).0, 1);
}

#[test]
fn a_member_that_leaves_is_gone_and_the_rest_share_what_it_had() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    bench.heartbeat(join("b", &["t"]));
    let response = bench.heartbeat(beat("a", -1));
    assert_eq!((response.member_id.clone(), told(&response)), (Some(text("a")), (-1, None)));
    let expected = ["-CurrentMemberAssignment", "-TargetAssignmentMember", "-MemberMetadata", "Metadata"];
    assert_eq!(kinds(&bench.records), expected);
    assert_eq!(bench.epochs(), (3, 2));
    assert_eq!(bench.state().name(), "Assigning");
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (3, Some(vec![(topic, vec![0, 1])])));
    bench.heartbeat(beat("b", -1));
    assert_eq!(bench.state().name(), "Empty");
    // Who comes next finds the epochs going on.
    assert_eq!(told(&bench.heartbeat(join("c", &["t"]))), (5, Some(vec![(topic, vec![0, 1])])));
}

#[test]
fn a_silent_member_is_removed_after_its_session() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    bench.pass(44_999);
    bench.heartbeat(beat("a", 1));
    bench.pass(44_999);
    assert_eq!(bench.state().members.len(), 1);
    bench.pass(1);
    assert_eq!((bench.state().members.len(), bench.epochs().0), (0, 2));
    assert_eq!(refused(&bench.heartbeat(beat("a", 1))).0, ErrorCode::UnknownMemberId);
}

#[test]
fn a_group_may_have_timeouts_of_its_own() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    *bench.world.overrides.lock() =
        GroupOverrides { consumer_session_timeout_ms: Some(10_000), consumer_heartbeat_interval_ms: Some(2_500) };
    assert_eq!(bench.heartbeat(join("a", &["t"])).heartbeat_interval_ms, 2_500);
    bench.pass(9_999);
    assert_eq!(bench.state().members.len(), 1);
    bench.pass(1);
    assert_eq!(bench.state().members.len(), 0);
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_removed() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    bench.heartbeat(join("b", &["t"]));
    bench.heartbeat(beat("a", 1));
    for _ in 0..2 {
        bench.pass(14_000);
        bench.heartbeat(beat("a", 1));
        bench.heartbeat(beat("b", 2));
    }
    bench.pass(1_999);
    assert!(bench.state().members.contains_key("a"));
    bench.pass(1);
    assert!(!bench.state().members.contains_key("a"), "30 s are over");
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (3, Some(vec![(topic, vec![0, 1])])));
    // One that does is not.
    bench.heartbeat(join("c", &["t"]));
    bench.heartbeat(beat("b", 3));
    bench.heartbeat(owning("b", 3, &[(topic, &[0])]));
    bench.heartbeat(owning("b", 3, &[(topic, &[1])]));
    bench.pass(40_000);
    assert!(bench.state().members.contains_key("b"));
}

#[test]
fn timers_start_anew_when_the_coordinator_comes_back() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]));
    bench.heartbeat(join("b", &["t"]));
    bench.heartbeat(beat("a", 1));
    bench.pass(20_000);
    bench.crash();
    bench.pass(29_999);
    assert_eq!(bench.state().members.len(), 2);
    bench.pass(1);
    assert_eq!(bench.state().members.keys().map(|id| &**id).collect::<Vec<_>>(), ["b"]);
    bench.pass(15_000);
    assert!(bench.state().members.is_empty());
}

#[test]
fn a_change_of_topics_counts_the_epoch_up_at_the_next_heartbeat() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.heartbeat(join("a", &["t", "u"]));
    bench.topic("other", 3);
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (1, None), "not a topic of the group");
    bench.topic("t", 2);
    assert_eq!(told(&bench.heartbeat(beat("a", 1))), (2, Some(vec![(topic, vec![0, 1])])));
    let other = bench.topic("u", 1);
    let (epoch, all) = told(&bench.heartbeat(beat("a", 2)));
    assert_eq!((epoch, all.unwrap().len()), (3, 2));
    bench.delete_topic("t");
    assert_eq!(told(&bench.heartbeat(beat("a", 3))), (3, Some(vec![(other, vec![0])])));
    assert_eq!(told(&bench.heartbeat(owning("a", 3, &[(other, &[0])]))), (4, None));
    // Made anew under the same name it is another topic.
    let again = bench.topic("t", 1);
    let (epoch, all) = told(&bench.heartbeat(beat("a", 4)));
    assert_eq!(epoch, 5);
    assert!(all.unwrap().contains(&(again, vec![0])));
}

#[test]
fn a_changed_subscription_takes_partitions_away_at_once() {
    let mut bench = Bench::new();
    let t = bench.topic("t", 1);
    let u = bench.topic("u", 1);
    bench.heartbeat(join("a", &["t"]));
    let changed = owning("a", 1, &[(t, &[0])]).with_subscribed_topic_names(names(&["u"]));
    assert_eq!(told(&bench.heartbeat(changed)), (1, Some(vec![])));
    assert_eq!(told(&bench.heartbeat(owning("a", 1, &[]))), (2, Some(vec![(u, vec![0])])));
    let nothing = owning("a", 2, &[(u, &[0])]).with_subscribed_topic_names(names(&[]));
    assert_eq!(told(&bench.heartbeat(nothing)), (2, Some(vec![])));
    assert_eq!(told(&bench.heartbeat(owning("a", 2, &[]))), (3, None));
    assert_eq!(bench.state().name(), "Stable");
}

#[test]
fn the_assignor_that_most_members_ask_for_is_taken() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let asking = |member: &str, assignor: &str| join(member, &["t"]).with_server_assignor(Some(text(assignor)));
    let name = |bench: &Bench| bench.state().assignor_name(&bench.settings.consumer).to_owned();
    bench.heartbeat(join("a", &["t"]));
    assert_eq!(name(&bench), "uniform");
    bench.heartbeat(asking("b", "range"));
    assert_eq!(name(&bench), "range");
    bench.heartbeat(asking("c", "uniform"));
    assert_eq!(name(&bench), "uniform", "the first of the list where both have as many");
    bench.heartbeat(beat("c", -1));
    assert_eq!(name(&bench), "range");
}

#[test]
fn between_two_target_assignments_of_several_members_is_an_interval() {
    let mut settings = Bench::new().settings;
    settings.consumer.assignment_interval_ms = 1_000;
    let mut bench = Bench::with(settings);
    bench.topic("t", 4);
    bench.heartbeat(join("a", &["t"]));
    bench.topic("t", 5);
    assert_eq!(told(&bench.heartbeat(beat("a", 1))).0, 2, "alone it does not wait");
    assert_eq!(told(&bench.heartbeat(join("b", &["t"]))), (2, Some(vec![])));
    assert_eq!(bench.epochs(), (3, 2));
    bench.pass(999);
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (2, None));
    bench.pass(1);
    assert_eq!(told(&bench.heartbeat(beat("b", 2))), (3, None));
    assert_eq!(bench.epochs(), (3, 3));
}

#[test]
fn a_group_is_described_and_listed() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    bench.heartbeat(join("a", &["t"]).with_rack_id(Some(text("r"))));
    bench.heartbeat(join("b", &["t"]));
    let described = bench.group().describe(GROUP, &bench.settings.consumer, &bench.topics());
    assert_eq!(described.group_id.as_str(), GROUP);
    assert_eq!((described.group_epoch, described.assignment_epoch), (3, 3));
    assert_eq!((described.group_state.as_str(), described.assignor_name.as_str()), ("Reconciling", "uniform"));
    let [a, b] = described.members.as_slice() else { panic!("{described:?}") };
    assert_eq!((a.member_id.as_str(), a.member_epoch, a.member_type), ("a", 2, 1));
    assert_eq!(
        (a.rack_id.as_deref(), a.client_id.as_str(), a.client_host.as_str()),
        (Some("r"), "client", "/127.0.0.1")
    );
    let first = |assignment: &kafka_protocol::messages::consumer_group_describe_response::Assignment| {
        let topics = &assignment.topic_partitions;
        topics.first().map(|topic| (topic.topic_id, topic.topic_name.to_string(), topic.partitions.len()))
    };
    assert_eq!(first(&a.assignment), Some((topic, "t".into(), 2)));
    assert_eq!(first(&a.target_assignment), Some((topic, "t".into(), 1)));
    assert_eq!((first(&b.assignment), first(&b.target_assignment)), (None, Some((topic, "t".into(), 1))));
    match bench.ask(Request::ListGroups) {
        Reply::ListGroups(groups) => {
            assert_eq!((groups[0].state, groups[0].group_type), ("Reconciling", "consumer"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_hash_of_topics_is_stable() {
    let mut bench = Bench::new();
    bench.heartbeat(join("a", &["t"]));
    assert_eq!(bench.state().metadata_hash, 0, "no topic, no hash");
    bench.topic("t", 2);
    bench.heartbeat(beat("a", 1));
    let hash = bench.state().metadata_hash;
    assert_ne!(hash, 0);
    bench.topic("u", 2);
    bench.crash();
    bench.heartbeat(beat("a", 2));
    assert_eq!((bench.state().metadata_hash, bench.epochs().0), (hash, 2), "not counted up after a restart");
    assert!(matches!(bench.replica.group(GROUP), Some(Group::Consumer(_))));
}
