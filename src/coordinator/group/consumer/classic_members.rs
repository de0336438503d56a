//! Members of a consumer group that still speak the classic protocol: JoinGroup is a heartbeat that says what the member
//! wants and owns, SyncGroup tells it what it may consume, and Heartbeat that it has to join again.
//! (Kafka's `classicGroupJoinToConsumerGroup` and its kin.)

use super::super::records::{ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue};
use super::super::request::{Caller, Reply, own, refused_join};
use super::super::{Cx, GroupTimer};
use super::embedded::{self, PROTOCOL_TYPE, Subscription};
use super::{ConsumerGroup, ConsumerTimer, Member, MemberState, kafka_uuid};
use crate::coordinator::Ticket;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// From this version of JoinGroup on a new member is first given an id (KIP-394).
const REQUIRES_MEMBER_ID: i16 = 4;

/// A join that is refused: the error, and what the member is called in the reply.
struct JoinRefused(ErrorCode, String);

impl From<ErrorCode> for JoinRefused {
    fn from(code: ErrorCode) -> Self {
        JoinRefused(code, String::new())
    }
}

impl ConsumerGroup {
    /// JoinGroup, answered at once: members of a consumer group do not wait for each other.
    pub fn classic_join(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: JoinGroupRequest,
        fresh_id: Uuid,
    ) {
        let joined = self.try_classic_join(cx, caller, &request, fresh_id);
        let refused = |JoinRefused(code, member_id)| refused_join(code, StrBytes::from_string(member_id));
        cx.out.reply(ticket, Reply::JoinGroup(joined.unwrap_or_else(refused)));
    }

    fn try_classic_join(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: &JoinGroupRequest,
        fresh_id: Uuid,
    ) -> Result<JoinGroupResponse, JoinRefused> {
        let instance_id = request.group_instance_id.as_deref();
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown { kafka_uuid(fresh_id) } else { request.member_id.to_string() };
        self.check_size(cx.settings.consumer.max_size, &member_id).map_err(|refused| refused.code)?;
        let said: usize =
            request.protocols.iter().map(|protocol| 64 + protocol.name.len() + protocol.metadata.len()).sum();
        let member = self.state.members.get(member_id.as_str());
        self.check_bytes(cx.settings, member, said.saturating_add(member_id.len())).map_err(|refused| refused.code)?;
        let first = self.check_protocols(request)?;
        if is_unknown && instance_id.is_none() && caller.version >= REQUIRES_MEMBER_ID {
            return Err(JoinRefused(ErrorCode::MemberIdRequired, member_id));
        }
        if let Some(instance_id) = instance_id.filter(|_| !is_unknown) {
            self.known_static_member(instance_id, &member_id).map_err(|refused| refused.code)?;
        }
        // Kafka fails here as well: nothing can be done for a consumer that cannot say what it wants.
        let subscription = embedded::subscription(&first.metadata).map_err(|_| ErrorCode::UnknownServerError)?;
        if let Some(instance_id) = instance_id.filter(|_| is_unknown) {
            self.take_over(cx, instance_id, &member_id);
        }
        let rebalance_timeout_ms = match caller.version {
            0 => request.session_timeout_ms, // Version 0 has only one timeout.
            _ => request.rebalance_timeout_ms,
        };
        let protocol_name = first.name.clone();
        self.join_as(cx, &member_id, caller, request, rebalance_timeout_ms, subscription);
        let id: Arc<str> = member_id.as_str().into();
        let timer = |timer: fn(Arc<str>) -> ConsumerTimer| GroupTimer::Consumer(timer(id.clone()));
        cx.cancel_timer(timer(ConsumerTimer::Join));
        cx.set_timer(timer(ConsumerTimer::Session), request.session_timeout_ms);
        cx.set_timer(timer(ConsumerTimer::Sync), rebalance_timeout_ms);
        let epoch = self.state.members.get(&id).map_or(-1, |member| member.current.epoch);
        Ok(JoinGroupResponse::default()
            .with_member_id(StrBytes::from_string(member_id))
            .with_generation_id(epoch)
            .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
            .with_protocol_name(Some(protocol_name)))
    }

