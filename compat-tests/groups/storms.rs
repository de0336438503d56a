//! Groups of 1, 3 and 13 members on 12 partitions each while members are killed, halted, added and leave, partitions are
//! added, and the broker is killed in the middle of rebalances.

use super::judge;
use super::member::{Member, Told};
use crate::clients::{Admin, config, options, watermarks};
use crate::common::{DEADLINE, Rng, until};
use crate::ledger::Numbered;
use crate::stage::Stage;
use rdkafka::admin::NewPartitions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Members of each group at first; each has a topic of its own.
const SIZES: [(&str, usize); 3] = [("one", 1), ("three", 3), ("thirteen", 13)];
/// Partitions of a topic at first, and later.
const COUNTS: [i32; 2] = [12, 15];
/// Which settings the members have.
const CLASSIC: [(&str, &str); 3] =
    [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "200"), ("max.poll.interval.ms", "10000")];
/// What the broker allows for that.
const FLAGS: [&str; 6] = [
    "--group.min.session.timeout.ms=1000",
    "--group.consumer.min.session.timeout.ms=1000",
    "--group.consumer.session.timeout.ms=2000",
    "--group.consumer.min.heartbeat.interval.ms=100",
    "--group.consumer.heartbeat.interval.ms=200",
    "--group.consumer.assignment.interval.ms=100",
];

#[test]
fn range() {
    storm(Protocol::Classic("range"));
}

#[test]
fn round_robin() {
    storm(Protocol::Classic("roundrobin"));
}

#[test]
fn cooperative_sticky() {
    storm(Protocol::Classic("cooperative-sticky"));
}

/// KIP-848, with the broker's assignor `range`.
#[test]
fn consumer_range() {
    storm(Protocol::Consumer("range"));
}

#[test]
fn consumer_uniform() {
    storm(Protocol::Consumer("uniform"));
}

/// How the members are given partitions.
#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    /// By one of them, with this strategy.
    Classic(&'static str),
    /// By the broker, with this assignor.
    Consumer(&'static str),
}

impl Protocol {
    fn settings(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Protocol::Classic(strategy) => [&CLASSIC[..], &[("partition.assignment.strategy", strategy)]].concat(),
            Protocol::Consumer(assignor) => vec![("group.protocol", "consumer"), ("group.remote.assignor", assignor)],
        }
    }
}

fn storm(protocol: Protocol) {
    let mut rng = Rng::seeded();
    let stage = Stage::new(&mut rng, &FLAGS);
    let admin = Admin::at(&stage.direct());
    SIZES.iter().for_each(|(name, _)| admin.create(name, COUNTS[0], &[]));
    let crowds = SIZES.map(|(name, size)| Crowd::new(name, size, protocol, &stage.bootstrap()));
    let producers = SIZES.map(|(name, _)| Numbered::idempotent(0, &stage.bootstrap(), name));
    let mut storm = Storm { stage, crowds: crowds.into(), rng };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Ends with the scope, also when that panics.
        let raging = Raging(&over);
        scope.spawn(|| keep_sending(&producers, &over));
        storm.rage();
        drop(raging);
    });
    storm.calm();
    storm.judge(protocol);
}

struct Raging<'a>(&'a AtomicBool);

impl Drop for Raging<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends to all of the first partitions in turn.
fn keep_sending(producers: &[Numbered], over: &AtomicBool) {
    for partition in (0..COUNTS[0]).cycle() {
        if over.load(Ordering::SeqCst) {
            break;
        }
        producers.iter().for_each(|producer| producer.send(Some(partition), None));
        thread::sleep(Duration::from_millis(4));
    }
    producers.iter().for_each(Numbered::finish);
}

struct Storm {
    stage: Stage,
    crowds: Vec<Crowd>,
    rng: Rng,
}

