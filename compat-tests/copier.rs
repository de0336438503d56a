//! Consume, transform, produce: copiers carry 100,000 records from one topic to another, 750 in a transaction, while they and the broker are killed.
//!
//! What readers of committed records see of the output, while it grows and later, is the input: each record once, in the order of its partition.
//! OTTLA_COPIER_KILLS says how often each is killed.

use crate::actors::{self, Actor, tell};
use crate::clients::{Admin, GivenUp, Record, config, consumer, insist, transactional};
use crate::common::{DEADLINE, Rng, until};
use crate::isolation::{Isolation, read, until_decided};
use crate::ledger::Numbered;
use crate::stage::Stage;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MESSAGES: usize = 100_000;
const PARTITIONS: i32 = 4;
const COPIERS: usize = 2;
const PER_TRANSACTION: usize = 750;
/// One of so many transactions is aborted by who made it.
const ABORTED: u64 = 20;
const PART: &str = "copier::process";
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

#[test]
#[ignore = "the stories start it as a process of its own"]
fn process() {
    let Some(settings) = actors::settings() else { return };
    let words: Vec<_> = settings.split(' ').collect();
    let fixed = words[2] == format!("{:?}", Sharing::Fixed);
    let rng = Rng::from(words[3].parse().unwrap());
    let mut copier = Copier::start(words[0], words[1].parse().unwrap(), fixed, rng);
    let over = actors::asked_to_end();
    while !over.load(Ordering::SeqCst) && !copier.producer.context().any() {
        if let Err(fatal) = copier.transaction(&over) {
            tell(&format!("fatal {:?}", fatal.code()));
            return;
        }
    }
}

/// Keeps what a member needs to commit offsets in a transaction, as it was when it was given its partitions.
#[derive(Default)]
struct Membership {
    metadata: Mutex<Option<ConsumerGroupMetadata>>,
    /// Counts the times that partitions were taken.
    lost: AtomicUsize,
}

impl ClientContext for Membership {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(_) = rebalance {
            *self.metadata.lock().unwrap() = consumer.group_metadata();
        }
    }
}

struct Copier {
    consumer: BaseConsumer<Membership>,
    producer: ThreadedProducer<GivenUp>,
    rng: Rng,
}

impl Copier {
    fn start(bootstrap: &str, number: usize, fixed: bool, rng: Rng) -> Self {
        let producer: ThreadedProducer<GivenUp> =
            transactional(bootstrap, &format!("copier-{number}"), &[]).create_with_context(GivenUp::default()).unwrap();
        // Before anything is read: what the one before left open is decided then.
        until("the transactional id is free", || producer.init_transactions(DEADLINE).ok());
        let settings = [
            ("group.id", "copiers"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "2000"),
            ("heartbeat.interval.ms", "200"),
            ("fetch.wait.max.ms", "20"),
            ("check.crcs", "true"),
        ];
        let consumer: BaseConsumer<Membership> =
            config(bootstrap, &settings).create_with_context(Membership::default()).unwrap();
        if fixed {
            let mut assignment = TopicPartitionList::new();
            for partition in (0..PARTITIONS).filter(|it| *it as usize % COPIERS == number) {
                assignment.add_partition_offset("in", partition, Offset::Stored).unwrap();
            }
            consumer.assign(&assignment).unwrap();
            *consumer.context().metadata.lock().unwrap() = consumer.group_metadata();
        } else {
            consumer.subscribe(&["in"]).unwrap();
        }
        Self { consumer, producer, rng }
    }

    /// One transaction, or none where nothing is to be copied. Fails when the producer can do nothing more.
    fn transaction(&mut self, over: &AtomicBool) -> Result<(), RDKafkaError> {
        let lost = self.lost();
        let Some(offsets) = self.copy_records(over)? else { return Ok(()) };
        let unwanted = self.rng.below(ABORTED) == 0;
        if self.lost() != lost || unwanted {
            return self.abort(if unwanted { "at will" } else { "partitions were taken" });
        }
        let done = self.send_offsets(&offsets).and_then(|()| insist(|| self.producer.commit_transaction(DEADLINE)));
        match done {
            Ok(()) => {
                tell("committed");
                Ok(())
            }
            Err(error) if error.txn_requires_abort() => self.abort(&format!("{:?}", error.code())),
            Err(error) => Err(error),
        }
    }

    fn lost(&self) -> usize {
        self.consumer.context().lost.load(Ordering::SeqCst)
    }

    /// Begins a transaction with the first record that comes, and gives the offsets after those that it has sent on.
    fn copy_records(&self, over: &AtomicBool) -> Result<Option<BTreeMap<i32, i64>>, RDKafkaError> {
        let (mut offsets, mut copied) = (BTreeMap::new(), 0);
        while copied < PER_TRANSACTION {
            let message = match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => message,
                // Connections come and go.
                Some(Err(_)) => continue,
                None if copied > 0 || over.load(Ordering::SeqCst) => break,
                None => continue,
            };
            if copied == 0 {
                insist(|| self.producer.begin_transaction())?;
                tell("begun");
            }
            self.send(message.partition(), message.payload().unwrap());
            offsets.insert(message.partition(), message.offset() + 1);
            copied += 1;
        }
        Ok((copied > 0).then_some(offsets))
    }

    /// What cannot be sent has failed the transaction, which its end will tell.
    fn send(&self, partition: i32, value: &[u8]) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        until("room in the queue", || {
            let record = BaseRecord::<(), _>::to("out").partition(partition).payload(value);
            let refused = self.producer.send(record).err().map(|(error, _)| error);
            (refused.as_ref() != Some(&full)).then_some(())
        });
    }

    fn send_offsets(&self, offsets: &BTreeMap<i32, i64>) -> Result<(), RDKafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset("in", *partition, Offset::Offset(*offset)).unwrap();
        }
        let metadata = self.consumer.context().metadata.lock().unwrap();
        let metadata = metadata.as_ref().expect("partitions were given");
        insist(|| self.producer.send_offsets_to_transaction(&list, metadata, DEADLINE))
    }

    /// Aborts, and goes back to what is committed.
    fn abort(&self, why: &str) -> Result<(), RDKafkaError> {
        // What is given up would be the end of this copier.
        let _ = self.producer.flush(Duration::from_secs(5));
        insist(|| self.producer.abort_transaction(DEADLINE))?;
        tell(&format!("aborted {why}"));
        let committed = until("the committed offsets", || self.consumer.committed(DEADLINE).ok());
        let mut back = TopicPartitionList::new();
        for element in committed.elements() {
            let offset = if element.offset() == Offset::Invalid { Offset::Beginning } else { element.offset() };
            back.add_partition_offset("in", element.partition(), offset).unwrap();
        }
        // Where a partition was taken in the meantime its next reader begins at what is committed anyhow.
        let _ = self.consumer.seek_partitions(back, DEADLINE);
        Ok(())
    }
}
