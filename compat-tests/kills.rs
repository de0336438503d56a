//! `kill -9`, or a stop, at random moments under load: what was acknowledged is there, in order, and once where the
//! producers are idempotent; and a reader has seen nothing else.

use crate::clients::{Admin, Record, consumer, follow, read_all, watermarks};
use crate::common::{Ottla, Rng, temp_dir, until};
use crate::ledger::{Numbered, assert_acknowledged, assert_exactly_once};
use crate::proxy::Proxy;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Kills, and how many of them must have found a Produce request on its way.
const KILLS: usize = 20;
const KILLS_IN_FLIGHT: usize = 15;

#[test]
fn one_partition() {
    let found = restart_under(&LOAD);
    assert!(found.in_flight >= KILLS_IN_FLIGHT, "the run does not count: {found:?}");
}

#[test]
fn many_partitions_and_lost_replies() {
    let found = restart_under(&Load { partitions: 8, lossy: true, ..LOAD });
    assert!(found.in_flight >= KILLS_IN_FLIGHT, "the run does not count: {found:?}");
    assert!(found.journaled >= KILLS_IN_FLIGHT, "the run does not count: {found:?}");
}

#[test]
fn clean_stops_and_lost_replies() {
    restart_under(&Load { partitions: 2, lossy: true, restarts: 8, kill: false, ..LOAD });
}

/// In page-cache mode nobody waits for the disk, and a kill takes nothing from the page cache.
#[test]
fn page_cache_mode() {
    restart_under(&Load { partitions: 2, restarts: 8, flag: Some("--log.flush.interval.messages=10000"), ..LOAD });
}

/// acks=1 waits for the write alone, which is enough here too.
#[test]
fn acks_1() {
    restart_under(&Load { partitions: 2, restarts: 8, acks_1: true, ..LOAD });
}

/// What goes on.
struct Load {
    partitions: i32,
    /// Whether replies are lost and connections cut as well.
    lossy: bool,
    restarts: usize,
    /// Whether the broker is killed, or stopped.
    kill: bool,
    /// acks=1 from producers that are not idempotent.
    acks_1: bool,
    /// Given to the broker.
    flag: Option<&'static str>,
}

const LOAD: Load = Load { partitions: 1, lossy: false, restarts: KILLS, kill: true, acks_1: false, flag: None };

/// How many of the ends found what.
#[derive(Debug, Default)]
struct Found {
    /// A Produce request that the broker had not answered.
    in_flight: usize,
    /// A journal that was not empty.
    journaled: usize,
}

fn restart_under(load: &Load) -> Found {
    let mut rng = Rng::seeded();
    let dir = temp_dir();
    let proxy = Proxy::start(rng.split());
    let mut flags = proxy.flags();
    flags.extend(load.flag.map(String::from));
    let broker = Ottla::start_on(dir.path(), &flags);
    proxy.lead_to(broker.port());
    // Small segments, so that some are closed on the way.
    Admin::new(&broker).create("t", load.partitions, &[("segment.bytes", "1048576")]);
    let settings = [("acks", "1"), ("batch.num.messages", "3")];
    let producers = [0, 1, 2].map(|name| match load.acks_1 {
        true => Numbered::with(name, &proxy.bootstrap(), "t", &settings),
        false => Numbered::idempotent(name, &proxy.bootstrap(), "t"),
    });
    proxy.set_breaking(load.lossy);

    let mut run = Run { load, flags, proxy: &proxy, producers: &producers, found: Found::default() };
    let (broker, seen) = run.cycles(broker, &mut rng);
    proxy.set_breaking(false);
    producers.iter().for_each(Numbered::finish);
    let log = read_all(&broker.bootstrap(), "t", load.partitions);
    assert_acknowledged(&producers, &log);
    if !load.acks_1 {
        assert_exactly_once(&producers, &log);
    }
    for (seen, log) in seen.iter().zip(&log) {
        assert_eq!(seen, &log[..seen.len()], "what was read is what is there");
    }
    broker.stop().assert_sound();
    let count = |records: &[Vec<Record>]| records.iter().map(Vec::len).sum::<usize>();
    println!("{} records, {} of them read meanwhile, {:?}", count(&log), count(&seen), run.found);
    assert!(count(&seen) > 0, "the reader saw nothing");
    run.found
}

