//! Replies to requests that may have been parked.

use super::{ClassicGroup, Parked, State};
use crate::coordinator::group::Cx;
use crate::coordinator::group::request::{Reply, refused_join};
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Answers a join.
pub fn join(cx: &mut Cx<'_>, parked: Parked, response: JoinGroupResponse) {
    cx.out.reply(parked.ticket, Reply::JoinGroup(response));
}

/// Answers a join with an error.
pub fn refuse_join(cx: &mut Cx<'_>, parked: Parked, member_id: &str, code: ErrorCode) {
    join(cx, parked, refused_join(code, text(member_id)));
}

/// Answers a sync with an error.
pub fn refuse_sync(cx: &mut Cx<'_>, parked: Parked, code: ErrorCode) {
    cx.out.reply(parked.ticket, Reply::SyncGroup(SyncGroupResponse::default().with_error_code(code.code())));
}

impl ClassicGroup {
    /// The generation as a member is told it: the leader learns of all members.
    pub(super) fn generation_for(&self, member_id: &str) -> JoinGroupResponse {
        let members = if self.leader.as_deref() == Some(member_id) { self.members_for_leader() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_leader(self.leader.as_deref().map(text).unwrap_or_default())
            .with_member_id(text(member_id))
            .with_members(members)
    }

    fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let told = self.members.iter().map(|(member_id, member)| {
            JoinGroupResponseMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(member.group_instance_id.as_deref().map(text))
                .with_metadata(member.metadata(protocol))
        });
        told.collect()
    }

    /// The answer to a sync that has its assignment.
    pub(super) fn assignment_of(&self, member_id: &str) -> SyncGroupResponse {
        let assignment = self.members.get(member_id).map_or_else(Bytes::new, |member| member.assignment.clone());
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(assignment)
    }

    /// Answers whatever a member has parked with a code; in the answer to a join it is called `named`.
    pub(super) fn refuse_parked(&mut self, cx: &mut Cx<'_>, member_id: &str, named: &str, code: ErrorCode) {
        if let Some(parked) = self.members.take_join(member_id) {
            refuse_join(cx, parked, named, code);
        }
        if let Some(parked) = self.members.get_mut(member_id).and_then(|member| member.take_sync()) {
            refuse_sync(cx, parked, code);
        }
    }

    /// Answers all parked syncs, with an error or with assignments; the sessions of those who were waiting begin anew.
    pub(super) fn answer_syncs(&mut self, cx: &mut Cx<'_>, code: ErrorCode) {
        for member_id in self.members.ids_of(|member| member.is_awaiting_sync()) {
            let parked = self.members.get_mut(&member_id).and_then(|member| member.take_sync());
            match parked {
                Some(parked) if code.is_none() => {
                    cx.out.reply(parked.ticket, Reply::SyncGroup(self.assignment_of(&member_id)))
                }
                Some(parked) => refuse_sync(cx, parked, code),
                None => {}
            }
            self.renew_session(cx, &member_id);
        }
    }

    /// Answers all parked joins with the generation, and waits for the syncs of all members.
    pub(super) fn answer_joins(&mut self, cx: &mut Cx<'_>) {
        debug_assert_eq!(self.state, State::CompletingRebalance);
        for member_id in self.members.ids_of(|_| true) {
            if let Some(parked) = self.members.take_join(&member_id) {
                let told = self.generation_for(&member_id);
                join(cx, parked, told);
            }
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
                member.sync_pending = true;
            }
            self.renew_session(cx, &member_id);
        }
    }
}
