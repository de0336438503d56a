//! What must hold of a group: by what its clients told, and by the records in `__consumer_offsets`.

use super::member::Told;
use crate::clients::{consumer, read_from};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::protocol::Decodable;
use ottla::coordinator::group::records::{
    ConsumerGroupCurrentMemberAssignmentValue, GroupMetadataValue, MemberMetadata, OffsetCommitValue, Record,
};
use ottla::coordinator::partition_for;
use ottla::coordinator::records::Decoded;
use std::collections::{BTreeMap, BTreeSet};

/// Partitions of `__consumer_offsets`.
const PARTITIONS: i32 = 50;

/// What each member has.
type Shares = BTreeMap<String, BTreeSet<i32>>;

/// The records of a group, in the order of the log.
pub fn records(bootstrap: &str, group: &str) -> Vec<Record> {
    let stored = read_from(&consumer(bootstrap), "__consumer_offsets", &[(partition_for(group, PARTITIONS), 0)]);
    let decoded = stored.into_iter().flatten().map(|stored| {
        let key = stored.key.expect("a key");
        match Record::decode(&key, stored.value.as_deref()) {
            Ok(Decoded::Known(record)) => record,
            other => panic!("{other:?}"),
        }
    });
    decoded.filter(|record| group_of(record) == group).collect()
}

fn group_of(record: &Record) -> &str {
    match record {
        Record::OffsetCommit { key, .. } => &key.group,
        Record::GroupMetadata { group_id, .. }
        | Record::ConsumerGroupMetadata { group_id, .. }
        | Record::ConsumerGroupPartitionMetadata { group_id, .. }
        | Record::ConsumerGroupMemberMetadata { group_id, .. }
        | Record::ConsumerGroupTargetAssignmentMetadata { group_id, .. }
        | Record::ConsumerGroupTargetAssignmentMember { group_id, .. }
        | Record::ConsumerGroupCurrentMemberAssignment { group_id, .. }
        | Record::ConsumerGroupRegularExpression { group_id, .. } => group_id,
    }
}

/// All commits of a partition, in the order of the log.
pub fn commits(records: &[Record], topic: &str, partition: i32) -> Vec<OffsetCommitValue> {
    let commits = records.iter().filter_map(|record| match record {
        Record::OffsetCommit { key, value } if key.topic == topic && key.partition == partition => Some(value.clone()),
        _ => None,
    });
    commits.map(|value| value.expect("no offset is deleted")).collect()
}

/// No partition's committed offset goes back.
pub fn assert_commits_advance(records: &[Record], topic: &str, partitions: i32) {
    for partition in 0..partitions {
        let offsets: Vec<_> = commits(records, topic, partition).iter().map(|value| value.offset).collect();
        assert!(offsets.is_sorted(), "{topic}-{partition}: {offsets:?}");
    }
}

/// Every record was seen by somebody.
pub fn assert_all_seen(told: &[Told], ends: &[i64]) {
    let seen: BTreeSet<_> = told.iter().flat_map(|told| &told.seen).copied().collect();
    for (partition, end) in (0..).zip(ends) {
        let missed: Vec<_> = (0..*end).filter(|offset| !seen.contains(&(partition, *offset))).collect();
        assert_eq!(missed, [0; 0], "of partition {partition}, which ends at {end}");
    }
}

/// Clients never were given a partition that another had in the same generation or epoch, and those never go back.
pub fn assert_disjoint_claims(told: &[Told]) {
    let mut claims: BTreeMap<(i32, i32), &str> = BTreeMap::new();
    for told in told {
        let generations: Vec<_> = told.owned.iter().map(|owned| owned.generation).collect();
        assert!(generations.is_sorted(), "{:?}", told.owned);
        for owned in told.owned.iter().filter(|owned| owned.assigned) {
            for partition in &owned.partitions {
                let owner = claims.insert((owned.generation, *partition), &owned.member_id);
                let same = owner.is_none_or(|owner| owner == owned.member_id);
                assert!(same, "{partition} in {}: {owner:?} and {}", owned.generation, owned.member_id);
            }
        }
    }
}

