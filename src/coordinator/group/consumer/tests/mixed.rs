//! Random schedules of groups that change over: members of both protocols, of which those of the classic one give up all
//! that they have before they join. While there is none of the new protocol, one of them assigns.

use super::classic::*;
use super::schedules::Dice;
use super::world::*;
use crate::coordinator::Ticket;
use crate::coordinator::breaks::{Break, with_broken};
use crate::coordinator::group::Group;
use crate::coordinator::group::consumer::MemberState;
use crate::coordinator::group::consumer::embedded;
use crate::coordinator::group::request::Reply;
use crate::coordinator::group::settings::{MigrationPolicy, Topics};
use crate::coordinator::seeds::seeds;
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::JoinGroupResponse;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

const TOPICS: [&str; 2] = ["t", "u"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Joining,
    Waiting(Ticket),
    Syncing,
    Waiting2(Ticket),
    Member,
}

#[derive(Clone, Debug)]
struct Client {
    name: usize,
    is_new: bool,
    id: String,
    epoch: i32,
    phase: Phase,
    owned: BTreeSet<(String, i32)>,
    told: BTreeSet<(String, i32)>,
    /// What the leader gives, if it is that.
    gives: Vec<(String, Bytes)>,
}

struct Sim {
    bench: Bench,
    dice: Dice,
    clients: Vec<Client>,
    made: usize,
    changes: usize,
    was_classic: bool,
}

impl Sim {
    fn add(&mut self) {
        self.made += 1;
        let is_new = self.dice.one_in(2);
        self.clients.push(Client {
            name: self.made,
            is_new,
            id: if is_new { format!("new{}", self.made) } else { String::new() },
            epoch: 0,
            phase: Phase::Joining,
            owned: BTreeSet::new(),
            told: BTreeSet::new(),
            gives: Vec::new(),
        });
    }

    fn act(&mut self, at: usize, lose: bool) {
        let client = self.clients[at].clone();
        match (client.is_new, client.phase) {
            (true, _) => self.beat_new(at, lose),
            (false, Phase::Joining) => {
                self.clients[at].owned.clear();
                let version = [3, 9][self.dice.roll(2) as usize];
                let (ticket, replies) = self.bench.send_join(version, join_request(&client.id, &TOPICS, &[]));
                self.clients[at].phase = Phase::Waiting(ticket);
                self.bench.inbox.extend(replies);
            }
            (false, Phase::Syncing) => {
                let given: Vec<(&str, Bytes)> =
                    client.gives.iter().map(|(id, given)| (id.as_str(), given.clone())).collect();
                let (ticket, replies) = self.bench.send_sync(&client.id, client.epoch, &given);
                self.clients[at].phase = Phase::Waiting2(ticket);
                self.bench.inbox.extend(replies);
            }
            (false, Phase::Member) => match self.bench.classic_beat(&client.id, client.epoch) {
                ErrorCode::None => {}
                ErrorCode::RebalanceInProgress => self.clients[at].phase = Phase::Joining,
                _ => self.clients[at].abandon(),
            },
            (false, Phase::Waiting(_) | Phase::Waiting2(_)) => {}
        }
        self.deliver();
    }

    fn beat_new(&mut self, at: usize, lose: bool) {
        let client = &self.clients[at];
        let mut owned: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        client.owned.iter().for_each(|(topic, partition)| owned.entry(topic).or_default().push(*partition));
        let topics = self.bench.topics();
        let id_of = |name: &str| topics.by_name(name).map(|topic| topic.id);
        let owned: Vec<_> = owned.iter().filter_map(|(name, all)| Some((id_of(name)?, all.as_slice()))).collect();
        let request = match client.epoch {
            0 => join(&client.id, &TOPICS),
            epoch => owning(&client.id, counted(epoch), &owned)
                .with_rebalance_timeout_ms(20_000)
                .with_subscribed_topic_names(names(&TOPICS)),
        };
        let response = self.bench.heartbeat(request);
        if lose {
            return;
        }
        let client = &mut self.clients[at];
        if response.error_code != 0 {
            return client.abandon();
        }
        client.epoch = response.member_epoch;
        if let Some(all) = assigned(&response) {
            let name_of = |id| topics.by_id(id).map(|topic| topic.name.to_string()).unwrap_or_default();
            client.told = all.iter().flat_map(|(topic, all)| all.iter().map(|one| (name_of(*topic), *one))).collect();
            client.owned.extend(client.told.iter().cloned());
        }
        client.owned.retain(|one| client.told.contains(one));
    }

