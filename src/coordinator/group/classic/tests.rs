mod schedules;

use super::describe::subscribed_topics;
use super::store::record_bytes;
use super::{ClassicGroup, Member, State, subscription};
use crate::coordinator::Shard;
use crate::coordinator::group::offsets::Expiry;
use crate::coordinator::group::records::{ClassicProtocol, GroupMetadataValue, MemberMetadata, Record};
use crate::coordinator::group::request::{Caller, Reply, Request};
use crate::coordinator::group::script::{Bench, text};
use crate::coordinator::group::{Group, Timer};
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{GroupId, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};

fn joins(member_id: &str, instance: Option<&str>, metadata: &[u8]) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member_id))
        .with_group_instance_id(instance.map(text))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(Bytes::copy_from_slice(metadata))])
}

fn join(bench: &mut Bench, client: &str, version: i16, request: JoinGroupRequest) -> Option<JoinGroupResponse> {
    let caller = Caller { version, client_id: client.into(), client_host: "/127.0.0.1".into() };
    let fresh_id = bench.fresh_id();
    let came = bench.send(client, "join", Request::JoinGroup { caller, request, fresh_id });
    came.replies.into_iter().find_map(|(told, reply)| match reply {
        Reply::JoinGroup(response) if told == client => Some(response),
        _ => None,
    })
}

fn code(response: Option<JoinGroupResponse>) -> Option<ErrorCode> {
    ErrorCode::from_code(response?.error_code)
}

fn member(topics: &str) -> Member {
    let mut member = Member::new(vec![ClassicProtocol { name: "range".into(), metadata: subscription(topics).into() }]);
    (member.session_timeout_ms, member.rebalance_timeout_ms) = (10_000, 20_000);
    member.assignment = Bytes::from_static(b"x");
    member
}

fn stored(member_id: &str, assignment: &'static [u8]) -> MemberMetadata {
    MemberMetadata {
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: -1,
        session_timeout: 10_000,
        subscription: subscription("a").into(),
        assignment: Bytes::from_static(assignment),
    }
}

fn value(members: Vec<MemberMetadata>) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 7,
        protocol: Some("range".into()),
        leader: Some("gone".into()),
        current_state_timestamp: -1,
        members,
    }
}

/// A bench whose shard starts from a record, as after a crash.
fn restarted(value: GroupMetadataValue) -> Bench {
    let mut bench = Bench::new();
    bench.records.push(Record::GroupMetadata { group_id: "g".into(), value: Some(value) });
    bench.crash();
    bench
}

fn group(bench: &Bench) -> &ClassicGroup {
    bench.classic("g").expect("a classic group")
}

#[test]
fn the_size_of_a_record_is_not_taken_for_less_than_it_is() {
    let mut static_member = stored("m2", b"0123456789");
    static_member.group_instance_id = Some("instance".into());
    for members in [vec![], vec![stored("m1", b"")], vec![stored("m1", b"x"), static_member]] {
        let value = value(members);
        let guess = record_bytes("g", &value);
        let record = Record::GroupMetadata { group_id: "g".into(), value: Some(value) };
        let is = crate::wire::build::batch(&[record.encode().unwrap()], 1_000).len();
        assert!(guess >= is && guess < is + 32, "{guess} {is}");
    }
}

#[test]
fn subscriptions_are_read_as_far_as_version_0_goes() {
    let read = |bytes: &[u8]| subscribed_topics(bytes).map(|topics| topics.join(","));
    let good = subscription("a,bb");
    assert_eq!(read(&good).as_deref(), Some("a,bb"));
    assert_eq!(read(&[&[0, 3], &good[2..], b"what later versions add"].concat()).as_deref(), Some("a,bb"));
    assert_eq!(read(&subscription("")).as_deref(), Some(""));
    for end in 0..good.len() {
        assert_eq!(read(&good[..end]), None, "{end}");
    }
    let user_data = |length: u8| [&good[..good.len() - 4], &[0, 0, 0, length], b"ab"].concat();
    assert_eq!((read(&user_data(2)).is_some(), read(&user_data(3))), (true, None));
    assert_eq!(read(&[&[0xff, 0xff], &good[2..]].concat()), None, "a negative version");
    assert_eq!(read(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), None, "a negative count");
    assert_eq!(read(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0]), None, "a count that lies");
    assert_eq!(read(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0, 0, 0, 0]), None, "no text");
}

#[test]
fn consumers_that_cannot_be_read_may_subscribe_to_anything() {
    for (metadata, subscribed) in [(&subscription("a")[..], [true, false]), (b"?", [true, true])] {
        let mut bench = Bench::new();
        join(&mut bench, "m1", 3, joins("", None, metadata));
        assert_eq!(["a", "b"].map(|topic| group(&bench).is_subscribed_to(topic)), subscribed);
    }
    let mut bench = Bench::new();
    join(&mut bench, "m1", 3, joins("", None, b"?").with_protocol_type(text("connect")));
    assert!(!group(&bench).is_subscribed_to("a"));
}

