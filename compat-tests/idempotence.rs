//! An idempotent producer on a wire that loses replies after the broker has appended.

use crate::clients::{Admin, read_all};
use crate::common::{Ottla, Rng, temp_dir};
use crate::ledger::{Numbered, assert_exactly_once};
use crate::proxy::Proxy;
use std::thread;
use std::time::Duration;

const PARTITIONS: i32 = 4;

#[test]
fn lost_replies_and_cut_connections_duplicate_and_lose_nothing() {
    let mut rng = Rng::seeded();
    let dir = temp_dir();
    let proxy = Proxy::start(rng.split());
    let broker = Ottla::start_on(dir.path(), &proxy.flags());
    proxy.lead_to(broker.port());
    Admin::new(&broker).create("t", PARTITIONS, &[]);

    let producers: Vec<_> = (0..3).map(|name| Numbered::idempotent(name, &proxy.bootstrap(), "t")).collect();
    proxy.set_breaking(true);
    thread::scope(|scope| {
        for producer in &producers {
            let (mut rng, proxy) = (rng.split(), &proxy);
            scope.spawn(move || {
                while proxy.swallowed() < 250 {
                    for _ in 0..20 {
                        let partition = rng.below(PARTITIONS.unsigned_abs().into());
                        producer.send(Some(i32::try_from(partition).unwrap()), None);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    proxy.set_breaking(false);
    for producer in &producers {
        producer.finish();
    }

    let log = read_all(&broker.bootstrap(), "t", PARTITIONS);
    assert_exactly_once(&producers, &log);
    let sent: usize = producers.iter().map(Numbered::sent).sum();
    let ended = broker.stop();
    ended.assert_sound();
    let duplicates = ended.counter("duplicates");
    println!("{sent} records, {} replies lost, {duplicates} batches sent again", proxy.swallowed());
    assert!(duplicates >= 100, "the run does not count: the broker refused only {duplicates} duplicates");
}