/// A generation of a classic group. A member that has an instance id goes by that.
pub struct Generation {
    pub leader: Option<String>,
    pub members: BTreeSet<String>,
    /// Once the leader has given them.
    pub shares: Option<Shares>,
}

/// The generations that the log tells of. None is given twice, and in none a partition has two owners.
pub fn generations(records: &[Record]) -> BTreeMap<i32, Generation> {
    let mut generations: BTreeMap<i32, Generation> = BTreeMap::new();
    for record in records {
        let Record::GroupMetadata { value, .. } = record else { continue };
        let value = value.as_ref().expect("no group is deleted");
        let last = generations.keys().next_back().copied().unwrap_or(0);
        assert!(value.generation >= last, "generation {} after {last}", value.generation);
        let members = value.members.iter().map(|member| name(member).clone()).collect();
        let leader = value.members.iter().find(|member| Some(&member.member_id) == value.leader.as_ref());
        let found = Generation { leader: leader.map(|it| name(it).clone()), members, shares: shares(value) };
        let Some(known) = generations.get_mut(&value.generation) else {
            generations.insert(value.generation, found);
            continue;
        };
        let of = value.generation;
        assert_eq!((&known.leader, &known.members), (&found.leader, &found.members), "generation {of} is used again");
        assert!(known.shares.is_none() || known.shares == found.shares, "generation {of} is used again");
        known.shares = found.shares;
    }
    for (generation, found) in &generations {
        assert_disjoint(found.shares.iter().flatten(), &format!("generation {generation}"));
    }
    generations
}

fn name(member: &MemberMetadata) -> &String {
    member.group_instance_id.as_ref().unwrap_or(&member.member_id)
}

/// `None` where no member was given anything.
fn shares(value: &GroupMetadataValue) -> Option<Shares> {
    let shares: Shares = value
        .members
        .iter()
        .filter_map(|member| Some((name(member).clone(), share(member.assignment.clone())?)))
        .collect();
    (!shares.is_empty()).then_some(shares)
}

fn share(assignment: bytes::Bytes) -> Option<BTreeSet<i32>> {
    let mut rest = assignment;
    let version = i16::from_be_bytes(*rest.first_chunk()?);
    bytes::Buf::advance(&mut rest, 2);
    let assigned = ConsumerProtocolAssignment::decode(&mut rest, version).unwrap();
    Some(assigned.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect())
}

fn assert_disjoint<'a>(shares: impl Iterator<Item = (&'a String, &'a BTreeSet<i32>)>, when: &str) {
    let mut owners: BTreeMap<i32, &str> = BTreeMap::new();
    for (member_id, share) in shares {
        for partition in share {
            let other = owners.insert(*partition, member_id);
            assert_eq!(other, None, "{partition} in {when} is also of {member_id}");
        }
    }
}

/// What clients were given is what the log says, and the leaders of eager protocols gave everything. A topic had one of
/// these numbers of partitions at a time.
pub fn assert_classic(records: &[Record], told: &[Told], counts: &[i32], eager: bool) {
    let generations = generations(records);
    let complete = |shares: &Shares| {
        let all: BTreeSet<i32> = shares.values().flatten().copied().collect();
        counts.iter().any(|count| all.iter().copied().eq(0..*count))
    };
    let mut completed = 0;
    for (generation, shares) in generations.iter().filter_map(|(at, found)| Some((at, found.shares.as_ref()?))) {
        completed += usize::from(complete(shares));
        assert!(complete(shares) || !eager, "generation {generation}: {shares:?}");
    }
    assert!(completed > 0, "no generation owns everything");
    for owned in told.iter().flat_map(|told| &told.owned).filter(|owned| owned.assigned) {
        let stored = generations.get(&owned.generation).and_then(|found| found.shares.as_ref());
        let stored = stored.and_then(|shares| shares.get(&owned.member_id));
        assert_eq!(stored, Some(&owned.partitions), "{owned:?}");
    }
}

