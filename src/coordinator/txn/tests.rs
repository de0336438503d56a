mod any;
mod table;

use super::TxnShard;
use super::records::{Record, TransactionState};
use super::request::{Description, Filters, Listed, Reply, Request, TopicPartition, TransactionVersion, WriteMarkers};
use super::script::{Bench, ID, TIMEOUT_MS, partitions, producer};
use crate::coordinator::records::RECORD_BATCH_BYTES;
use crate::coordinator::{Now, Shard};
use crate::wire::errors::ErrorCode;
use TransactionVersion::{V0, V2};

/// The last epoch that a client may have.
const LAST: i16 = i16::MAX - 1;

#[test]
fn what_is_wrong_with_a_request_is_told_before_anything_else() {
    let mut bench = Bench::with(|settings| settings.max_timeout_ms = 900_000);
    assert_eq!(bench.init_as("", TIMEOUT_MS, None), Err(ErrorCode::InvalidRequest));
    for timeout_ms in [i32::MIN, -1, 0, 900_001, i32::MAX] {
        assert_eq!(bench.init_as(ID, timeout_ms, None), Err(ErrorCode::InvalidTransactionTimeout), "{timeout_ms}");
    }
    assert!(bench.init_as(ID, 900_000, None).is_ok());
    assert!(bench.init_as(ID, 1, None).is_ok());

    let transactional_id = String::new;
    let (producer, partitions) = (producer(1_001, 1), partitions(&[0]));
    for version in [V0, V2] {
        let partitions = partitions.clone();
        let added = Request::AddPartitions { transactional_id: transactional_id(), producer, partitions, version };
        assert_eq!(bench.ask(added), Reply::AddPartitions(ErrorCode::InvalidRequest));
        let ended = Request::EndTransaction {
            transactional_id: transactional_id(),
            producer,
            committed: true,
            version,
            fresh: None,
        };
        assert_eq!(bench.ask(ended), Reply::EndTransaction(Err(ErrorCode::InvalidRequest)));
    }
    let verified = Request::VerifyPartitions { transactional_id: transactional_id(), producer, partitions };
    assert_eq!(bench.ask(verified), Reply::VerifyPartitions(Err(ErrorCode::InvalidRequest)));
    let described = Request::Describe { transactional_id: transactional_id() };
    assert_eq!(bench.ask(described), Reply::Describe(Err(ErrorCode::InvalidRequest)));
}

#[test]
fn every_client_that_begins_gets_a_higher_epoch() {
    let mut bench = Bench::new();
    for epoch in 0..3 {
        assert_eq!(bench.init(None), Ok(producer(1_001, epoch)));
    }
    assert_eq!(bench.init_as("other", TIMEOUT_MS, None), Ok(producer(1_002, 0)));
    // What it says that it had is worth nothing where the id has expired.
    assert_eq!(bench.init_as("third", TIMEOUT_MS, Some(producer(5, 5))), Ok(producer(1_003, 0)));
    assert_eq!((bench.tx().start_ms, bench.tx().timeout_ms, bench.tx().last_update_ms), (-1, TIMEOUT_MS, 1_000_000));
}

