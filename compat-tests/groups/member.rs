//! Members of groups as processes of their own, which can be killed, halted for a while, or asked to leave.
//!
//! The generation comes from librdkafka's debug log, which is delivered before the callback of the rebalance: the client
//! shows it nowhere else.

use crate::actors::{self, Actor, tell};
use crate::clients::config;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The test below, whose settings are its topic in the first line, then one setting of librdkafka in each.
const PART: &str = "groups::member::process";
/// A member's commits are not closer than this.
const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

/// What a member owned after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Generation of a classic group, or epoch of the member.
    pub generation: i32,
    pub member_id: String,
    /// Whether partitions were given, not taken.
    pub assigned: bool,
    pub partitions: BTreeSet<i32>,
}

/// What a member told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub owned: Vec<Owned>,
    /// Partition and offset of each record.
    pub seen: BTreeSet<(i32, i64)>,
    /// Why commits failed.
    pub refused: Vec<String>,
    /// Why its client can do nothing more.
    pub fatal: Option<String>,
}

impl Told {
    fn take(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("{line}"));
        match word {
            "saw" => {
                self.seen.insert((next().parse().unwrap(), next().parse().unwrap()));
            }
            "owns" => {
                let (generation, member_id) = (next().parse().unwrap(), next().to_string());
                let assigned = next() == "assigned";
                let partitions = next().split(',').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect();
                self.owned.push(Owned { generation, member_id, assigned, partitions });
            }
            "refused" => self.refused.push(rest.into()),
            "fatal" => self.fatal = Some(rest.into()),
            // The harness has lines of its own.
            _ => {}
        }
    }
}

/// A member. Dropped, it is killed.
pub struct Member {
    actor: Actor,
    told: Arc<Mutex<Told>>,
}

impl Member {
    /// Starts one, which joins as soon as it can.
    pub fn start(bootstrap: &str, group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut text = format!("{topic}\nbootstrap.servers={bootstrap}\ngroup.id={group}\n");
        text.extend(settings.iter().map(|(name, value)| format!("{name}={value}\n")));
        let told = Arc::new(Mutex::new(Told::default()));
        let to = told.clone();
        let actor = Actor::start(PART, &text, move |line| to.lock().unwrap().take(line));
        Self { actor, told }
    }

    /// What it owns as far as it has told.
    pub fn owns(&self) -> Option<BTreeSet<i32>> {
        self.told.lock().unwrap().owned.last().map(|owned| owned.partitions.clone())
    }

    /// The last callback it told of.
    pub fn last(&self) -> Option<Owned> {
        self.told.lock().unwrap().owned.last().cloned()
    }

    /// What it has told up to now.
    pub fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: Signal) {
        self.actor.signal(signal);
    }

    /// Asks it to leave; it goes on until then.
    pub fn ask_to_leave(&mut self) {
        self.actor.ask_to_end();
    }

    /// Has it leave, and waits until it is gone.
    pub fn leave(mut self) -> Told {
        self.actor.end();
        self.told()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Told {
        self.actor.kill();
        self.told()
    }
}

#[test]
#[ignore = "the stories start it as a process of its own"]
fn process() {
    let Some(settings) = actors::settings() else { return };
    let (topic, settings) = settings.split_once('\n').unwrap();
    let settings: Vec<_> = settings.lines().map(|line| line.split_once('=').unwrap()).collect();
    consume(topic, &settings, &actors::asked_to_end());
}

/// Consumes and commits until it is told to leave.
fn consume(topic: &str, settings: &[(&str, &str)], leaving: &AtomicBool) {
    let common = [
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("check.crcs", "true"),
        ("topic.metadata.refresh.interval.ms", "1000"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "10"),
        ("retry.backoff.ms", "10"),
        ("debug", "cgrp"),
    ];
    let mut config = config("", &common);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.set_log_level(RDKafkaLogLevel::Debug);
    let consumer: BaseConsumer<Playing> = config.create_with_context(Playing::default()).unwrap();
    let playing = consumer.context().clone();
    consumer.subscribe(&[topic]).unwrap();
    let mut committed = Instant::now();
    while !leaving.load(Ordering::SeqCst) {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => {
                tell(&format!("saw {} {}", message.partition(), message.offset()));
                playing.0.lock().unwrap().uncommitted.insert(message.partition(), message.offset() + 1);
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => tell(&format!("fatal {code:?}")),
            // Connections come and go.
            Some(Err(_)) | None => {}
        }
        if committed.elapsed() >= COMMIT_INTERVAL {
            playing.commit(&consumer, topic, |_| true);
            committed = Instant::now();
        }
    }
}

