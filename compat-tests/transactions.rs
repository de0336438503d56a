//! librdkafka's transactional producer: commit and abort, what readers see of it, fencing, timeouts, offsets in
//! transactions, and a broker that is killed.

use crate::clients::{Admin, config, insist, transactional};
use crate::common::{DEADLINE, Rng, until};
use crate::isolation::{Isolation, end, read, reader, until_decided};
use crate::stage::Stage;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 3;
/// Apache Kafka looks for transactions that are too old this often; here each has a timer.
const FLAGS: [&str; 1] = ["--transaction.abort.timed.out.transaction.cleanup.interval.ms=200"];

fn stage() -> Stage {
    let stage = Stage::new(&mut Rng::seeded(), &FLAGS);
    Admin::at(&stage.direct()).create("t", PARTITIONS, &[]);
    stage
}

struct Writer {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Writer {
    /// One that has a transactional id, and has ended what was open under it.
    fn new(stage: &Stage, id: &str) -> Self {
        Self::with(stage, id, &[])
    }

    fn with(stage: &Stage, id: &str, settings: &[(&str, &str)]) -> Self {
        let producer: ThreadedProducer<_> = transactional(&stage.bootstrap(), id, settings).create().unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        Self { producer }
    }

    fn begin(&self) {
        self.producer.begin_transaction().unwrap();
    }

    /// Begins a transaction and has its records written, one for each of these partitions; none of them is decided.
    fn open(&self, records: &[(i32, &str)]) {
        self.begin();
        self.write(records);
    }

    fn write(&self, records: &[(i32, &str)]) {
        for (partition, value) in records {
            self.producer.send(BaseRecord::<(), _>::to("t").partition(*partition).payload(*value)).unwrap();
        }
        self.producer.flush(DEADLINE).unwrap();
    }

    fn commit(&self) -> Result<(), RDKafkaError> {
        insist(|| self.producer.commit_transaction(DEADLINE))
    }

    fn abort(&self) -> Result<(), RDKafkaError> {
        insist(|| self.producer.abort_transaction(DEADLINE))
    }

