//! Starting on what a crash left, and everything that has to be true of it then.

use crate::batches::{Batch, Content, Writer, client_batch};
use crate::model::{Answer, Down, Model, Part};
use crate::transactions;
use bytes::Bytes;
use futures_util::FutureExt;
use ottla::log::disk::memory::MemoryFiles;
use ottla::log::disk::{Checks, Disk, DiskLog, DiskOptions, Files};
use ottla::log::{Slice, Wait};
use ottla::partition::producers::SequenceError;
use ottla::partition::{Acks, AppendError, Appended, Appending, Fetch, Isolation, OffsetQuery, Partition};
use ottla::wire::batch::BatchHeader;
use std::path::Path;
use std::sync::Arc;

/// What was found wrong, or nothing.
pub type Checked<T = ()> = Result<T, String>;

/// Returns an error, as `format!` writes it, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

pub const ROOT: &str = "/var/ottla";

/// The wall clock of all scripts.
pub const NOW: i64 = 1_000_000;

/// How the engine is opened, and what is taken from it before, so that the checks have something to find.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    pub checks: Checks,
    /// Only Kafka's one batch per producer is left of their state.
    pub window_of_one: bool,
    /// And of the transactions nothing but which are open.
    pub no_transaction_indexes: bool,
}

/// Takes the producers' state away if it is to be, then opens the directory.
pub fn open_disk(files: &MemoryFiles, model: &Model, opening: Opening) -> Checked<Arc<Disk>> {
    let taken = [("producers", opening.window_of_one), ("txnindex", opening.no_transaction_indexes)];
    for (extension, _) in taken.into_iter().filter(|(_, taken)| *taken) {
        for path in files.contents().into_keys().filter(|path| path.extension().is_some_and(|e| e == extension)) {
            files.remove(&path).map_err(|error| error.to_string())?;
        }
    }
    let options = DiskOptions { open_files: 8, checks: opening.checks };
    let census = |topic: &str, partition: i32, id| model.census(topic, partition, id);
    Disk::open(Arc::new(files.clone()), Path::new(ROOT), options, &census).map_err(|error| format!("no start: {error}"))
}

/// Opens one partition.
pub fn open_part(disk: &Disk, model: &Model, part: usize, again: bool) -> Checked<(Arc<DiskLog>, Partition)> {
    let name = &model.parts[part].name;
    let opened = disk
        .open_log(name, model.parts[part].config, again, &|id| !model.exists(id))
        .map_err(|error| format!("{} does not open: {error}", name.dir()))?;
    let (log, recovered) = opened.into_recovered();
    let partition = Partition::open(log.clone(), recovered, model.boot_epoch, NOW)
        .map_err(|error| format!("{} does not open: {error}", name.dir()))?;
    Ok((log, partition))
}

/// The bytes of a fetch.
fn fetch(partition: &Partition, from: i64, max_bytes: usize) -> Checked<Vec<u8>> {
    let isolation = Isolation::ReadUncommitted;
    let wanted = Fetch { from, max_bytes, first_whole: true, leader_epoch: None, isolation, wait: Wait::Allowed };
    let fetched = partition.fetch(&wanted).map_err(|error| format!("fetch at {from}: {error}"))?;
    let mut bytes = Vec::new();
    for slice in fetched.slices {
        match slice {
            Slice::Memory(more) => bytes.extend_from_slice(&more),
            Slice::File { file, position, length } => {
                let mut more = vec![0; length];
                let got = file.read_at(&mut more, position, Wait::Allowed).map_err(|error| error.to_string())?;
                ensure!(got == length, "fetch at {from}: {got} bytes in the file instead of {length}");
                bytes.extend_from_slice(&more);
            }
        }
    }
    Ok(bytes)
}

/// All batches that a reader sees, fetched in runs of about `max_bytes`.
pub fn read_all(partition: &Partition, max_bytes: usize) -> Checked<Vec<Batch>> {
    let mut found: Vec<Batch> = Vec::new();
    let mut offset = 0;
    while offset < partition.high_watermark() {
        let mut rest = Bytes::from(fetch(partition, offset, max_bytes)?);
        ensure!(!rest.is_empty(), "fetch at {offset} below {}: nothing", partition.high_watermark());
        while !rest.is_empty() {
            let header = BatchHeader::parse(&rest).map_err(|error| format!("fetch at {offset}: {error}"))?;
            ensure!(header.size() <= rest.len(), "fetch at {offset}: half a batch");
            ensure!(header.base_offset == offset, "fetch at {offset}: a batch that begins at {}", header.base_offset);
            offset = header.next_offset();
            ensure!(offset <= partition.high_watermark(), "a batch beyond the high watermark");
            found.push(Batch { header, bytes: rest.split_to(header.size()) });
        }
    }
    Ok(found)
}

