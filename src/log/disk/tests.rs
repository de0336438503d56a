//! The engine on real files, stepped by hand.

mod damage;

use super::files::overwrite;
use super::*;
use crate::log::{Append, Flush, Log, LogConfig, Offset, OwnerState, Slice, StateFile, Wait};
use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, StoredBatch, checksum};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

const CONFIG: LogConfig = LogConfig {
    segment_bytes: 1000,
    segment_ms: u64::MAX,
    index_interval_bytes: 100,
    index_bytes: 10 << 20,
    flush: Flush::EveryRound,
};

fn name(topic: &str) -> LogName {
    LogName { topic: topic.into(), topic_id: Uuid::from_u128(7), partition: 0 }
}

fn batch(base: Offset, records: i32, body: usize) -> StoredBatch {
    let records_bytes = Bytes::from(vec![base as u8; body]);
    let mut header = BatchHeader {
        base_offset: base,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + body) as i32,
        leader_epoch: 1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: base * 10,
        max_timestamp: base * 10,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: records,
    };
    header.crc = checksum(&header.encode(), &records_bytes);
    StoredBatch::new(header, records_bytes)
}

/// A batch and a log that it could go to.
pub(super) fn an_append() -> (Arc<DiskLog>, Append) {
    let files = Arc::new(memory::MemoryFiles::new());
    let disk = Disk::open(files, Path::new("/data"), DiskOptions::default(), &census).unwrap();
    let log = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    (log, Append { batch: batch(0, 1, 10), roll: None, epochs: None })
}

fn census(_: &str, _: i32, _: Option<Uuid>) -> Known {
    Known::Exists(Uuid::from_u128(7), CONFIG)
}

fn disk(root: &Path, checks: Checks) -> Arc<Disk> {
    Disk::open(Arc::new(OsFiles), root, DiskOptions { open_files: 16, checks }, &census).unwrap()
}

/// Submits a batch at the end of what was submitted, with a state file where a segment ends.
fn submit(log: &DiskLog, end: &mut Offset, records: i32, body: usize) {
    let batch = batch(*end, records, body);
    let state = StateFile { extension: "producers", bytes: end.to_be_bytes().to_vec() };
    let roll = log.rolls_before(&batch.header).then(|| OwnerState { files: vec![state], ..OwnerState::default() });
    *end = batch.header.next_offset();
    log.submit(Append { batch, roll, epochs: None });
}

fn read(log: &dyn Log, from: Offset, max: usize) -> Vec<u8> {
    let slices = log.read(from, log.progress().published(), max, true, Wait::Allowed).unwrap().slices;
    let mut out = Vec::new();
    for slice in slices {
        match slice {
            Slice::Memory(bytes) => out.extend_from_slice(&bytes),
            Slice::File { file, position, length } => {
                let mut bytes = vec![0; length];
                assert_eq!(file.read_at(&mut bytes, position, Wait::Allowed).unwrap(), length);
                out.extend_from_slice(&bytes);
            }
        }
    }
    out
}

/// Reads the whole log from `from` on and checks that it holds `(base, records)` batches as [`batch`] makes them.
fn read_all_from(log: &dyn Log, from: Offset, max: usize) -> Vec<Offset> {
    let (mut offset, mut bases) = (from, Vec::new());
    while offset < log.progress().published() {
        let bytes = read(log, offset, max);
        let mut rest = &bytes[..];
        assert!(!rest.is_empty(), "nothing at {offset}");
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).unwrap();
            let (this, next) = rest.split_at(header.size());
            let expected = batch(header.base_offset, header.record_count, this.len() - HEADER_SIZE);
            assert_eq!(this, [&expected.head[..], &expected.records].concat());
            bases.push(header.base_offset);
            offset = header.next_offset();
            rest = next;
        }
    }
    bases
}

fn fill(log: &DiskLog, disk: &Disk, count: usize) -> Vec<Offset> {
    let (mut end, mut bases) = (log.progress().written(), Vec::new());
    for i in 0..count {
        bases.push(end);
        submit(log, &mut end, 1 + (i % 3) as i32, 40 + 13 * (i % 7));
        disk.round();
    }
    bases
}