    fn committed(&self, records: &[(i32, &str)]) {
        self.open(records);
        self.commit().unwrap();
    }
}

/// The values in each partition of the topic.
fn values(stage: &Stage, isolation: Isolation) -> Vec<Vec<String>> {
    let read = read(&stage.direct(), isolation, "t", PARTITIONS);
    read.iter().map(|records| records.iter().map(|record| record.text().to_string()).collect()).collect()
}

fn ends(stage: &Stage, isolation: Isolation) -> Vec<i64> {
    let reader = reader(&stage.direct(), isolation);
    (0..PARTITIONS).map(|partition| end(&reader, "t", partition)).collect()
}

fn decided(stage: &Stage) {
    until_decided(&stage.direct(), "t", PARTITIONS);
}

use Isolation::{Committed, Uncommitted};

#[test]
fn commit_and_abort_over_several_partitions() {
    let stage = stage();
    let writer = Writer::new(&stage, "w");
    writer.committed(&[(0, "a"), (1, "b"), (0, "c")]);
    writer.open(&[(0, "never"), (2, "never")]);
    writer.abort().unwrap();
    writer.committed(&[(2, "d"), (0, "e")]);
    decided(&stage);
    assert_eq!(values(&stage, Committed), [vec!["a", "c", "e"], vec!["b"], vec!["d"]]);
    assert_eq!(values(&stage, Uncommitted), [vec!["a", "c", "never", "e"], vec!["b"], vec!["never", "d"]]);
    // The end of a transaction is a record in each partition that it wrote to.
    assert_eq!(ends(&stage, Uncommitted), [4 + 3, 2, 2 + 2]);
    assert_eq!(ends(&stage, Committed), [4 + 3, 2, 2 + 2]);
    stage.stop();
}

#[test]
fn an_open_transaction_holds_back_what_is_behind_it() {
    let stage = stage();
    let writer = Writer::new(&stage, "w");
    let other = Writer::new(&stage, "other");
    other.committed(&[(0, "before"), (1, "before")]);
    decided(&stage);
    writer.open(&[(0, "open")]);
    other.committed(&[(0, "behind"), (1, "behind")]);
    until("the other partition is decided", || (ends(&stage, Committed)[1] == 4).then_some(()));
    assert_eq!(values(&stage, Committed), [vec!["before"], vec!["before", "behind"], vec![]]);
    assert_eq!(values(&stage, Uncommitted)[0], ["before", "open", "behind"]);
    until("the end of the other one is there", || (ends(&stage, Uncommitted)[0] == 5).then_some(()));
    assert_eq!(ends(&stage, Committed)[0], 2);
    writer.commit().unwrap();
    decided(&stage);
    assert_eq!(values(&stage, Committed)[0], ["before", "open", "behind"]);
    stage.stop();
}

#[test]
fn a_zombie_is_fenced() {
    let stage = stage();
    let zombie = Writer::new(&stage, "w");
    zombie.committed(&[(0, "a")]);
    zombie.open(&[(0, "never"), (1, "never")]);
    let next = Writer::new(&stage, "w");
    // What the zombie left open is decided before its successor may begin.
    decided(&stage);
    next.open(&[(0, "b")]);
    let fenced = zombie.commit().unwrap_err();
    assert!(fenced.is_fatal(), "{fenced:?}");
    assert!(matches!(fenced.code(), Code::Fenced), "{fenced:?}");
    next.commit().unwrap();
    decided(&stage);
    assert_eq!(values(&stage, Committed), [vec!["a", "b"], vec![], vec![]]);
    stage.stop();
}

/// Its first request after it has been fenced is a Produce.
#[test]
fn a_zombie_writes_nothing() {
    let stage = stage();
    let zombie = Writer::new(&stage, "w");
    zombie.open(&[(0, "never")]);
    let next = Writer::new(&stage, "w");
    zombie.write(&[(0, "not even to the log")]);
    let fatal = until("the zombie is told", || zombie.producer.client().fatal_error());
    assert_eq!(fatal.0, Code::Fenced, "{}", fatal.1);
    next.committed(&[(0, "a")]);
    decided(&stage);
    assert_eq!(values(&stage, Committed)[0], ["a"]);
    assert_eq!(values(&stage, Uncommitted)[0], ["never", "a"]);
    stage.stop();
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let stage = stage();
    let slow = Writer::with(&stage, "slow", &[("transaction.timeout.ms", "1000")]);
    slow.open(&[(0, "never"), (1, "never")]);
    decided(&stage);
    assert_eq!(values(&stage, Committed), [[""; 0]; 3]);
    let late = slow.commit().unwrap_err();
    assert!(late.is_fatal() || late.txn_requires_abort(), "{late:?}");
    let next = Writer::new(&stage, "slow");
    next.committed(&[(0, "a")]);
    decided(&stage);
    assert_eq!(values(&stage, Committed), [vec!["a"], vec![], vec![]]);
    stage.stop();
}

/// The one that real time bounds: a timeout, and what Kafka takes at most to act on it as it comes.
#[test]
fn an_abandoned_transaction_holds_readers_back_for_its_timeout_and_not_much_longer() {
    let stage = stage();
    let (gone, other) = (Writer::with(&stage, "gone", &[("transaction.timeout.ms", "5000")]), Writer::new(&stage, "w"));
    let began = Instant::now();
    gone.open(&[(0, "never")]);
    other.committed(&[(0, "behind")]);
    assert_eq!(values(&stage, Committed)[0], [""; 0]);
    decided(&stage);
    let held_back = began.elapsed();
    assert!(held_back < Duration::from_secs(5 + 12), "{held_back:?}");
    assert_eq!(values(&stage, Committed)[0], ["behind"]);
    stage.stop();
}

#[test]
fn a_timeout_longer_than_the_broker_allows_is_refused() {
    let stage = stage();
    let settings = [("transaction.timeout.ms", "900001")];
    let producer: ThreadedProducer<DefaultProducerContext> =
        transactional(&stage.bootstrap(), "w", &settings).create().unwrap();
    let Err(KafkaError::Transaction(refused)) = producer.init_transactions(DEADLINE) else { panic!("it is not") };
    assert_eq!(refused.code(), Code::InvalidTransactionTimeout);
    stage.stop();
}

/// A member of a group that has all partitions of the topic, with what it needs to commit in a transaction.
fn member(stage: &Stage) -> BaseConsumer {
    let settings = [("group.id", "g"), ("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")];
    let consumer: BaseConsumer = config(&stage.bootstrap(), &settings).create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    until("the member has partitions", || {
        let _ = consumer.poll(Duration::from_millis(10));
        (consumer.assignment().unwrap().count() == 3).then_some(())
    });
    consumer
}

fn at(offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
    list
}

/// The offset that is committed for the group, as a client sees it that does not wait for what is undecided.
fn committed(stage: &Stage) -> Offset {
    let settings = [("group.id", "g"), ("isolation.level", "read_uncommitted")];
    committed_as(&config(&stage.direct(), &settings).create().unwrap(), DEADLINE).unwrap()
}

fn committed_as(consumer: &BaseConsumer, patience: Duration) -> Result<Offset, KafkaError> {
    let found = consumer.committed_offsets(at(0), patience)?;
    found.elements()[0].error()?;
    Ok(found.elements()[0].offset())
}

#[test]
fn offsets_in_a_transaction_show_when_it_is_committed() {
    let stage = stage();
    let (writer, member) = (Writer::new(&stage, "w"), member(&stage));
    let waiting: BaseConsumer = config(&stage.direct(), &[("group.id", "g")]).create().unwrap();
    let send = |offset| {
        let metadata = member.group_metadata().unwrap();
        insist(|| writer.producer.send_offsets_to_transaction(&at(offset), &metadata, DEADLINE)).unwrap();
    };
    writer.begin();
    send(5);
    writer.abort().unwrap();
    assert_eq!(until("nothing is undecided", || committed_as(&waiting, DEADLINE).ok()), Offset::Invalid);
    writer.open(&[(1, "with offset 7")]);
    send(7);
    assert_eq!(committed(&stage), Offset::Invalid);
    let unstable = committed_as(&waiting, Duration::from_millis(300));
    assert!(unstable.is_err(), "who asks for stable offsets is told {unstable:?} of an undecided one");
    writer.commit().unwrap();
    assert_eq!(until("it is decided", || committed_as(&waiting, DEADLINE).ok()), Offset::Offset(7));
    assert_eq!(committed(&stage), Offset::Offset(7));
    writer.begin();
    send(9);
    writer.abort().unwrap();
    assert_eq!(until("it is decided", || committed_as(&waiting, DEADLINE).ok()), Offset::Offset(7));
    drop((member, waiting));
    stage.stop();
}

/// KIP-447: who is no longer a member of the generation commits nothing, in a transaction neither.
#[test]
fn offsets_of_a_former_member_are_refused() {
    let stage = stage();
    let (writer, first) = (Writer::new(&stage, "w"), member(&stage));
    let metadata = first.group_metadata().unwrap();
    drop(first);
    let second = member(&stage);
    writer.begin();
    let refused = insist(|| writer.producer.send_offsets_to_transaction(&at(5), &metadata, DEADLINE)).unwrap_err();
    assert!(refused.txn_requires_abort(), "{refused:?}");
    writer.abort().unwrap();
    assert_eq!(committed(&stage), Offset::Invalid);
    drop(second);
    stage.stop();
}

#[test]
fn a_committed_transaction_outlives_the_broker() {
    let mut stage = stage();
    if !stage.may_be_killed() {
        return;
    }
    let (writer, member) = (Writer::new(&stage, "w"), member(&stage));
    let mut expected = vec![Vec::new(); 3];
    for round in 0..5 {
        let values = [0, 1, 2].map(|partition| format!("{round} {partition}"));
        let records: Vec<_> = (0..).zip(&values).map(|(partition, value)| (partition, value.as_str())).collect();
        writer.open(&records);
        expected.iter_mut().zip(&values).for_each(|(expected, value)| expected.push(value.clone()));
        // Also in the middle of one.
        if round % 2 == 1 {
            stage.kill();
            stage.start();
        }
        let metadata = member.group_metadata().unwrap();
        insist(|| writer.producer.send_offsets_to_transaction(&at(round), &metadata, DEADLINE)).unwrap();
        writer.commit().unwrap();
        stage.kill();
        stage.start();
        decided(&stage);
        assert_eq!(values_of(&stage), expected, "after round {round}");
        until("the offset is decided", || (committed(&stage) == Offset::Offset(round)).then_some(()));
    }
    drop(member);
    stage.stop();
}

fn values_of(stage: &Stage) -> Vec<Vec<String>> {
    let all = values(stage, Uncommitted);
    assert_eq!(values(stage, Committed), all);
    all
}

#[test]
fn what_a_dead_producer_left_open_is_aborted_by_its_successor() {
    left_open(Stage::kill);
}

/// What is known of it is then read from snapshots, not from the records themselves.
#[test]
fn what_was_open_and_what_was_aborted_is_known_after_a_clean_stop() {
    left_open(Stage::shut_down);
}

fn left_open(end: impl Fn(&mut Stage)) {
    let mut stage = stage();
    if !stage.may_be_killed() {
        return;
    }
    let writer = Writer::new(&stage, "w");
    writer.committed(&[(0, "a")]);
    writer.open(&[(2, "never")]);
    writer.abort().unwrap();
    decided(&stage);
    writer.open(&[(0, "never"), (1, "never")]);
    end(&mut stage);
    // It finds nobody to whom it could say that it ends.
    drop(writer);
    stage.start();
    assert_eq!(values(&stage, Committed), [vec!["a"], vec![], vec![]]);
    assert_eq!(ends(&stage, Uncommitted)[..2], [3, 1]);
    assert_eq!(ends(&stage, Committed)[..2], [2, 0], "what was open is open");
    let next = Writer::new(&stage, "w");
    decided(&stage);
    next.committed(&[(1, "b")]);
    decided(&stage);
    assert_eq!(values(&stage, Committed), [vec!["a"], vec!["b"], vec![]]);
    stage.stop();
}