/// At no point of the log two members have a partition, or are to have it; epochs only grow; what clients were given is
/// what the log says; and until a client has given something up it has it in the log and stays in its epoch.
pub fn assert_consumer(records: &[Record], told: &[Told], counts: &[i32]) {
    let mut log = ConsumerLog::default();
    records.iter().for_each(|record| log.apply(record, counts));
    assert!(log.target_epoch > 0, "there was no target");
    for owned in told.iter().flat_map(|told| &told.owned).filter(|owned| owned.assigned) {
        let stored = log.given.get(&owned.member_id).into_iter().flatten();
        assert!(stored.clone().any(|given| owned.partitions.is_subset(given)), "{owned:?}: {stored:?}");
    }
    for (before, now) in told.iter().flat_map(|told| told.owned.iter().zip(told.owned.iter().skip(1))) {
        let had = log.had.get(&(now.member_id.clone(), now.generation));
        for gone in before.partitions.difference(&now.partitions) {
            let waited = had.is_some_and(|had| had.contains(gone));
            assert!(waited, "{gone} was not waited for: {now:?} after {before:?}; the log: {had:?}");
        }
    }
}

/// A consumer group as its records build it up.
#[derive(Default)]
struct ConsumerLog {
    epoch: i32,
    target_epoch: i32,
    member_epochs: BTreeMap<String, i32>,
    targets: Shares,
    /// What a member has, what it is to give up included.
    current: Shares,
    /// All that a member was ever given.
    given: BTreeMap<String, Vec<BTreeSet<i32>>>,
    /// All that a member had in an epoch, what it was to give up included.
    had: BTreeMap<(String, i32), BTreeSet<i32>>,
}

impl ConsumerLog {
    fn apply(&mut self, record: &Record, counts: &[i32]) {
        match record {
            Record::ConsumerGroupMetadata { value: Some(value), .. } => {
                assert!(value.epoch >= self.epoch, "epoch {} after {}", value.epoch, self.epoch);
                self.epoch = value.epoch;
            }
            Record::ConsumerGroupTargetAssignmentMember { member_id, value, .. } => {
                let partitions = value.iter().flat_map(|value| &value.topic_partitions).flat_map(|it| &it.partitions);
                self.targets.insert(member_id.clone(), partitions.copied().collect());
                self.targets.retain(|it, _| it != member_id || value.is_some());
            }
            Record::ConsumerGroupTargetAssignmentMetadata { value: Some(value), .. } => {
                let epoch = value.assignment_epoch;
                assert!(epoch > self.target_epoch, "target {epoch} after {}", self.target_epoch);
                self.target_epoch = epoch;
                assert_disjoint(self.targets.iter(), &format!("target {epoch}"));
                let all: BTreeSet<i32> = self.targets.values().flatten().copied().collect();
                let complete = counts.iter().any(|count| all.iter().copied().eq(0..*count));
                assert!(complete || self.targets.is_empty(), "target {epoch}: {:?}", self.targets);
            }
            Record::ConsumerGroupCurrentMemberAssignment { member_id, value: Some(value), .. } => {
                self.move_member(member_id, value);
            }
            Record::ConsumerGroupCurrentMemberAssignment { member_id, value: None, .. } => {
                self.current.remove(member_id);
                self.member_epochs.remove(member_id);
            }
            _ => {}
        }
    }

    fn move_member(&mut self, member_id: &str, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        let (epoch, before) = (value.member_epoch, self.member_epochs.get(member_id).copied().unwrap_or(0));
        assert!(epoch >= before && epoch <= self.target_epoch, "{member_id}: {epoch} after {before}");
        self.member_epochs.insert(member_id.into(), epoch);
        let assigned: BTreeSet<i32> = value.assigned_partitions.iter().flat_map(|it| &it.partitions).copied().collect();
        let pending = value.partitions_pending_revocation.iter().flat_map(|it| &it.partitions);
        let has: BTreeSet<i32> = pending.copied().chain(assigned.iter().copied()).collect();
        self.had.entry((member_id.into(), epoch)).or_default().extend(&has);
        self.given.entry(member_id.into()).or_default().push(assigned);
        self.current.insert(member_id.into(), has);
        assert_disjoint(self.current.iter(), &format!("epoch {epoch} of {member_id}"));
    }
}
