//! Whether offsets may be committed to a consumer group and asked for, and whether it may be deleted.

use super::super::request::{CommitOffset, CommitOffsets, FetchOffsets};
use super::{ConsumerGroup, Member};
use crate::wire::errors::ErrorCode;

/// The first version of OffsetCommit that knows of consumer groups.
const MODERN_COMMIT_VERSION: i16 = 9;

impl ConsumerGroup {
    /// Whether offsets may be committed so. An epoch older than the member's is let through where all partitions have
    /// been the member's since then (KIP-1251); one that has not fails all, as with Kafka.
    pub fn check_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        let checked = self.check_committer(commit).and_then(|()| {
            commit.partitions.iter().try_for_each(|partition| self.check_commit_partition(commit, partition))
        });
        // Producers know generations alone (`validateTransactionalOffsetCommit`).
        checked.map_err(|code| match (code, commit.producer_id) {
            (ErrorCode::StaleMemberEpoch, Some(_)) => ErrorCode::IllegalGeneration,
            (code, _) => code,
        })
    }

    /// Whether this member may commit at all.
    fn check_committer(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        let epoch = commit.generation_id_or_member_epoch;
        // A client that is no member may commit while there are none.
        if epoch < 0 && self.is_empty() {
            return Ok(());
        }
        // In a transaction who commits need not be told.
        let is_told = epoch != -1 || !commit.member_id.is_empty() || commit.group_instance_id.is_some();
        if commit.producer_id.is_some() && !is_told {
            return Ok(());
        }
        let member = self.state.members.get(commit.member_id.as_str()).ok_or(ErrorCode::UnknownMemberId)?;
        if member.is_classic() {
            return check_epoch(member, epoch);
        }
        if commit.version < MODERN_COMMIT_VERSION && commit.producer_id.is_none() {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if epoch > member.current.epoch { Err(ErrorCode::StaleMemberEpoch) } else { Ok(()) }
    }

    /// Whether a member that [`check_committer`](ConsumerGroup::check_committer) has let through may commit for a
    /// partition.
    fn check_commit_partition(&self, commit: &CommitOffsets, of: &CommitOffset) -> Result<(), ErrorCode> {
        let epoch = commit.generation_id_or_member_epoch;
        let Some(member) = self.state.members.get(commit.member_id.as_str()) else { return Ok(()) };
        if member.is_classic() || epoch == member.current.epoch {
            return Ok(());
        }
        let since = member.current.assignment_epoch(of.topic_id, of.partition);
        if since.is_some_and(|since| since <= epoch) { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    /// Whether offsets may be asked for so.
    pub fn check_fetch(&self, fetch: &FetchOffsets) -> Result<(), ErrorCode> {
        if fetch.member_id.is_none() && fetch.member_epoch < 0 {
            return Ok(());
        }
        let member_id = fetch.member_id.as_deref().unwrap_or_default();
        let member = self.state.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        check_epoch(member, fetch.member_epoch)
    }

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        if self.is_empty() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether a member subscribes to the topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.state.topics.contains_key(topic)
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.state.members.is_empty()
    }
}

fn check_epoch(member: &Member, epoch: i32) -> Result<(), ErrorCode> {
    match epoch == member.current.epoch {
        true => Ok(()),
        false if member.is_classic() => Err(ErrorCode::IllegalGeneration),
        false => Err(ErrorCode::StaleMemberEpoch),
    }
}
