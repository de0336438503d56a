//! Committed offsets: kept per group, apart from the group's members, for they outlive those.
//!
//! A commit is one record for each partition and nothing else. Offsets of topics that nobody subscribes to expire a while
//! after their group has become empty, or after the commit where it never had members (`OffsetMetadataManager`). Those of
//! transactions wait in [`pending`](super::pending) until they come into force.

use super::records::{OffsetCommitKey, OffsetCommitValue, Record};
use super::request::{CommitOffset, CommitOffsets, FetchOffsets, FetchedOffset};
use super::{Group, GroupShard, Out, check_group_id};
use crate::coordinator::Now;
use crate::coordinator::group::classic::ClassicGroup;
use crate::time::Millis;
use crate::wire::errors::ErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// An offset that a client committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    offset: i64,
    leader_epoch: i32,
    metadata: Box<str>,
    commit_timestamp: Millis,
    /// -1 where the broker's retention decides.
    expire_timestamp: Millis,
    topic_id: Uuid,
}

/// What is committed, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    groups: BTreeMap<Arc<str>, GroupOffsets>,
}

/// The offsets of one group, in the order of topics and partitions. A sorted vector: most groups have few, and a hundred
/// thousand groups may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GroupOffsets(Vec<(Arc<str>, i32, Committed)>);

/// Since when the retention of a group's offsets counts (`OffsetExpirationCondition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// They are kept, whatever their age.
    Never,
    /// Since the commit of each.
    SinceCommit,
    /// Since the group has no members, wall clock.
    Since(Millis),
}

impl GroupOffsets {
    fn position(&self, topic: &str, partition: i32) -> Result<usize, usize> {
        self.0.binary_search_by(|(t, p, _)| t.as_ref().cmp(topic).then(p.cmp(&partition)))
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(self.position(topic, partition).ok()?).map(|(_, _, committed)| committed)
    }

    fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        match self.position(topic, partition) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.2 = committed;
                }
            }
            Err(at) => {
                // The name is shared with the partitions beside it.
                let beside = [at.checked_sub(1).and_then(|before| self.0.get(before)), self.0.get(at)];
                let shared = beside.into_iter().flatten().map(|(name, ..)| name).find(|name| name.as_ref() == topic);
                let name = shared.cloned().unwrap_or_else(|| topic.into());
                // Most groups have one or two, and a vector begins with room for four.
                if self.0.len() < 4 {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (name, partition, committed));
            }
        }
    }
}

impl Offsets {
    /// Stores an offset, or removes it.
    pub fn apply(&mut self, key: OffsetCommitKey, value: Option<OffsetCommitValue>) {
        match value {
            Some(value) => {
                if !self.groups.contains_key(key.group.as_str()) {
                    self.groups.insert(key.group.as_str().into(), GroupOffsets::default());
                }
                if let Some(group) = self.groups.get_mut(key.group.as_str()) {
                    group.put(&key.topic, key.partition, Committed::new(value));
                }
            }
            None => {
                let Some(group) = self.groups.get_mut(key.group.as_str()) else { return };
                if let Ok(at) = group.position(&key.topic, key.partition) {
                    group.0.remove(at);
                }
                if group.0.is_empty() {
                    self.groups.remove(key.group.as_str());
                }
            }
        }
    }

    /// How many a group has.
    pub fn count(&self, group_id: &str) -> usize {
        self.groups.get(group_id).map_or(0, |group| group.0.len())
    }

    fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group_id)?.get(topic, partition)
    }

    /// Those of a group that are to go, the last first: so that the others need not move up for each.
    fn select(&self, group_id: &str, which: impl Fn(&str, &Committed) -> bool) -> Vec<OffsetCommitKey> {
        let entries = self.groups.get(group_id).into_iter().flat_map(|group| group.0.iter().rev());
        let chosen = entries.filter(|(topic, _, committed)| which(topic, committed));
        chosen.map(|(topic, partition, _)| key(group_id, topic, *partition)).collect()
    }
}

impl Committed {
    fn new(value: OffsetCommitValue) -> Self {
        Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into(),
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: value.expire_timestamp,
            topic_id: value.topic_id,
        }
    }

    fn has_expired(&self, expiry: Expiry, now: Millis, retention_ms: Millis) -> bool {
        let since = match expiry {
            _ if self.expire_timestamp != -1 => return now >= self.expire_timestamp,
            Expiry::Never => return false,
            Expiry::SinceCommit => self.commit_timestamp,
            Expiry::Since(since) => since,
        };
        now.saturating_sub(since) >= retention_ms
    }
}

fn key(group: &str, topic: &str, partition: i32) -> OffsetCommitKey {
    OffsetCommitKey { group: group.into(), topic: topic.into(), partition }
}

/// What a record of a commit takes beside its texts, bytes; a little more than it can be.
const RECORD_BYTES: usize = 96;