#[test]
fn a_client_that_goes_on_gets_the_same_answer_when_it_asks_again() {
    let mut bench = Bench::new();
    let first = bench.init(None).unwrap();
    let second = bench.init(Some(first)).unwrap();
    assert_eq!(second, producer(1_001, 1));
    assert_eq!([bench.init(Some(first)), bench.init(Some(first))], [Ok(second); 2]);
    assert_eq!(bench.init(Some(second)), Ok(producer(1_001, 2)));
    assert_eq!(bench.init(Some(first)), Err(ErrorCode::ProducerFenced));
    let other = bench.init(None).unwrap();
    assert_eq!(bench.init(Some(producer(1_001, 2))), Err(ErrorCode::ProducerFenced), "another one has begun");
    assert_eq!(bench.init(Some(producer(999, 3))), Err(ErrorCode::ProducerFenced));
    // Which epoch was before is not in the record.
    bench.init(Some(other)).unwrap();
    bench.restart();
    assert_eq!(bench.init(Some(other)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_transaction_goes_all_the_way() {
    let mut bench = Bench::new();
    let first = bench.init(None).unwrap();
    bench.advance(5);
    assert_eq!(bench.add(first, &[1, 0], V2), ErrorCode::None);
    bench.advance(5);
    assert_eq!(bench.add(first, &[2, 1], V2), ErrorCode::None);
    let written = bench.log.len();
    assert_eq!(bench.add(first, &[2, 1], V2), ErrorCode::None);
    assert_eq!(bench.log.len(), written, "nothing is new");
    assert_eq!(bench.verify(first, &[0, 3, 2]), Ok([0, 120, 0].map(|code| ErrorCode::from_code(code).unwrap()).into()));

    bench.advance(5);
    let second = bench.end(first, true, V2).unwrap();
    assert_eq!(second, producer(1_001, 1));
    let command = WriteMarkers {
        transactional_id: ID.into(),
        producer: second,
        committed: true,
        version: V2,
        partitions: partitions(&[0, 1, 2]),
        life: 1,
    };
    assert_eq!(bench.commands, [command]);
    let tx = bench.tx();
    assert_eq!((tx.start_ms, tx.last_update_ms, tx.partitions.len()), (1_000_005, 1_000_015, 3));
    bench.advance(5);
    bench.write_markers();
    let tx = bench.tx();
    assert_eq!((tx.state, tx.producer, tx.partitions.len()), (TransactionState::CompleteCommit, second, 0));
    assert_eq!((tx.start_ms, tx.last_update_ms), (1_000_005, 1_000_020));
    assert_eq!(bench.verify(second, &[0]), Ok(vec![ErrorCode::TransactionAbortable]));

    let states = bench.log.iter().filter_map(|record| Some(record.value.as_ref()?.transaction_status.name()));
    let all = ["Empty", "Ongoing", "Ongoing", "PrepareCommit", "CompleteCommit"];
    assert_eq!(states.collect::<Vec<_>>(), all);
    // As Kafka has it: the id before the change, whatever the change.
    let previous = bench.log.iter().filter_map(|record| Some(record.value.as_ref()?.previous_producer_id));
    assert_eq!(previous.collect::<Vec<_>>(), [1_001; 5]);
}

#[test]
fn clients_of_before_keep_their_epoch() {
    let (mut bench, first) = Bench::at(TransactionState::Ongoing, V0);
    assert_eq!(bench.end(first, false, V0), Ok(producer(-1, -1)));
    assert_eq!((bench.tx().producer, bench.tx().version), (first, V0));
    assert_eq!(bench.commands[0].version, V0);
    bench.write_markers();
    assert_eq!(bench.end(first, false, V0), Ok(producer(-1, -1)));
    assert_eq!(bench.add(first, &[1], V0), ErrorCode::None);
}

#[test]
fn with_v2_nothing_can_be_aborted_too() {
    for (state, version) in [
        (TransactionState::Empty, V2),
        (TransactionState::CompleteCommit, V2),
        (TransactionState::CompleteAbort, V2),
        (TransactionState::Empty, V0),
    ] {
        let (mut bench, current) = Bench::at(state, version);
        bench.advance(7);
        let next = bench.end(current, false, V2).unwrap();
        assert_eq!(next, producer(current.producer_id, current.producer_epoch + 1));
        let [command] = &bench.commands[..] else { panic!("{:?}", bench.commands) };
        assert!(command.partitions.is_empty() && !command.committed);
        assert_eq!(bench.tx().start_ms, bench.now.wall, "as Kafka has it");
        bench.write_markers();
        assert_eq!(bench.tx().state, TransactionState::CompleteAbort);
        assert_eq!(bench.end(current, false, V2), Ok(next), "once more");
    }
}

#[test]
fn a_client_that_begins_ends_the_transaction_of_the_one_before() {
    for version in [V0, V2] {
        let (mut bench, zombie) = Bench::at(TransactionState::Ongoing, version);
        assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
        let tx = bench.tx();
        let fenced = producer(zombie.producer_id, zombie.producer_epoch + 1);
        assert_eq!((tx.state, tx.producer, tx.version), (TransactionState::PrepareAbort, fenced, V2));
        assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(bench.commands.len(), 1, "it is aborted once");
        assert_eq!(bench.verify(zombie, &[0]), Err(ErrorCode::ProducerFenced));
        bench.write_markers();
        assert_eq!(bench.init(None), Ok(producer(zombie.producer_id, zombie.producer_epoch + 2)));
        assert_eq!(bench.add(zombie, &[0], version), ErrorCode::ProducerFenced);
        assert_eq!(bench.end(zombie, true, version), Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.init(Some(zombie)), Err(ErrorCode::ProducerFenced));
    }
}

/// Where a client of before has taken the place of one with V2, the epoch before is not that of the transaction that ended.
#[test]
fn an_instance_that_is_fenced_does_not_pass_for_one_that_asks_again() {
    for committed in [true, false] {
        let (mut bench, zombie) = Bench::at(TransactionState::CompleteCommit, V2);
        let current = bench.init(None).unwrap();
        assert_eq!(current.producer_epoch, zombie.producer_epoch + 1);
        bench.add(current, &[0], V0);
        bench.end(current, committed, V0).unwrap();
        bench.write_markers();
        assert_eq!([true, false].map(|it| bench.end(zombie, it, V2)), [Err(ErrorCode::ProducerFenced); 2]);
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    for version in [V0, V2] {
        let (mut bench, late) = Bench::at(TransactionState::Ongoing, version);
        bench.advance(30_000);
        assert_eq!(bench.add(late, &[1], version), ErrorCode::None, "which does not make it last longer");
        bench.advance(29_999);
        assert_eq!(bench.tx().state, TransactionState::Ongoing);
        bench.advance(1);
        let fenced = producer(late.producer_id, late.producer_epoch + 1);
        assert_eq!((bench.tx().state, bench.tx().producer), (TransactionState::PrepareAbort, fenced));
        assert_eq!(bench.commands[0].partitions, partitions(&[0, 1]));
        bench.write_markers();
        assert_eq!(bench.add(late, &[0], version), ErrorCode::ProducerFenced);
        let committed = if version == V2 { ErrorCode::InvalidTxnState } else { ErrorCode::ProducerFenced };
        assert_eq!(bench.end(late, true, version), Err(committed));
        let aborted = if version == V2 { Ok(fenced) } else { Err(ErrorCode::ProducerFenced) };
        assert_eq!(bench.end(late, false, version), aborted, "what V2 takes for the answer that got lost");
    }
}

#[test]
fn a_transaction_that_has_ended_is_not_aborted_for_its_age() {
    let (mut bench, current) = Bench::at(TransactionState::Ongoing, V2);
    bench.advance(59_999);
    let next = bench.end(current, true, V2).unwrap();
    bench.write_markers();
    assert_eq!(bench.add(next, &[0], V2), ErrorCode::None);
    bench.advance(59_999);
    assert_eq!(bench.tx().state, TransactionState::Ongoing, "the next has a time of its own");
    bench.advance(1);
    assert_eq!(bench.tx().state, TransactionState::PrepareAbort);
}

#[test]
fn clocks_that_are_set_abort_nothing_early() {
    // Live, the wall clock means nothing.
    let (mut bench, _) = Bench::at(TransactionState::Ongoing, V2);
    bench.now.wall += 1_000_000_000;
    bench.advance(59_999);
    assert_eq!(bench.tx().state, TransactionState::Ongoing);

    // After a restart nothing else tells its age; it is never taken to be younger than it can be.
    for (passed_ms, left_ms) in [(20_000, 40_000), (-3_600_000, 60_000), (3_600_000, 0)] {
        let (mut bench, _) = Bench::at(TransactionState::Ongoing, V2);
        bench.now = Now { monotonic: 5_000_000, wall: bench.now.wall + passed_ms };
        bench.restart();
        assert_eq!(bench.shard.next_deadline(), Some(5_000_000 + left_ms), "{passed_ms}");
        bench.advance(left_ms);
        assert_eq!(bench.tx().state, TransactionState::PrepareAbort);
    }

    let (mut bench, _) = Bench::at(TransactionState::Ongoing, V2);
    bench.stored(|tx| tx.timeout_ms = i32::MAX);
    bench.advance(i64::from(i32::MAX));
    assert_eq!(bench.tx().state, TransactionState::Ongoing, "Kafka's sign of a two-phase commit");
}

#[test]
fn a_decision_is_carried_out_by_whoever_comes_next() {
    for committed in [true, false] {
        for version in [V0, V2] {
            let (mut bench, current) = Bench::at(TransactionState::Ongoing, version);
            bench.end(current, committed, version).unwrap();
            let before = bench.commands.clone();
            bench.restart();
            let [again] = &bench.commands[..] else { panic!("{:?}", bench.commands) };
            assert_eq!(*again, WriteMarkers { life: 2, ..before[0].clone() });

            bench.report(&before[0]);
            assert!(bench.tx().state.is_ending(), "what was reported to the one before is not it");
            bench.write_markers();
            let state = if committed { TransactionState::CompleteCommit } else { TransactionState::CompleteAbort };
            assert_eq!(bench.tx().state, state);
        }
    }
}

#[test]
fn markers_of_what_is_over_mean_nothing() {
    let (mut bench, current) = Bench::at(TransactionState::PrepareCommit, V2);
    let command = bench.commands[0].clone();
    bench.write_markers();
    assert_eq!(bench.add(current, &[5], V2), ErrorCode::None);
    bench.report(&command);
    assert_eq!(bench.tx().state, TransactionState::Ongoing);
    bench.end(current, false, V2).unwrap();
    bench.report(&command);
    assert_eq!(bench.tx().state, TransactionState::PrepareAbort);
    bench.report(&WriteMarkers { transactional_id: "gone".into(), ..command });
}

#[test]
fn a_producer_whose_epochs_are_used_up_goes_on_with_another_id() {
    let (mut bench, _) = Bench::at(TransactionState::Empty, V2);
    bench.stored(|tx| tx.producer = producer(7, LAST - 1));
    let last = producer(7, LAST);
    assert_eq!(bench.init(Some(producer(7, LAST - 1))), Ok(last));
    assert_eq!(bench.init(Some(producer(7, LAST - 1))), Ok(last), "once more; Kafka's coordinator fails here");
    let id = bench.init(Some(last)).unwrap();
    assert_eq!((id.producer_epoch, id.producer_id > 1_000), (0, true));
    assert_eq!(bench.init(Some(last)), Ok(id), "once more");
    assert_eq!(bench.init(Some(producer(7, 3))), Err(ErrorCode::ProducerFenced));

    bench.stored(|tx| tx.producer = last);
    assert_eq!(bench.init(Some(producer(7, 3))), Err(ErrorCode::ProducerFenced));
    let id = bench.init(None).unwrap();
    assert_eq!((id.producer_epoch, id.producer_id > 1_000), (0, true));
    assert_eq!(bench.init(Some(last)), Err(ErrorCode::ProducerFenced), "another one has begun");
}

#[test]
fn a_transaction_of_the_last_epoch_ends_with_another_id() {
    for (state, committed) in [
        (TransactionState::Ongoing, true),
        (TransactionState::Ongoing, false),
        (TransactionState::CompleteCommit, false),
        (TransactionState::Empty, false),
    ] {
        let (mut bench, _) = Bench::at(state, V2);
        let last = producer(7, LAST);
        bench.stored(|tx| tx.producer = last);
        let next = bench.end(last, committed, V2).unwrap();
        assert_eq!((next.producer_epoch, next.producer_id > 1_000), (0, true));
        assert_eq!(bench.commands[0].producer, producer(7, i16::MAX));
        // The new one is known already, and waits like everybody.
        assert_eq!(bench.add(next, &[0], V2), ErrorCode::ConcurrentTransactions);
        assert_eq!(bench.end(last, committed, V2), Err(ErrorCode::ConcurrentTransactions));
        bench.restart();
        bench.write_markers();
        assert_eq!((bench.tx().producer, bench.tx().previous_producer_id), (next, 7));
        assert_eq!(bench.end(last, committed, V2), Ok(next), "once more");
        assert_eq!(bench.end(last, !committed, V2), Err(ErrorCode::InvalidTxnState));
        assert_eq!(bench.end(producer(7, LAST - 1), committed, V2), Err(ErrorCode::InvalidProducerIdMapping));
        assert_eq!(bench.add(next, &[0], V2), ErrorCode::None);
        assert_eq!(bench.end(last, committed, V2), Err(ErrorCode::InvalidProducerIdMapping));
    }
}

#[test]
fn the_highest_epoch_is_nobodys() {
    for asks in [0, 1, 2, 3] {
        let (mut bench, _) = Bench::at(TransactionState::Ongoing, V2);
        let last = producer(7, LAST);
        bench.stored(|tx| tx.producer = last);
        bench.advance(60_000);
        let highest = producer(7, i16::MAX);
        assert_eq!((bench.tx().state, bench.tx().producer), (TransactionState::PrepareAbort, highest));
        bench.write_markers();
        assert_eq!(bench.add(highest, &[0], V2), ErrorCode::ProducerFenced);
        assert_eq!(bench.end(highest, false, V2), Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.end(highest, false, V0), Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.verify(highest, &[0]), Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.end(last, true, V2), Err(ErrorCode::InvalidTxnState));
        let next = match asks {
            0 => bench.end(last, false, V2).unwrap(),
            1 => bench.init(Some(last)).unwrap(),
            2 => bench.init(None).unwrap(),
            _ => {
                bench.stored(|tx| (tx.producer, tx.state) = (highest, TransactionState::Ongoing));
                assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
                assert_eq!(bench.tx().producer, highest, "there is none above");
                bench.write_markers();
                bench.init(None).unwrap()
            }
        };
        assert_eq!((next.producer_epoch, next.producer_id > 1_000), (0, true));
        if asks == 0 {
            assert_eq!(bench.end(last, false, V2), Ok(next), "once more");
            bench.restart();
            assert_eq!(bench.end(last, false, V2), Ok(next), "and across a restart");
        }
        assert_eq!(bench.add(next, &[0], V2), ErrorCode::None);
    }
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let states = [TransactionState::Empty, TransactionState::CompleteCommit, TransactionState::CompleteAbort];
    for state in states {
        let (mut bench, current) = Bench::at(state, V2);
        bench.advance(bench.settings.id_expiration_ms - 1);
        assert!(bench.shard.transaction(ID).is_some());
        bench.advance(bench.settings.cleanup_interval_ms);
        assert!(bench.shard.transaction(ID).is_none());
        assert_eq!(bench.log.last(), Some(&Record { transactional_id: ID.into(), value: None }));
        assert_eq!(bench.add(current, &[0], V2), ErrorCode::InvalidProducerIdMapping);
        assert_eq!(bench.init(Some(current)).map(|producer| producer.producer_epoch), Ok(0));
    }
    let (mut bench, _) = Bench::at(TransactionState::PrepareCommit, V2);
    bench.advance(bench.settings.id_expiration_ms * 2);
    assert_eq!(bench.tx().state, TransactionState::PrepareCommit, "what is decided is kept until it is done");
}

#[test]
fn a_transaction_may_grow_to_what_the_log_takes() {
    let mut bench = Bench::with(|settings| settings.max_record_bytes = 2_000);
    let current = bench.init(None).unwrap();
    let most = (1..).find(|&count| bench.add(current, &(0..count).collect::<Vec<_>>(), V2) != ErrorCode::None).unwrap();
    assert_eq!(bench.add(current, &[most], V2), ErrorCode::UnknownServerError);
    assert_eq!(bench.tx().partitions.len() as i32, most - 1);
    // Its last records are the largest: those in which it has three producer ids.
    bench.stored(|tx| tx.producer = producer(i64::MAX, LAST));
    bench.end(producer(i64::MAX, LAST), true, V2).unwrap();
    let size = |record: &Record| {
        let (key, value) = TxnShard::encode(record).unwrap();
        RECORD_BATCH_BYTES + key.len() + value.unwrap().len()
    };
    let largest = bench.log.iter().map(size).max().unwrap();
    assert!((1_950..=2_000).contains(&largest), "{largest}");

    let id = "x".repeat(i16::MAX as usize + 1);
    assert_eq!(bench.init_as(&id, TIMEOUT_MS, None), Err(ErrorCode::UnknownServerError));
    assert!(bench.shard.transaction(&id).is_none());
}

#[test]
fn what_there_is_is_described_and_listed() {
    let (mut bench, current) = Bench::at(TransactionState::Ongoing, V2);
    bench.add(current, &[2, 1], V2);
    let a = TopicPartition { topic: "a".into(), partition: 3 };
    let request =
        |partitions| Request::AddPartitions { transactional_id: ID.into(), producer: current, partitions, version: V2 };
    bench.ask(request(vec![a.clone()]));
    let description = Description {
        state: "Ongoing",
        transaction_timeout_ms: TIMEOUT_MS,
        transaction_start_time_ms: 1_000_000,
        producer: current,
        partitions: [vec![a], partitions(&[0, 1, 2])].concat(),
    };
    let describe = |id: &str| Request::Describe { transactional_id: id.into() };
    assert_eq!(bench.ask(describe(ID)), Reply::Describe(Ok(description)));
    assert_eq!(bench.ask(describe("no")), Reply::Describe(Err(ErrorCode::TransactionalIdNotFound)));

    bench.advance(100);
    bench.init_as("empty", TIMEOUT_MS, None).unwrap();
    let mut list = |filters: Filters| match bench.ask(Request::List(filters.into())) {
        Reply::List(listed) => {
            listed.into_iter().map(|it| format!("{} {} {}", it.transactional_id, it.producer_id, it.state)).collect()
        }
        other => panic!("{other:?}"),
    };
    let all = || Filters { duration_ms: -1, ..Filters::default() };
    let [empty, ongoing] = ["empty 1002 Empty", "tx 1001 Ongoing"];
    let pattern = |text: &str| Some(crate::coordinator::expressions::compile(text).unwrap());
    let table: Vec<(Filters, Vec<&str>)> = vec![
        (all(), vec![empty, ongoing]),
        (Filters { producer_ids: [1_001, 7].into(), ..all() }, vec![ongoing]),
        (Filters { states: ["Empty", "PrepareCommit"].into(), ..all() }, vec![empty]),
        (Filters { states: ["empty", "Dead"].into(), ..all() }, vec![]),
        (Filters { duration_ms: 99, ..all() }, vec![empty, ongoing]),
        // One that never began is older than any.
        (Filters { duration_ms: 100, ..all() }, vec![empty]),
        (Filters { transactional_id_pattern: pattern("t|tx"), ..all() }, vec![ongoing]),
        (Filters { transactional_id_pattern: pattern("t"), ..all() }, vec![]),
        (Filters { producer_ids: [1_002].into(), states: ["Ongoing"].into(), ..all() }, vec![]),
    ];
    for (filters, expected) in table {
        let listed: Vec<String> = list(filters.clone());
        assert_eq!(listed, expected, "{filters:?}");
    }
}

/// So that the names of fields are used as they are meant.
#[test]
fn listed_is_what_is_known() {
    let (mut bench, current) = Bench::at(TransactionState::CompleteAbort, V2);
    let listed = Listed { transactional_id: ID.into(), producer_id: current.producer_id, state: "CompleteAbort" };
    assert_eq!(
        bench.ask(Request::List(Filters { duration_ms: -1, ..Filters::default() }.into())),
        Reply::List(vec![listed])
    );
}
