//! The members of a classic group, and what is counted over them.
//!
//! Counts (who has joined, how many support a protocol, how much is kept) are carried along, so that a join costs the same
//! in a group of ten thousand; only this file changes what is counted. (Kafka's `ClassicGroupMember` and the maps of
//! `ClassicGroup`.)

use crate::coordinator::Ticket;
use crate::coordinator::group::records::ClassicProtocol;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Who is to be answered.
    pub ticket: Ticket,
    /// The version of the request.
    pub version: i16,
}

/// A member of a classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The id that a static member gives itself.
    pub group_instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may take to join again, milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, milliseconds.
    pub session_timeout_ms: i32,
    /// What the leader gave it in this generation; empty until then.
    pub assignment: Bytes,
    /// Whether it waits in its first join: it does not know its id, or no answer has ever confirmed it.
    pub is_new: bool,
    /// Whether it was told the generation and has not asked for its assignment since.
    pub sync_pending: bool,
    protocols: Vec<ClassicProtocol>,
    join: Option<Parked>,
    sync: Option<Parked>,
}

impl Member {
    /// A member that speaks these protocols, in the order of its preference. Of protocols of the same name the first counts.
    pub fn new(protocols: Vec<ClassicProtocol>) -> Self {
        Member { protocols: distinct(protocols), ..Member::default() }
    }

    /// The protocols that it speaks.
    pub fn protocols(&self) -> &[ClassicProtocol] {
        &self.protocols
    }

    /// What it says in the form of a protocol; empty where it does not speak it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let spoken = self.protocols.iter().find(|spoken| spoken.name == protocol);
        spoken.map(|spoken| spoken.metadata.clone()).unwrap_or_default()
    }

    /// Whether a join waits for its answer.
    pub fn is_awaiting_join(&self) -> bool {
        self.join.is_some()
    }

    /// Whether a sync waits for its answer.
    pub fn is_awaiting_sync(&self) -> bool {
        self.sync.is_some()
    }

    /// Whether it needs not be heard of just now: it waits for us. A new member does not count, since it may have gone.
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.is_awaiting_join() || self.is_awaiting_sync())
    }

    /// Parks a sync; gives back the one before, which nobody waits for any more.
    pub fn park_sync(&mut self, parked: Parked) -> Option<Parked> {
        self.sync.replace(parked)
    }

    /// The sync to be answered.
    pub fn take_sync(&mut self) -> Option<Parked> {
        self.sync.take()
    }

    /// About how many bytes it keeps.
    pub fn kept_bytes(&self) -> usize {
        let protocols: usize =
            self.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
        let instance = self.group_instance_id.as_ref().map_or(0, String::len);
        let texts = protocols + instance + self.client_id.len() + self.client_host.len();
        texts + MEMBER_BYTES + PROTOCOL_BYTES * self.protocols.len()
    }
}

/// What a member takes beside its texts, bytes: with its timer and its place in the tables.
pub const MEMBER_BYTES: usize = 512;
/// What each of its protocols takes beside its texts, bytes.
pub const PROTOCOL_BYTES: usize = 128;
/// What an id that waits for its member takes beside itself, bytes.
pub const PENDING_BYTES: usize = 256;

/// Protocols without those whose name came before.
pub fn distinct(mut protocols: Vec<ClassicProtocol>) -> Vec<ClassicProtocol> {
    let mut seen = std::collections::BTreeSet::new();
    protocols.retain(|protocol| seen.insert(protocol.name.clone()));
    protocols
}

/// All members, by id.
#[derive(Debug, Default)]
pub struct Members {
    by_id: BTreeMap<Arc<str>, Member>,
    by_instance: BTreeMap<String, Arc<str>>,
    supporters: BTreeMap<String, usize>,
    joined: usize,
    kept_bytes: usize,
}

impl Members {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many wait in a join.
    pub fn joined(&self) -> usize {
        self.joined
    }

