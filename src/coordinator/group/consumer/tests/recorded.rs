//! What Apache Kafka wrote about groups of every kind, read back by a shard.

use super::world::*;
use crate::coordinator::Shard;
use crate::coordinator::group::Group;
use crate::coordinator::group::records::Record;
use crate::coordinator::records::Decoded;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn recorded() -> Vec<Record> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/groups/records.txt");
    let text = std::fs::read_to_string(path).expect("fixtures");
    let mut records = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ').skip(1);
        let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
        let value = (value != "null").then(|| bytes(value));
        if let Ok(Decoded::Known(record)) = Record::decode(&bytes(key), value.as_deref()) {
            records.push(record);
        }
    }
    records
}

#[test]
fn groups_that_kafka_left_behind_go_on_here() {
    let mut bench = Bench::new();
    let mut states = Vec::new();
    for record in recorded() {
        bench.shard.apply(record);
        if let Some(Group::Consumer(group)) = bench.shard.group("modern") {
            states.push(group.durable().name());
        }
    }
    assert!(["Assigning", "Reconciling", "Stable"].iter().all(|state| states.contains(state)), "{states:?}");
    let groups: Vec<(&str, bool)> =
        bench.shard.groups().map(|(id, group)| (&**id, matches!(group, Group::Consumer(_)))).collect();
    // One was upgraded and became classic again, one was deleted.
    assert_eq!(groups, [("classic", false), ("expiring", false), ("modern", true), ("upgraded", false)]);
    let Some(Group::Consumer(modern)) = bench.shard.group("modern") else { panic!() };
    let state = modern.durable();
    assert_eq!((state.epoch, state.assignment_epoch, state.metadata_hash), (4, 3, 6463152482654975537));
    let (_, away) = state.static_member("static-two").expect("it has left for a while");
    assert_eq!((away.current.epoch, away.is_classic()), (-2, false));
    assert_eq!(away.current.assigned.values().map(|partitions| partitions.len()).collect::<Vec<_>>(), [2]);
}
