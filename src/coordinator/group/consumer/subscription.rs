//! What a group subscribes to: changes of it and of the topics count the group's epoch up.

use super::super::Cx;
use super::super::records::{ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, Record};
use super::super::settings::{TopicInfo, Topics};
use super::breaks::{Break, broken};
use super::members::regex_of;
use super::{ConsumerGroup, State};
use twox_hash::XxHash3_64;

/// The version of [`hash_of_topic`].
const TOPIC_HASH_MAGIC: u8 = 0;

impl ConsumerGroup {
    /// Stores what a member wants, if it has changed, resolves regular expressions, and counts the group's epoch up if
    /// there is reason to. Returns whether the member's subscription has changed.
    pub fn update_subscription(
        &mut self,
        cx: &mut Cx<'_>,
        member_id: &str,
        old: &ConsumerGroupMemberMetadataValue,
        new: Option<ConsumerGroupMemberMetadataValue>,
    ) -> bool {
        let mut changed = false;
        if let Some(new) = new {
            let (old_regex, new_regex) = (regex_of(old), regex_of(&new));
            changed = old.subscribed_topic_names != new.subscribed_topic_names || old_regex != new_regex;
            let dropped = old_regex.filter(|old| new_regex != Some(*old));
            self.emit_metadata(cx, member_id, new);
            if let Some(regex) = dropped {
                self.forget_regex(cx, regex);
            }
        }
        let topics = cx.world.topics();
        let resolved_anew = self.refresh_regexes(cx, &*topics);
        let bump = self.state.epoch == 0 || changed || resolved_anew;
        let topics_changed = self.topics_seen != Some(topics.version()) && !broken(Break::Topics);
        if bump || topics_changed {
            self.bump_epoch(cx, &*topics, bump);
        }
        changed
    }

    /// Counts the group's epoch up, if `bump` says so or the topics are not those that its hash is of. A group begins in epoch
    /// 1, so that the first that is stored is 2 (4.3's `ModernGroup`).
    pub fn bump_epoch(&mut self, cx: &mut Cx<'_>, topics: &dyn Topics, bump: bool) {
        let metadata_hash = metadata_hash(&self.state, topics);
        if bump || metadata_hash != self.state.metadata_hash {
            let value = ConsumerGroupMetadataValue { epoch: self.state.epoch.max(1).saturating_add(1), metadata_hash };
            let group_id = cx.group_id.to_string();
            self.emit(cx, Record::ConsumerGroupMetadata { group_id, value: Some(value) });
        }
        if self.state.has_partition_metadata {
            let group_id = cx.group_id.to_string();
            self.emit(cx, Record::ConsumerGroupPartitionMetadata { group_id, value: None });
        }
        self.topics_seen = Some(topics.version());
    }
}

/// A hash of the topics subscribed to that exist (KIP-1101); 0 where there are none.
pub fn metadata_hash(state: &State, topics: &dyn Topics) -> i64 {
    let mut bytes = Vec::new();
    for name in state.topics.keys() {
        if let Some(topic) = topics.by_name(name) {
            bytes.extend(hash_of_topic(&topic).to_le_bytes());
        }
    }
    if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes).cast_signed() }
}

/// Kafka's hash of a topic (`Utils.computeTopicHash`), whose partitions are in no rack: XXH3 over what hash4j makes of the
/// fields, little-endian; a string is its UTF-16 and their number.
fn hash_of_topic(topic: &TopicInfo) -> u64 {
    let (most, least) = topic.id.as_u64_pair();
    let mut bytes = vec![TOPIC_HASH_MAGIC];
    bytes.extend(most.to_le_bytes());
    bytes.extend(least.to_le_bytes());
    let mut length = 0i32;
    for unit in topic.name.encode_utf16() {
        bytes.extend(unit.to_le_bytes());
        length = length.saturating_add(1);
    }
    bytes.extend(length.to_le_bytes());
    bytes.extend(topic.partitions.to_le_bytes());
    for partition in 0..topic.partitions {
        bytes.extend(partition.to_le_bytes());
    }
    XxHash3_64::oneshot(&bytes)
}