impl GroupShard {
    pub(super) fn commit_offsets(
        &mut self,
        now: Now,
        commit: &CommitOffsets,
        out: &mut Out,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.check_commit(commit)?;
        let too_large = |it: &CommitOffset| {
            let length = it.metadata.as_ref().map_or(0, |text| text.encode_utf16().count());
            length > self.settings.offset_metadata_max_bytes
        };
        let topics = self.world.topics();
        // It was there when the request was taken apart; an offset must not be left behind for a later one of its name.
        let is_gone = |id: Uuid| !id.is_nil() && topics.by_id(id).is_none();
        let codes = commit.partitions.iter().map(|it| match () {
            () if too_large(it) => ErrorCode::OffsetMetadataTooLarge,
            () if is_gone(it.topic_id) => ErrorCode::UnknownTopicOrPartition,
            () => ErrorCode::None,
        });
        let codes: Vec<ErrorCode> = codes.collect();
        let accepted = || commit.partitions.iter().zip(&codes).filter(|(_, code)| code.is_none()).map(|(it, _)| it);
        let text = |it: &CommitOffset| it.topic.len() + it.metadata.as_ref().map_or(0, String::len);
        let bytes: usize = accepted().map(|it| RECORD_BYTES + commit.group_id.len() + text(it)).sum();
        if bytes > self.settings.max_record_bytes {
            return Err(ErrorCode::InvalidCommitOffsetSize);
        }
        // A sign of life, unless a producer says it; in consumer groups only heartbeats are.
        self.with_group(now, &commit.group_id, out, |group, cx| {
            if let (Group::Classic(group), None) = (group, commit.producer_id) {
                group.committed(cx, &commit.member_id);
            }
        });
        for it in accepted() {
            let value = OffsetCommitValue {
                offset: it.offset,
                leader_epoch: it.leader_epoch,
                metadata: it.metadata.clone().unwrap_or_default(),
                commit_timestamp: now.wall,
                expire_timestamp: match commit.retention_time_ms {
                    -1 => -1,
                    retention_ms => now.wall.saturating_add(retention_ms),
                },
                topic_id: it.topic_id,
            };
            let key = key(&commit.group_id, &it.topic, it.partition);
            match commit.producer_id {
                None => self.emit_offset(key, Some(value), out),
                Some(producer_id) => {
                    self.apply_pending(producer_id, key.clone(), value.clone());
                    out.records.push(Record::OffsetCommit { key, value: Some(value) });
                }
            }
        }
        Ok(codes)
    }

