//! Random schedules: members that obey the protocol, mostly, lost replies, late heartbeats, crashes of members and of the
//! coordinator, changes of topics and subscriptions.

use super::world::*;
use crate::coordinator::breaks::{Break, with_broken};
use crate::coordinator::group::consumer::MemberState;
use crate::coordinator::group::settings::Topics;
use crate::coordinator::seeds::seeds;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use uuid::Uuid;

const TOPICS: [&str; 4] = ["t0", "t1", "t2", "u0"];
const SUBSCRIPTIONS: [&[&str]; 5] = [&["t0"], &["t0", "t1"], &["t1", "t2", "u0"], &[], &["u0", "t0"]];
const REGEXES: [&str; 3] = ["t.*", "[tu]0", "nothing"];

/// Numbers that follow from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Clone, Debug)]
enum Wants {
    Names(usize),
    Regex(usize),
}

/// A client. It owns what it was last told, until it has given it up.
#[derive(Clone, Debug)]
struct Client {
    id: String,
    instance: Option<String>,
    epoch: i32,
    owned: BTreeSet<(Uuid, i32)>,
    /// What it was last told.
    told: BTreeSet<(Uuid, i32)>,
    wants: Wants,
    /// What it wants is not told yet.
    is_news: bool,
    /// The last reply was lost.
    missed: bool,
}

impl Client {
    fn request(&self, dice: &mut Dice, careful: bool) -> ConsumerGroupHeartbeatRequest {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned: Vec<(Uuid, &[i32])> = owned.iter().map(|(topic, all)| (*topic, all.as_slice())).collect();
        let mut request = match self.epoch {
            0 => owning(&self.id, 0, &[]).with_rebalance_timeout_ms(20_000),
            epoch if careful || !dice.one_in(3) => owning(&self.id, epoch, &owned),
            epoch => beat(&self.id, epoch),
        };
        if self.missed && (careful || !dice.one_in(3)) && self.epoch != 0 {
            request = owning(&self.id, self.epoch, &owned).with_rebalance_timeout_ms(20_000);
            request = self.subscribe(request);
        }
        if self.epoch == 0 || self.is_news {
            request = self.subscribe(request);
        }
        request.with_instance_id(self.instance.as_deref().map(text))
    }

    fn subscribe(&self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
        match self.wants {
            Wants::Names(at) => request
                .with_subscribed_topic_names(names(SUBSCRIPTIONS[at]))
                .with_subscribed_topic_regex(Some(text(""))),
            Wants::Regex(at) => {
                request.with_subscribed_topic_names(names(&[])).with_subscribed_topic_regex(Some(text(REGEXES[at])))
            }
        }
    }

    fn wants(&self, topic: &str) -> bool {
        match self.wants {
            Wants::Names(at) => SUBSCRIPTIONS[at].contains(&topic),
            Wants::Regex(0) => topic.starts_with('t'),
            Wants::Regex(1) => topic == "t0" || topic == "u0",
            Wants::Regex(_) => false,
        }
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse, was_full: bool) {
        match refused(response).0 {
            ErrorCode::None => {}
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                return self.abandon();
            }
            ErrorCode::UnreleasedInstanceId => return,
            ErrorCode::FencedInstanceId => return self.abandon(),
            other => panic!("{other:?} {:?}", response.error_message),
        }
        // What was in a lost reply is told again only to a full request.
        self.missed &= !was_full;
        self.is_news = false;
        self.epoch = counted(response.member_epoch);
        if let Some(all) = assigned(response) {
            self.told = all.iter().flat_map(|(topic, all)| all.iter().map(|one| (*topic, *one))).collect();
            self.owned.extend(&self.told);
        }
    }

    /// Gives up what it is not to have any more.
    fn revoke(&mut self) {
        self.owned.retain(|one| self.told.contains(one));
    }

    fn abandon(&mut self) {
        (self.epoch, self.missed, self.is_news) = (0, false, true);
        self.owned.clear();
        self.told.clear();
    }
}