    /// The first protocol of a member, one of whose all other members of the classic protocol could speak too.
    fn check_protocols<'a>(
        &self,
        request: &'a JoinGroupRequest,
    ) -> Result<&'a kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol, ErrorCode> {
        let supporters = |name: &str| self.state.classic_protocols.get(name).copied().unwrap_or(0);
        let is_common = request.protocols.iter().any(|spoken| supporters(&spoken.name) == self.state.classic_members);
        match request.protocols.first() {
            Some(first) if is_common && &*request.protocol_type == PROTOCOL_TYPE => Ok(first),
            _ => Err(ErrorCode::InconsistentGroupProtocol),
        }
    }

    /// The part of a join that is the same as in a heartbeat.
    fn join_as(
        &mut self,
        cx: &mut Cx<'_>,
        member_id: &str,
        caller: &Caller,
        request: &JoinGroupRequest,
        rebalance_timeout_ms: i32,
        subscription: Subscription,
    ) {
        let before = self.state.members.get(member_id).cloned().unwrap_or_default();
        let old = &before.metadata;
        let owned = embedded::by_id(subscription.owned, &*cx.world.topics());
        let mut names = subscription.topics;
        names.sort_unstable();
        names.dedup();
        let mut seen = BTreeSet::new();
        let protocols = request.protocols.iter().filter(|spoken| seen.insert(spoken.name.as_str()));
        let protocol = |spoken: &kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol| {
            ClassicProtocol { name: spoken.name.to_string(), metadata: own(&spoken.metadata) }
        };
        let new = ConsumerGroupMemberMetadataValue {
            instance_id: request.group_instance_id.as_deref().map(str::to_owned).or_else(|| old.instance_id.clone()),
            rack_id: subscription.rack_id.or_else(|| old.rack_id.clone()),
            client_id: caller.client_id.clone(),
            client_host: caller.client_host.clone(),
            subscribed_topic_names: names,
            subscribed_topic_regex: Some(String::new()),
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 {
                old.rebalance_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            server_assignor: old.server_assignor.clone(),
            classic_member_metadata: Some(ClassicMemberMetadata {
                session_timeout_ms: request.session_timeout_ms,
                supported_protocols: protocols.map(protocol).collect(),
            }),
        };
        let new = (new != *old).then_some(new);
        let subscription_changed = self.update_subscription(cx, member_id, old, new);
        self.maybe_assign(cx);
        self.reconcile(cx, member_id, subscription_changed, Some(&owned));
    }

    /// SyncGroup, answered at once.
    pub fn classic_sync(&mut self, cx: &mut Cx<'_>, ticket: Ticket, _caller: &Caller, request: SyncGroupRequest) {
        let synced = self.try_classic_sync(cx, &request);
        let refused = |code: ErrorCode| SyncGroupResponse::default().with_error_code(code.code());
        cx.out.reply(ticket, Reply::SyncGroup(synced.unwrap_or_else(refused)));
    }

    fn try_classic_sync(
        &mut self,
        cx: &mut Cx<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let (id, member) = self.classic_member(&request.member_id, request.group_instance_id.as_deref())?;
        check_generation(member, request.generation_id)?;
        let classic = member.metadata.classic_member_metadata.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
        let first = classic.supported_protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let other_type = request.protocol_type.as_deref().is_some_and(|kind| kind != PROTOCOL_TYPE);
        if other_type || request.protocol_name.as_deref().is_some_and(|name| name != first.name) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // One that has to revoke has joined already, and joins again when it has done so.
        if self.state.epoch > member.current.epoch && member.current.state != MemberState::UnrevokedPartitions {
            await_join(cx, id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let subscription = embedded::subscription(&first.metadata).map_err(|_| ErrorCode::UnknownServerError)?;
        let assigned = embedded::listed(&member.current.assigned);
        let assignment = embedded::write_assignment(subscription.version, assigned, &*cx.world.topics());
        cx.cancel_timer(GroupTimer::Consumer(ConsumerTimer::Sync(id.clone())));
        cx.set_timer(GroupTimer::Consumer(ConsumerTimer::Session(id.clone())), classic.session_timeout_ms);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.clone())
            .with_protocol_name(request.protocol_name.clone())
            .with_assignment(assignment))
    }

    /// Heartbeat of the classic protocol: whether the member has to join again.
    pub fn classic_heartbeat(&mut self, cx: &mut Cx<'_>, request: &HeartbeatRequest) -> ErrorCode {
        self.try_classic_heartbeat(cx, request).err().unwrap_or(ErrorCode::None)
    }

    fn try_classic_heartbeat(&self, cx: &mut Cx<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let (id, member) = self.classic_member(&request.member_id, request.group_instance_id.as_deref())?;
        check_generation(member, request.generation_id)?;
        let session_timeout_ms = member.metadata.classic_member_metadata.as_ref().map_or(0, |it| it.session_timeout_ms);
        cx.set_timer(GroupTimer::Consumer(ConsumerTimer::Session(id.clone())), session_timeout_ms);
        let has_to_join = member.current.epoch < self.state.epoch
            || match member.current.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(id, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        if has_to_join {
            await_join(cx, id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a partition that the member is to have is still another's.
    fn waits_for_others(&self, id: &Arc<str>, member: &Member) -> bool {
        let target = self.state.target(id);
        target.iter().any(|(topic, partitions)| {
            let assigned = member.current.assigned.get(topic);
            partitions.iter().any(|partition| {
                !assigned.is_some_and(|assigned| assigned.contains_key(partition))
                    && self.state.owner(*topic, *partition).is_some()
            })
        })
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(&Arc<str>, &Arc<Member>), ErrorCode> {
        let (id, member) = match instance_id {
            None => self.state.members.get_key_value(member_id).ok_or(ErrorCode::UnknownMemberId)?,
            Some(instance_id) => self.known_static_member(instance_id, member_id).map_err(|refused| refused.code)?,
        };
        if member.is_classic() { Ok((id, member)) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// LeaveGroup: members of both protocols may be removed so.
    pub fn classic_leave(&mut self, cx: &mut Cx<'_>, members: &[MemberIdentity]) -> Vec<MemberResponse> {
        let mut leaving = BTreeSet::new();
        let mut responses = Vec::new();
        for identity in members {
            let found = self.to_leave(identity);
            let response = MemberResponse::default()
                .with_member_id(identity.member_id.clone())
                .with_group_instance_id(identity.group_instance_id.clone());
            responses.push(response.with_error_code(found.as_ref().err().map_or(0, |code| code.code())));
            leaving.extend(found);
        }
        let leaving: Vec<Arc<str>> = leaving.into_iter().collect();
        self.remove(cx, &leaving);
        responses
    }

    fn to_leave(&self, identity: &MemberIdentity) -> Result<Arc<str>, ErrorCode> {
        let (id, _) = match identity.group_instance_id.as_deref() {
            None => self.state.members.get_key_value(&*identity.member_id).ok_or(ErrorCode::UnknownMemberId)?,
            // An administrator knows a static member by its instance id alone.
            Some(instance_id) if identity.member_id.is_empty() => {
                self.state.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?
            }
            Some(instance_id) => {
                self.known_static_member(instance_id, &identity.member_id).map_err(|refused| refused.code)?
            }
        };
        Ok(id.clone())
    }
}

fn check_generation(member: &Member, generation: i32) -> Result<(), ErrorCode> {
    if member.current.epoch == generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
}

/// The member has to join again within its rebalance timeout, counted from the first time that it was told.
fn await_join(cx: &mut Cx<'_>, id: &Arc<str>, member: &Member) {
    let timer = || GroupTimer::Consumer(ConsumerTimer::Join(id.clone()));
    if !cx.has_timer(timer()) {
        cx.set_timer(timer(), member.metadata.rebalance_timeout_ms);
    }
}
