//! Requests of members, handed to their group, whatever kind it is.

use super::classic::{self, ClassicGroup};
use super::consumer::{self, ConsumerGroup, Fresh, Refused};
use super::records::{GroupMetadataValue, Record};
use super::request::{Caller, Reply, refused_join};
use super::{Group, GroupShard, Out, check_group_id};
use crate::coordinator::{Now, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
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
            return out.reply(ticket, Reply::JoinGroup(refused_join(code, request.member_id)));
        }
        if matches!(self.groups.get(group_id.as_str()), Some(Group::Consumer(group)) if group.is_empty()) {
            self.remove_group(now, &group_id, out);
        }
        let known = self.groups.contains_key(group_id.as_str()) || self.offsets.count(&group_id) > 0;
        if !self.groups.contains_key(group_id.as_str()) {
            self.groups.insert(group_id.as_str().into(), Group::Classic(ClassicGroup::new(now)));
        }
        self.with_group(now, &group_id, out, |group, cx| match group {
            Group::Classic(group) => group.join(cx, ticket, caller, request, fresh_id),
            Group::Consumer(group) => group.classic_join(cx, ticket, caller, request, fresh_id),
        });
        // Of a join that was refused nothing stays.
        if !known && matches!(self.groups.get(group_id.as_str()), Some(Group::Classic(group)) if group.is_vacant()) {
            self.groups.remove(group_id.as_str());
        }
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
        let has_members = match self.groups.get(request.group_id.as_str()) {
            Some(Group::Consumer(group)) => !group.is_empty(),
            group => group.is_some(),
        };
        if !request.member_id.is_empty() && !has_members {
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
        let group_id = request.group_id.clone();
        let answered = self.try_consumer_group_heartbeat(now, caller, request, fresh_id, out);
        self.settle(now, &group_id, out);
        answered.unwrap_or_else(|refused| {
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(refused.code.code())
                .with_error_message(Some(StrBytes::from_string(refused.message)))
        })
    }

    fn try_consumer_group_heartbeat(
        &mut self,
        now: Now,
        caller: &Caller,
        request: ConsumerGroupHeartbeatRequest,
        fresh_id: Uuid,
        out: &mut Out,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        consumer::validate(&request, caller.version, &self.settings)?;
        let group_id = request.group_id.clone();
        let settings = self.settings.clone();
        if request.member_epoch < 0 {
            let left = self.with_group(now, &group_id, out, |group, cx| match group {
                Group::Consumer(group) => group.leave_by_heartbeat(cx, &request),
                Group::Classic(_) => Err(not_a_consumer_group(&group_id)),
            });
            let not_found =
                || Refused::new(ErrorCode::GroupIdNotFound, format!("Group {} not found.", group_id.as_str()));
            return left.ok_or_else(not_found)?;
        }
        let member_id = match request.member_id.as_str() {
            "" => consumer::kafka_uuid(fresh_id),
            member_id => member_id.to_owned(),
        };
        let fresh = self.fresh_consumer_group(&request)?;
        match (&fresh, self.groups.get(group_id.as_str())) {
            (Some(Fresh { group, .. }), _) | (None, Some(Group::Consumer(group))) => {
                group.check_heartbeat(&group_id, &settings, &request, &member_id)?;
            }
            (None, _) => return Err(not_a_consumer_group(&group_id)),
        }
        if let Some(fresh) = fresh {
            self.become_consumer_group(now, &group_id, fresh, out);
        }
        let answer = self.with_group(now, &group_id, out, |group, cx| match group {
            Group::Consumer(group) => Ok(group.heartbeat(cx, caller, &request, &member_id)),
            Group::Classic(_) => Err(not_a_consumer_group(&group_id)),
        });
        answer.unwrap_or_else(|| Err(not_a_consumer_group(&group_id)))
    }

    /// The group that a heartbeat comes to where there is none yet, or one that has to become it; `None` where there is.
    fn fresh_consumer_group(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<Option<Fresh>, Refused> {
        let joins = request.member_epoch == 0;
        let group_id = request.group_id.as_str();
        match self.groups.get(group_id) {
            Some(Group::Consumer(_)) => Ok(None),
            Some(Group::Classic(group)) if joins && group.state() == classic::State::Empty => {
                Ok(Some(Fresh::default()))
            }
            Some(Group::Classic(group)) if joins => {
                consumer::upgrade(group_id, group, &self.settings, &*self.world.topics()).map(Some)
            }
            Some(Group::Classic(_)) => Err(not_a_consumer_group(group_id)),
            None if joins => Ok(Some(Fresh::default())),
            None => {
                let message = format!("Consumer group {group_id} not found.");
                Err(Refused::new(ErrorCode::GroupIdNotFound, message))
            }
        }
    }

    /// Puts a consumer group in the place of none, or of a classic group, whose offsets stay.
    fn become_consumer_group(&mut self, now: Now, group_id: &str, fresh: Fresh, out: &mut Out) {
        self.with_group(now, group_id, out, |old, cx| {
            if let Group::Classic(old) = old {
                // Who waits there joins again and finds the consumer group.
                old.retire(cx, ErrorCode::RebalanceInProgress);
                old.delete(cx);
            }
        });
        out.records.extend(fresh.records);
        self.groups.insert(group_id.into(), Group::Consumer(fresh.group));
        self.with_group(now, group_id, out, |group, cx| {
            if let Group::Consumer(group) = group {
                group.upgraded(cx);
            }
        });
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
        let (Record::ConsumerGroupMetadata { group_id, .. }
        | Record::ConsumerGroupPartitionMetadata { group_id, .. }
        | Record::ConsumerGroupMemberMetadata { group_id, .. }
        | Record::ConsumerGroupTargetAssignmentMetadata { group_id, .. }
        | Record::ConsumerGroupTargetAssignmentMember { group_id, .. }
        | Record::ConsumerGroupCurrentMemberAssignment { group_id, .. }
        | Record::ConsumerGroupRegularExpression { group_id, .. }) = &record
        else {
            return;
        };
        if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id.as_str()) {
            group.apply(&record);
            if group.is_deleted() {
                self.groups.remove(group_id.as_str());
                // Its offsets may be there still: then there is a group for them.
                if self.offsets.count(group_id) > 0 {
                    self.groups.insert(group_id.as_str().into(), Group::Classic(ClassicGroup::simple()));
                }
            }
        } else if !is_tombstone(&record) {
            let mut group = ConsumerGroup::default();
            group.apply(&record);
            self.groups.insert(group_id.as_str().into(), Group::Consumer(group));
        }
    }
}

/// In a group that is not there nobody is known.
fn unknown_member(identity: MemberIdentity) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(identity.member_id)
        .with_group_instance_id(identity.group_instance_id)
        .with_error_code(ErrorCode::UnknownMemberId.code())
}

fn is_tombstone(record: &Record) -> bool {
    match record {
        Record::OffsetCommit { value, .. } => value.is_none(),
        Record::GroupMetadata { value, .. } => value.is_none(),
        Record::ConsumerGroupMetadata { value, .. } => value.is_none(),
        Record::ConsumerGroupPartitionMetadata { value, .. } => value.is_none(),
        Record::ConsumerGroupMemberMetadata { value, .. } => value.is_none(),
        Record::ConsumerGroupTargetAssignmentMetadata { value, .. } => value.is_none(),
        Record::ConsumerGroupTargetAssignmentMember { value, .. } => value.is_none(),
        Record::ConsumerGroupCurrentMemberAssignment { value, .. } => value.is_none(),
        Record::ConsumerGroupRegularExpression { value, .. } => value.is_none(),
    }
}

fn not_a_consumer_group(group_id: &str) -> Refused {
    Refused::new(ErrorCode::GroupIdNotFound, format!("Group {group_id} is not a consumer group."))
}
