//! ConsumerGroupHeartbeat: a member joins, says what it wants and owns, and is told what it may consume, or leaves.
//!
//! A heartbeat is checked before anything is changed: [`validate`] looks at the request alone, and
//! [`ConsumerGroup::check_heartbeat`] at the group. After that it cannot fail. (Kafka's `GroupMetadataManager`,
//! `consumerGroupHeartbeat` and `consumerGroupLeave`.)

use super::super::assign::Assignment as Target;
use super::super::classic::KEPT_PER_RECORD;
use super::super::records::ConsumerGroupMemberMetadataValue;
use super::super::request::Caller;
use super::super::settings::GroupSettings;
use super::super::{Cx, GroupTimer};
use super::members::{Current, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Member, MemberState, Partitions};
use super::reconcile::{Goal, Owned, next};
use super::state::kept_bytes;
use super::{ConsumerGroup, ConsumerTimer, Refused, heartbeat_interval_ms, session_timeout_ms};
use crate::coordinator::breaks::{Break, broken};
use crate::coordinator::expressions::compile;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The first version in which the member makes its own id (KIP-1082).
const MEMBER_ID_REQUIRED_VERSION: i16 = 1;

/// What can be said of a heartbeat without the group
/// (`GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`).
pub fn validate(
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    settings: &GroupSettings,
) -> Result<(), Refused> {
    let invalid = |message: &str| Err(Refused::new(ErrorCode::InvalidRequest, message));
    let blank = |value: &Option<StrBytes>| value.as_deref().is_some_and(|value| value.trim().is_empty());
    let epoch = request.member_epoch;
    let needs_id = version >= MEMBER_ID_REQUIRED_VERSION || epoch > 0 || epoch == LEAVE_EPOCH;
    if needs_id && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if blank(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if blank(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    if epoch == JOIN_EPOCH {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
    } else if epoch == LEAVE_STATIC_EPOCH && request.instance_id.is_none() {
        return invalid("InstanceId can't be null.");
    } else if epoch < LEAVE_STATIC_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    let assignors = &settings.consumer.assignors;
    if let Some(assignor) = request.server_assignor.as_deref()
        && !assignors.iter().any(|known| known == assignor)
    {
        let known = assignors.join(", ");
        let message = format!("ServerAssignor {assignor} is not supported. Supported assignors: {known}.");
        return Err(Refused::new(ErrorCode::UnsupportedAssignor, message));
    }
    Ok(())
}

/// What a heartbeat says the member owns.
fn owned_in(request: &ConsumerGroupHeartbeatRequest) -> Option<Owned> {
    let owned = request.topic_partitions.as_ref()?;
    Some(owned.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect())
}

impl ConsumerGroup {
    /// Whether the group lets a heartbeat in, which [`validate`] has let through. Says what is wrong before anything is
    /// changed.
    pub fn check_heartbeat(
        &self,
        group_id: &str,
        settings: &GroupSettings,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &str,
    ) -> Result<(), Refused> {
        self.check_size(settings.consumer.max_size, member_id)?;
        let joins = request.member_epoch == JOIN_EPOCH;
        let member = match request.instance_id.as_deref() {
            None => {
                let member = self.state.members.get(member_id);
                if member.is_none() && !joins {
                    return Err(unknown_member(group_id, member_id));
                }
                if let Some(member) = member {
                    check_epoch(&member.current, request)?;
                }
                member
            }
            Some(instance_id) => self.check_static_member(request, instance_id, member_id)?,
        };
        self.check_kept(settings, member, request, member_id)?;
        self.check_regex(member, request)
    }

    /// Nothing is kept that no record could hold, and all members of a group together keep a few records' worth.
    fn check_kept(
        &self,
        settings: &GroupSettings,
        member: Option<&Arc<Member>>,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &str,
    ) -> Result<(), Refused> {
        let names = request.subscribed_topic_names.iter().flatten();
        let said = ConsumerGroupMemberMetadataValue {
            subscribed_topic_names: names.map(|name| name.to_string()).collect(),
            subscribed_topic_regex: request.subscribed_topic_regex.as_ref().map(|regex| regex.to_string()),
            instance_id: request.instance_id.as_ref().map(|id| id.to_string()),
            rack_id: request.rack_id.as_ref().map(|id| id.to_string()),
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: 0,
            server_assignor: None,
            classic_member_metadata: None,
        };
        if member.is_some() && request.subscribed_topic_names.is_none() {
            return Ok(());
        }
        self.check_bytes(settings, member, kept_bytes(&said).saturating_add(member_id.len()))
    }

    /// As [`ConsumerGroup::check_heartbeat`] does it: whether there is room for a member of so many bytes.
    pub fn check_bytes(
        &self,
        settings: &GroupSettings,
        member: Option<&Arc<Member>>,
        bytes: usize,
    ) -> Result<(), Refused> {
        let max = settings.max_record_bytes;
        if bytes > max {
            let message = "What the member says is too large for a record.";
            return Err(Refused::new(ErrorCode::UnknownServerError, message));
        }
        let before = member.map_or(0, |member| kept_bytes(&member.metadata));
        if self.state.kept_bytes.saturating_sub(before).saturating_add(bytes) > KEPT_PER_RECORD.saturating_mul(max) {
            let message = "The members of the group say more than the coordinator keeps of a group.";
            return Err(Refused::new(ErrorCode::GroupMaxSizeReached, message));
        }
        Ok(())
    }

    /// Whether the group has room, or the member is in it already.
    pub fn check_size(&self, max_size: usize, member_id: &str) -> Result<(), Refused> {
        if self.state.members.len() < max_size || self.state.members.contains_key(member_id) {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {max_size} members.");
        Err(Refused::new(ErrorCode::GroupMaxSizeReached, message))
    }

    /// The member that a static member is or takes over from.
    fn check_static_member(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        instance_id: &str,
        member_id: &str,
    ) -> Result<Option<&Arc<Member>>, Refused> {
        let existing = self.state.static_member(instance_id);
        if request.member_epoch != JOIN_EPOCH {
            let (_, member) = self.known_static_member(instance_id, member_id)?;
            check_epoch(&member.current, request)?;
            return Ok(Some(member));
        }
        let Some((owner, member)) = existing else {
            // The id may be that of a dynamic member, whose epoch nobody looks at then; Kafka does neither.
            return Ok(self.state.members.get(member_id));
        };
        if !member.is_classic() && member.current.epoch != LEAVE_STATIC_EPOCH {
            let message = format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the instance \
                 id is owned by {owner} member."
            );
            return Err(Refused::new(ErrorCode::UnreleasedInstanceId, message));
        }
        Ok(Some(member))
    }

    /// The static member of an instance id, if it is still the one that says so.
    pub fn known_static_member(
        &self,
        instance_id: &str,
        member_id: &str,
    ) -> Result<(&Arc<str>, &Arc<Member>), Refused> {
        let Some((owner, member)) = self.state.static_member(instance_id) else {
            let message = format!("Instance id {instance_id} is unknown.");
            return Err(Refused::new(ErrorCode::UnknownMemberId, message));
        };
        if **owner != *member_id {
            let message =
                format!("Static member {member_id} with instance id {instance_id} was fenced by member {owner}.");
            return Err(Refused::new(ErrorCode::FencedInstanceId, message));
        }
        Ok((owner, member))
    }

    /// Whether a new regular expression is one.
    fn check_regex(
        &self,
        member: Option<&Arc<Member>>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(), Refused> {
        let Some(new) = request.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty()) else {
            return Ok(());
        };
        if member.and_then(|member| member.regex()) == Some(new) || self.state.members_with_regex(new) > 0 {
            return Ok(());
        }
        compile(new).map(drop).map_err(|why| {
            let message = format!("SubscribedTopicRegex `{new}` is not a valid regular expression: {why}.");
            Refused::new(ErrorCode::InvalidRegularExpression, message)
        })
    }

    /// A heartbeat that [`ConsumerGroup::check_heartbeat`] has let in.
    pub fn heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &str,
    ) -> ConsumerGroupHeartbeatResponse {
        let joins = request.member_epoch == JOIN_EPOCH;
        if joins && let Some(instance_id) = request.instance_id.as_deref() {
            self.take_over(cx, instance_id, member_id);
        }
        let before = self.state.members.get(member_id).cloned().unwrap_or_default();
        let metadata = changed(&before.metadata, caller, request);
        let subscription_changed = self.update_subscription(cx, member_id, &before.metadata, metadata);
        self.maybe_assign(cx);
        let owned = owned_in(request);
        self.reconcile(cx, member_id, subscription_changed, owned.as_ref());
        let timer = GroupTimer::Consumer(ConsumerTimer::Session(member_id.into()));
        cx.set_timer(timer, session_timeout_ms(cx));

        let fallback = Current::default();
        let current = self.state.members.get(member_id).map_or(&fallback, |member| &member.current);
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tell = joins || is_full || !current.assigns_as(&before.current);
        ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(member_id.into())))
            .with_member_epoch(current.epoch)
            .with_heartbeat_interval_ms(heartbeat_interval_ms(cx))
            .with_assignment(tell.then(|| told(&current.assigned)))
    }

    /// A static member that joins takes over what the one before with its instance id has.
    pub fn take_over(&mut self, cx: &mut Cx<'_>, instance_id: &str, member_id: &str) {
        let Some((old_id, old)) = self.state.static_member(instance_id) else { return };
        let (old_id, old, target) = (old_id.clone(), Member::clone(old), self.state.target(old_id));
        self.replace(cx, &old_id, old, target, member_id);
    }

    /// Brings a member a step nearer to its target, if it is not there.
    pub fn reconcile(&mut self, cx: &mut Cx<'_>, member_id: &str, subscription_changed: bool, owned: Option<&Owned>) {
        let Some((id, member)) = self.state.members.get_key_value(member_id) else { return };
        if !subscription_changed && member.current.is_reconciled_to(self.state.assignment_epoch) {
            return;
        }
        let topics = cx.world.topics();
        let goal = Goal {
            epoch: self.state.assignment_epoch,
            target: &self.state.target(member_id),
            subscription_changed,
            owned,
            subscribes: &|topic| topics.by_id(topic).is_some_and(|topic| self.state.subscribes(member, &topic.name)),
            is_taken: &|topic, partition| self.state.owner(topic, partition).is_some_and(|owner| owner != id),
        };
        let next = next(&member.current, &goal);
        if next == member.current {
            return;
        }
        let (is_classic, timeout_ms) = (member.is_classic(), member.metadata.rebalance_timeout_ms);
        let timer = GroupTimer::Consumer(ConsumerTimer::Rebalance(id.clone()));
        match next.state {
            _ if is_classic => {}
            MemberState::UnrevokedPartitions => cx.set_timer(timer, timeout_ms),
            _ => cx.cancel_timer(timer),
        }
        self.emit_current(cx, member_id, &next);
    }

    /// A member leaves, for good or, a static one, for a while.
    pub fn leave_by_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        let member_id = request.member_id.as_str();
        let (id, member) = match request.instance_id.as_deref() {
            None => {
                self.state.members.get_key_value(member_id).ok_or_else(|| unknown_member(cx.group_id, member_id))?
            }
            Some(instance_id) => self.known_static_member(instance_id, member_id)?,
        };
        let id = id.clone();
        if request.instance_id.is_some() && request.member_epoch == LEAVE_STATIC_EPOCH {
            let mut away = member.current.clone();
            away.epoch = LEAVE_STATIC_EPOCH;
            away.pending_revocation.clear();
            // As Kafka 4.3 writes it: who comes back may have them since any epoch.
            away.assigned.values_mut().flat_map(|partitions| partitions.values_mut()).for_each(|since| *since = 0);
            cx.cancel_timer(GroupTimer::Consumer(ConsumerTimer::Rebalance(id.clone())));
            self.emit_current(cx, &id, &away);
        } else {
            self.remove(cx, &[id]);
        }
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(member_id.into())))
            .with_member_epoch(request.member_epoch))
    }

    /// Puts `new_id` in the place of a member, with all that it has.
    pub fn replace(
        &mut self,
        cx: &mut Cx<'_>,
        old_id: &Arc<str>,
        mut member: Member,
        target: Arc<Target>,
        new_id: &str,
    ) {
        self.emit_removal(cx, old_id);
        (member.current.epoch, member.current.previous_epoch) = (JOIN_EPOCH, JOIN_EPOCH);
        self.emit_metadata(cx, new_id, member.metadata);
        self.emit_target(cx, new_id, &target);
        self.emit_current(cx, new_id, &member.current);
    }
}

