//! Requests of members, handed to their group, whatever kind it is.

use super::classic::ClassicGroup;
use super::records::{GroupMetadataValue, Record};
use super::request::{Caller, Reply};
use super::{Group, GroupShard, Out, check_group_id};
use crate::coordinator::{Now, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use uuid::Uuid;

impl GroupShard {
    pub(super) fn join_group(
        &mut self,
        now: Now,
        ticket: Ticket,
        caller: &Caller,
        request: JoinGroupRequest,
        fresh_id: Uuid,
        out: &mut Out,
    ) {
        let group_id = request.group_id.clone();
        if let Err(code) = self.check_join(&request) {
            let refused = JoinGroupResponse::default()
                .with_error_code(code.code())
                .with_generation_id(-1)
                .with_member_id(request.member_id);
            return out.reply(ticket, Reply::JoinGroup(refused));
        }
        if !self.groups.contains_key(group_id.as_str()) {
            self.groups.insert(group_id.as_str().into(), Group::Classic(ClassicGroup::new(now)));
        }
        self.with_group(now, &group_id, out, |group, cx| match group {
            Group::Classic(group) => group.join(cx, ticket, caller, request, fresh_id),
            Group::Consumer(group) => group.classic_join(cx, ticket, caller, request, fresh_id),
        });
        self.settle(now, &group_id, out);
    }

    /// What can be said of a join before its group is looked at (`GroupCoordinatorService.joinGroup`).
    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        check_group_id(&request.group_id)?;
        let allowed = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        // A group that is not there has no members: a member id from before means that it was forgotten.
        if !request.member_id.is_empty() && !self.groups.contains_key(request.group_id.as_str()) {
            return Err(ErrorCode::UnknownMemberId);
        }
        Ok(())
    }

    pub(super) fn sync_group(
        &mut self,
        now: Now,
        ticket: Ticket,
        caller: &Caller,
        request: SyncGroupRequest,
        out: &mut Out,
    ) {
        let group_id = request.group_id.clone();
        let handed = check_group_id(&group_id).and_then(|()| {
            let handed = self.with_group(now, &group_id, out, |group, cx| match group {
                Group::Classic(group) => group.sync(cx, ticket, caller, request),
                Group::Consumer(group) => group.classic_sync(cx, ticket, caller, request),
            });
            handed.ok_or(ErrorCode::UnknownMemberId)
        });
        match handed {
            Ok(()) => self.settle(now, &group_id, out),
            Err(code) => {
                let refused = SyncGroupResponse::default().with_error_code(code.code());
                out.reply(ticket, Reply::SyncGroup(refused));
            }
        }
    }

    pub(super) fn heartbeat(&mut self, now: Now, request: &HeartbeatRequest, out: &mut Out) -> ErrorCode {
        if let Err(code) = check_group_id(&request.group_id) {
            return code;
        }
        let code = self.with_group(now, &request.group_id, out, |group, cx| match group {
            Group::Classic(group) => group.heartbeat(cx, request),
            Group::Consumer(group) => group.classic_heartbeat(cx, request),
        });
        code.unwrap_or(ErrorCode::UnknownMemberId)
    }

    pub(super) fn leave_group(
        &mut self,
        now: Now,
        group_id: &str,
        members: Vec<MemberIdentity>,
        out: &mut Out,
    ) -> Result<Vec<MemberResponse>, ErrorCode> {
        check_group_id(group_id)?;
        let left = self.with_group(now, group_id, out, |group, cx| match group {
            Group::Classic(group) => group.leave(cx, &members),
            Group::Consumer(group) => group.classic_leave(cx, &members),
        });
        self.settle(now, group_id, out);
        Ok(left.unwrap_or_else(|| members.into_iter().map(unknown_member).collect()))
    }

    pub(super) fn consumer_group_heartbeat(
        &mut self,
        now: Now,
        caller: &Caller,
        request: ConsumerGroupHeartbeatRequest,
        fresh_id: Uuid,
        out: &mut Out,
    ) -> ConsumerGroupHeartbeatResponse {
        let _ = (now, caller, request, fresh_id, out);
        ConsumerGroupHeartbeatResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code())
    }

    pub(super) fn apply_classic(&mut self, group_id: &str, value: Option<GroupMetadataValue>) {
        let Some(value) = value else {
            if matches!(self.groups.get(group_id), Some(Group::Classic(_))) {
                self.groups.remove(group_id);
            }
            return;
        };
        match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) => group.apply(value),
            _ => {
                self.groups.insert(group_id.into(), Group::Classic(ClassicGroup::stored(value)));
            }
        }
    }

    pub(super) fn apply_consumer(&mut self, record: Record) {
        let _ = record;
    }
}

/// In a group that is not there nobody is known.
fn unknown_member(identity: MemberIdentity) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(identity.member_id)
        .with_group_instance_id(identity.group_instance_id)
        .with_error_code(ErrorCode::UnknownMemberId.code())
}
