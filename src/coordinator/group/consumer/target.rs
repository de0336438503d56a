//! The target assignment, computed by an assignor whenever the group's epoch has risen.

use super::super::Cx;
use super::super::assign::{self, Assignment, Assignor, SubscriptionType};
use super::super::records::{
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue, Record, TopicPartition,
};
use super::super::settings::{ConsumerSettings, Topics};
use super::members::Member;
use super::{ConsumerGroup, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// What a member subscribes to: names and a regular expression.
type Wish<'a> = (&'a [String], Option<&'a str>);

impl ConsumerGroup {
    /// Computes the target assignment if it is not that of the group's epoch.
    ///
    /// A group of several members waits `group.consumer.assignment.interval.ms` from one to the next (KIP-1263), so that
    /// many that come at once do not each cost one; their heartbeats go on with the old.
    pub fn maybe_assign(&mut self, cx: &mut Cx<'_>) {
        let last = self.state.assignment_timestamp;
        let age_ms = cx.now.wall.saturating_sub(last);
        let is_early = last > 0 && (0..cx.settings.consumer.assignment_interval_ms).contains(&age_ms);
        // Members of the classic protocol would join and sync in a circle until then.
        let waits = self.state.members.len() > 1 && self.state.classic_members == 0;
        if self.state.epoch > self.state.assignment_epoch && !(is_early && waits) {
            self.assign(cx);
        }
    }

    fn assign(&mut self, cx: &mut Cx<'_>) {
        let topics = cx.world.topics();
        let assignor = self.state.assignor(&cx.settings.consumer);
        let (members, counts) = self.state.to_assign(&*topics);
        // Only a topic that is not counted can fail it, and every topic of a member is.
        let Ok(targets) = assign::assign_as(assignor, self.state.subscription_type(), &members, &counts) else {
            return;
        };
        for (member_id, target) in targets {
            let old = self.state.targets.get(member_id.as_str());
            if old.is_none_or(|old| !Arc::ptr_eq(old, &target) && **old != *target) {
                self.emit_target(cx, &member_id, &target);
            }
        }
        let value = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: self.state.epoch,
            assignment_timestamp: cx.now.wall,
        };
        let group_id = cx.group_id.to_string();
        self.emit(cx, Record::ConsumerGroupTargetAssignmentMetadata { group_id, value: Some(value) });
    }

    /// Stores what a member is to have.
    pub fn emit_target(&mut self, cx: &mut Cx<'_>, member_id: &str, target: &Assignment) {
        let record = target_record(cx.group_id, member_id, target);
        self.emit(cx, record);
    }
}

/// The record of what a member is to have.
pub fn target_record(group_id: &str, member_id: &str, target: &Assignment) -> Record {
    let topic = |(topic, partitions): (&Uuid, &BTreeSet<i32>)| TopicPartition {
        topic_id: *topic,
        partitions: partitions.iter().copied().collect(),
    };
    let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: target.iter().map(topic).collect() };
    let (group_id, member_id) = (group_id.to_owned(), member_id.to_owned());
    Record::ConsumerGroupTargetAssignmentMember { group_id, member_id, value: Some(value) }
}

impl State {
    /// The assignor that most members ask for, of those the first in the broker's list; its first where nobody asks.
    pub fn assignor_name<'a>(&'a self, settings: &'a ConsumerSettings) -> &'a str {
        let asked = |name: &String| self.assignor_members.get(name.as_str()).copied().unwrap_or(0);
        let most = settings.assignors.iter().rev().max_by_key(|name| asked(name));
        most.map_or(Assignor::Uniform.name(), String::as_str)
    }

    fn assignor(&self, settings: &ConsumerSettings) -> Assignor {
        Assignor::by_name(self.assignor_name(settings)).unwrap_or(Assignor::Uniform)
    }

    /// Whether all members subscribe to the same, as Kafka counts it: by names, or all by one regular expression.
    fn subscription_type(&self) -> SubscriptionType {
        let members = self.members.len();
        let by_regex = self.regex_members.values().next();
        let same = match by_regex {
            None => self.topics.values().all(|subscribers| subscribers.by_name == members),
            Some(count) if *count == members => {
                self.topics.values().all(|subscribers| subscribers.by_regex == 1 && subscribers.by_name == 0)
            }
            Some(_) => false,
        };
        if same { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous }
    }

    /// The members as an assignor sees them, and the topics that they subscribe to.
    fn to_assign(&self, topics: &dyn Topics) -> (BTreeMap<String, assign::Member>, assign::Topics) {
        let mut counts = assign::Topics::new();
        let mut ids = BTreeMap::new();
        for name in self.topics.keys() {
            if let Some(topic) = topics.by_name(name) {
                counts.insert(topic.id, topic.partitions);
                ids.insert(name.clone(), topic.id);
            }
        }
        // Most members subscribe to the same, and share it.
        let mut known: BTreeMap<Wish<'_>, Arc<BTreeSet<Uuid>>> = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (member_id, member) in &self.members {
            let key = (member.metadata.subscribed_topic_names.as_slice(), member.regex());
            let subscribed = known.entry(key).or_insert_with(|| Arc::new(self.subscribed_ids(member, &ids))).clone();
            let member = assign::Member {
                instance_id: member.metadata.instance_id.clone(),
                rack_id: member.metadata.rack_id.clone(),
                subscribed,
                current: self.target(member_id),
            };
            members.insert(member_id.to_string(), member);
        }
        (members, counts)
    }

    fn subscribed_ids(&self, member: &Member, ids: &BTreeMap<Arc<str>, Uuid>) -> BTreeSet<Uuid> {
        let by_name = member.metadata.subscribed_topic_names.iter().filter_map(|name| ids.get(name.as_str()));
        let resolved = member.regex().and_then(|regex| self.regexes.get(regex));
        let by_regex = resolved.into_iter().flat_map(|resolved| &resolved.topics).filter_map(|name| ids.get(name));
        by_name.chain(by_regex).copied().collect()
    }
}