#[test]
fn what_is_published_is_read_back_from_every_offset_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), Checks::default());
    let log = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    let bases = fill(&log, &disk, 60);
    let end = log.progress().published();
    for from in 0..end {
        let first = *bases.iter().rfind(|base| **base <= from).unwrap();
        for max in [1, 100, 350, 5000] {
            let expected: Vec<_> = bases.iter().copied().filter(|base| *base >= first).collect();
            assert_eq!(read_all_from(&*log, from, max), expected, "from {from} max {max}");
        }
        let one = read(&*log, from, 1);
        assert_eq!(BatchHeader::parse(&one).unwrap().size(), one.len(), "one batch, whole");
    }
    assert!(log.read(end, end, 100, true, Wait::Allowed).unwrap().slices.is_empty());
}

#[test]
fn nothing_beyond_the_given_end_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), Checks::default());
    let log = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    let bases = fill(&log, &disk, 40);
    for below in bases {
        for from in [0, below / 2, (below - 1).max(0)] {
            let slices = log.read(from, below, 100_000, true, Wait::Allowed).unwrap().slices;
            let Some(Slice::File { file, position, length }) = slices.first() else { continue };
            let mut bytes = vec![0; *length];
            file.read_at(&mut bytes, *position, Wait::Allowed).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let header = BatchHeader::parse(rest).unwrap();
                assert!(header.next_offset() <= below, "{header:?} below {below}");
                rest = &rest[header.size()..];
            }
        }
    }
}

#[test]
fn a_clean_stop_leaves_kafkas_files_and_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let first = disk(dir.path(), Checks::default());
    let log = first.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    let bases = fill(&log, &first, 50);
    let states = vec![StateFile { extension: "producers", bytes: b"at the end".to_vec() }];
    let state = OwnerState { files: states.clone(), ..OwnerState::default() };
    first.close([(log.clone(), state)].into_iter()).unwrap();
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
    let points = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(points, format!("0\n1\nt 0 {}\n", log.progress().written()));

    let second = disk(dir.path(), Checks::default());
    assert!(!dir.path().join(".kafka_cleanshutdown").exists(), "a crash from here on is not clean");
    let opened = second.open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
    assert_eq!((opened.end, opened.truncated_bytes), (log.progress().written(), 0));
    assert_eq!(opened.states[0], (opened.end, states));
    let rolled = &opened.states[1];
    assert_eq!(rolled.1[0].bytes, rolled.0.to_be_bytes(), "the state before the batch that began the segment");
    assert_eq!(read_all_from(&*opened.log, 0, 300), bases);
    let more = fill(&opened.log, &second, 20);
    assert_eq!(read_all_from(&*opened.log, 0, 300), [bases, more].concat());
}

#[test]
fn every_cut_of_the_tail_ends_at_the_last_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0/00000000000000000000.log");
    let config = LogConfig { segment_bytes: 1 << 20, ..CONFIG };
    let before = disk(dir.path(), Checks::default());
    let log = before.open_log(&name("t"), config, false, &|_| false).unwrap().log;
    let bases = fill(&log, &before, 8);
    let end = log.progress().written();
    let whole = std::fs::read(&path).unwrap();
    let mut starts = Vec::new();
    let mut position = 0;
    for base in &bases {
        starts.push((position, *base));
        position += BatchHeader::parse(&whole[position..]).unwrap().size();
    }
    let mut junk: Vec<Vec<u8>> = vec![vec![0; 1], vec![0; 4096], (0..200u8).collect(), b"HTTP/1.1 200 OK\r\n".to_vec()];
    junk.push(BatchHeader { batch_length: i32::MAX, ..batch(end, 1, 10).header }.encode().to_vec());
    junk.push(batch(end, 1, 10).head.to_vec());
    let repeated = batch(0, 1, 40);
    junk.push([&repeated.head[..], &repeated.records].concat());
    let tails = (starts[5].0..whole.len())
        .map(|cut| whole[..cut].to_vec())
        .chain(junk.into_iter().map(|j| [whole.clone(), j].concat()));
    for tail in tails {
        std::fs::write(&path, &tail).unwrap();
        let expected =
            if tail.len() >= whole.len() { end } else { starts.iter().rfind(|(at, _)| *at <= tail.len()).unwrap().1 };
        let again = disk(dir.path(), Checks { replay_journal: false, ..Checks::default() });
        let opened = again.open_log(&name("t"), config, false, &|_| false).unwrap();
        assert_eq!(opened.end, expected, "{} bytes of {}", tail.len(), whole.len());
        read_all_from(&*opened.log, 0, 1000);
        drop((opened, again));
        let _ = std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint"));
    }
}

