//! JoinGroup of a classic group.

use super::members::{MEMBER_BYTES, PENDING_BYTES, PROTOCOL_BYTES, distinct};
use super::store::record_bytes;
use super::{ClassicGroup, KEPT_PER_RECORD, Member, NEW_MEMBER_JOIN_TIMEOUT_MS, Parked, State, answer};
use crate::coordinator::Ticket;
use crate::coordinator::group::Cx;
use crate::coordinator::group::records::{ClassicProtocol, GroupMetadataValue, MemberMetadata};
use crate::coordinator::group::request::{Caller, own};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::JoinGroupRequest;
use std::sync::Arc;
use uuid::Uuid;

/// The first version in which a member without an id is given one, to come back with (KIP-394).
const REQUIRES_MEMBER_ID: i16 = 4;
/// The first version in which a leader can be told not to assign (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

/// A join under way.
struct Join<'a> {
    parked: Parked,
    caller: &'a Caller,
    request: &'a JoinGroupRequest,
    rebalance_timeout_ms: i32,
}

impl Join<'_> {
    fn instance(&self) -> Option<&str> {
        self.request.group_instance_id.as_deref()
    }

    /// Copies, so that the frame is not kept.
    fn protocols(&self) -> Vec<ClassicProtocol> {
        let copied = self.request.protocols.iter();
        copied.map(|p| ClassicProtocol { name: p.name.to_string(), metadata: own(&p.metadata) }).collect()
    }

    /// Whether the member says what it said before.
    fn repeats(&self, member: &Member) -> bool {
        let said: Vec<ClassicProtocol> = self
            .request
            .protocols
            .iter()
            .map(|p| ClassicProtocol { name: p.name.to_string(), metadata: p.metadata.clone() })
            .collect();
        distinct(said) == member.protocols()
    }

    /// About how many bytes the member will keep.
    fn kept_bytes(&self) -> usize {
        let protocols: usize = self.request.protocols.iter().map(|p| p.name.len() + p.metadata.len()).sum();
        protocols + self.instance().map_or(0, str::len) + self.caller.client_id.len() + self.caller.client_host.len()
    }

    /// A new member.
    fn member(&self) -> Member {
        let mut member = Member::new(self.protocols());
        member.group_instance_id = self.instance().map(String::from);
        member.client_id = self.caller.client_id.clone();
        member.client_host = self.caller.client_host.clone();
        member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        member.session_timeout_ms = self.request.session_timeout_ms;
        member.is_new = true;
        member
    }
}

/// Why a join is refused, and what the member is called in the answer.
struct Refused<'a>(&'a str, ErrorCode);

impl ClassicGroup {
    /// JoinGroup: parked until the rebalance is complete, unless nothing changes.
    pub fn join(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: JoinGroupRequest,
        fresh_id: Uuid,
    ) {
        let rebalance_timeout_ms = match caller.version {
            0 => request.session_timeout_ms, // Version 0 has only one timeout.
            _ => request.rebalance_timeout_ms,
        };
        let parked = Parked { ticket, version: caller.version };
        let join = Join { parked, caller, request: &request, rebalance_timeout_ms };
        let done = match &*request.member_id {
            "" => self.join_without_id(cx, &join, fresh_id),
            member_id => self.join_with_id(cx, &join, member_id),
        };
        if let Err(Refused(member_id, code)) = done {
            answer::refuse_join(cx, parked, member_id, code);
        }
    }

    fn join_without_id<'a>(&mut self, cx: &mut Cx<'_>, join: &Join<'a>, fresh_id: Uuid) -> Result<(), Refused<'a>> {
        let known = join.instance().and_then(|instance| self.members.of_instance(instance));
        self.check_room(cx, known.as_deref()).map_err(|code| Refused("", code))?;
        let member_id = format!("{}-{fresh_id}", join.instance().unwrap_or(&join.caller.client_id));
        self.check_protocols(join).map_err(|code| Refused("", code))?;
        self.check_size(cx, join, &member_id, known.as_deref()).map_err(|code| Refused("", code))?;
        let member_id: Arc<str> = member_id.into();
        match known {
            Some(known) => self.replace_static(cx, join, &known, member_id).map_err(|code| Refused("", code))?,
            None if join.instance().is_some() || join.caller.version < REQUIRES_MEMBER_ID => {
                self.add_member(cx, join, member_id)
            }
            None => {
                self.set_session(cx, &member_id, join.request.session_timeout_ms);
                answer::refuse_join(cx, join.parked, &member_id, ErrorCode::MemberIdRequired);
                self.pending.insert(member_id);
            }
        }
        Ok(())
    }