#[test]
fn a_record_of_another_broker_is_taken_as_it_is_meant() {
    let mut bench = restarted(value(vec![stored("m2", b"y"), stored("m1", b"x")]));
    let it = group(&bench);
    assert_eq!((it.state(), it.generation(), it.leader()), (State::Stable, 7, Some("m1")));
    assert_eq!(it.member("m1").unwrap().rebalance_timeout_ms, 10_000, "what version 0 left out");
    bench.advance(10_000);
    assert_eq!((group(&bench).state(), group(&bench).empty_since()), (State::Empty, Some(1_010_000)));

    let mut bench = restarted(value(vec![]));
    assert_eq!(group(&bench).expiry(), Expiry::SinceCommit, "since when is not known");
    assert_eq!(group(&bench).leader(), None);
    let sent = join(&mut bench, "m1", 3, joins("", None, b"")).unwrap();
    assert_eq!(sent.generation_id, 8);
}

#[test]
fn version_0_has_one_timeout_for_both() {
    let mut bench = Bench::new();
    join(&mut bench, "m1", 0, joins("", None, b"").with_rebalance_timeout_ms(-1));
    let members: Vec<i32> = group(&bench).members().map(|(_, member)| member.rebalance_timeout_ms).collect();
    assert_eq!(members, [10_000]);
}

#[test]
fn ten_thousand_joins_that_never_sync_are_gone_after_a_while() {
    let mut bench = Bench::new();
    for at in 0..10_000 {
        join(&mut bench, &format!("m{at}"), 3, joins("", None, b"metadata").with_session_timeout_ms(60_000));
    }
    assert_eq!((bench.waiting.len(), group(&bench).members().count()), (9_999, 10_000));
    bench.advance(20_000);
    assert_eq!((bench.waiting.len(), group(&bench).state()), (0, State::CompletingRebalance));
    bench.advance(20_000);
    let it = group(&bench);
    assert_eq!((it.state(), it.generation(), it.members().count(), it.members.kept_bytes()), (State::Empty, 3, 0, 0));
    let timers: Vec<Timer> = std::iter::from_fn(|| bench.shard.timers.pop_due(i64::MAX)).collect();
    assert_eq!(timers, [Timer::Cleanup; 0]);
}

#[test]
fn ids_that_nobody_comes_back_with_are_gone_after_a_session() {
    let mut bench = Bench::new();
    for at in 0..100 {
        let told = join(&mut bench, &format!("m{at}"), 4, joins("", None, b""));
        assert_eq!(code(told), Some(ErrorCode::MemberIdRequired));
    }
    bench.advance(9_999);
    assert_eq!(group(&bench).pending.len(), 100);
    bench.advance(1);
    assert!(group(&bench).is_vacant());
}

#[test]
fn what_no_record_can_hold_is_not_kept() {
    let mut bench = Bench::new();
    bench.set(|settings| settings.max_record_bytes = 100_000);
    let long = "x".repeat(i16::MAX as usize + 1);
    let too_long = [
        joins("", Some(&long), b""),
        joins("", None, b"").with_protocol_type(text(long.clone())),
        joins("", None, &[0; 100_000]),
    ];
    for request in too_long {
        assert_eq!(code(join(&mut bench, "m1", 9, request)), Some(ErrorCode::UnknownServerError));
    }
    assert_eq!(code(join(&mut bench, &long, 9, joins("", None, b""))), Some(ErrorCode::UnknownServerError));
    assert!(bench.classic("g").is_none(), "of a join that was refused nothing stays");

    // All together may take a few times what can be stored.
    let all: Vec<_> =
        (0..12).map(|at| code(join(&mut bench, &format!("m{at}"), 3, joins("", None, &[0; 90_000])))).collect();
    assert_eq!(all[0], Some(ErrorCode::None));
    assert_eq!(all[7..9], [None, Some(ErrorCode::GroupMaxSizeReached)]);
    assert!(group(&bench).members.kept_bytes() <= 800_000);
}

#[test]
fn what_is_kept_of_a_request_is_a_copy() {
    let frame = Bytes::from(vec![7; 1_000]);
    let within = |kept: &Bytes| frame.as_ptr_range().contains(&kept.as_ptr());
    let mut bench = Bench::new();
    let mut request = joins("", None, b"");
    request.protocols[0].metadata = frame.slice(10..20);
    let told = join(&mut bench, "m1", 3, request).unwrap();
    let given = SyncGroupRequestAssignment::default().with_member_id(told.member_id.clone());
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(told.member_id)
        .with_generation_id(1)
        .with_assignments(vec![given.with_assignment(frame.slice(20..30))]);
    bench.send("m1", "sync", Request::SyncGroup { caller: Caller::default(), request });
    let (_, member) = group(&bench).members().next().unwrap();
    assert_eq!((member.metadata("range").len(), member.assignment.len()), (10, 10));
    assert!(!within(&member.metadata("range")) && !within(&member.assignment));
    let stored = &group(&bench).durable().unwrap().members[0];
    assert!(!within(&stored.subscription) && !within(&stored.assignment));
}

