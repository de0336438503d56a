//! Transactions on one partition: what is let in, how far readers see, and what is left of it after a restart.

use super::*;
use crate::wire::batch::{TRANSACTIONAL, checksum};

/// A batch of two records of a transaction.
fn transactional(producer_id: i64, epoch: i16, sequence: i32) -> (BatchHeader, Bytes) {
    let (mut header, records) = batch(producer_id, epoch, sequence, 2);
    header.attributes |= TRANSACTIONAL;
    header.crc = checksum(&header.encode(), &records);
    (header, records)
}

/// Appends it, verified where that is needed.
fn write(partition: &Partition, producer_id: i64, epoch: i16, sequence: i32) -> Result<Offset, SequenceError> {
    let (header, records) = transactional(producer_id, epoch, sequence);
    let guard = partition.verify(Verify::of(&header, true), NOW)?;
    let appending = partition.append_from(Origin::Client(guard), header, records, Acks::All, NOW);
    appending.outcome.map(|appended| appended.base_offset)
}

fn end_of(producer_id: i64, producer_epoch: i16, committed: bool) -> TransactionEnd {
    let marker = Marker { committed, coordinator_epoch: 1 };
    TransactionEnd { producer_id, producer_epoch, marker, rule: MarkerEpoch::Higher }
}

fn end(partition: &Partition, producer_id: i64, epoch: i16, committed: bool) -> Result<bool, SequenceError> {
    let appending = partition.end_transaction(end_of(producer_id, epoch, committed), NOW);
    appending.outcome.map(|appended| !appended.duplicate)
}

fn committed(from: Offset, max_bytes: usize) -> Fetch {
    Fetch { max_bytes, isolation: Isolation::ReadCommitted, ..fetch(from) }
}

fn aborted(partition: &Partition, from: Offset) -> Vec<(i64, Offset)> {
    let fetched = partition.fetch(&committed(from, 1 << 20)).unwrap();
    fetched.aborted.iter().map(|entry| (entry.producer_id, entry.first_offset)).collect()
}

#[test]
fn a_transaction_needs_to_be_verified_once() {
    let (_log, partition) = fast();
    let (header, records) = transactional(7, 0, 0);
    let unverified = partition.append(header, records.clone(), Acks::All, NOW);
    assert_eq!(unverified.outcome, Err(SequenceError::NotVerified));
    let guard = partition.verify(Verify::of(&header, true), NOW).unwrap();
    assert!(guard.is_some());
    assert_eq!(partition.verify(Verify::of(&header, true), NOW), Ok(guard), "the same, until something is written");
    let first = partition.append_from(Origin::Client(guard), header, records.clone(), Acks::All, NOW);
    assert_eq!(first.outcome.map(|it| it.base_offset), Ok(0));
    let (second, more) = transactional(7, 0, 2);
    assert_eq!(partition.verify(Verify::of(&second, true), NOW), Ok(None));
    assert_eq!(partition.append(second, more, Acks::All, NOW).outcome.map(|it| it.base_offset), Ok(2));
    let again = partition.append(header, records, Acks::All, NOW);
    assert_eq!(again.outcome.map(|it| it.duplicate), Ok(true));
    let (outside, plain) = batch(7, 0, 4, 1);
    assert_eq!(partition.append(outside, plain, Acks::All, NOW).outcome, Err(SequenceError::OutsideTransaction));
}

/// KIP-890's hanging transaction: the end comes between the coordinator's word and the append.
#[test]
fn a_verification_does_not_outlive_the_end_of_its_transaction() {
    let (_log, partition) = fast();
    let (header, records) = transactional(7, 0, 0);
    let guard = partition.verify(Verify::of(&header, false), NOW).unwrap();
    let rule = MarkerEpoch::SameOrHigher;
    let ended = partition.end_transaction(TransactionEnd { rule, ..end_of(7, 0, false) }, NOW);
    assert!(ended.outcome.is_ok());
    let late = partition.append_from(Origin::Client(guard), header, records.clone(), Acks::All, NOW);
    assert_eq!(late.outcome, Err(SequenceError::NotVerified));
    let fresh = partition.verify(Verify::of(&header, false), NOW).unwrap();
    assert_ne!(fresh, guard);
    assert!(partition.append_from(Origin::Client(fresh), header, records, Acks::All, NOW).outcome.is_ok());
}

