//! Readers: of chosen partitions, of those that a group gives them, and of watermarks and committed offsets. They go on
//! over every fault.

use super::model::{
    Action, Commit, History, Isolation, Key, Look, Operation, Outcome, Process, Sample, Seen, Span, Time,
};
use super::producer::Role;
use super::workload::{KEYS, READERS, SLOTS, TOPICS, key, now, value_of};
use crate::clients::{config, consumer_with};
use crate::common::Rng;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Where all threads write what they did and saw.
#[derive(Default)]
pub struct Recorder {
    pub history: Mutex<History>,
    processes: AtomicUsize,
    /// The last offset that each reader of chosen partitions has seen.
    reached: Mutex<HashMap<(Process, Isolation), BTreeMap<Key, i64>>>,
}

impl Recorder {
    /// A number for a new incarnation of a client.
    pub fn process(&self) -> Process {
        self.processes.fetch_add(1, Ordering::SeqCst)
    }

    pub fn add(&self, process: Process, from: Time, action: Action) {
        let span = Span { from, to: now() };
        self.history.lock().unwrap().operations.push(Operation { process, span, action });
    }

    pub fn look(&self, from: Time, look: Look) {
        let span = Span { from, to: now() };
        self.history.lock().unwrap().samples.push(Sample { span, look });
    }

    /// Whether all readers of this kind have seen everything up to these last offsets.
    pub fn all_reached(&self, isolation: Isolation, last: &BTreeMap<Key, i64>) -> bool {
        let reached = self.reached.lock().unwrap();
        reached.iter().filter(|((_, its), _)| *its == isolation).all(|(_, reached)| reached == last)
    }
}

fn seen(message: &BorrowedMessage<'_>) -> Seen {
    let key = key(message.topic(), message.partition());
    Seen { key, offset: message.offset(), value: value_of(message.payload()) }
}

/// What comes in one go.
fn poll<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Vec<Seen> {
    let first = consumer.poll(Duration::from_millis(20));
    let rest = std::iter::from_fn(|| consumer.poll(Duration::ZERO)).take(200);
    // Connections come and go.
    first.into_iter().chain(rest).filter_map(Result::ok).map(|message| seen(&message)).collect()
}

/// Reads all partitions from their beginning.
pub fn follow(bootstrap: &str, isolation: Isolation, recorder: &Recorder, over: &AtomicBool) {
    let (process, consumer) = (recorder.process(), consumer_with(bootstrap, &[("isolation.level", isolation.name())]));
    let mut assignment = TopicPartitionList::new();
    for (topic, partition) in KEYS {
        assignment.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
    }
    let from = now();
    consumer.assign(&assignment).unwrap();
    recorder.add(process, from, Action::Assign(KEYS.map(|key| (key, 0)).to_vec()));
    recorder.reached.lock().unwrap().insert((process, isolation), BTreeMap::new());
    while !over.load(Ordering::SeqCst) {
        let (from, seen) = (now(), poll(&consumer));
        if let Some(reached) = recorder.reached.lock().unwrap().get_mut(&(process, isolation)) {
            reached.extend(seen.iter().map(|seen| (seen.key, seen.offset)));
        }
        if !seen.is_empty() {
            recorder.add(process, from, Action::Poll(isolation, seen));
        }
    }
}

/// A member of a group, as often as it leaves and comes back.
pub fn take_part(bootstrap: &str, mut rng: Rng, recorder: &Arc<Recorder>, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let stays = Duration::from_millis(2_000 + rng.below(8_000));
        Member::join(bootstrap, recorder).play(stays, over);
    }
}

/// One stay of a member.
struct Member {
    consumer: BaseConsumer<Membership>,
}

struct Membership {
    process: Process,
    recorder: Arc<Recorder>,
    /// The offsets after what was read and is not committed.
    uncommitted: Mutex<BTreeMap<Key, i64>>,
}

impl ClientContext for Membership {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.uncommitted.lock().unwrap().clear();
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.recorder.add(self.process, now(), Action::Assign(Vec::new()));
    }
}