/// What is there is what was submitted, from the first batch on, and at least `least` of it.
pub fn is_prefix(part: &Part, found: &[Batch], least: usize) -> Checked {
    let name = part.name.dir();
    ensure!(found.len() <= part.log.len(), "{name}: {} batches of {} submitted", found.len(), part.log.len());
    for (index, (found, submitted)) in found.iter().zip(&part.log).enumerate() {
        let (is, was) = (found.header, submitted.header);
        ensure!(found == submitted, "{name}: batch {index} is not what was submitted:\n {is:?}\n {was:?}");
    }
    ensure!(found.len() >= least, "{name}: {} batches are left, {least} have to be", found.len());
    Ok(())
}

/// A fetch at every offset gives the batch that holds it.
pub fn every_offset(partition: &Partition, log: &[Batch]) -> Checked {
    for batch in log {
        for offset in batch.header.base_offset..=batch.header.last_offset() {
            let found = fetch(partition, offset, 1)?;
            ensure!(found == batch.bytes, "fetch at {offset} is not the batch at {}", batch.header.base_offset);
        }
    }
    Ok(())
}

/// ListOffsets by time, for every time there is.
pub fn every_time(partition: &Partition, log: &[Batch]) -> Checked {
    let records: Vec<_> = log.iter().flat_map(|b| b.records().map(|record| (record, b.header.leader_epoch))).collect();
    let ask = |query| {
        let found = partition.offset_for(query, Isolation::ReadUncommitted, None);
        let found = found.map_err(|error| format!("{query:?}: {error}"))?;
        Ok::<_, String>(found.map(|found| ((found.offset, found.timestamp), found.leader_epoch)))
    };
    let mut times: Vec<i64> = records.iter().flat_map(|record| [record.0.1, record.0.1 + 1]).collect();
    times.sort_unstable();
    times.dedup();
    let step = times.len() / 60 + 1;
    for time in times.into_iter().step_by(step) {
        let expected = records.iter().find(|record| record.0.1 >= time).copied();
        let found = ask(OffsetQuery::AtTime(time))?;
        ensure!(found == expected, "at time {time}: {found:?}, expected {expected:?}");
    }
    let largest = records.iter().map(|record| record.0.1).max();
    let expected = records.iter().find(|record| Some(record.0.1) == largest).copied();
    let found = ask(OffsetQuery::MaxTimestamp)?;
    ensure!(found == expected, "largest time: {found:?}, expected {expected:?}");
    Ok(())
}

/// The history of leader epochs is the one that the batches tell.
pub fn every_epoch(partition: &Partition, part: &Part, boot_epoch: i32) -> Checked {
    let mut history = part.leader_epochs();
    let end = part.end();
    if history.last().is_none_or(|last| last.0 < boot_epoch) {
        history.push((boot_epoch, end));
    }
    for epoch in 0..=boot_epoch + 1 {
        let above = history.iter().position(|entry| entry.0 > epoch);
        let expected = match above {
            _ if epoch == boot_epoch => Some((epoch, end)),
            None => None,
            Some(0) => Some((epoch, history[0].1)),
            Some(above) => Some((history[above - 1].0, history[above].1)),
        };
        let found = partition.end_offset_for_epoch(epoch, None).map_err(|error| error.to_string())?;
        ensure!(found == expected, "end of leader epoch {epoch}: {found:?}, expected {expected:?} of {history:?}");
    }
    Ok(())
}

/// Compares an outcome with what it had to be.
pub fn is_answer(outcome: &Result<Appended, AppendError>, expected: Answer) -> Checked {
    let right = match (outcome, expected) {
        (Ok(found), Answer::Appended { base_offset, .. }) => {
            (found.base_offset, found.duplicate) == (base_offset, false)
        }
        (Ok(found), Answer::Duplicate { base_offset }) => (found.base_offset, found.duplicate) == (base_offset, true),
        (Err(AppendError::Sequence(SequenceError::OutOfOrder { .. })), Answer::OutOfOrder) => true,
        (Err(AppendError::Sequence(SequenceError::StaleEpoch { .. })), Answer::StaleEpoch) => true,
        _ => false,
    };
    ensure!(right, "an append was answered {outcome:?}, expected {expected:?}");
    Ok(())
}

