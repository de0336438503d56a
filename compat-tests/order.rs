//! Where keys go, and the order in which records come back.

use crate::clients::{Admin, read_all};
use crate::common::{Ottla, temp_dir};
use crate::ledger::{Numbered, assert_exactly_once};
use std::collections::BTreeMap;
use std::thread;

const PARTITIONS: i32 = 12;

#[test]
fn a_key_stays_in_its_partition() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", PARTITIONS, &[]);
    let settings = [("enable.idempotence", "true"), ("partitioner", "murmur2_random")];
    let keys: Vec<_> = (0..200).map(|number| format!("key-{number}")).collect();
    let producers = [0, 1].map(|name| Numbered::with(name, &broker.bootstrap(), "t", &settings));
    for producer in &producers {
        (0..5).for_each(|_| keys.iter().for_each(|key| producer.send(None, Some(key))));
        producer.finish();
    }
    let log = read_all(&broker.bootstrap(), "t", PARTITIONS);
    assert_exactly_once(&producers, &log);
    let mut homes: BTreeMap<&[u8], i32> = BTreeMap::new();
    for record in log.iter().flatten() {
        let home = homes.entry(record.key.as_deref().unwrap()).or_insert(record.partition);
        assert_eq!(*home, record.partition);
    }
    assert_eq!(homes.len(), keys.len());
    assert!(log.iter().all(|records| !records.is_empty()), "every partition has keys");
    broker.stop().assert_sound();
}

#[test]
fn four_producers_keep_their_order_in_each_of_twelve_partitions() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", PARTITIONS, &[]);
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "100"), ("partitioner", "murmur2_random")];
    let producers: Vec<_> = (0..4).map(|name| Numbered::with(name, &broker.bootstrap(), "t", &settings)).collect();
    thread::scope(|scope| {
        for producer in &producers {
            scope.spawn(move || {
                for number in 0..10_000 {
                    producer.send(None, Some(&format!("key-{}", number % 100)));
                }
                producer.finish();
            });
        }
    });
    let log = read_all(&broker.bootstrap(), "t", PARTITIONS);
    assert_exactly_once(&producers, &log);
    assert_eq!(log.iter().map(Vec::len).sum::<usize>(), 40_000);
    broker.stop().assert_sound();
}