impl Member {
    fn join(bootstrap: &str, recorder: &Arc<Recorder>) -> Self {
        let settings = [
            ("group.id", READERS),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            ("fetch.wait.max.ms", "20"),
            ("check.crcs", "true"),
        ];
        let process = recorder.process();
        let membership = Membership { process, recorder: recorder.clone(), uncommitted: Mutex::default() };
        let consumer: BaseConsumer<Membership> = config(bootstrap, &settings).create_with_context(membership).unwrap();
        consumer.subscribe(&TOPICS).unwrap();
        Self { consumer }
    }

    fn play(&self, stays: Duration, over: &AtomicBool) {
        let (joined, membership) = (Instant::now(), self.consumer.context());
        let mut committed = Instant::now();
        while joined.elapsed() < stays && !over.load(Ordering::SeqCst) {
            // One at a time: a rebalance may come between any two.
            let from = now();
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(20)) else { continue };
            let seen = seen(&message);
            membership.uncommitted.lock().unwrap().insert(seen.key, seen.offset + 1);
            membership.recorder.add(membership.process, from, Action::Poll(Isolation::Committed, vec![seen]));
            if committed.elapsed() > Duration::from_millis(100) {
                self.commit();
                committed = Instant::now();
            }
        }
    }

    fn commit(&self) {
        let membership = self.consumer.context();
        let uncommitted = std::mem::take(&mut *membership.uncommitted.lock().unwrap());
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in &uncommitted {
            offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
        }
        let from = now();
        let done = self.consumer.commit(&offsets, CommitMode::Sync);
        let outcome = if done.is_ok() { Outcome::Done } else { Outcome::Unknown };
        for (key, offset) in uncommitted {
            let commit = Commit { group: READERS.into(), key, offset };
            membership.recorder.add(membership.process, from, Action::Commit(commit, outcome));
        }
    }
}

/// Looks at the watermarks of all partitions, again and again.
pub fn look_at_watermarks(bootstrap: &str, recorder: &Recorder, over: &AtomicBool) {
    let consumers = [Isolation::Uncommitted, Isolation::Committed].map(|isolation| watching(bootstrap, isolation));
    while !over.load(Ordering::SeqCst) {
        for (consumer, isolation) in consumers.iter().zip([Isolation::Uncommitted, Isolation::Committed]) {
            KEYS.iter().for_each(|key| look_at(consumer, isolation, *key, recorder));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub fn watching(bootstrap: &str, isolation: Isolation) -> BaseConsumer {
    consumer_with(bootstrap, &[("isolation.level", isolation.name())])
}

/// One look, of which nothing comes while nobody answers.
pub fn look_at(consumer: &BaseConsumer, isolation: Isolation, key: Key, recorder: &Recorder) {
    let from = now();
    let Ok((_, offset)) = consumer.fetch_watermarks(key.0, key.1, Duration::from_secs(5)) else { return };
    let look = match isolation {
        Isolation::Committed => Look::Stable(key, offset),
        Isolation::Uncommitted => Look::HighWatermark(key, offset),
    };
    recorder.look(from, look);
}

/// Looks at what is committed for all groups, again and again.
pub fn look_at_groups(bootstrap: &str, recorder: &Recorder, over: &AtomicBool) {
    let groups = (0..SLOTS).map(Role::group).chain([READERS.to_string()]);
    let groups: Vec<_> =
        groups.map(|group| (consumer_with(bootstrap, &[("group.id", group.as_str())]), group)).collect();
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in KEYS {
        asked.add_partition(topic, partition);
    }
    while !over.load(Ordering::SeqCst) {
        for (consumer, group) in &groups {
            let from = now();
            let Ok(found) = consumer.committed_offsets(asked.clone(), Duration::from_secs(1)) else { continue };
            for element in found.elements().iter().filter(|element| element.error().is_ok()) {
                let offset = element.offset().to_raw().filter(|offset| *offset >= 0);
                let look = Look::Committed(group.clone(), key(element.topic(), element.partition()), offset);
                recorder.look(from, look);
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}