#[derive(Default)]
struct Playing(Mutex<Part>);

#[derive(Default)]
struct Part {
    generation: i32,
    member_id: String,
    owned: BTreeSet<i32>,
    /// Partitions, and the offset after the last record seen there.
    uncommitted: BTreeMap<i32, i64>,
}

impl Playing {
    /// Commits what has been seen of some partitions. What is refused stays to be committed.
    fn commit(&self, consumer: &BaseConsumer<Self>, topic: &str, which: impl Fn(i32) -> bool) {
        let uncommitted = self.0.lock().unwrap().uncommitted.clone();
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in uncommitted.into_iter().filter(|(partition, _)| which(*partition)) {
            offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        }
        if offsets.count() == 0 {
            return;
        }
        match consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) => {
                let done = offsets.elements().into_iter().map(|it| it.partition()).collect::<BTreeSet<_>>();
                self.0.lock().unwrap().uncommitted.retain(|partition, _| !done.contains(partition));
            }
            Err(error) => tell(&format!("refused {:?}", error.rdkafka_error_code())),
        }
    }

    fn tell_owned(&self, part: &Part, how: &str) {
        let owned: Vec<_> = part.owned.iter().map(ToString::to_string).collect();
        tell(&format!("owns {} {} {how} {}", part.generation, part.member_id, owned.join(",")));
    }
}

impl ClientContext for Playing {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        if let Some((generation, member_id)) = joined(message).or_else(|| beaten(message)) {
            let mut part = self.0.lock().unwrap();
            (part.generation, part.member_id) = (generation, member_id.into());
        }
    }

    fn error(&self, _: KafkaError, _: &str) {}
}

/// Generation and member id of an answer to JoinGroup.
fn joined(message: &str) -> Option<(i32, &str)> {
    let rest = message.split("JoinGroup response: GenerationId ").nth(1)?.strip_suffix(": (no error)")?;
    let member_id = rest.split("my MemberId ").nth(1)?.split(',').next()?;
    Some((rest.split(',').next()?.parse().ok()?, member_id))
}

/// Epoch and member id of an answer to ConsumerGroupHeartbeat.
fn beaten(message: &str) -> Option<(i32, &str)> {
    let rest = message.split("response received for member id \"").nth(1)?;
    let (member_id, epoch) = rest.split_once("\" with epoch ")?;
    epoch.parse().ok().filter(|epoch| *epoch >= 0).map(|epoch| (epoch, member_id))
}

fn partitions(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(|it| it.partition()).collect()
}

impl ConsumerContext for Playing {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let revoked = partitions(list);
        let topic = list.elements().first().map(|it| it.topic().to_string());
        if let (Some(topic), false) = (topic, consumer.assignment_lost()) {
            self.commit(consumer, &topic, |partition| revoked.contains(&partition));
        }
        self.0.lock().unwrap().uncommitted.retain(|partition, _| !revoked.contains(partition));
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut part = self.0.lock().unwrap();
        match rebalance {
            Rebalance::Assign(list) => {
                for partition in partitions(list) {
                    assert!(part.owned.insert(partition), "{partition} is assigned to a client that has it");
                }
                self.tell_owned(&part, "assigned");
            }
            Rebalance::Revoke(list) => {
                for partition in partitions(list) {
                    assert!(
                        part.owned.remove(&partition),
                        "{partition} is revoked from a client that does not have it"
                    );
                }
                self.tell_owned(&part, "revoked");
            }
            Rebalance::Error(error) => panic!("{error}"),
        }
    }
}
