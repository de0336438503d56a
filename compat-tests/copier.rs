//! Consume, transform, produce: copiers carry 100,000 records from one topic to another, 750 in a transaction, while
//! they and the broker are killed.
//!
//! What readers of committed records see of the output, while it grows and later, is the input: each record once, in
//! the order of its partition. OTTLA_COPIER_KILLS says how often each is killed.

mod process;

use crate::actors::Actor;
use crate::clients::{Admin, Record, consumer};
use crate::common::{DEADLINE, Rng};
use crate::isolation::{Isolation, read, until_decided};
use crate::ledger::Numbered;
use crate::stage::Stage;
use process::PART;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MESSAGES: usize = 100_000;
const PARTITIONS: i32 = 4;
const COPIERS: usize = 2;
const FLAGS: [&str; 2] =
    ["--transaction.abort.timed.out.transaction.cleanup.interval.ms=500", "--group.min.session.timeout.ms=1000"];

#[test]
fn copiers_with_partitions_of_their_own() {
    copy(Sharing::Fixed);
}

/// The partitions of one that is killed go to the others.
#[test]
fn copiers_in_a_group() {
    copy(Sharing::Group);
}

/// How copiers come by partitions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sharing {
    /// A partition belongs to a transactional id: who takes that over fences the one before.
    Fixed,
    /// The group shares them out, and fences those who are no longer in it (KIP-447).
    Group,
}

fn kills() -> usize {
    std::env::var("OTTLA_COPIER_KILLS").map_or(5, |kills| kills.parse().unwrap())
}

fn copy(sharing: Sharing) {
    let mut rng = Rng::seeded();
    let mut stage = Stage::new(&mut rng, &FLAGS);
    let admin = Admin::at(&stage.direct());
    ["in", "out"].iter().for_each(|topic| admin.create(topic, PARTITIONS, &[]));
    let input = fill(&stage);
    let (output, over) = (Output::default(), AtomicBool::new(false));
    let reader = consumer(&stage.bootstrap());
    let told = thread::scope(|scope| {
        // Ends with the scope, also when that panics.
        let going_on = Over(&over);
        scope.spawn(|| output.follow(&reader, &over));
        let mut crew = Crew::start(&stage.bootstrap(), sharing, rng.split());
        for kill in 1..=kills() {
            let mark = MESSAGES * kill / (kills() + 1);
            output.until(mark, &mut crew);
            strike(&mut stage, &mut crew, &mut rng);
        }
        output.until(MESSAGES, &mut crew);
        let told = crew.end();
        drop(going_on);
        told
    });
    until_decided(&stage.direct(), "out", PARTITIONS);
    let later = read(&stage.direct(), Isolation::Committed, "out", PARTITIONS);
    let all = read(&stage.direct(), Isolation::Uncommitted, "out", PARTITIONS);
    let aborted = all.iter().flatten().count() - MESSAGES;
    println!("{sharing:?}: {told:?}, {aborted} records aborted");
    assert_same("later", &later, &input);
    assert_same("meanwhile", &output.seen.lock().unwrap(), &input);
    // In a group they are often between two transactions: they wait for partitions.
    assert!(aborted > 0 && told.open_when_killed >= kills() / 4, "the run does not count: {told:?}, {aborted}");
    stage.stop();
}

/// Fills the input, and gives what is there.
fn fill(stage: &Stage) -> Vec<Vec<Record>> {
    let producer = Numbered::with(0, &stage.direct(), "in", &[("enable.idempotence", "true")]);
    for number in 0..MESSAGES {
        producer.send(Some(i32::try_from(number).unwrap() % PARTITIONS), None);
    }
    producer.finish();
    read(&stage.direct(), Isolation::Committed, "in", PARTITIONS)
}

#[track_caller]
fn assert_same(when: &str, output: &[Vec<Record>], input: &[Vec<Record>]) {
    for (partition, (output, input)) in output.iter().zip(input).enumerate() {
        let first = output.iter().zip(input).position(|(output, input)| output.value != input.value);
        let differ = first.map(|at| (at, output[at].text(), input[at].text()));
        assert_eq!(differ, None, "{when}, partition {partition}: the first that differ");
        assert_eq!(output.len(), input.len(), "{when}, partition {partition}");
    }
}

