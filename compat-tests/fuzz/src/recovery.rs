//! Arbitrary bytes as the files of a partition, and what comes of opening them.
//!
//! An input is a list of files. Whatever they hold, the disk and the partition open, and can be read and written. Opened
//! once more after the process was killed they hold the same. Where nothing but segments decides, what is kept is what a
//! simple reader of our own finds: the whole and valid batches from the front, without a gap.

use ottla::log::disk::memory::MemoryFiles;
use ottla::log::disk::{Disk, DiskOptions, Files, Known, LogName, Open, base64_url};
use ottla::log::{Flush, Log, LogConfig, Offset, Slice, Wait};
use ottla::partition::{Acks, Fetch, Isolation, OffsetQuery, Partition};
use ottla::wire::batch::{BatchHeader, CRC_FROM, HEADER_SIZE, LENGTH_PREFIX, checksum};
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const ROOT: &str = "/data";
const TOPIC_ID: Uuid = Uuid::from_u128(7);
/// No batch has a later one.
const LEADER_EPOCH: i32 = i32::MAX;
const NOW: i64 = 1_700_000_000_000;
const CONFIG: LogConfig = LogConfig {
    segment_bytes: 1 << 20,
    segment_ms: u64::MAX,
    index_interval_bytes: 100,
    index_bytes: 1 << 20,
    flush: Flush::EveryRound,
};

/// One file of an input.
struct Input {
    kind: u8,
    /// Of a segment or state file.
    offset: Offset,
    bytes: Vec<u8>,
}

const LOG: u8 = 0;
const RECOVERY_POINTS: u8 = 6;
const JOURNAL: u8 = 7;
const METADATA: u8 = 8;
const CLEAN: u8 = 9;

/// Four bytes before each file: what it is (the high bit: with checksums that are right), its offset, its length.
fn inputs(mut data: &[u8]) -> Vec<Input> {
    let mut inputs = Vec::new();
    while let Some((&[kind, offset, high, low], rest)) = data.split_first_chunk() {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
        data = rest;
        let offset = match offset {
            0..=250 => Offset::from(offset),
            251..=253 => i64::from(i32::MAX) + Offset::from(offset),
            254 => Offset::MAX - 1,
            255 => Offset::MAX,
        };
        let mut input = Input { kind: kind & 0x0f, offset, bytes: bytes.to_vec() };
        if kind & 0x80 != 0 {
            mend(&mut input);
        }
        inputs.push(input);
    }
    inputs
}

/// The fuzzer cannot make checksums.
fn mend(input: &mut Input) {
    match input.kind {
        LOG => mend_batches(input),
        3 | 4 => {
            if let Some((head, rest)) = input.bytes.split_at_mut_checked(6) {
                head[..2].copy_from_slice(&1i16.to_be_bytes());
                head[2..].copy_from_slice(&crc32c::crc32c(rest).to_be_bytes());
            }
        }
        JOURNAL => {
            if let Some((head, rest)) = input.bytes.split_at_mut_checked(4) {
                if let Some(place) = rest.get_mut(..4) {
                    // One entry, the whole file.
                    let length = input.offset as u32;
                    place.copy_from_slice(&length.to_be_bytes());
                }
                let end = rest.len().min(4 + input.offset as usize);
                head.copy_from_slice(&crc32c::crc32c(&rest[..end]).to_be_bytes());
            }
        }
        METADATA => input.bytes = format!("version: 0\ntopic_id: {}\n", base64_url(TOPIC_ID)).into_bytes(),
        _ => {}
    }
}

/// Batches that fit the file one after the other, with offsets that go on.
fn mend_batches(input: &mut Input) {
    let (mut at, mut next) = (0, input.offset);
    while let Some(batch) = input.bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER_SIZE) {
        let wanted = usize::from(batch[11]) + HEADER_SIZE;
        let size = wanted.min(batch.len());
        batch[..8].copy_from_slice(&next.to_be_bytes());
        batch[8..12].copy_from_slice(&((size - LENGTH_PREFIX) as i32).to_be_bytes());
        batch[16] = 2;
        // A delta of at most 255.
        batch[23..26].fill(0);
        let crc = crc32c::crc32c(&batch[CRC_FROM..size]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        next = next.saturating_add(i64::from(batch[26]) + 1);
        at += size;
    }
}

