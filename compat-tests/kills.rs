//! `kill -9`, or a stop, at random moments under idempotent load: what was acknowledged is there, once and in order.

use crate::clients::{Admin, consumer, read_all, watermarks};
use crate::common::{Ottla, Rng, temp_dir, until};
use crate::ledger::{Numbered, assert_exactly_once};
use crate::proxy::Proxy;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const KILLS: usize = 20;
/// Kills that must have found a Produce request on its way.
const KILLS_IN_FLIGHT: usize = 15;

#[test]
fn one_partition() {
    let kills = restart_under(&Load { partitions: 1, lossy: false, restarts: KILLS, kill: true });
    assert!(kills.in_flight >= KILLS_IN_FLIGHT, "the run does not count: {kills:?}");
}

#[test]
fn many_partitions_and_lost_replies() {
    let kills = restart_under(&Load { partitions: 8, lossy: true, restarts: KILLS, kill: true });
    assert!(kills.in_flight >= KILLS_IN_FLIGHT, "the run does not count: {kills:?}");
    assert!(kills.journaled >= KILLS_IN_FLIGHT, "the run does not count: {kills:?}");
}

#[test]
fn clean_stops_and_lost_replies() {
    restart_under(&Load { partitions: 2, lossy: true, restarts: 8, kill: false });
}

/// What goes on.
struct Load {
    partitions: i32,
    /// Whether replies are lost and connections cut as well.
    lossy: bool,
    restarts: usize,
    /// Whether the broker is killed, or stopped.
    kill: bool,
}

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
    let broker = Ottla::start_on(dir.path(), &proxy.flags());
    proxy.lead_to(broker.port());
    Admin::new(&broker).create("t", load.partitions, &[]);
    let producers = [0, 1, 2].map(|name| Numbered::idempotent(name, &proxy.bootstrap(), "t"));
    proxy.set_breaking(load.lossy);

    let mut found = Found::default();
    let broker = thread::scope(|scope| {
        let mut broker = broker;
        let sending = Sending::start();
        for producer in &producers {
            let (rng, sending) = (rng.split(), sending.0);
            scope.spawn(move || keep_sending(producer, load.partitions, rng, sending));
        }
        for _ in 0..load.restarts {
            broker = one_cycle(broker, &proxy, &producers, load, &mut rng, &mut found);
        }
        broker
    });
    proxy.set_breaking(false);
    for producer in &producers {
        producer.finish();
    }

    let log = read_all(&broker.bootstrap(), "t", load.partitions);
    assert_exactly_once(&producers, &log);
    let sent: usize = producers.iter().map(Numbered::sent).sum();
    assert_eq!(log.iter().map(Vec::len).sum::<usize>(), sent, "no record beyond those acknowledged");
    broker.stop().assert_sound();
    println!("{sent} records, {found:?}");
    found
}

/// Ends the broker some time after it has acknowledged something, and gives its successor.
fn one_cycle(
    broker: Ottla,
    proxy: &Proxy,
    producers: &[Numbered],
    load: &Load,
    rng: &mut Rng,
    found: &mut Found,
) -> Ottla {
    let acknowledged = || producers.iter().map(Numbered::acknowledged).sum::<usize>();
    let before = acknowledged();
    until("something is acknowledged", || (acknowledged() > before).then_some(()));
    thread::sleep(Duration::from_micros(rng.below(200_000)));
    proxy.lead_nowhere();
    let data = broker.data().to_owned();
    if load.kill { broker.kill() } else { broker.stop() }.assert_sound();
    found.in_flight += usize::from(proxy.unanswered() > 0);
    found.journaled += usize::from(journal_bytes(&data) > 0);
    if load.kill && rng.below(3) == 0 {
        // A recovery may be cut short too.
        let recovering = Ottla::launch(&data, &proxy.flags());
        thread::sleep(Duration::from_micros(rng.below(30_000)));
        recovering.kill();
    }
    let mut ends = vec![0; usize::try_from(load.partitions).unwrap()];
    for producer in producers {
        producer.acknowledged_ends(&mut ends);
    }
    let broker = Ottla::start_on(&data, &proxy.flags());
    // Before any producer finds it.
    let consumer = consumer(&broker.bootstrap());
    for (partition, acknowledged) in (0..).zip(ends) {
        let (first, end) = watermarks(&consumer, "t", partition);
        assert_eq!(first, 0);
        assert!(end >= acknowledged, "t-{partition} ends at {end}, but {acknowledged} had been acknowledged");
    }
    proxy.lead_to(broker.port());
    broker
}

/// Said to the senders; ends with the scope of its owner, also when that panics.
struct Sending(&'static AtomicBool);

impl Sending {
    fn start() -> Self {
        Self(Box::leak(Box::new(AtomicBool::new(true))))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn keep_sending(producer: &Numbered, partitions: i32, mut rng: Rng, sending: &AtomicBool) {
    while sending.load(Ordering::SeqCst) {
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