/// Kills a copier and the broker, at moments that have nothing to do with each other.
fn strike(stage: &mut Stage, crew: &mut Crew, rng: &mut Rng) {
    let broker_first = rng.below(2) == 0;
    for broker in [broker_first, !broker_first] {
        thread::sleep(Duration::from_micros(rng.below(200_000)));
        if broker && stage.may_be_killed() {
            stage.kill();
            thread::sleep(Duration::from_micros(rng.below(200_000)));
            stage.start();
        }
        if !broker {
            crew.kill(rng.below(COPIERS as u64) as usize);
        }
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a reader sees of the output while it grows.
#[derive(Default)]
struct Output {
    seen: Mutex<Vec<Vec<Record>>>,
    count: AtomicUsize,
}

impl Output {
    fn follow(&self, reader: &BaseConsumer, over: &AtomicBool) {
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset("out", partition, Offset::Offset(0)).unwrap();
        }
        reader.assign(&assignment).unwrap();
        self.seen.lock().unwrap().resize(PARTITIONS as usize, Vec::new());
        while !over.load(Ordering::SeqCst) {
            let Some(record) = reader.poll(Duration::from_millis(10)).and_then(Record::received) else { continue };
            self.seen.lock().unwrap()[record.partition as usize].push(record);
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until so many have been seen. Whoever cannot go on is replaced meanwhile.
    fn until(&self, count: usize, crew: &mut Crew) {
        let (mut last, mut progress) = (0, Instant::now());
        loop {
            let seen = self.count.load(Ordering::SeqCst);
            if seen >= count {
                return;
            }
            if seen > last {
                (last, progress) = (seen, Instant::now());
            }
            assert!(progress.elapsed() < DEADLINE, "nothing comes after {seen} of {count}: {:?}", crew.told());
            crew.replace_ended();
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What became of the copiers' transactions.
#[derive(Clone, Debug, Default)]
struct Told {
    committed: usize,
    /// By who made them, or because something was in their way.
    aborted: BTreeMap<String, usize>,
    /// Why copiers could do nothing more.
    fatal: BTreeMap<String, usize>,
    open: BTreeMap<usize, bool>,
    open_when_killed: usize,
}

impl Told {
    fn take(&mut self, copier: usize, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "committed" => self.committed += 1,
            "aborted" => *self.aborted.entry(rest.into()).or_default() += 1,
            "fatal" => *self.fatal.entry(rest.into()).or_default() += 1,
            "begun" => {}
            // The harness has lines of its own.
            _ => return,
        }
        self.open.insert(copier, word == "begun");
    }
}

/// Copiers, each with its transactional id.
struct Crew {
    bootstrap: String,
    sharing: Sharing,
    rng: Rng,
    copiers: Vec<Actor>,
    told: Arc<Mutex<Told>>,
}

impl Crew {
    fn start(bootstrap: &str, sharing: Sharing, rng: Rng) -> Self {
        let told = Arc::default();
        let mut crew = Self { bootstrap: bootstrap.into(), sharing, rng, copiers: Vec::new(), told };
        crew.copiers = (0..COPIERS).map(|number| crew.copier(number)).collect();
        crew
    }

    fn copier(&mut self, number: usize) -> Actor {
        let seed = self.rng.next();
        let settings = format!("{} {number} {:?} {seed}", self.bootstrap, self.sharing);
        let told = self.told.clone();
        Actor::start(PART, &settings, move |line| told.lock().unwrap().take(number, line))
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    fn kill(&mut self, number: usize) {
        self.copiers[number].kill();
        let open = self.told.lock().unwrap().open.insert(number, false) == Some(true);
        self.told.lock().unwrap().open_when_killed += usize::from(open);
        self.copiers[number] = self.copier(number);
    }

    fn replace_ended(&mut self) {
        for number in 0..self.copiers.len() {
            if self.copiers[number].has_ended() {
                self.copiers[number].end();
                self.copiers[number] = self.copier(number);
            }
        }
    }

    fn end(mut self) -> Told {
        self.copiers.iter_mut().for_each(Actor::ask_to_end);
        self.copiers.iter_mut().for_each(Actor::end);
        self.told()
    }
}