fn path(input: &Input) -> PathBuf {
    let segment = |extension: &str| format!("t-0/{:020}.{extension}", input.offset);
    let name = match input.kind {
        LOG => segment("log"),
        1 => segment("index"),
        2 => segment("timeindex"),
        3 => segment("snapshot"),
        4 => segment("producers"),
        5 => "t-0/leader-epoch-checkpoint".to_owned(),
        RECOVERY_POINTS => "recovery-point-offset-checkpoint".to_owned(),
        JOURNAL => "00000000000000000001.journal".to_owned(),
        METADATA => "t-0/partition.metadata".to_owned(),
        CLEAN => ".kafka_cleanshutdown".to_owned(),
        _ => segment("txnindex"),
    };
    Path::new(ROOT).join(name)
}

/// See the top of the file.
pub fn recovery(data: &[u8]) {
    let inputs = inputs(data);
    let files = MemoryFiles::new();
    files.create_dir(Path::new(ROOT)).unwrap();
    files.create_dir(&Path::new(ROOT).join("t-0")).unwrap();
    for input in &inputs {
        let file = files.open(&path(input), Open::Create).unwrap();
        file.set_len(0).unwrap();
        file.write_at(&mut [IoSlice::new(&input.bytes)], 0).unwrap();
    }
    let is = |kind: u8| inputs.iter().any(|input| input.kind == kind);
    let simple = !is(RECOVERY_POINTS) && !is(JOURNAL) && !is(METADATA) && !is(CLEAN);
    let expected = simple.then(|| whole_batches(&inputs));
    let Some(first) = look(&files) else {
        assert!(is(RECOVERY_POINTS) || is(CLEAN), "nothing says that it was synced");
        assert!(is(CLEAN) || look(&files.after_kill()).is_none(), "nor the second time");
        return;
    };
    if let Some(expected) = expected {
        assert_eq!((first.start, first.end), (expected.start, expected.end), "what is kept");
        assert!(first.content == expected.content, "the valid batches from the front are kept as they are");
    }
    // What a clean stop has left is believed, whatever it is; a scan later may think otherwise.
    if !is(CLEAN) {
        let second = look(&files.after_kill()).expect("it opens again");
        // So is what lies before the recovery point; where there was none, the second time may find damage there.
        let same = if is(RECOVERY_POINTS) { second.end <= first.end } else { second.end == first.end };
        assert!(
            same && second.start == first.start,
            "{} to {} the second time, not {}",
            second.start,
            second.end,
            first.end
        );
        assert!(first.content.starts_with(&second.content), "the same batches the second time");
        if second.end == first.end {
            assert_eq!((first.content.len(), &first.epochs), (second.content.len(), &second.epochs), "the second time");
        }
    }
    go_on(&files.after_kill());
}

/// What a log holds.
struct Seen {
    start: Offset,
    end: Offset,
    epochs: Vec<(i32, Offset)>,
    content: Vec<u8>,
}

/// Opens all of it. `None`: the partition is left as it is, because what was synced once is damaged or gone.
fn open(files: &MemoryFiles) -> Option<(Arc<Disk>, Partition, Seen)> {
    let census = |_: &str, _: i32, stored: Option<Uuid>| match stored {
        None | Some(TOPIC_ID) => Known::Exists(TOPIC_ID, CONFIG),
        Some(_) => Known::Unknown,
    };
    let files = Arc::new(files.clone());
    let disk = Disk::open(files, Path::new(ROOT), DiskOptions::default(), &census).expect("the disk opens");
    let name = LogName { topic: "t".to_owned(), topic_id: TOPIC_ID, partition: 0 };
    let opened = match disk.open_log(&name, CONFIG, false, &|_| false) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return None,
        opened => opened.expect("the log opens"),
    };
    let (log, recovered) = opened.into_recovered();
    let seen = Seen {
        start: log.start(),
        end: recovered.log_end,
        epochs: recovered.epochs.iter().map(|entry| (entry.epoch, entry.start)).collect(),
        content: Vec::new(),
    };
    let partition = Partition::open(log, recovered, LEADER_EPOCH, NOW).ok()?;
    Some((disk, partition, seen))
}

