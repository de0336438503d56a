//! How a classic group rebalances: it waits for its members to join, decides the next generation, and waits for their syncs.

use super::{ClassicGroup, ClassicTimer, InitialRebalance, State};
use crate::coordinator::breaks::{Break, broken};
use crate::coordinator::group::{Cx, GroupTimer};
use crate::wire::errors::ErrorCode;
use std::sync::Arc;

const JOIN: GroupTimer = GroupTimer::Classic(ClassicTimer::Join);
const SYNC: GroupTimer = GroupTimer::Classic(ClassicTimer::Sync);
/// How often at most a rebalance is tried in which nobody joins: a timeout is a client's word, and may be 0.
const NOBODY_JOINED_MS: i32 = 1_000;

impl ClassicGroup {
    pub fn on_timer(&mut self, cx: &mut Cx<'_>, timer: ClassicTimer) {
        match timer {
            ClassicTimer::Join if self.state == State::PreparingRebalance => self.on_join_timer(cx),
            ClassicTimer::Session(member_id) => self.on_session_timer(cx, &member_id),
            ClassicTimer::Sync if matches!(self.state, State::CompletingRebalance | State::Stable) => {
                self.on_sync_timer(cx)
            }
            ClassicTimer::Join | ClassicTimer::Sync => {}
        }
    }

    /// Has all members join again. Those who wait for an assignment are told so.
    pub fn prepare_rebalance(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::CompletingRebalance {
            self.answer_syncs(cx, ErrorCode::RebalanceInProgress);
        }
        self.forget_pending_syncs(cx);
        let initial = self.state == State::Empty;
        self.transition(cx, State::PreparingRebalance);
        if initial {
            self.start_initial(cx);
        } else if self.all_joined() {
            self.complete_join(cx);
        } else {
            cx.set_timer(JOIN, self.rebalance_timeout_ms());
        }
    }

    /// After members have come, changed or gone: a rebalance begins, or the one under way may be complete.
    pub(super) fn rebalance_or_complete(&mut self, cx: &mut Cx<'_>) {
        match self.state {
            State::PreparingRebalance => self.maybe_complete_join(cx),
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(cx),
        }
    }

    /// Goes on once everybody has joined. The first rebalance of an empty group waits for its timer all the same.
    pub(super) fn maybe_complete_join(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.all_joined() {
            self.complete_join(cx);
        }
    }

    fn all_joined(&self) -> bool {
        self.members.joined() == self.members.len() && self.pending.is_empty()
    }

    /// How long members may take to join: the longest that one of them asks for.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.iter().map(|(_, member)| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Waits `group.initial.rebalance.delay.ms` for others, and again as long as others come, up to the rebalance timeout.
    fn start_initial(&mut self, cx: &mut Cx<'_>) {
        let delay_ms = cx.settings.initial_rebalance_delay_ms.max(0);
        let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
        if delay_ms == 0 {
            return self.complete_join(cx);
        }
        self.initial = Some(InitialRebalance { delay_ms, remaining_ms, new_member_added: false });
        cx.set_timer(JOIN, delay_ms);
    }

