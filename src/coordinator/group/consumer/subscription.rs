//! What a group subscribes to: changes of it and of the topics count the group's epoch up.

use super::super::Cx;
use super::super::records::{ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, Record};
use super::super::settings::{TopicInfo, Topics};
use super::members::regex_of;
use super::{ConsumerGroup, State};
use crate::coordinator::breaks::{Break, broken};
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
    let hashes: Vec<u64> =
        state.topics.keys().filter_map(|name| topics.by_name(name)).map(|topic| hash_of_topic(&topic)).collect();
    hash_of(&hashes)
}

/// Kafka's hash of the hashes of topics, in the order of their names (`Utils.computeGroupHash`).
fn hash_of(topics: &[u64]) -> i64 {
    let bytes: Vec<u8> = topics.iter().flat_map(|hash| hash.to_le_bytes()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, id: u128, partitions: i32) -> TopicInfo {
        TopicInfo { name: name.into(), id: uuid::Uuid::from_u128(id), partitions }
    }

    #[test]
    fn the_hash_is_kafkas() {
        // From what Apache Kafka 4.3.1 wrote (fixtures/groups/records.txt).
        let orders = hash_of_topic(&topic("orders", 0x0617546b_f5aa_46b1_b7de_faf27ca45637, 3));
        let payments = hash_of_topic(&topic("payments", 0x89f3eab3_e07f_41bb_a769_c6976403a505, 2));
        assert_eq!(hash_of(&[orders]), 6463152482654975537);
        assert_eq!(hash_of(&[orders, payments]), 7452436732610754873);
    }
}