#[test]
fn a_static_member_whose_metadata_would_not_fit_is_refused_and_its_predecessor_stays() {
    let mut bench = Bench::new();
    let first = join(&mut bench, "a", 9, joins("", Some("i"), &[1; 100])).unwrap();
    join(&mut bench, "b", 3, joins("", None, &[1; 300]));
    let rejoined = join(&mut bench, "a", 9, joins(&first.member_id, Some("i"), &[1; 100])).unwrap();
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(first.member_id.clone())
        .with_generation_id(rejoined.generation_id);
    bench.send("a", "sync", Request::SyncGroup { caller: Caller::default(), request });
    assert_eq!((group(&bench).state(), group(&bench).generation()), (State::Stable, 2));
    bench.set(|settings| settings.max_record_bytes = 1_000);
    let refused = join(&mut bench, "a", 9, joins("", Some("i"), &[1; 700])).unwrap();
    assert_eq!((refused.error_code, &*refused.member_id), (ErrorCode::UnknownServerError.code(), ""));
    assert_eq!(group(&bench).static_member("i").as_deref(), Some(&*first.member_id));
}

#[test]
fn no_timeout_of_a_client_makes_the_clock_stand_still() {
    let mut bench = Bench::new();
    for (client, instance) in [("a", Some("i")), ("b", None)] {
        join(&mut bench, client, 3, joins("", instance, b"").with_rebalance_timeout_ms(0));
    }
    bench.advance(60_000);
    assert_eq!((group(&bench).state(), bench.waiting.len()), (State::Empty, 0));

    let mut stored = stored("m1", b"");
    (stored.group_instance_id, stored.rebalance_timeout) = (Some("i".into()), i32::MIN);
    let mut bench = restarted(value(vec![stored]));
    assert!(bench.advance(9_999).len() < 12);
    bench.advance(1);
    assert_eq!(group(&bench).state(), State::Empty);
}

#[test]
fn a_group_out_of_members_is_stored_and_lives() {
    let mut bench = Bench::new();
    join(&mut bench, "m1", 4, joins("", None, b""));
    let mut out = Default::default();
    let now = bench.now;
    bench.shard.with_group(now, "g", &mut out, |group, cx| {
        let members = [("m1", "a"), ("m2", "b")].map(|(id, topics)| (id.into(), member(topics)));
        *group = Group::Classic(ClassicGroup::from_members(cx, "consumer", 5, members).expect("it fits"));
    });
    let it = group(&bench);
    assert_eq!(
        (it.state(), it.generation(), it.leader(), it.protocol()),
        (State::Stable, 5, Some("m1"), Some("range"))
    );
    assert_eq!(it.durable().map(|stored| stored.generation), Some(6), "of which nobody is told");
    assert_eq!((it.is_subscribed_to("b"), out.records.len()), (true, 1));
    bench.records.append(&mut out.records);
    bench.shard.with_group(now, "g", &mut out, |group, cx| match group {
        Group::Classic(group) => group.prepare_rebalance(cx),
        Group::Consumer(_) => unreachable!(),
    });
    assert_eq!(join(&mut bench, "m2", 9, joins("m2", None, b"")), None);
    assert_eq!(join(&mut bench, "m1", 9, joins("m1", None, b"")).unwrap().generation_id, 6);
    bench.set(|settings| settings.max_record_bytes = 100);
    let fits = bench.shard.with_group(now, "g", &mut out, |_, cx| {
        ClassicGroup::from_members(cx, "consumer", 5, [("m1".into(), member("a"))]).is_some()
    });
    assert_eq!((fits, out.records.len()), (Some(false), 0));
}

#[test]
fn a_group_that_becomes_another_answers_all_who_wait() {
    let mut bench = Bench::new();
    let told = join(&mut bench, "m1", 3, joins("", None, b"")).unwrap();
    join(&mut bench, "m2", 3, joins("", None, b""));
    assert_eq!(bench.waiting.len(), 1);
    let mut out = Default::default();
    let now = bench.now;
    bench.shard.with_group(now, "g", &mut out, |group, cx| match group {
        Group::Classic(group) => group.retire(cx, ErrorCode::RebalanceInProgress),
        Group::Consumer(_) => unreachable!(),
    });
    let codes = out.replies.into_iter().map(|(_, reply)| match reply {
        Reply::JoinGroup(response) => ErrorCode::from_code(response.error_code),
        _ => None,
    });
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, [Some(ErrorCode::RebalanceInProgress)]);
    assert_eq!(bench.shard.next_deadline(), None, "{told:?}");
}