/// Load on a broker that comes and goes.
struct Run<'a> {
    load: &'a Load,
    flags: Vec<String>,
    proxy: &'a Proxy,
    producers: &'a [Numbered],
    found: Found,
}

impl Run<'_> {
    /// Ends the broker and starts the next one, again and again; gives the last one, and what a reader saw meanwhile.
    fn cycles(&mut self, broker: Ottla, rng: &mut Rng) -> (Ottla, Vec<Vec<Record>>) {
        let going_on = GoingOn::begin();
        let (load, flag, reader) = (self.load, going_on.0, consumer(&self.proxy.bootstrap()));
        let producers = self.producers;
        thread::scope(|scope| {
            // Ends with the scope, also when that panics.
            let going_on = going_on;
            for producer in producers {
                let rng = rng.split();
                scope.spawn(move || keep_sending(producer, load.partitions, rng, flag));
            }
            let reading = scope.spawn(|| follow(&reader, "t", load.partitions, flag));
            let last = (0..load.restarts).fold(broker, |broker, _| self.cycle(broker, rng));
            drop(going_on);
            (last, reading.join().unwrap())
        })
    }

    /// Ends the broker some time after it has acknowledged something, and gives its successor.
    fn cycle(&mut self, broker: Ottla, rng: &mut Rng) -> Ottla {
        let acknowledged = || self.producers.iter().map(|it| it.acknowledged()).sum::<usize>();
        let before = acknowledged();
        until("something is acknowledged", || (acknowledged() > before).then_some(()));
        thread::sleep(Duration::from_micros(rng.below(200_000)));
        self.proxy.lead_nowhere();
        let data = broker.data().to_owned();
        if self.load.kill { broker.kill() } else { broker.stop() }.assert_sound();
        self.found.in_flight += usize::from(self.proxy.unanswered() > 0);
        self.found.journaled += usize::from(journal_bytes(&data) > 0);
        if self.load.kill && rng.below(3) == 0 {
            // A recovery may be cut short too.
            let recovering = Ottla::launch(&data, &self.flags);
            thread::sleep(Duration::from_micros(rng.below(30_000)));
            recovering.kill().assert_sound();
        }
        let mut ends = vec![0; usize::try_from(self.load.partitions).unwrap()];
        self.producers.iter().for_each(|producer| producer.acknowledged_ends(&mut ends));
        let broker = Ottla::start_on(&data, &self.flags);
        // Before any producer finds it.
        let consumer = consumer(&broker.bootstrap());
        for (partition, acknowledged) in (0..).zip(ends) {
            let (first, end) = watermarks(&consumer, "t", partition);
            assert_eq!(first, 0);
            assert!(end >= acknowledged, "t-{partition} ends at {end}, but {acknowledged} had been acknowledged");
        }
        self.proxy.lead_to(broker.port());
        broker
    }
}

/// Told to those who go on until it is dropped.
struct GoingOn(&'static AtomicBool);

impl GoingOn {
    fn begin() -> Self {
        Self(Box::leak(Box::new(AtomicBool::new(true))))
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn keep_sending(producer: &Numbered, partitions: i32, mut rng: Rng, going_on: &AtomicBool) {
    while going_on.load(Ordering::SeqCst) {
        for _ in 0..rng.below(40) {
            let partition = rng.below(u64::from(partitions.unsigned_abs()));
            producer.send(Some(i32::try_from(partition).unwrap()), None);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes in the journals of a data directory, but for one set aside to be used again.
fn journal_bytes(data: &Path) -> u64 {
    let entries = fs::read_dir(data).unwrap().map(Result::unwrap);
    let journals = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_suffix(".journal").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    journals.map(|journal| journal.metadata().unwrap().len()).sum()
}