    /// Whether the member may commit. A client that is none may where there are no members; the group comes to be with
    /// the first offset.
    fn check_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        match self.groups.get(commit.group_id.as_str()) {
            Some(Group::Classic(group)) => group.check_commit(commit),
            Some(Group::Consumer(group)) => group.check_commit(commit),
            None if commit.generation_id_or_member_epoch < 0 => Ok(()),
            None if commit.version >= 9 && commit.producer_id.is_none() => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Offsets of a group that is not there are not there: no error.
    pub(super) fn fetch_offsets(&self, fetch: &FetchOffsets) -> Result<Vec<FetchedOffset>, ErrorCode> {
        if let Some(Group::Consumer(group)) = self.groups.get(fetch.group_id.as_str()) {
            group.check_fetch(fetch)?;
        }
        let Some(partitions) = &fetch.partitions else {
            let all = self.offsets.groups.get(fetch.group_id.as_str()).into_iter().flat_map(|group| &group.0);
            let one = |(topic, partition, it): &(Arc<str>, i32, Committed)| match self
                .is_unstable(fetch, topic, *partition)
            {
                true => unstable(topic, *partition, it.topic_id),
                false => told(topic, *partition, Some(it)),
            };
            return Ok(all.map(one).collect());
        };
        let one = |(topic, topic_id, partition): &(Arc<str>, Uuid, i32)| {
            if self.is_unstable(fetch, topic, *partition) {
                return unstable(topic, *partition, *topic_id);
            }
            let committed = self.offsets.get(&fetch.group_id, topic, *partition);
            // Committed for a topic of this name that was deleted since.
            let same = |it: &&Committed| it.topic_id.is_nil() || topic_id.is_nil() || it.topic_id == *topic_id;
            told(topic, *partition, committed.filter(same))
        };
        Ok(partitions.iter().map(one).collect())
    }

    /// Whether a transaction is open that may change the offset, and the client wants to wait for that (KIP-447).
    fn is_unstable(&self, fetch: &FetchOffsets, topic: &str, partition: i32) -> bool {
        fetch.require_stable && self.is_pending(&fetch.group_id, topic, partition)
    }

    fn is_pending(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        !self.pending.is_empty() && self.pending.has(&key(group_id, topic, partition))
    }

    pub(super) fn delete_offsets(
        &mut self,
        group_id: &str,
        partitions: &[(Arc<str>, i32)],
        out: &mut Out,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        check_group_id(group_id)?;
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        group.check_delete_offsets()?;
        let code = |(topic, _): &(Arc<str>, i32)| match group.is_subscribed_to(topic) {
            true => ErrorCode::GroupSubscribedToTopic,
            false => ErrorCode::None,
        };
        let codes: Vec<ErrorCode> = partitions.iter().map(code).collect();
        for ((topic, partition), code) in partitions.iter().zip(&codes) {
            let is_there =
                self.offsets.get(group_id, topic, *partition).is_some() || self.is_pending(group_id, topic, *partition);
            if code.is_none() && is_there {
                self.emit_offset(key(group_id, topic, *partition), None, out);
            }
        }
        Ok(codes)
    }

    /// Removes what was committed for topics that are gone: one of the same name that comes later is another one. An id of
    /// nil is not known.
    pub(super) fn delete_offsets_where(&mut self, is_gone: impl Fn(&str, Uuid) -> bool, out: &mut Out) {
        let gone = |topic: &str, committed: &Committed| is_gone(topic, committed.topic_id);
        let groups = self.offsets.groups.keys();
        let keys: Vec<OffsetCommitKey> = groups.flat_map(|group_id| self.offsets.select(group_id, gone)).collect();
        keys.into_iter().for_each(|key| self.emit_offset(key, None, out));
        // What is left of them only waits for its transaction.
        self.pending.select(is_gone).into_iter().for_each(|key| self.emit_offset(key, None, out));
    }

    /// As [`GroupShard::delete_offsets_where`], for whatever was deleted while this shard was not loaded.
    pub(super) fn delete_offsets_of_lost_topics(&mut self, out: &mut Out) {
        let topics = self.world.topics();
        let is_current = |name: &str, id: Uuid| topics.by_name(name).is_some_and(|it| id.is_nil() || it.id == id);
        self.delete_offsets_where(|name, id| !is_current(name, id), out);
    }

    pub(super) fn delete_all_offsets(&mut self, group_id: &str, out: &mut Out) {
        let keys = self.offsets.select(group_id, |_, _| true);
        keys.into_iter().for_each(|key| self.emit_offset(key, None, out));
        let pending: Vec<OffsetCommitKey> = self.pending.of_group(group_id).cloned().collect();
        pending.into_iter().for_each(|key| self.emit_offset(key, None, out));
    }

    /// Removes offsets that have expired, and groups that have neither members nor offsets any more.
    pub(super) fn clean_up(&mut self, now: Now, out: &mut Out) {
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group_id in groups {
            let Some(group) = self.groups.get(&group_id) else { continue };
            let (expiry, retention_ms) = (group.expiry(), self.settings.offsets_retention_ms);
            if expiry == Expiry::Never {
                continue;
            }
            let expired = |topic: &str, committed: &Committed| {
                !group.is_subscribed_to(topic) && committed.has_expired(expiry, now.wall, retention_ms)
            };
            let mut keys = self.offsets.select(&group_id, expired);
            keys.retain(|key| !self.pending.has(key));
            keys.into_iter().for_each(|key| self.emit_offset(key, None, out));
            let is_empty = self.groups.get(&group_id).is_some_and(|group| group.check_delete().is_ok());
            let has_pending = self.pending.of_group(&group_id).next().is_some();
            if is_empty && self.offsets.count(&group_id) == 0 && !has_pending {
                self.remove_group(now, &group_id, out);
            }
        }
    }

    fn emit_offset(&mut self, key: OffsetCommitKey, value: Option<OffsetCommitValue>, out: &mut Out) {
        self.apply_offset(key.clone(), value.clone());
        out.records.push(Record::OffsetCommit { key, value });
    }

    /// A group comes to be with its first offset, if it was not there.
    pub(super) fn apply_offset(&mut self, key: OffsetCommitKey, value: Option<OffsetCommitValue>) {
        match value {
            Some(_) => {
                self.ensure_group(&key.group);
                self.pending.supersede(&key);
            }
            None => self.pending.remove(&key),
        }
        self.offsets.apply(key, value);
    }

    /// Also with one that waits for its transaction.
    pub(super) fn apply_pending(&mut self, producer_id: i64, key: OffsetCommitKey, value: OffsetCommitValue) {
        self.ensure_group(&key.group);
        self.pending.add(producer_id, key, value);
    }

    pub(super) fn ensure_group(&mut self, group_id: &str) {
        if !self.groups.contains_key(group_id) {
            self.groups.insert(group_id.into(), Group::Classic(ClassicGroup::simple()));
        }
    }
}

fn told(topic: &Arc<str>, partition: i32, committed: Option<&Committed>) -> FetchedOffset {
    FetchedOffset {
        topic: topic.clone(),
        partition,
        offset: committed.map_or(-1, |it| it.offset),
        leader_epoch: committed.map_or(-1, |it| it.leader_epoch),
        metadata: committed.map_or_else(String::new, |it| it.metadata.to_string()),
        topic_id: committed.map_or(Uuid::nil(), |it| it.topic_id),
        is_unstable: false,
    }
}

fn unstable(topic: &Arc<str>, partition: i32, topic_id: Uuid) -> FetchedOffset {
    FetchedOffset { topic_id, is_unstable: true, ..told(topic, partition, None) }
}