fn look(files: &MemoryFiles) -> Option<Seen> {
    let (_disk, partition, mut seen) = open(files)?;
    assert_eq!((partition.log_start(), partition.high_watermark()), (seen.start, seen.end));
    seen.content = content(&partition, seen.start, seen.end);
    for query in [OffsetQuery::Earliest, OffsetQuery::Latest, OffsetQuery::MaxTimestamp, OffsetQuery::AtTime(NOW)] {
        // Batches whose records are no records have no times to look for.
        drop(partition.offset_for(query, Isolation::ReadUncommitted, None));
    }
    for epoch in [0, 1, LEADER_EPOCH] {
        drop(partition.end_offset_for_epoch(epoch, None));
    }
    Some(seen)
}

/// All bytes from the first to the last batch; each read begins where the last one ended.
fn content(partition: &Partition, start: Offset, end: Offset) -> Vec<u8> {
    let (mut content, mut from) = (Vec::new(), start);
    while from < end {
        let fetch = Fetch {
            from,
            max_bytes: 1000,
            first_whole: true,
            leader_epoch: None,
            isolation: Isolation::ReadUncommitted,
            wait: Wait::Allowed,
        };
        let Ok(fetched) = partition.fetch(&fetch) else { break };
        let bytes: Vec<u8> = fetched.slices.into_iter().flat_map(loaded).collect();
        let mut rest = &bytes[..];
        while let Ok(header) = BatchHeader::parse(rest) {
            from = header.next_offset();
            rest = rest.get(header.size()..).unwrap_or_default();
        }
        // Files that are believed may say that offsets go back.
        if bytes.is_empty() || from <= fetch.from {
            break;
        }
        content.extend(bytes);
    }
    content
}

fn loaded(slice: Slice) -> Vec<u8> {
    match slice {
        Slice::Memory(bytes) => bytes.to_vec(),
        Slice::File { file, position, length } => {
            let mut bytes = vec![0; length];
            let read = file.read_at(&mut bytes, position, Wait::Allowed).expect("what was there can be read");
            assert_eq!(read, length, "all of it is there");
            bytes
        }
    }
}

/// A batch more, and another start: it is there, behind what was there.
fn go_on(files: &MemoryFiles) {
    let Some((disk, partition, seen)) = open(files) else { return };
    if seen.end > Offset::MAX - 10 {
        return;
    }
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LENGTH_PREFIX + 3) as i32,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: NOW,
        max_timestamp: NOW,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    };
    header.crc = checksum(&header.encode(), b"new");
    let _appending = partition.append(header, bytes::Bytes::from_static(b"new"), Acks::All, NOW);
    disk.round();
    assert_eq!(partition.high_watermark(), seen.end + 1, "a batch more");
    drop((partition, disk));
    let (_, _, again) = open(&files.after_kill()).expect("it opens again");
    assert_eq!((again.start, again.end), (seen.start.min(again.end), seen.end + 1), "it survives");
}

/// What has to be kept: the segments from the first on, in them the whole and valid batches whose offsets go on.
fn whole_batches(inputs: &[Input]) -> Seen {
    let mut segments = std::collections::BTreeMap::new();
    for input in inputs.iter().filter(|input| input.kind == LOG) {
        segments.insert(input.offset, &input.bytes[..]);
    }
    let start = segments.keys().next().copied().unwrap_or(0);
    let (mut end, mut content) = (start, Vec::new());
    for (base, bytes) in segments {
        if base != end {
            break;
        }
        let mut rest = bytes;
        while let Some((size, next)) = whole_batch(rest, end) {
            content.extend_from_slice(&rest[..size]);
            (rest, end) = (&rest[size..], next);
        }
        if !rest.is_empty() {
            break;
        }
    }
    Seen { start, end, epochs: Vec::new(), content }
}

/// The size of the batch at the front, and where the next one begins.
fn whole_batch(bytes: &[u8], expected: Offset) -> Option<(usize, Offset)> {
    let header = BatchHeader::parse(bytes).ok()?;
    let batch = bytes.get(..header.size())?;
    let sound = header.base_offset == expected && header.last_offset_delta >= 0;
    let next = expected.checked_add(i64::from(header.last_offset_delta))?.checked_add(1)?;
    (sound && crc32c::crc32c(&batch[CRC_FROM..]) == header.crc).then_some((header.size(), next))
}
