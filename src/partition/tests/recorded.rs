//! A partition that Apache Kafka wrote (`fixtures/segments`, `transactions-0`), batch by batch: what Kafka kept beside the
//! log, and what it told readers, follows from the batches here as it did there.

use super::aborted::Aborted;
use super::epochs::Epochs;
use super::producers::Producers;
use super::state::PartitionState;
use super::*;
use crate::wire::batch::HEADER_SIZE;
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/segments/apache-4.3.1")
}

/// The files with this extension, by their base offsets.
fn files(extension: &str) -> Vec<(Offset, Vec<u8>)> {
    let paths = fs::read_dir(folder().join("transactions-0")).unwrap().map(|entry| entry.unwrap().path());
    let of_kind = paths.filter(|path| path.extension().is_some_and(|it| it == extension));
    let mut files: Vec<_> = of_kind
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Applies every batch; `before` sees the state where a segment begins, and at the end.
fn replayed(mut before: impl FnMut(&mut PartitionState)) -> PartitionState {
    let mut state = PartitionState::new(0, Producers::default(), Aborted::default(), Epochs::default());
    for (base, bytes) in files("log") {
        assert_eq!(state.log_end(), base);
        before(&mut state);
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            let header = BatchHeader::parse(&rest).unwrap();
            let records = rest.split_to(header.size()).split_off(HEADER_SIZE);
            state.apply(&header, Marker::read(&header, &records), NOW);
        }
    }
    before(&mut state);
    state
}

#[test]
fn the_indexes_of_aborted_transactions_are_kafkas() {
    let bases: Vec<Offset> = files("log").into_iter().map(|(base, _)| base).collect();
    let indexes = replayed(|_| {}).stored(&bases).transaction_indexes;
    assert!(indexes.len() > 3, "{}", indexes.len());
    assert_eq!(indexes, files("txnindex"));
    assert!(Aborted::from_kafkas_files(&indexes, Offset::MAX).is_some());
}

#[test]
fn the_snapshots_of_producers_are_kafkas() {
    let mut snapshots = Vec::new();
    replayed(|state| snapshots.push((state.log_end(), state.producers().encode_snapshot())));
    // There is none before the first segment.
    assert_eq!(snapshots.split_off(1), files("snapshot"));
}

#[test]
fn a_state_from_kafkas_snapshot_goes_on_as_one_from_the_whole_log() {
    let (end, snapshot) = files("snapshot").pop().unwrap();
    let producers = Producers::decode_snapshot(&snapshot, end, NOW).unwrap();
    let aborted = Aborted::from_kafkas_files(&files("txnindex"), end).unwrap();
    let mut recovered = PartitionState::new(end, producers, aborted, Epochs::default());
    let mut whole = replayed(|_| {});
    assert_eq!(recovered.last_stable(end), whole.last_stable(end));
    assert_eq!(recovered.aborted(0, end), whole.aborted(0, end));
}

#[test]
fn readers_are_told_what_kafka_tells_them() {
    let mut state = replayed(|_| {});
    let mut bases: Vec<Offset> = files("log").into_iter().map(|(base, _)| base).collect();
    bases.push(state.log_end());
    let text = fs::read_to_string(folder().join("transactions.txt")).unwrap();
    let mut reads = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["from", from, ref aborted @ ..] => {
                let from: Offset = from.parse().unwrap();
                // Kafka answers a read with what one segment holds.
                let end = bases[bases.partition_point(|base| *base <= from)];
                let told: Vec<_> = state
                    .aborted(from, end)
                    .iter()
                    .map(|entry| format!("{}:{}", entry.producer_id, entry.first_offset))
                    .collect();
                assert_eq!(told, aborted, "from {from}");
                reads += 1;
            }
            ["last-stable-offset", offset] => {
                assert_eq!(state.last_stable(state.log_end()), offset.parse::<Offset>().unwrap());
            }
            ["high-watermark", offset] => assert_eq!(state.log_end(), offset.parse::<Offset>().unwrap()),
            _ => {}
        }
    }
    assert_eq!(reads, bases.len() - 1);
}