    /// Hands out replies that have come.
    fn deliver(&mut self) {
        for (ticket, reply) in std::mem::take(&mut self.bench.inbox) {
            let waits =
                |client: &&mut Client| [Phase::Waiting(ticket), Phase::Waiting2(ticket)].contains(&client.phase);
            let Some(client) = self.clients.iter_mut().find(waits) else { continue };
            match reply {
                Reply::JoinGroup(joined) => client.joined(&joined, &self.bench.topics()),
                Reply::SyncGroup(synced) if synced.error_code == 0 => {
                    let all = read(&synced.assignment);
                    client.owned = all
                        .into_iter()
                        .flat_map(|(topic, all)| all.into_iter().map(move |one| (topic.clone(), one)))
                        .collect();
                    client.phase = Phase::Member;
                }
                Reply::SyncGroup(synced) if synced.error_code == ErrorCode::RebalanceInProgress.code() => {
                    client.phase = Phase::Joining;
                }
                _ => client.abandon(),
            }
        }
    }

    fn crash(&mut self) {
        self.bench.crash();
        // Connections break; whoever waited tries again.
        for client in &mut self.clients {
            match client.phase {
                Phase::Waiting(_) => client.phase = Phase::Joining,
                Phase::Waiting2(_) => client.phase = Phase::Syncing,
                _ => {}
            }
        }
    }

    fn pass(&mut self, ms: i64) {
        let replies = self.bench.pass(ms);
        self.bench.inbox.extend(replies);
        self.deliver();
    }

    fn step(&mut self) {
        let count = self.clients.len();
        let at = self.dice.roll(count.max(1) as u64) as usize;
        match self.dice.roll(30) {
            0 | 1 if count < 4 => self.add(),
            2 if count > 0 => {
                let client = self.clients.remove(at);
                if client.is_new && client.epoch > 0 {
                    self.bench.heartbeat(beat(&client.id, -1));
                } else if !client.id.is_empty() && self.dice.one_in(2) {
                    self.bench.classic_leave(&[(&client.id, None)]);
                }
                self.deliver();
            }
            3 => self.crash(),
            4 => {
                let (topic, more) = (TOPICS[self.dice.roll(2) as usize], self.dice.roll(2) as i32);
                let now = self.bench.topics().by_name(topic).map_or(1, |topic| topic.partitions);
                self.bench.topic(topic, now + more);
            }
            5 => {
                let ms = self.dice.roll(12_000) as i64;
                self.pass(ms);
            }
            6..=9 => self.pass(300),
            _ if count > 0 => {
                let lose = self.dice.one_in(8);
                self.act(at, lose);
            }
            _ => {}
        }
        self.check();
    }

    /// Nobody has what another has, as far as both are members.
    fn check(&mut self) {
        let is_classic = match self.bench.shard.group(GROUP) {
            Some(Group::Classic(group)) => group.members().count() > 0,
            Some(Group::Consumer(group)) if group.is_empty() => self.was_classic,
            Some(Group::Consumer(_)) => false,
            None => self.was_classic,
        };
        self.changes += usize::from(is_classic != self.was_classic);
        self.was_classic = is_classic;
        let is_member = |client: &&Client| match self.bench.shard.group(GROUP) {
            Some(Group::Consumer(group)) => {
                let current = group.durable().members.get(client.id.as_str()).map(|member| &member.current);
                current.is_some_and(|current| [current.epoch, current.previous_epoch].contains(&client.epoch))
            }
            Some(Group::Classic(group)) => group.generation() == client.epoch && group.member(&client.id).is_some(),
            None => false,
        };
        let mut owners = BTreeMap::new();
        for client in self.clients.iter().filter(is_member) {
            for one in &client.owned {
                if let Some(other) = owners.insert(one, client.name) {
                    panic!("{other} and {} own {one:?}", client.name);
                }
            }
        }
    }