#[test]
fn a_bit_flipped_anywhere_above_the_recovery_point_is_cut_there() {
    let dir = tempfile::tempdir().unwrap();
    let before = disk(dir.path(), Checks::default());
    let log = before.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    fill(&log, &before, 14);
    let path = dir.path().join("t-0/00000000000000000000.log");
    let whole = std::fs::read(&path).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for at in (0..whole.len()).step_by(7) {
        // Offsets and epoch lie outside the checksum; the epoch is not verifiable at all.
        let mut position = 0;
        while position + BatchHeader::parse(&whole[position..]).unwrap().size() <= at {
            position += BatchHeader::parse(&whole[position..]).unwrap().size();
        }
        if (12..16).contains(&(at - position)) {
            continue;
        }
        let root = copy.path().join(at.to_string());
        std::fs::create_dir_all(root.join("t-0")).unwrap();
        for entry in std::fs::read_dir(dir.path().join("t-0")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), root.join("t-0").join(entry.file_name())).unwrap();
        }
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(root.join("t-0/00000000000000000000.log"), &flipped).unwrap();
        let again = disk(&root, Checks::default());
        let opened = again.open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
        assert_eq!(opened.end, BatchHeader::parse(&whole[position..]).unwrap().base_offset, "flip at {at}");
        let aside = std::fs::read_dir(root.join("t-0"))
            .unwrap()
            .any(|e| e.unwrap().file_name().to_string_lossy().ends_with("log.corrupt"));
        assert!(aside, "later segments are put aside, not deleted");
    }
}

#[test]
fn a_missing_segment_leaves_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let before = disk(dir.path(), Checks::default());
    let log = before.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    fill(&log, &before, 40);
    let mut logs: Vec<_> = std::fs::read_dir(dir.path().join("t-0"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    assert!(logs.len() > 3);
    // Cut the second exactly at a boundary, as a power loss may: nothing in it looks wrong.
    let second = std::fs::read(&logs[1]).unwrap();
    let first_batch = BatchHeader::parse(&second).unwrap();
    std::fs::write(&logs[1], &second[..first_batch.size()]).unwrap();
    let opened = disk(dir.path(), Checks::default()).open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
    assert_eq!(opened.end, first_batch.next_offset());
}

#[test]
fn several_partitions_share_one_sync_and_the_journal_brings_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let before = disk(dir.path(), Checks::default());
    let logs: Vec<_> =
        (0..8).map(|i| before.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap().log).collect();
    let mut ends = [0; 8];
    for _ in 0..30 {
        for (log, end) in logs.iter().zip(&mut ends) {
            submit(log, end, 2, 50);
        }
        before.round();
    }
    assert_eq!(before.counters().syncs.load(Ordering::Relaxed), 30);
    for (log, end) in logs.iter().zip(ends) {
        assert_eq!(log.progress().published(), end);
    }
    // Lose what was never synced in the segments: one folder whole, half of another's first segment.
    std::fs::remove_dir_all(dir.path().join("t3-0")).unwrap();
    let half = dir.path().join("t5-0/00000000000000000000.log");
    let bytes = std::fs::read(&half).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let after = disk(dir.path(), Checks::default());
    for (i, end) in ends.into_iter().enumerate() {
        let opened = after.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap();
        assert_eq!(opened.end, end, "t{i}");
        assert_eq!(read_all_from(&*opened.log, 0, 1000).len(), 30);
    }
    assert!(
        std::fs::read_dir(dir.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().ends_with("journal"))
    );
}

#[test]
fn a_checkpoint_lets_go_of_the_journal_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let before = disk(dir.path(), Checks::default());
    let logs: Vec<_> =
        (0..3).map(|i| before.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap().log).collect();
    let mut ends = [0; 3];
    for round in 0..30 {
        for (log, end) in logs.iter().zip(&mut ends) {
            submit(log, end, 1, 50);
        }
        before.round();
        if round % 7 == 3 {
            before.checkpoint().unwrap();
        }
    }
    let journals = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with("journal"))
        .count();
    assert!(journals <= 2, "the current file and a spare one, not {journals}");
    let after = disk(dir.path(), Checks::default());
    for (i, end) in ends.into_iter().enumerate() {
        let opened = after.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap();
        assert_eq!(opened.end, end);
        assert_eq!(read_all_from(&*opened.log, 0, 1000).len(), 30);
    }
}