    fn join_with_id<'a>(&mut self, cx: &mut Cx<'_>, join: &Join<'a>, named: &'a str) -> Result<(), Refused<'a>> {
        if let Err(code) = self.check_room(cx, Some(named)) {
            self.turn_away(cx, named);
            return Err(Refused("", code));
        }
        let refused = |code| Refused(named, code);
        self.check_protocols(join).map_err(refused)?;
        if let Some(pending) = self.pending.get(named).cloned() {
            if join.instance().is_some() {
                return Err(refused(ErrorCode::UnknownServerError)); // As Kafka: ids of static members are never pending.
            }
            self.check_size(cx, join, named, Some(named)).map_err(refused)?;
            self.add_member(cx, join, pending);
            return Ok(());
        }
        let member_id = self.check_member(named, join.instance()).map_err(refused)?;
        self.check_size(cx, join, named, Some(named)).map_err(refused)?;
        self.rejoin(cx, join, &member_id);
        Ok(())
    }

    /// A member that is known joins: that is a rebalance unless it repeats what was said. Of a leader it always is, since it
    /// may have seen what the metadata does not tell.
    fn rejoin(&mut self, cx: &mut Cx<'_>, join: &Join<'_>, member_id: &Arc<str>) {
        let repeats = self.members.get(member_id).is_some_and(|member| join.repeats(member));
        let leads = self.leader.as_ref() == Some(member_id);
        let unchanged = match self.state {
            State::CompletingRebalance => repeats,
            State::Stable => repeats && !leads,
            State::Empty | State::PreparingRebalance => false,
        };
        if unchanged {
            let told = self.generation_for(member_id);
            return answer::join(cx, join.parked, told);
        }
        self.update_member(cx, join, member_id);
        self.rebalance_or_complete(cx);
    }

    /// Takes over what a member says now, and parks its join.
    fn update_member(&mut self, cx: &mut Cx<'_>, join: &Join<'_>, member_id: &Arc<str>) {
        self.members.set_protocols(member_id, join.protocols());
        if let Some(member) = self.members.get_mut(member_id) {
            member.rebalance_timeout_ms = join.rebalance_timeout_ms;
            member.session_timeout_ms = join.request.session_timeout_ms;
        }
        self.park_join(cx, join, member_id);
    }

    fn park_join(&mut self, cx: &mut Cx<'_>, join: &Join<'_>, member_id: &Arc<str>) {
        if let Some(before) = self.members.park_join(member_id, join.parked) {
            answer::refuse_join(cx, before, member_id, ErrorCode::RebalanceInProgress);
        }
    }

    fn add_member(&mut self, cx: &mut Cx<'_>, join: &Join<'_>, member_id: Arc<str>) {
        self.note_new_member();
        self.pending.remove(&member_id);
        if self.members.is_empty() {
            self.protocol_type = Some(join.request.protocol_type.to_string());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id.clone(), join.member());
        self.park_join(cx, join, &member_id);
        self.set_session(cx, &member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(cx);
    }

    /// A static member comes back without its id: it gets another in the place of the one that it had, whose holder is
    /// fenced. While the group is stable and the protocol stays, nobody else need know.
    fn replace_static(
        &mut self,
        cx: &mut Cx<'_>,
        join: &Join<'_>,
        old_id: &Arc<str>,
        new_id: Arc<str>,
    ) -> Result<(), ErrorCode> {
        if self.state == State::Stable && !self.fits_with(cx, join, old_id, &new_id) {
            return Err(ErrorCode::UnknownServerError);
        }
        self.refuse_parked(cx, old_id, old_id, ErrorCode::FencedInstanceId);
        cx.cancel_timer(super::session(old_id));
        let old_leader = self.leader.clone();
        if let Some(mut member) = self.members.remove(old_id) {
            member.is_new = false;
            self.members.insert(new_id.clone(), member);
        }
        if old_leader.as_ref() == Some(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.update_member(cx, join, &new_id);
        self.renew_session(cx, &new_id);
        match self.state {
            State::Stable if self.members.elect_protocol(self.leader.as_deref()) == self.protocol => {
                self.keep_generation(cx, &new_id, old_leader.as_deref())
            }
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(cx),
            State::Empty | State::PreparingRebalance => self.maybe_complete_join(cx),
        }
        Ok(())
    }

    /// Answers a static member that has taken its own place. A leader must not assign: since version 9 it is told so, before
    /// it is told the leader that it was, so that it takes itself for a follower.
    fn keep_generation(&mut self, cx: &mut Cx<'_>, member_id: &Arc<str>, old_leader: Option<&str>) {
        self.store(cx, self.value());
        let Some(parked) = self.members.take_join(member_id) else { return };
        let mut told = self.generation_for(member_id);
        if parked.version >= SKIPS_ASSIGNMENT {
            told.skip_assignment = self.leader.as_ref() == Some(member_id);
        } else {
            told.members.clear();
            told.leader = old_leader.map(answer::text).unwrap_or_default();
        }
        answer::join(cx, parked, told);
    }

    /// Whether there is room for a member, by `group.max.size` (`GroupMetadataManager.acceptJoiningMember`). In a rebalance
    /// those who have joined count, so that the last ones are turned away if the size has shrunk.
    fn check_room(&self, cx: &Cx<'_>, known: Option<&str>) -> Result<(), ErrorCode> {
        let known = known.and_then(|known| self.members.get(known));
        let room = match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                known.is_some_and(Member::is_awaiting_join) || self.members.joined() < cx.settings.max_size
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < cx.settings.max_size,
        };
        if room { Ok(()) } else { Err(ErrorCode::GroupMaxSizeReached) }
    }

    /// There is no room for somebody who has an id: that is gone with it.
    fn turn_away(&mut self, cx: &mut Cx<'_>, named: &str) {
        if let Some(known) = self.members.key(named).or_else(|| self.pending.get(named).cloned()) {
            self.remove_member(cx, &known);
            self.maybe_complete_join(cx);
        }
    }

    /// Whether the group can go on with what a member speaks.
    fn check_protocols(&self, join: &Join<'_>) -> Result<(), ErrorCode> {
        let (protocol_type, protocols) = (&*join.request.protocol_type, &join.request.protocols);
        let supported = match self.state {
            State::Empty => !protocol_type.is_empty() && !protocols.is_empty(),
            _ => {
                self.protocol_type() == Some(protocol_type)
                    && protocols.iter().any(|protocol| self.members.all_support(&protocol.name))
            }
        };
        if supported { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    /// Nothing is kept that could not be stored: not a member whose record alone were too large, nor strings that no
    /// record can hold; and all members together keep a few records' worth.
    fn check_size(
        &self,
        cx: &Cx<'_>,
        join: &Join<'_>,
        member_id: &str,
        replaces: Option<&str>,
    ) -> Result<(), ErrorCode> {
        let strings = [member_id, cx.group_id, &join.caller.client_id, &join.caller.client_host]
            .into_iter()
            .chain([&*join.request.protocol_type, join.instance().unwrap_or_default()])
            .chain(join.request.protocols.iter().map(|protocol| &*protocol.name));
        if strings.map(str::len).max() > Some(i16::MAX as usize) {
            return Err(ErrorCode::UnknownServerError);
        }
        let max = cx.settings.max_record_bytes;
        let kept = member_id.len() + join.kept_bytes();
        if self.empty_bytes(cx, join) + 2 * member_id.len() + kept > max {
            return Err(ErrorCode::UnknownServerError);
        }
        let before = replaces.and_then(|id| Some(id.len() + self.members.get(id)?.kept_bytes())).unwrap_or(0);
        let pending = self.pending.len().saturating_mul(member_id.len() + PENDING_BYTES);
        let others = self.members.kept_bytes().saturating_sub(before);
        let own = kept + MEMBER_BYTES + PROTOCOL_BYTES.saturating_mul(join.request.protocols.len());
        if others + pending + own > KEPT_PER_RECORD.saturating_mul(max) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        Ok(())
    }

    /// What the record of a group would take with one member that says nothing.
    fn empty_bytes(&self, cx: &Cx<'_>, join: &Join<'_>) -> usize {
        let member = MemberMetadata {
            member_id: String::new(),
            group_instance_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: 0,
            session_timeout: 0,
            subscription: Default::default(),
            assignment: Default::default(),
        };
        let value = GroupMetadataValue {
            protocol_type: join.request.protocol_type.to_string(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: 0,
            members: vec![member],
        };
        record_bytes(cx.group_id, &value)
    }

    /// Whether the group could be stored with a static member in its own place.
    fn fits_with(&self, cx: &Cx<'_>, join: &Join<'_>, old_id: &Arc<str>, new_id: &Arc<str>) -> bool {
        let mut value = self.value();
        let protocol = self.protocol().unwrap_or_default();
        let metadata = join.request.protocols.iter().find(|said| &*said.name == protocol).map(|said| &said.metadata);
        if let Some(stored) = value.members.iter_mut().find(|stored| *stored.member_id == **old_id) {
            stored.member_id = new_id.to_string();
            stored.subscription = metadata.cloned().unwrap_or_default();
        }
        if self.leader.as_ref() == Some(old_id) {
            value.leader = Some(new_id.to_string());
        }
        self.fits(cx, &value)
    }
}