struct Sim {
    bench: Bench,
    dice: Dice,
    clients: Vec<Client>,
    made: usize,
    last_epoch: i32,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut settings = Bench::new().settings;
        let mut dice = Dice(seed);
        settings.consumer.assignment_interval_ms = [0, 1_000][dice.roll(2) as usize];
        settings.consumer.assignors.rotate_left(dice.roll(2) as usize);
        let mut sim = Sim { bench: Bench::with(settings), dice, clients: Vec::new(), made: 0, last_epoch: 0 };
        sim.bench.topic("t0", 3);
        sim
    }

    fn wants(&mut self) -> Wants {
        match self.dice.roll(4) {
            0 => Wants::Regex(self.dice.roll(REGEXES.len() as u64) as usize),
            _ => Wants::Names(self.dice.roll(SUBSCRIPTIONS.len() as u64) as usize),
        }
    }

    fn add(&mut self, instance: Option<String>) {
        self.made += 1;
        let wants = self.wants();
        let (id, owned, told) = (format!("m{}", self.made), BTreeSet::new(), BTreeSet::new());
        self.clients.push(Client { id, instance, epoch: 0, owned, told, wants, is_news: true, missed: false });
    }

    fn heartbeat(&mut self, at: usize, careful: bool) {
        let request = self.clients[at].request(&mut self.dice, careful);
        let was_full = request.rebalance_timeout_ms != -1;
        let response = self.bench.heartbeat(request);
        if !careful && self.dice.one_in(6) {
            self.clients[at].missed = true;
            return;
        }
        self.clients[at].take(&response, was_full);
        // A slow one gives up later.
        if careful || !self.dice.one_in(3) {
            self.clients[at].revoke();
        }
    }

    fn step(&mut self) {
        let count = self.clients.len() as u64;
        let any = |sim: &mut Sim| sim.dice.roll(count.max(1)) as usize;
        match self.dice.roll(40) {
            0..=1 if count < 6 => {
                // An instance id belongs to one client.
                let instance = format!("i{}", self.dice.roll(3));
                let is_free = self.clients.iter().all(|client| client.instance.as_ref() != Some(&instance));
                let instance = (is_free && self.dice.one_in(2)).then_some(instance);
                self.add(instance);
            }
            2 if count > 0 => {
                let at = any(self);
                self.leave(at);
            }
            // Gone without a word.
            3 if count > 0 => {
                let at = any(self);
                self.clients.remove(at);
            }
            4 => {
                let (topic, grow) = (TOPICS[self.dice.roll(4) as usize], self.dice.roll(3) as i32);
                let now = self.bench.topics().by_name(topic).map_or(0, |topic| topic.partitions);
                self.bench.topic(topic, (now + grow).max(1));
            }
            5 => self.bench.delete_topic(TOPICS[self.dice.roll(4) as usize]),
            6 => self.bench.crash(),
            7 if count > 0 => {
                let (at, wants) = (any(self), self.wants());
                (self.clients[at].wants, self.clients[at].is_news) = (wants, true);
            }
            8 => {
                let ms = self.dice.roll(20_000) as i64;
                self.bench.pass(ms);
            }
            9..=12 if count > 0 => {
                let at = any(self);
                self.clients[at].revoke();
            }
            13..=16 => {
                self.bench.pass(500);
            }
            // A session ends, and a join of before comes late.
            17 if count > 0 && self.bench.settings.consumer.assignment_interval_ms == 0 => {
                self.bench.pass(46_000);
                let at = any(self);
                let late = Client { epoch: 0, ..self.clients[at].clone() };
                let request = late.request(&mut self.dice, true);
                self.bench.heartbeat(request);
            }
            _ if count > 0 => {
                let at = any(self);
                self.heartbeat(at, false);
            }
            _ => {}
        }
        self.check();
    }

    /// Leaves, a static member perhaps for a while only; then it comes back as another member.
    fn leave(&mut self, at: usize) {
        let client = self.clients.remove(at);
        let instance = client.instance.clone();
        let for_a_while = instance.is_some() && self.dice.one_in(2);
        let epoch = if for_a_while { -2 } else { -1 };
        self.bench.heartbeat(beat(&client.id, epoch).with_instance_id(instance.as_deref().map(text)));
        if for_a_while {
            self.add(instance);
        }
    }

    /// What must be so after every step.
    fn check(&mut self) {
        if !matches!(self.bench.shard.group(GROUP), Some(crate::coordinator::group::Group::Consumer(_))) {
            return;
        }
        let state = self.bench.state();
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        // One that was removed, or that a late join has made anew, has yet to learn that it owns nothing.
        let is_member = |client: &&Client| {
            let current = state.members.get(client.id.as_str()).map(|member| &member.current);
            current.is_some_and(|current| [current.epoch, current.previous_epoch].map(counted).contains(&client.epoch))
        };
        for client in self.clients.iter().filter(is_member) {
            for one in &client.owned {
                if let Some(other) = owners.insert(*one, &client.id) {
                    panic!("{} and {other} own {one:?}", client.id);
                }
            }
        }
        assert!(state.epoch >= self.last_epoch, "the group's epoch goes up");
        assert!(state.assignment_epoch <= state.epoch);
        let mut taken = BTreeMap::new();
        for (id, member) in &state.members {
            assert!(member.current.epoch <= state.assignment_epoch, "{id}");
            for (topic, partitions) in member.current.assigned.iter().chain(&member.current.pending_revocation) {
                for (partition, since) in partitions {
                    assert!(*since <= state.assignment_epoch, "{id}");
                    assert_eq!(taken.insert((*topic, *partition), id), None, "in two members");
                    assert_eq!(state.owner(*topic, *partition), Some(id));
                }
            }
        }
        self.last_epoch = state.epoch;
    }

    /// When nothing changes any more, all members get what they are to have.
    fn converge(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.bench.pass(1_000);
            for at in 0..self.clients.len() {
                self.heartbeat(at, true);
                self.check();
            }
        }
        if self.clients.is_empty() {
            return;
        }
        let state = self.bench.state();
        assert_eq!(state.members.len(), self.clients.len());
        assert_eq!(state.epoch, state.assignment_epoch);
        for (id, member) in &state.members {
            assert_eq!((member.current.state, member.current.epoch), (MemberState::Stable, state.epoch), "{id}");
        }
        let mut expected = BTreeSet::new();
        self.bench.topics().each(&mut |topic| {
            if self.clients.iter().any(|client| client.wants(&topic.name)) {
                expected.extend((0..topic.partitions).map(|partition| (topic.id, partition)));
            }
        });
        let owned: Vec<(Uuid, i32)> = self.clients.iter().flat_map(|client| client.owned.iter().copied()).collect();
        assert_eq!(owned.len(), expected.len());
        assert_eq!(owned.into_iter().collect::<BTreeSet<_>>(), expected, "each partition has one member");
    }
}

fn run(seed: u64, steps: usize) {
    let mut sim = Sim::new(seed);
    for _ in 0..steps {
        sim.step();
    }
    // As long as a session, which who is gone without a word or fenced has to wait for.
    sim.converge(60);
    let grown = sim.bench.topics().by_name("t0").map_or(1, |topic| topic.partitions + 1);
    sim.bench.topic("t0", grown);
    sim.converge(15);
}

/// Whether any of some seeds fails without a rule.
fn notices(rule: Break) -> bool {
    let fails = |seed: u64| catch_unwind(AssertUnwindSafe(|| with_broken(rule, || run(seed, 150)))).is_err();
    (0..100).any(fails)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(), ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_gives_a_partition_to_two_or_to_nobody(seed in any::<u64>()) {
        run(seed, 200);
    }
}

#[test]
fn the_schedules_find_broken_rules() {
    for rule in [Break::Unreleased, Break::Unrevoked, Break::EpochCheck, Break::Topics] {
        assert!(notices(rule), "{rule:?}");
    }
}
