//! The run: producers, readers and faults for a while, then peace, everything read once more from the beginning, and
//! the checker.
//!
//! OTTLA_HISTORY_SECONDS says for how long. COMPAT_SEED repeats what goes wrong, not when in the broker's life it does.

use super::check::{Anomaly, Finding, check};
use super::model::{Action, History, Isolation, Key, Outcome, Seen, Time, Value};
use super::nemesis::{Cast, Nemesis};
use super::readers::{Recorder, follow, look_at, look_at_groups, look_at_watermarks, take_part, watching};
use crate::clients::Admin;
use crate::common::{DEADLINE, Rng, now_us, stored_batches, until};
use crate::isolation::{end, read};
use crate::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const TOPICS: [&str; 2] = ["a", "b"];
/// All partitions.
pub const KEYS: [Key; 5] = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)];
/// Producers that make transactions.
pub const SLOTS: usize = 4;
/// Of their transactions.
pub const TIMEOUT: Duration = Duration::from_secs(6);
/// Kafka looks for transactions that are too old every ten seconds; the rest is for this machine.
const GRACE: Duration = Duration::from_secs(10 + 5);
/// The group of readers.
pub const READERS: &str = "readers";
const FLAGS: [&str; 2] =
    ["--transaction.abort.timed.out.transaction.cleanup.interval.ms=500", "--group.min.session.timeout.ms=1000"];

pub fn key(topic: &str, partition: i32) -> Key {
    *KEYS.iter().find(|key| **key == (topic, partition)).expect("a partition that is known")
}

/// The value of a record, behind which there may be anything.
pub fn value_of(payload: Option<&[u8]>) -> Value {
    let text = std::str::from_utf8(payload.expect("no record is without")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

pub fn now() -> Time {
    now_us()
}

fn partitions(topic: &str) -> i32 {
    KEYS.iter().filter(|key| key.0 == topic).count() as i32
}

fn duration() -> Duration {
    Duration::from_secs(std::env::var("OTTLA_HISTORY_SECONDS").map_or(60, |seconds| seconds.parse().unwrap()))
}

#[test]
fn nothing_is_wrong_with_what_clients_see() {
    let mut rng = Rng::seeded();
    let mut stage = Stage::new(&mut rng, &FLAGS);
    let admin = Admin::at(&stage.direct());
    // Small segments, so that some are closed on the way.
    TOPICS.iter().for_each(|topic| admin.create(topic, partitions(topic), &[("segment.bytes", "1048576")]));
    let recorder = Arc::new(Recorder::default());
    run(&mut stage, &recorder, &mut rng);
    stage.close();
    let mut history = std::mem::take(&mut *recorder.history.lock().unwrap());
    history.controls = KEYS.map(|key| (key, controls(&stage, key))).into();
    history.longest = Some((TIMEOUT + GRACE).as_micros() as Time);
    judge(&history);
}

fn run(stage: &mut Stage, recorder: &Arc<Recorder>, rng: &mut Rng) {
    let (bootstrap, over) = (stage.bootstrap(), AtomicBool::new(false));
    let cast = Cast::new(bootstrap.clone(), recorder.clone(), rng.split());
    let mut nemesis = Nemesis { stage, cast, rng: rng.split(), happened: BTreeMap::new() };
    thread::scope(|scope| {
        // Ends with the scope, also when that panics.
        let going_on = Over(&over);
        let (bootstrap, over) = (&bootstrap, &over);
        for isolation in [Isolation::Committed, Isolation::Committed, Isolation::Uncommitted] {
            scope.spawn(move || follow(bootstrap, isolation, recorder, over));
        }
        for rng in [rng.split(), rng.split()] {
            scope.spawn(move || take_part(bootstrap, rng, recorder, over));
        }
        scope.spawn(move || look_at_watermarks(bootstrap, recorder, over));
        scope.spawn(move || look_at_groups(bootstrap, recorder, over));
        let began = Instant::now();
        while began.elapsed() < duration() || !nemesis.has_done_its_worst() {
            nemesis.rage();
        }
        println!("{:?}, {} transactions cut short", nemesis.happened, nemesis.cast.cut_short);
        let (operations, fatal) = nemesis.cast.end();
        println!("{fatal:?}");
        recorder.history.lock().unwrap().operations.extend(operations);
        settle(nemesis.stage, recorder);
        drop(going_on);
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Reads everything once more, and waits until the readers that were there all the time have seen as much.
fn settle(stage: &Stage, recorder: &Recorder) {
    let isolations = [Isolation::Committed, Isolation::Uncommitted];
    let [stable, high] = isolations.map(|isolation| watching(&stage.direct(), isolation));
    let began = Instant::now();
    let decided = || KEYS.iter().all(|key| end(&stable, key.0, key.1) == end(&high, key.0, key.1));
    // A transaction that never ends is for the checker to find.
    while !decided() && began.elapsed() < DEADLINE {
        thread::sleep(Duration::from_millis(20));
    }
    for key in KEYS {
        look_at(&high, Isolation::Uncommitted, key, recorder);
        look_at(&stable, Isolation::Committed, key, recorder);
    }
    for isolation in isolations {
        let last = read_everything(stage, isolation, recorder);
        until(&format!("all readers see the end, {isolation:?}"), || {
            recorder.all_reached(isolation, &last).then_some(())
        });
    }
}

/// Reads all topics, and gives the last offset of each partition that has records.
fn read_everything(stage: &Stage, isolation: Isolation, recorder: &Recorder) -> BTreeMap<Key, i64> {
    let (process, mut last) = (recorder.process(), BTreeMap::new());
    for topic in TOPICS {
        let from = now();
        let records = read(&stage.direct(), isolation, topic, partitions(topic));
        let seen = records.iter().flatten().map(|record| Seen {
            key: key(topic, record.partition),
            offset: record.offset,
            value: value_of(record.value.as_deref()),
        });
        let seen: Vec<_> = seen.collect();
        last.extend(seen.iter().map(|seen| (seen.key, seen.offset)));
        recorder.add(process, from, Action::Poll(isolation, seen));
    }
    last
}

/// Where the files have control records.
fn controls(stage: &Stage, key: Key) -> BTreeSet<i64> {
    let batches = stored_batches(&stage.folder(key.0, key.1)).into_iter().filter(|batch| batch.control);
    batches.flat_map(|batch| batch.base_offset..batch.base_offset + i64::from(batch.records)).collect()
}

fn judge(history: &History) {
    let count = |outcome| {
        let transactions = history.operations.iter().filter_map(|operation| operation.transaction());
        transactions.filter(|transaction| transaction.outcome == outcome).count()
    };
    let [done, failed, unknown] = [Outcome::Done, Outcome::Failed, Outcome::Unknown].map(count);
    let (operations, samples) = (history.operations.len(), history.samples.len());
    println!(
        "{operations} operations, {samples} samples; transactions: {done} done, {failed} failed, {unknown} unknown"
    );
    let findings = check(history);
    assert!(findings.is_empty(), "{}", describe(&findings));
    assert!(done > 0 && failed > 0, "the run does not count");
}

/// How many there are of each kind, and the first of them.
fn describe(findings: &BTreeSet<Finding>) -> String {
    let mut kinds: BTreeMap<Anomaly, Vec<&str>> = BTreeMap::new();
    findings.iter().for_each(|finding| kinds.entry(finding.anomaly).or_default().push(&finding.what));
    let lines = kinds.iter().flat_map(|(kind, all)| {
        let first = all.iter().take(5).map(|what| format!("\n    {what}"));
        std::iter::once(format!("\n{} times {kind:?}", all.len())).chain(first)
    });
    lines.collect()
}