impl Storm {
    fn rage(&mut self) {
        self.settle("at first", COUNTS[0]);
        for crowd in &mut self.crowds {
            crowd.add();
            let victim = self.rng.below(crowd.members.len() as u64 - 1) as usize;
            crowd.gone.push(crowd.members.remove(victim).kill());
        }
        self.settle("a member killed, one added", COUNTS[0]);
        self.crowds.iter_mut().for_each(Crowd::add);
        self.restart_broker();
        self.settle("a member added, the broker killed", COUNTS[0]);
        self.add_partitions();
        self.settle("partitions added", COUNTS[1]);
        self.halt_members();
        self.settle("halted members went on", COUNTS[1]);
        self.crowds.iter_mut().for_each(|crowd| crowd.members[0].ask_to_leave());
        self.restart_broker();
        self.crowds.iter_mut().for_each(|crowd| crowd.gone.push(crowd.members.remove(0).leave()));
        self.settle("members left, the broker killed", COUNTS[1]);
    }

    /// Waits until every partition has an owner and no member has two more than another.
    fn settle(&mut self, when: &str, partitions: i32) {
        for crowd in &mut self.crowds {
            until(&format!("{} is settled: {when}", crowd.name), || crowd.is_settled(partitions, None).then_some(()));
            crowd.committed.look(partitions);
        }
    }

    /// Kills the broker a little later, and starts the next one. No commit is lost.
    fn restart_broker(&mut self) {
        thread::sleep(Duration::from_micros(self.rng.below(300_000)));
        self.crowds.iter_mut().for_each(|crowd| crowd.committed.look(COUNTS[0]));
        self.stage.kill();
        self.stage.start();
        self.crowds.iter_mut().for_each(|crowd| crowd.committed.look(COUNTS[0]));
    }

    fn add_partitions(&mut self) {
        let admin = Admin::at(&self.stage.direct());
        for crowd in &self.crowds {
            let wanted = NewPartitions::new(crowd.name, COUNTS[1] as usize);
            let made = admin.wait(admin.client.create_partitions([&wanted], &options()));
            assert_eq!(made, [Ok(crowd.name.to_string())]);
            let producer = Numbered::idempotent(1, &self.stage.direct(), crowd.name);
            (COUNTS[0]..COUNTS[1]).for_each(|partition| producer.send(Some(partition), None));
            producer.finish();
        }
    }

    /// Halts a member of each group until the others have shared what it has, and lets it go on.
    fn halt_members(&mut self) {
        let halted: Vec<usize> =
            self.crowds.iter().map(|crowd| self.rng.below(crowd.members.len() as u64) as usize).collect();
        for (crowd, at) in self.crowds.iter().zip(&halted) {
            crowd.members[*at].signal(Signal::STOP);
        }
        for (crowd, at) in self.crowds.iter().zip(&halted) {
            let settled = || crowd.is_settled(COUNTS[1], Some(*at)).then_some(());
            until(&format!("{} is settled without a member", crowd.name), settled);
        }
        // It does not know yet that it has lost everything.
        for (crowd, at) in self.crowds.iter().zip(&halted) {
            let member = &crowd.members[*at];
            let before = member.told().owned.len();
            member.signal(Signal::CONT);
            let notices = || (member.told().owned.len() > before).then_some(());
            until(&format!("the halted member of {} notices", crowd.name), notices);
        }
    }

    /// Waits until everything is consumed, and has everybody leave.
    fn calm(&mut self) {
        for crowd in &mut self.crowds {
            crowd.ends = (0..COUNTS[1]).map(|it| watermarks(&crowd.committed.consumer, crowd.name, it).1).collect();
            let Crowd { committed, ends, .. } = crowd;
            until(&format!("all of {} is committed", crowd.name), || {
                committed.look(COUNTS[1]);
                (0..).zip(ends.iter()).all(|(it, end)| committed.offsets.get(&it) == Some(end)).then_some(())
            });
            let mut leaving = std::mem::take(&mut crowd.members);
            leaving.iter_mut().for_each(Member::ask_to_leave);
            crowd.gone.extend(leaving.into_iter().map(Member::leave));
        }
    }