#[test]
fn a_sequence_does_not_overtake_one_that_waits_for_its_verification() {
    let (_log, partition) = fast();
    let (first, first_records) = transactional(7, 3, 5);
    partition.verify(Verify::of(&first, false), NOW).unwrap();
    let (second, records) = transactional(7, 3, 7);
    let guard = partition.verify(Verify::of(&second, false), NOW).unwrap();
    let overtaking = partition.append_from(Origin::Client(guard), second, records, Acks::All, NOW);
    assert_eq!(overtaking.outcome, Err(SequenceError::OutOfOrder { expected: 5, got: 7 }));
    assert!(partition.append_from(Origin::Client(guard), first, first_records, Acks::All, NOW).outcome.is_ok());
    // With an epoch for each transaction the first sequence number is 0.
    let (late, records) = transactional(8, 0, 4);
    let guard = partition.verify(Verify::of(&late, true), NOW).unwrap();
    let outcome = partition.append_from(Origin::Client(guard), late, records, Acks::All, NOW).outcome;
    assert_eq!(outcome, Err(SequenceError::OutOfOrder { expected: 0, got: 4 }));
}

/// Kafka looks for it among all records, and tells readers of committed ones nothing where it is not committed.
#[test]
fn the_latest_timestamp_is_told_when_it_is_decided() {
    let (_log, partition) = fast();
    drop(send(&partition, 0, 1, Acks::All));
    let ask =
        |isolation| partition.offset_for(OffsetQuery::MaxTimestamp, isolation, None).unwrap().map(|found| found.offset);
    let both = || (ask(Isolation::ReadCommitted), ask(Isolation::ReadUncommitted));
    assert_eq!(both(), (Some(0), Some(0)));
    write(&partition, 8, 0, 0).unwrap();
    write(&partition, 8, 0, 2).unwrap();
    assert_eq!(both(), (None, Some(3)));
    end(&partition, 8, 1, true).unwrap();
    assert_eq!(both(), (Some(5), Some(5)));
}

#[test]
fn markers_of_older_epochs_end_nothing() {
    let (log, partition) = fast();
    write(&partition, 7, 4, 0).unwrap();
    assert_eq!(end(&partition, 7, 4, true), Err(SequenceError::StaleEpoch { current: 4, got: 4 }));
    assert_eq!(end(&partition, 7, 3, true), Err(SequenceError::StaleEpoch { current: 4, got: 3 }));
    assert_eq!(end(&partition, 7, 5, true), Ok(true));
    assert_eq!(end(&partition, 7, 5, true), Ok(false), "it is there");
    assert_eq!(log.batches().len(), 2);
    let zombie = Marker { committed: true, coordinator_epoch: 0 };
    let outcome = partition.end_transaction(TransactionEnd { marker: zombie, ..end_of(7, 6, true) }, NOW).outcome;
    assert_eq!(outcome, Err(SequenceError::StaleCoordinator { current: 1, got: 0 }));
    let outcome = partition.end_transaction(TransactionEnd { marker: zombie, ..end_of(7, 4, true) }, NOW).outcome;
    assert_eq!(outcome, Err(SequenceError::StaleEpoch { current: 5, got: 4 }), "the producer's epoch comes first");
    assert_eq!(write(&partition, 7, 4, 2), Err(SequenceError::StaleEpoch { current: 5, got: 4 }));
    assert_eq!(write(&partition, 7, 5, 0), Ok(3));
    // The older way: a marker bears the epoch of the records.
    let rule = MarkerEpoch::SameOrHigher;
    for _ in 0..2 {
        assert!(partition.end_transaction(TransactionEnd { rule, ..end_of(7, 5, true) }, NOW).outcome.is_ok());
    }
    assert_eq!(log.batches().len(), 5);
}

#[test]
fn readers_of_committed_records_wait_for_what_is_decided_and_durable() {
    let (log, partition) = stalled();
    drop(send(&partition, 0, 1, Acks::All));
    write(&partition, 8, 0, 0).unwrap();
    drop(send(&partition, 1, 1, Acks::All));
    let told = || (partition.high_watermark(), partition.last_stable());
    assert_eq!(told(), (0, 0));
    log.publish(4);
    assert_eq!(told(), (4, 1));
    end(&partition, 8, 1, false).unwrap();
    assert_eq!(told(), (4, 1), "the end is not durable");
    let fetched = partition.fetch(&committed(0, 1 << 20)).unwrap();
    assert_eq!((fetched.slices.len(), fetched.last_stable), (1, 1));
    assert!(partition.fetch(&committed(2, 1 << 20)).unwrap().slices.is_empty());
    log.publish(5);
    assert_eq!(told(), (5, 5));
    let (latest, isolation) = (OffsetQuery::Latest, Isolation::ReadCommitted);
    assert_eq!(partition.offset_for(latest, isolation, None).unwrap().map(|it| it.offset), Some(5));
    assert_eq!(aborted(&partition, 0), [(8, 1)]);
    assert_eq!(partition.fetch(&fetch(0)).unwrap().aborted, [], "of no use to the others");
}