/// Whether a heartbeat bears an epoch that the member may have.
fn check_epoch(current: &Current, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refused> {
    let (received, known) = (request.member_epoch, current.epoch);
    let owns_less = || {
        request.topic_partitions.as_ref().is_some_and(|owned| {
            owned.iter().all(|topic| {
                current
                    .assigned
                    .get(&topic.topic_id)
                    .is_some_and(|assigned| topic.partitions.iter().all(|partition| assigned.contains_key(partition)))
            })
        })
    };
    let than = match received.cmp(&known) {
        _ if broken(Break::EpochCheck) => return Ok(()),
        std::cmp::Ordering::Greater => "greater",
        // The answer with the new epoch may have been lost.
        std::cmp::Ordering::Less if received != current.previous_epoch || !owns_less() => "smaller",
        _ if current.state == MemberState::Unknown
            && request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) =>
        {
            let message = "The consumer group member is in a unknown state. The member must abandon all its \
                           partitions and rejoin.";
            return Err(Refused::new(ErrorCode::FencedMemberEpoch, message));
        }
        _ => return Ok(()),
    };
    let message = format!(
        "The consumer group member has a {than} member epoch ({received}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refused::new(ErrorCode::FencedMemberEpoch, message))
}

fn unknown_member(group_id: &str, member_id: &str) -> Refused {
    let message = format!("Member {member_id} is not a member of group {group_id}.");
    Refused::new(ErrorCode::UnknownMemberId, message)
}

/// The member's metadata with what the heartbeat changes; `None` where that is nothing.
fn changed(
    old: &ConsumerGroupMemberMetadataValue,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<ConsumerGroupMemberMetadataValue> {
    let same = |new: &Option<StrBytes>, old: &Option<String>| new.is_none() || new.as_deref() == old.as_deref();
    // Most heartbeats say nothing of this.
    if request.subscribed_topic_names.is_none()
        && request.rebalance_timeout_ms == -1
        && same(&request.instance_id, &old.instance_id)
        && same(&request.rack_id, &old.rack_id)
        && same(&request.subscribed_topic_regex, &old.subscribed_topic_regex)
        && same(&request.server_assignor, &old.server_assignor)
        && (&caller.client_id, &caller.client_host) == (&old.client_id, &old.client_host)
        && old.classic_member_metadata.is_none()
    {
        return None;
    }
    let new = ConsumerGroupMemberMetadataValue {
        instance_id: text(&request.instance_id).or_else(|| old.instance_id.clone()),
        rack_id: text(&request.rack_id).or_else(|| old.rack_id.clone()),
        client_id: caller.client_id.clone(),
        client_host: caller.client_host.clone(),
        subscribed_topic_names: match &request.subscribed_topic_names {
            Some(names) => {
                let mut names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            None => old.subscribed_topic_names.clone(),
        },
        subscribed_topic_regex: text(&request.subscribed_topic_regex).or_else(|| old.subscribed_topic_regex.clone()),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => old.rebalance_timeout_ms,
            timeout_ms => timeout_ms,
        },
        server_assignor: text(&request.server_assignor).or_else(|| old.server_assignor.clone()),
        classic_member_metadata: None,
    };
    (new != *old).then_some(new)
}

fn text(value: &Option<StrBytes>) -> Option<String> {
    value.as_ref().map(|value| value.to_string())
}

fn told(assigned: &Partitions) -> Assignment {
    let topics = assigned.iter().map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(*topic).with_partitions(partitions.keys().copied().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
