//! What the tests need to speak the classic protocol.

use super::world::*;
use crate::coordinator::Ticket;
use crate::coordinator::group::consumer::embedded;
use crate::coordinator::group::request::{Caller, Reply, Request};
use crate::wire::errors::ErrorCode;
use crate::wire::fields::FieldWriter;
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

/// Partitions by the name of their topic.
pub type Named = Vec<(String, Vec<i32>)>;

/// A `ConsumerProtocolSubscription`.
pub fn subscription(version: i16, topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let mut writer = FieldWriter::new(false);
    writer.int16(version);
    writer.int32(topics.len() as i32);
    topics.iter().for_each(|topic| writer.string("", topic));
    writer.int32(-1);
    if version >= 1 {
        write_named(&mut writer, owned);
    }
    if version >= 2 {
        writer.int32(-1);
    }
    if version >= 3 {
        writer.nullable_string("", Some("rack"));
    }
    writer.finish().expect("written")
}

fn write_named(writer: &mut FieldWriter, named: &[(&str, &[i32])]) {
    writer.int32(named.len() as i32);
    for (topic, partitions) in named {
        writer.string("", topic);
        writer.int32(partitions.len() as i32);
        partitions.iter().for_each(|partition| writer.int32(*partition));
    }
}

/// A `ConsumerProtocolAssignment`.
pub fn assignment(partitions: &[(&str, &[i32])], user_data: Option<&[u8]>) -> Bytes {
    let mut writer = FieldWriter::new(false);
    writer.int16(0);
    write_named(&mut writer, partitions);
    match user_data {
        None => writer.int32(-1),
        Some(data) => writer.bytes("", data),
    }
    writer.finish().expect("written")
}

pub fn read(assignment: &[u8]) -> Named {
    embedded::assignment(assignment).expect("an assignment").0
}

pub fn named(topic: &str, partitions: &[i32]) -> Named {
    vec![(topic.to_owned(), partitions.to_vec())]
}

pub fn join_request(member: &str, topics: &[&str], owned: &[(&str, &[i32])]) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription(1, topics, owned));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocols(vec![protocol])
}

impl Bench {
    pub fn send_join(&mut self, version: i16, request: JoinGroupRequest) -> (Ticket, Vec<(Ticket, Reply)>) {
        let caller = Caller { version, client_id: "classic".into(), client_host: "/127.0.0.1".into() };
        let fresh_id = self.fresh_id();
        self.request(Request::JoinGroup { caller, request, fresh_id })
    }

    /// A join that is answered at once.
    pub fn join(&mut self, request: JoinGroupRequest) -> JoinGroupResponse {
        let (ticket, replies) = self.send_join(9, request);
        join_reply(ticket, replies)
    }

    pub fn send_sync(
        &mut self,
        member: &str,
        generation: i32,
        given: &[(&str, Bytes)],
    ) -> (Ticket, Vec<(Ticket, Reply)>) {
        let given = given.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(assignment.clone())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(given.collect());
        let caller = Caller { version: 5, ..Caller::default() };
        self.request(Request::SyncGroup { caller, request })
    }

    /// A sync that is answered at once.
    pub fn sync(&mut self, member: &str, generation: i32, given: &[(&str, Bytes)]) -> SyncGroupResponse {
        let (ticket, replies) = self.send_sync(member, generation, given);
        match replies.into_iter().find(|(of, _)| *of == ticket) {
            Some((_, Reply::SyncGroup(response))) => response,
            other => panic!("{other:?}"),
        }
    }

    pub fn classic_beat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_generation_id(generation);
        match self.ask(Request::Heartbeat(request)) {
            Reply::Heartbeat(code) => code,
            other => panic!("{other:?}"),
        }
    }

    pub fn classic_leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<i16> {
        let identity = |(member, instance): &(&str, Option<&str>)| {
            MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text))
        };
        let members = members.iter().map(identity).collect();
        match self.ask(Request::LeaveGroup { group_id: GROUP.into(), members }) {
            Reply::LeaveGroup(left) => left.expect("answered").iter().map(|member| member.error_code).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// A classic group of one member, which has all partitions of its topic; its member id.
    pub fn classic_group(&mut self, topic: &str, partitions: &[i32]) -> String {
        let response = self.join(join_request("", &[topic], &[]));
        let id = response.member_id.to_string();
        let (ticket, replies) = self.send_join(9, join_request(&id, &[topic], &[]));
        let replies = if replies.is_empty() { self.pass(10) } else { replies };
        let joined = join_reply(ticket, replies);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        let synced = self.sync(&id, 1, &[(&id, assignment(&[(topic, partitions)], None))]);
        assert_eq!(read(&synced.assignment), named(topic, partitions));
        id
    }
}

pub fn join_reply(ticket: Ticket, replies: Vec<(Ticket, Reply)>) -> JoinGroupResponse {
    match replies.into_iter().find(|(of, _)| *of == ticket) {
        Some((_, Reply::JoinGroup(response))) => response,
        other => panic!("{other:?}"),
    }
}