/// Every producer sends its last five batches again, the one before them, and then its next.
fn every_window(disk: &Disk, partitions: &[Partition], model: &mut Model) -> Checked {
    let mut pending = Vec::new();
    for (partition, part) in partitions.iter().zip(&mut model.parts) {
        let ids: std::collections::BTreeSet<i64> = part.log.iter().map(|batch| batch.header.producer_id).collect();
        for id in ids.into_iter().filter(|id| (0..transactions::FIRST).contains(id)) {
            let mut sent: Vec<_> = part.recent(id).take(6).map(Batch::as_sent).collect();
            sent.reverse();
            let (epoch, sequence) = part.next_of(id);
            let writer = Writer { id, epoch, sequence };
            let content = Content { records: 2, value: 20, time: 5000, salt: u64::MAX - id as u64 };
            sent.push(client_batch(writer, content));
            for (header, records) in sent {
                let expected = part.answer(&header);
                let appending = partition.append(header, records.clone(), Acks::All, NOW);
                if let Answer::Appended { base_offset, .. } = expected {
                    part.log.push(Batch::stamped(header, records, base_offset, model.boot_epoch));
                }
                pending.push((part.name.dir(), header, appending, expected));
            }
        }
    }
    all_answered(disk, pending)?;
    for (partition, part) in partitions.iter().zip(&model.parts) {
        is_prefix(part, &read_all(partition, 10_000)?, part.log.len())?;
    }
    Ok(())
}

/// Has appends written, and looks at what each is told: whose they are, the batches, and what to expect.
fn all_answered(disk: &Disk, pending: Vec<(String, BatchHeader, Appending, Answer)>) -> Checked {
    disk.round();
    for (name, header, appending, expected) in pending {
        let outcome = appending.finish().now_or_never().ok_or_else(|| format!("{name}: no answer to an append"))?;
        is_answer(&outcome, expected).map_err(|error| format!("{name}, {header:?}: {error}"))?;
    }
    Ok(())
}

/// Every producer with transactions goes on with the one that it has open, or begins one, and aborts it.
fn every_transaction(disk: &Disk, partitions: &[Partition], model: &mut Model) -> Checked {
    let mut pending = Vec::new();
    for (partition, part) in partitions.iter().zip(&mut model.parts) {
        for id in transactions::ids(part) {
            let (epoch, sequence) = part.next_of(id);
            let content = Content { records: 2, value: 20, time: 5000, salt: u64::MAX - id as u64 };
            let (header, records) = transactions::transactional_batch(Writer { id, epoch, sequence }, content);
            let appending = transactions::append(partition, header, records.clone())
                .map_err(|error| format!("{}, {header:?}: {error}", part.name.dir()))?;
            let (ending, marker) = transactions::end(partition, id, epoch, false);
            for (appending, (header, records)) in [(appending, (header, records)), (ending, marker)] {
                let answer = part.at_end();
                part.log.push(Batch::stamped(header, records, part.end(), model.boot_epoch));
                pending.push((part.name.dir(), header, appending, answer));
            }
        }
    }
    all_answered(disk, pending)?;
    for (partition, part) in partitions.iter().zip(&model.parts) {
        transactions::every_reader(partition, &part.log).map_err(|error| format!("{}: {error}", part.name.dir()))?;
    }
    Ok(())
}

/// Starts on `files`, looks at everything, and tells how many batches of each partition there are. `files` are not
/// used afterwards: what is tried out changes them.
pub fn inspect(files: &MemoryFiles, model: &Model, down: Down, opening: Opening) -> Checked<Vec<usize>> {
    let mut model = model.clone();
    model.boot_epoch += 1;
    let disk = open_disk(files, &model, opening)?;
    let mut partitions = Vec::new();
    let mut survivors = Vec::new();
    for index in 0..model.parts.len() {
        let (_, partition) = open_part(&disk, &model, index, false)?;
        let boot_epoch = model.boot_epoch;
        let part = &mut model.parts[index];
        let least = match down {
            Down::Clean => part.log.len(),
            Down::Killed => part.kept,
            Down::Power => part.durable,
        };
        let in_part = |error| format!("{}: {error}", part.name.dir());
        let found = read_all(&partition, 1).map_err(in_part)?;
        is_prefix(part, &found, least)?;
        part.settle(found.len());
        let in_part = |error| format!("{}: {error}", part.name.dir());
        ensure!(read_all(&partition, 700).map_err(in_part)? == found, "reads differ by their size");
        every_offset(&partition, &found).map_err(in_part)?;
        every_time(&partition, &found).map_err(in_part)?;
        every_epoch(&partition, part, boot_epoch).map_err(in_part)?;
        transactions::every_reader(&partition, &found).map_err(in_part)?;
        survivors.push(found.len());
        partitions.push(partition);
    }
    every_window(&disk, &partitions, &mut model)?;
    every_transaction(&disk, &partitions, &mut model)?;
    Ok(survivors)
}