#[test]
fn a_checkpoint_of_many_logs_is_as_durable_as_one_of_few() {
    let files = memory::MemoryFiles::new();
    let open = |files: memory::MemoryFiles| {
        Disk::open(Arc::new(files), Path::new("/data"), DiskOptions::default(), &census).unwrap()
    };
    let before = open(files.clone());
    let logs: Vec<_> =
        (0..150).map(|i| before.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap().log).collect();
    let mut ends = vec![0; logs.len()];
    let mut round = || {
        for (log, end) in logs.iter().zip(&mut ends) {
            submit(log, end, 2, 400);
        }
        before.round();
    };
    for _ in 0..5 {
        round();
    }
    before.checkpoint().unwrap();
    round();
    for seed in 0..5 {
        let after = open(files.after_crash(seed));
        for (i, end) in ends.iter().enumerate() {
            let opened = after.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap();
            assert_eq!(opened.end, *end, "t{i}, seed {seed}");
            assert_eq!(read_all_from(&*opened.log, 0, 1000).len(), 6);
        }
    }
}

#[test]
fn a_small_file_has_its_new_content_and_no_more() {
    let files = memory::MemoryFiles::new();
    let path = Path::new("/small");
    for (content, known) in [("a longer content", false), ("short", true), ("", true), ("again", false)] {
        let file = files.open(path, Open::Create).unwrap();
        assert_eq!(overwrite(&*file, content.as_bytes()).unwrap(), known);
        assert_eq!(read_all(&files, path).unwrap(), content.as_bytes());
    }
}

#[test]
fn times_are_found_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), Checks::default());
    let log = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    let bases = fill(&log, &disk, 60);
    let end = log.progress().published();
    for &base in &bases {
        let found = log.offset_for_time(base * 10 - 5, end).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (base, base * 10));
        let largest = log.max_timestamp(base).unwrap();
        assert_eq!(largest.map(|found| found.offset), bases.iter().rev().find(|b| **b < base).copied());
    }
    assert_eq!(log.offset_for_time(end * 10, end).unwrap(), None);
    assert_eq!(log.max_timestamp(end).unwrap().map(|found| found.offset), bases.last().copied());
}

#[test]
fn many_logs_stay_within_the_bound_of_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), Checks::default());
    let logs: Vec<_> =
        (0..100).map(|i| disk.open_log(&name(&format!("t{i}")), CONFIG, false, &|_| false).unwrap().log).collect();
    let mut ends = vec![0; 100];
    for _ in 0..3 {
        for (log, end) in logs.iter().zip(&mut ends) {
            submit(log, end, 1, 50);
        }
        disk.round();
        assert!(disk.open_files() <= 16);
    }
    for (log, end) in logs.iter().zip(ends) {
        assert_eq!(read_all_from(&**log, 0, 100).len(), 3);
        assert_eq!(log.progress().published(), end);
    }
}

/// A scan makes the transaction indexes anew from nothing; Kafka's snapshot alone would pass for a log without aborted ones.
#[test]
fn a_clean_stop_that_is_not_believed_leaves_no_snapshot_without_its_transaction_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let first = disk(dir.path(), Checks::default());
    let log = first.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    fill(&log, &first, 10);
    let file = |extension| StateFile { extension, bytes: b"state".to_vec() };
    let files = vec![file(StateFile::SNAPSHOT), file(StateFile::PRODUCERS)];
    let state = OwnerState { files, transaction_indexes: vec![(0, b"index".to_vec())] };
    first.close([(log, state)].into_iter()).unwrap();
    // Nobody has stored its leader epochs: the files are not believed.
    assert!(!dir.path().join("t-0/leader-epoch-checkpoint").exists());

    let second = disk(dir.path(), Checks::default());
    let opened = second.open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
    assert!(opened.transaction_indexes.is_empty());
    let kinds: Vec<_> = opened.states.iter().flat_map(|(_, files)| files).map(|file| file.extension).collect();
    assert!(!kinds.is_empty() && !kinds.contains(&StateFile::SNAPSHOT), "{kinds:?}");
}