    /// About how many bytes all of them keep, assignments left out.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub fn get(&self, member_id: &str) -> Option<&Member> {
        self.by_id.get(member_id)
    }

    /// To change what is not counted.
    pub fn get_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(member_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.by_id.iter()
    }

    /// To change what is not counted.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Member)> {
        self.by_id.iter_mut()
    }

    /// The ids of those that `which` says.
    pub fn ids_of(&self, which: impl Fn(&Member) -> bool) -> Vec<Arc<str>> {
        self.by_id.iter().filter(|(_, member)| which(member)).map(|(id, _)| id.clone()).collect()
    }

    /// The id as it is kept here, so that it need not be copied.
    pub fn key(&self, member_id: &str) -> Option<Arc<str>> {
        self.by_id.get_key_value(member_id).map(|(id, _)| id.clone())
    }

    /// The member that has an instance id.
    pub fn of_instance(&self, group_instance_id: &str) -> Option<Arc<str>> {
        self.by_instance.get(group_instance_id).cloned()
    }

    /// Adds a member, or one in the place of another with that id.
    pub fn insert(&mut self, member_id: Arc<str>, member: Member) {
        self.remove(&member_id);
        if let Some(instance) = &member.group_instance_id {
            self.by_instance.insert(instance.clone(), member_id.clone());
        }
        self.joined += usize::from(member.is_awaiting_join());
        self.kept_bytes += member_id.len() + member.kept_bytes();
        self.count_protocols(&member, true);
        self.by_id.insert(member_id, member);
    }

    /// Takes a member out.
    pub fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.by_id.remove(member_id)?;
        if let Some(instance) = &member.group_instance_id
            && self.by_instance.get(instance).is_some_and(|id| **id == *member_id)
        {
            self.by_instance.remove(instance);
        }
        self.joined -= usize::from(member.is_awaiting_join());
        self.kept_bytes = self.kept_bytes.saturating_sub(member_id.len() + member.kept_bytes());
        self.count_protocols(&member, false);
        Some(member)
    }

    /// Gives a member other protocols.
    pub fn set_protocols(&mut self, member_id: &str, protocols: Vec<ClassicProtocol>) {
        if let Some((id, mut member)) = self.key(member_id).and_then(|id| Some((id, self.remove(member_id)?))) {
            member.protocols = distinct(protocols);
            self.insert(id, member);
        }
    }

    /// Parks a join; gives back the one before, which nobody waits for any more.
    pub fn park_join(&mut self, member_id: &str, parked: Parked) -> Option<Parked> {
        let before = self.by_id.get_mut(member_id)?.join.replace(parked);
        self.joined += usize::from(before.is_none());
        before
    }

    /// The join of a member to be answered.
    pub fn take_join(&mut self, member_id: &str) -> Option<Parked> {
        let parked = self.by_id.get_mut(member_id)?.join.take();
        self.joined -= usize::from(parked.is_some());
        parked
    }

    /// Whether all members support a protocol.
    pub fn all_support(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.len()
    }

    /// The protocol that most members prefer of those that all support; among equals the one that `first` likes best.
    pub fn elect_protocol(&self, first: Option<&str>) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.by_id.values() {
            if let Some(vote) = member.protocols.iter().find(|protocol| self.all_support(&protocol.name)) {
                *votes.entry(&vote.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let liked = first.and_then(|id| self.get(id)).map_or(&[][..], |member| member.protocols());
        let mut best =
            liked.iter().map(|protocol| protocol.name.as_str()).filter(|name| votes.get(name) == Some(&most));
        let elected = best.next().or_else(|| votes.iter().find(|(_, count)| **count == most).map(|(name, _)| *name));
        elected.map(String::from)
    }

    fn count_protocols(&mut self, member: &Member, more: bool) {
        for protocol in &member.protocols {
            let count = self.supporters.entry(protocol.name.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.supporters.remove(&protocol.name);
            }
        }
    }
}