    fn on_join_timer(&mut self, cx: &mut Cx<'_>) {
        match &mut self.initial {
            Some(initial) if initial.new_member_added && initial.remaining_ms > 0 => {
                let next_ms = cx.settings.initial_rebalance_delay_ms.max(0).min(initial.remaining_ms);
                let remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms).max(0);
                *initial = InitialRebalance { delay_ms: next_ms, remaining_ms, new_member_added: false };
                cx.set_timer(JOIN, next_ms);
            }
            _ => self.complete_join(cx),
        }
    }

    /// A member has come while an empty group waits for more.
    pub(super) fn note_new_member(&mut self) {
        if let Some(initial) = &mut self.initial {
            initial.new_member_added = true;
        }
    }

    /// Ends the joining: dynamic members that have not joined are gone, and those who are left are the next generation.
    /// Static members stay until their sessions end.
    fn complete_join(&mut self, cx: &mut Cx<'_>) {
        cx.cancel_timer(JOIN);
        self.initial = None;
        for member_id in self.members.ids_of(|m| !m.is_awaiting_join() && m.group_instance_id.is_none()) {
            self.remove_member(cx, &member_id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            cx.set_timer(JOIN, self.rebalance_timeout_ms().max(NOBODY_JOINED_MS));
            return;
        }
        let before = (self.generation, self.protocol.take());
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        for (_, member) in self.members.iter_mut() {
            member.assignment = bytes::Bytes::new();
        }
        if self.members.is_empty() {
            self.transition(cx, State::Empty);
            self.store_generation(cx);
            return;
        }
        self.protocol = self.members.elect_protocol(self.leader.as_deref());
        self.transition(cx, State::CompletingRebalance);
        if !self.store_generation(cx) {
            (self.generation, self.protocol) = before;
            return self.fail_joins(cx);
        }
        self.answer_joins(cx);
        if !broken(Break::SyncTimer) {
            cx.set_timer(SYNC, self.rebalance_timeout_ms());
        }
    }

    /// The generation is too large to be stored. Its members are told so, and may leave or come back with less to say.
    fn fail_joins(&mut self, cx: &mut Cx<'_>) {
        self.transition(cx, State::PreparingRebalance);
        for member_id in self.members.ids_of(|member| member.is_awaiting_join()) {
            self.refuse_parked(cx, &member_id, &member_id, ErrorCode::UnknownServerError);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.renew_session(cx, &member_id);
        }
        cx.set_timer(JOIN, self.rebalance_timeout_ms());
    }

    /// The leader must be one of those who have joined; false if nobody has.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.is_awaiting_join());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let elected = self.members.iter().find(|(_, member)| member.is_awaiting_join()).map(|(id, _)| id.clone());
        if elected.is_some() {
            self.leader = elected;
            return true;
        }
        false
    }

    fn on_session_timer(&mut self, cx: &mut Cx<'_>, member_id: &Arc<str>) {
        if self.pending.remove(member_id) {
            return self.complete_if_all_joined(cx);
        }
        match self.members.get(member_id) {
            Some(member) if !member.has_satisfied_heartbeat() => {
                self.remove_member(cx, member_id);
                match self.state {
                    State::CompletingRebalance | State::Stable => self.prepare_rebalance(cx),
                    State::Empty | State::PreparingRebalance => self.complete_if_all_joined(cx),
                }
            }
            _ => {}
        }
    }

    /// Somebody who had not joined is gone: this may be the last that was waited for, also in an initial rebalance.
    fn complete_if_all_joined(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::PreparingRebalance && self.all_joined() {
            self.complete_join(cx);
        }
    }

    /// Members that were told the generation and did not sync are gone.
    fn on_sync_timer(&mut self, cx: &mut Cx<'_>) {
        let silent = self.members.ids_of(|member| member.sync_pending);
        if silent.is_empty() {
            return;
        }
        for member_id in silent {
            self.remove_member(cx, &member_id);
        }
        self.prepare_rebalance(cx);
    }

    /// A member has synced.
    pub(super) fn note_sync(&mut self, cx: &mut Cx<'_>, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.sync_pending = false;
        }
        if !self.members.iter().any(|(_, member)| member.sync_pending) {
            cx.cancel_timer(SYNC);
        }
    }

    fn forget_pending_syncs(&mut self, cx: &mut Cx<'_>) {
        for (_, member) in self.members.iter_mut() {
            member.sync_pending = false;
        }
        cx.cancel_timer(SYNC);
    }

    /// Takes a member out. What it has parked is answered; another leads in its place.
    pub(super) fn remove_member(&mut self, cx: &mut Cx<'_>, member_id: &Arc<str>) {
        self.refuse_parked(cx, member_id, "", ErrorCode::UnknownMemberId);
        cx.cancel_timer(super::session(member_id));
        self.pending.remove(member_id);
        self.members.remove(member_id);
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.iter().next().map(|(member_id, _)| member_id.clone());
        }
    }
}