#[test]
fn a_reader_is_told_of_the_aborted_transactions_in_what_it_gets() {
    let (_log, partition) = fast();
    for producer_id in [10, 11, 12] {
        write(&partition, producer_id, 0, 0).unwrap();
        end(&partition, producer_id, 1, producer_id == 11).unwrap();
    }
    assert_eq!(aborted(&partition, 0), [(10, 0), (12, 6)]);
    assert_eq!(aborted(&partition, 3), [(12, 6)]);
    let one = partition.fetch(&committed(0, 1)).unwrap();
    assert_eq!(one.aborted.iter().map(|it| it.producer_id).collect::<Vec<_>>(), [10]);
    assert_eq!(partition.fetch(&committed(3, 1)).unwrap().aborted, []);
}

/// After a clean stop, and after a crash that leaves any of the saved states and of the transaction indexes, readers are told
/// the same.
#[test]
fn transactions_survive_a_restart() {
    for (clean, kept, indexes) in
        [(true, 9, 9), (true, 9, 0), (false, 9, 9), (false, 9, 2), (false, 1, 9), (false, 0, 0)]
    {
        let case = format!("{clean} {kept} {indexes}");
        let (log, partition) = fast();
        log.roll_every(2);
        for round in 0..6 {
            write(&partition, 20 + round, 0, 0).unwrap();
            write(&partition, 30 + round, 0, 0).unwrap();
            end(&partition, 20 + round, 1, round % 2 == 0).unwrap();
        }
        if clean {
            log.save(partition.close_state());
        }
        let known = |partition: &Partition| partition.state.lock().transactions().aborted().entries().to_vec();
        let expected = (partition.last_stable(), known(&partition), partition.state.lock().clone());
        assert_eq!(expected.1.len(), 3);
        let (log, mut stored) = log.crash();
        let states = stored.states.len();
        stored.states.drain(..states.saturating_sub(kept));
        stored.transaction_indexes.truncate(indexes);
        log.publish_at_once();
        let partition = open(&log, stored, 1);
        assert_eq!((partition.last_stable(), known(&partition)), (expected.0, expected.1), "{case}");
        assert!(partition.state.lock().producers() == expected.2.producers(), "{case}");
        assert_eq!(end(&partition, 30, 1, true), Ok(true));
        assert_eq!(partition.last_stable(), 7);
    }
}

#[test]
fn the_transaction_indexes_are_those_of_their_segments() {
    let (log, partition) = fast();
    log.roll_every(2);
    for round in 0..5 {
        write(&partition, 20 + round, 0, 0).unwrap();
        end(&partition, 20 + round, 1, round == 2).unwrap();
    }
    let rolled: Vec<_> = log.states().into_iter().map(|(at, state)| (at, state.transaction_indexes)).collect();
    let bases: Vec<_> =
        rolled.iter().map(|(at, files)| (*at, files.iter().map(|(base, _)| *base).collect::<Vec<_>>())).collect();
    assert_eq!(bases, [(3, vec![0]), (6, vec![3]), (9, vec![]), (12, vec![9])]);
    let (end, closed) = partition.close_state();
    assert_eq!(closed.transaction_indexes.iter().map(|(base, _)| *base).collect::<Vec<_>>(), [12], "the rest is there");
    log.save((end, closed.clone()));
    // Where only Kafka's files are left, they say the same.
    let snapshot =
        closed.files.iter().filter(|file| file.extension == StateFile::SNAPSHOT).cloned().collect::<Vec<_>>();
    let (_, told) = state_of(&snapshot, &log.transaction_indexes(), 0, end, NOW).unwrap().unwrap();
    assert_eq!(told.entries().len(), 4);
    assert_eq!(partition.state.lock().aborted(0, end), told.entries());
}

/// As in `__consumer_offsets`, which nobody fetches from.
#[test]
fn what_has_ended_is_forgotten_where_nobody_reads() {
    let (log, partition) = fast();
    for round in 0..50 {
        write(&partition, 7, round, 0).unwrap();
        end(&partition, 7, round + 1, true).unwrap();
    }
    assert_eq!(partition.state.lock().transactions().ended(), 1, "the last one");
    let (log, stored) = log.crash();
    assert_eq!(open(&log, stored, 1).state.lock().transactions().ended(), 0);
}