    fn converge(&mut self) {
        for _ in 0..110 {
            self.pass(1_000);
            for at in 0..self.clients.len() {
                self.act(at, false);
                self.check();
            }
        }
        let Some(group) = self.bench.shard.group(GROUP) else { return };
        let has_new = self.clients.iter().any(|client| client.is_new);
        let mut expected = BTreeSet::new();
        self.bench.topics().each(&mut |topic| {
            expected.extend((0..topic.partitions).map(|one| (topic.name.to_string(), one)));
        });
        let owned: Vec<_> = self.clients.iter().flat_map(|client| client.owned.iter().cloned()).collect();
        match group {
            Group::Consumer(group) => {
                let state = group.durable();
                assert_eq!(state.members.len(), self.clients.len(), "{:?}", self.clients);
                assert_eq!(state.name(), if self.clients.is_empty() { "Empty" } else { "Stable" });
                assert!(state.members.values().all(|member| member.current.state == MemberState::Stable));
                assert!(has_new || self.clients.is_empty(), "else it would be classic");
            }
            Group::Classic(group) => {
                assert!(!has_new);
                assert_eq!(group.members().count(), self.clients.len(), "{:?}", self.clients);
                // The leader looks at topics only when it assigns.
                expected.retain(|one| owned.contains(one));
            }
        }
        if !self.clients.is_empty() {
            assert_eq!(owned.len(), expected.len(), "{:?}", self.clients);
            assert_eq!(owned.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}

impl Client {
    fn abandon(&mut self) {
        (self.epoch, self.phase) = (0, Phase::Joining);
        self.owned.clear();
        self.told.clear();
        if !self.is_new {
            self.id.clear();
        }
    }

    fn joined(&mut self, response: &JoinGroupResponse, topics: &dyn Topics) {
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            (self.id, self.phase) = (response.member_id.to_string(), Phase::Joining);
            return;
        }
        if response.error_code == ErrorCode::RebalanceInProgress.code() {
            self.phase = Phase::Joining;
            return;
        }
        if response.error_code != 0 {
            return self.abandon();
        }
        (self.id, self.epoch, self.phase) = (response.member_id.to_string(), response.generation_id, Phase::Syncing);
        self.gives = if response.leader == response.member_id { shares(response, topics) } else { Vec::new() };
    }
}

/// What a leader gives to its members: partitions in turn.
fn shares(response: &JoinGroupResponse, topics: &dyn Topics) -> Vec<(String, Bytes)> {
    let count = response.members.len();
    let of = |at: usize, name: &str| {
        let partitions = topics.by_name(name).map_or(0, |topic| topic.partitions);
        (0..partitions).filter(|one| *one as usize % count == at).collect::<Vec<i32>>()
    };
    let give = |(at, member): (usize, &kafka_protocol::messages::join_group_response::JoinGroupResponseMember)| {
        embedded::subscription(&member.metadata).expect("a subscription");
        let shares: Vec<Vec<i32>> = TOPICS.iter().map(|name| of(at, name)).collect();
        let shares: Vec<(&str, &[i32])> = TOPICS.into_iter().zip(shares.iter().map(Vec::as_slice)).collect();
        (member.member_id.to_string(), assignment(&shares, None))
    };
    response.members.iter().enumerate().map(give).collect()
}

/// How often the group has changed over.
fn run(seed: u64) -> usize {
    let mut settings = Bench::new().settings;
    settings.consumer.migration = MigrationPolicy::Bidirectional;
    settings.consumer.assignment_interval_ms = 0;
    let mut sim = Sim {
        bench: Bench::with(settings),
        dice: Dice(seed),
        clients: Vec::new(),
        made: 0,
        changes: 0,
        was_classic: false,
    };
    for topic in TOPICS {
        sim.bench.topic(topic, 2);
    }
    for _ in 0..200 {
        sim.step();
    }
    sim.converge();
    sim.changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(), ..ProptestConfig::default() })]

    #[test]
    fn groups_change_over_and_back_and_no_partition_has_two_owners(seed in any::<u64>()) {
        run(seed);
    }
}

#[test]
fn the_schedules_change_over_often_and_find_broken_rules() {
    let changes: usize = (0..20).map(run).sum();
    assert!(changes > 20, "{changes}");
    for rule in [Break::Unreleased, Break::Unrevoked] {
        let fails = |seed: u64| catch_unwind(AssertUnwindSafe(|| with_broken(rule, || run(seed)))).is_err();
        assert!((0..100).any(fails), "{rule:?}");
    }
}
