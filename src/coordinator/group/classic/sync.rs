//! SyncGroup, Heartbeat and LeaveGroup of a classic group.

use super::{ClassicGroup, Parked, State, answer};
use crate::coordinator::Ticket;
use crate::coordinator::group::Cx;
use crate::coordinator::group::request::{Caller, Reply, own};
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatRequest, SyncGroupRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

impl ClassicGroup {
    /// SyncGroup: parked until the leader's has come, with the assignments.
    pub fn sync(&mut self, cx: &mut Cx<'_>, ticket: Ticket, caller: &Caller, request: SyncGroupRequest) {
        let parked = Parked { ticket, version: caller.version };
        let member_id = match self.check_sync(&request) {
            Ok(member_id) => member_id,
            Err(code) => return answer::refuse_sync(cx, parked, code),
        };
        match self.state {
            State::CompletingRebalance => {
                let before = self.members.get_mut(&member_id).and_then(|member| member.park_sync(parked));
                if let Some(before) = before {
                    answer::refuse_sync(cx, before, ErrorCode::RebalanceInProgress);
                }
                self.note_sync(cx, &member_id);
                if self.leader.as_ref() == Some(&member_id) {
                    self.assign(cx, &request);
                }
            }
            _ => {
                self.note_sync(cx, &member_id);
                cx.out.reply(ticket, Reply::SyncGroup(self.assignment_of(&member_id)));
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<Arc<str>, ErrorCode> {
        let member_id = self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        self.check_generation(request.generation_id)?;
        // From version 5 on the member says by what it joined.
        let differs = |said: Option<&str>, is: Option<&str>| said.is_some() && said != is;
        if differs(request.protocol_type.as_deref(), self.protocol_type())
            || differs(request.protocol_name.as_deref(), self.protocol())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::CompletingRebalance | State::Stable => Ok(member_id),
        }
    }

    /// The leader's assignments: stored, then told. A member that it forgot has nothing.
    fn assign(&mut self, cx: &mut Cx<'_>, request: &SyncGroupRequest) {
        let given: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|given| (given.member_id.as_str(), &given.assignment)).collect();
        self.state_since = cx.now.wall;
        let mut value = self.value_with(|member_id, _| given.get(&**member_id).copied().cloned().unwrap_or_default());
        if !self.fits(cx, &value) {
            self.answer_syncs(cx, ErrorCode::UnknownServerError);
            return self.prepare_rebalance(cx);
        }
        for stored in &mut value.members {
            stored.assignment = own(&stored.assignment);
            if let Some(member) = self.members.get_mut(&stored.member_id) {
                member.assignment = stored.assignment.clone();
            }
        }
        self.transition(cx, State::Stable);
        self.store(cx, value);
        self.answer_syncs(cx, ErrorCode::None);
    }

    /// Heartbeat. In CompletingRebalance a member may not have synced yet, and is well all the same.
    pub fn heartbeat(&mut self, cx: &mut Cx<'_>, request: &HeartbeatRequest) -> ErrorCode {
        let checked = self
            .check_member(&request.member_id, request.group_instance_id.as_deref())
            .and_then(|member_id| self.check_generation(request.generation_id).map(|()| member_id));
        let member_id = match checked {
            Ok(member_id) => member_id,
            Err(code) => return code,
        };
        self.renew_session(cx, &member_id);
        match self.state {
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::Empty => ErrorCode::UnknownMemberId,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
        }
    }

    /// LeaveGroup. An instance id without a member id is an administrator's word.
    pub fn leave(&mut self, cx: &mut Cx<'_>, members: &[MemberIdentity]) -> Vec<MemberResponse> {
        let members_before = self.members.len();
        let mut left = Vec::with_capacity(members.len());
        for identity in members {
            let code = self.leave_one(cx, identity).err().unwrap_or(ErrorCode::None);
            left.push(
                MemberResponse::default()
                    .with_member_id(identity.member_id.clone())
                    .with_group_instance_id(identity.group_instance_id.clone())
                    .with_error_code(code.code()),
            );
        }
        // One that only had an id can be missed in a rebalance, where it was waited for; otherwise nothing has changed.
        match self.state {
            State::PreparingRebalance => self.maybe_complete_join(cx),
            _ if self.members.len() < members_before => self.prepare_rebalance(cx),
            _ => {}
        }
        left
    }

    fn leave_one(&mut self, cx: &mut Cx<'_>, identity: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = identity.group_instance_id.as_deref();
        if let Some(pending) = self.pending.take(identity.member_id.as_str()) {
            cx.cancel_timer(super::session(&pending));
            return Ok(());
        }
        let member_id = match instance {
            Some(instance) if identity.member_id.is_empty() => self.members.of_instance(instance),
            _ => Some(self.check_member(&identity.member_id, instance)?),
        };
        self.remove_member(cx, &member_id.ok_or(ErrorCode::UnknownMemberId)?);
        Ok(())
    }
}