    fn judge(self, protocol: Protocol) {
        for crowd in &self.crowds {
            let (told, records) = (&crowd.gone, judge::records(&self.stage.direct(), crowd.name));
            judge::assert_all_seen(told, &crowd.ends);
            judge::assert_commits_advance(&records, crowd.name, COUNTS[1]);
            judge::assert_disjoint_claims(told);
            match protocol {
                Protocol::Classic(strategy) => {
                    judge::assert_classic(&records, told, &COUNTS, strategy != "cooperative-sticky");
                }
                Protocol::Consumer(_) => judge::assert_consumer(&records, told, &COUNTS),
            }
            let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
            told.iter().flat_map(|told| &told.refused).for_each(|code| *refused.entry(code).or_default() += 1);
            let (seen, end): (usize, i64) = (told.iter().map(|told| told.seen.len()).sum(), crowd.ends.iter().sum());
            println!("{}: {seen} of {end} records seen, {} members, refused {refused:?}", crowd.name, told.len());
            let fatal: Vec<_> = told.iter().filter_map(|told| told.fatal.as_ref()).collect();
            assert_eq!(fatal, [""; 0]);
        }
        self.stage.stop();
    }
}

/// A group, and who was in it.
struct Crowd {
    /// Of the group and its topic.
    name: &'static str,
    protocol: Protocol,
    bootstrap: String,
    members: Vec<Member>,
    started: usize,
    gone: Vec<Told>,
    committed: Committed,
    /// The ends of its partitions, when nobody sends any more.
    ends: Vec<i64>,
}

impl Crowd {
    fn new(name: &'static str, size: usize, protocol: Protocol, bootstrap: &str) -> Self {
        let committed = Committed::new(bootstrap, name);
        let (members, bootstrap) = (Vec::new(), bootstrap.to_string());
        let mut crowd =
            Self { name, protocol, bootstrap, members, started: 0, gone: Vec::new(), committed, ends: Vec::new() };
        (0..size).for_each(|_| crowd.add());
        crowd
    }

    fn add(&mut self) {
        let client_id = format!("{}-{}", self.name, self.started);
        self.started += 1;
        let mut settings = self.protocol.settings();
        settings.push(("client.id", &client_id));
        self.members.push(Member::start(&self.bootstrap, self.name, self.name, &settings));
    }

    /// Whether the partitions have owners among the members, but for one of them, in equal shares.
    fn is_settled(&self, partitions: i32, without: Option<usize>) -> bool {
        let counted = self.members.iter().enumerate().filter(|(at, _)| Some(*at) != without);
        // A client that is given nothing need not be called back.
        let shares: Vec<_> = counted.map(|(_, member)| member.owns().unwrap_or_default()).collect();
        let sizes = shares.iter().map(|share| share.len());
        let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
        let mut owned: Vec<i32> = shares.iter().flatten().copied().collect();
        owned.sort_unstable();
        owned.into_iter().eq(0..partitions) && most - least <= 1
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if thread::panicking() {
            let owned: Vec<_> = self.members.iter().map(Member::last).collect();
            eprintln!("the members of {}: {owned:#?}", self.name);
        }
    }
}

/// Committed offsets of a group as a bystander sees them.
struct Committed {
    consumer: BaseConsumer,
    topic: &'static str,
    offsets: BTreeMap<i32, i64>,
}

impl Committed {
    fn new(bootstrap: &str, name: &'static str) -> Self {
        let consumer = config(bootstrap, &[("group.id", name), ("enable.auto.commit", "false")]).create().unwrap();
        Self { consumer, topic: name, offsets: BTreeMap::new() }
    }

    /// Looks once more; none may have gone back, or away.
    fn look(&mut self, partitions: i32) {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(self.topic, 0, partitions - 1);
        let found = until("committed offsets", || self.consumer.committed_offsets(asked.clone(), DEADLINE).ok());
        for (partition, found) in found.elements().iter().map(|it| (it.partition(), it.offset())) {
            let found = match found {
                Offset::Offset(offset) => offset,
                other => {
                    assert_eq!(other, Offset::Invalid);
                    -1
                }
            };
            let before = self.offsets.insert(partition, found).unwrap_or(-1);
            assert!(found >= before, "{}-{partition} goes back from {before} to {found}", self.topic);
        }
    }
}
