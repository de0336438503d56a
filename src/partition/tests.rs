use super::test_log::{TestLog, batch, broken};
use super::*;
use crate::log::EpochStart;
use futures_util::FutureExt;
use proptest::prelude::*;

mod recorded;
mod transactions;

const NOW: Millis = 5_000;

fn open(log: &Arc<TestLog>, stored: Recovered, leader_epoch: i32) -> Partition {
    Partition::open(log.clone(), stored, leader_epoch, NOW).unwrap()
}

fn stalled() -> (Arc<TestLog>, Partition) {
    let log = TestLog::new();
    let partition = open(&log, Recovered::empty(), 1);
    (log, partition)
}

fn fast() -> (Arc<TestLog>, Partition) {
    let (log, partition) = stalled();
    log.publish_at_once();
    (log, partition)
}

/// Starts the append of `count` records of producer 7.
fn send(partition: &Partition, sequence: i32, count: i32, required: Acks) -> Appending {
    let (header, records) = batch(7, 0, sequence, count);
    partition.append(header, records, required, NOW)
}

/// Appends on a log that publishes at once.
fn sent(partition: &Partition, sequence: i32, count: i32) -> Result<Appended, AppendError> {
    send(partition, sequence, count, Acks::All).finish().now_or_never().map(untimed).unwrap()
}

/// Without the time that a duplicate is told, which is the original's.
fn untimed(outcome: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
    outcome.map(|appended| Appended { log_append_time: -1, ..appended })
}

fn at(base_offset: Offset, duplicate: bool) -> Result<Appended, AppendError> {
    Ok(Appended { base_offset, log_append_time: -1, log_start_offset: 0, duplicate })
}

fn out_of_order(expected: i32, got: i32) -> Result<Appended, AppendError> {
    Err(AppendError::Sequence(SequenceError::OutOfOrder { expected, got }))
}

#[tokio::test]
async fn acks_decide_how_long_an_answer_waits() {
    let (log, partition) = stalled();
    let none = send(&partition, 0, 1, Acks::None);
    let mut leader = Box::pin(send(&partition, 1, 1, Acks::Leader).finish());
    let mut all = Box::pin(send(&partition, 2, 1, Acks::All).finish());
    let mut none = Box::pin(none.finish());
    assert_eq!(((&mut none).now_or_never(), (&mut leader).now_or_never()), (None, None));
    log.write();
    assert_eq!(none.await, at(0, false));
    assert_eq!((&mut leader).now_or_never(), Some(at(1, false)));
    assert_eq!((&mut all).now_or_never(), None);
    log.publish(2);
    assert_eq!((&mut all).now_or_never(), None);
    log.publish(3);
    assert_eq!(all.await, at(2, false));
}

#[tokio::test]
async fn a_duplicate_is_answered_with_the_original_once_that_is_durable() {
    let (log, partition) = stalled();
    let _first = send(&partition, 0, 2, Acks::All);
    let _second = send(&partition, 2, 1, Acks::All);
    let mut again = Box::pin(send(&partition, 0, 2, Acks::All).finish());
    let mut leader = Box::pin(send(&partition, 0, 2, Acks::Leader).finish());
    assert_eq!(((&mut again).now_or_never(), (&mut leader).now_or_never()), (None, None));
    log.write();
    assert_eq!((&mut leader).now_or_never().map(untimed), Some(at(0, true)));
    log.publish(1);
    assert_eq!((&mut again).now_or_never(), None);
    log.publish(2);
    let again = again.await;
    assert_eq!(again.as_ref().map(|appended| appended.log_append_time), Ok(1_000), "the original's");
    assert_eq!(untimed(again), at(0, true));
    assert_eq!((log.batches().len(), partition.duplicates()), (2, 2));
}

#[tokio::test]
async fn an_error_waits_until_what_it_was_computed_from_is_durable() {
    let (log, partition) = stalled();
    let _first = send(&partition, 0, 2, Acks::All);
    let mut gap = Box::pin(send(&partition, 5, 1, Acks::Leader).finish());
    log.write();
    assert_eq!((&mut gap).now_or_never(), None);
    let _later = send(&partition, 2, 1, Acks::All);
    log.publish(2);
    assert_eq!(gap.await, out_of_order(2, 5));

    let lost = send(&partition, 9, 1, Acks::All);
    log.fail();
    assert_eq!(lost.finish().await, Err(AppendError::Log(broken())));
}

#[tokio::test]
async fn a_failed_log_fails_what_was_not_durable_and_all_that_comes() {
    let (log, partition) = stalled();
    let durable = send(&partition, 0, 1, Acks::All);
    let lost = send(&partition, 1, 1, Acks::All);
    log.publish(1);
    assert_eq!(partition.failed(), None);
    log.fail();
    assert_eq!(durable.finish().await, at(0, false));
    assert_eq!(lost.finish().await, Err(AppendError::Log(broken())));
    assert_eq!(send(&partition, 1, 1, Acks::All).finish().await, Err(AppendError::Log(broken())));
    assert_eq!(partition.failed(), Some(broken()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_from_many_threads_keep_their_order() {
    let (log, partition) = fast();
    let partition = Arc::new(partition);
    let tasks: Vec<_> = (0..4)
        .map(|producer_id| {
            let partition = partition.clone();
            tokio::spawn(async move {
                for sequence in 0..200 {
                    let (header, records) = batch(producer_id, 0, sequence * 3, 3);
                    let done = partition.append(header, records.clone(), Acks::All, NOW);
                    let appended = done.finish().await.unwrap();
                    let fetched = partition.fetch(&fetch(appended.base_offset)).unwrap();
                    assert!(text(&fetched).contains(std::str::from_utf8(&records).unwrap()));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let batches = log.batches();
    assert_eq!(batches.len(), 800);
    for pair in batches.windows(2) {
        assert_eq!(pair[1].header.base_offset, pair[0].header.next_offset());
    }
    for producer_id in 0..4 {
        let own = batches.iter().filter(|batch| batch.header.producer_id == producer_id);
        assert!(own.map(|batch| batch.header.base_sequence).is_sorted());
    }
}

#[test]
fn the_state_of_a_roll_is_that_before_the_batch() {
    let (log, partition) = fast();
    log.roll_every(3);
    for sequence in 0..20 {
        sent(&partition, sequence, 1).unwrap();
    }
    let states = log.states();
    assert_eq!(states.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [3, 6, 9, 12, 15, 18]);
    for (offset, OwnerState { files, .. }) in states {
        let mut expected = Producers::default();
        let before = log.batches().into_iter().filter(|batch| batch.header.base_offset < offset);
        before.for_each(|batch| _ = expected.apply(&batch.header, NOW));
        assert_eq!(state_of(&files, &[], 0, offset, NOW).unwrap().unwrap().0, expected);
        assert_eq!(files.len(), 2);
    }
}

/// P01 across restarts: after a clean stop, after a crash with state from an earlier roll, after one with none that
/// can be read, the last five are known and the sixth is not.
#[test]
fn the_window_of_five_survives_a_restart() {
    for (roll_every, clean, damage, replayed_from) in [
        (0, true, 0, None),
        (0, false, 0, Some(0)),
        (4, false, 0, Some(16)),
        (4, false, 1, Some(8)),
        (4, false, 9, Some(0)),
    ] {
        let (log, partition) = fast();
        log.roll_every(roll_every);
        for sequence in 0..9 {
            sent(&partition, sequence * 2, 2).unwrap();
        }
        if clean {
            log.save(partition.close_state());
        }
        let (log, mut stored) = log.crash();
        let from = Arc::new(Mutex::new(None));
        let (seen, mut replay) = (from.clone(), stored.replay);
        stored.replay = Box::new(move |from, each| {
            *seen.lock() = Some(from);
            replay(from, each)
        });
        for (_, files) in stored.states.iter_mut().take(damage) {
            files.iter_mut().for_each(|file| file.bytes[7] ^= 1);
        }
        stored.states.insert(0, (18, Vec::new()));
        log.publish_at_once();
        let partition = open(&log, stored, 2);
        assert_eq!(*from.lock(), replayed_from);
        for sequence in 4..9 {
            assert_eq!(sent(&partition, sequence * 2, 2), at(i64::from(sequence) * 2, true), "{roll_every} {clean}");
        }
        assert_eq!(sent(&partition, 6, 2), out_of_order(18, 6));
        assert_eq!(partition.duplicates(), 5);
        assert_eq!(sent(&partition, 18, 2), at(18, false));
    }
}

/// Between that state and the first batch left, batches of the producer are gone: going by it would see a gap.
#[test]
fn state_from_before_the_first_batch_is_not_used() {
    let (log, partition) = fast();
    log.roll_every(2);
    for sequence in 0..6 {
        sent(&partition, sequence, 1).unwrap();
    }
    let (log, mut stored) = log.crash();
    stored.states.retain(|(offset, _)| *offset == 2);
    stored.first_batch = 6;
    stored.replay = Box::new(|_, _| Ok(()));
    log.publish_at_once();
    let partition = open(&log, stored, 1);
    assert_eq!(partition.producer_count(), 0);
    assert_eq!(sent(&partition, 6, 1), at(6, false));
}

/// After compaction the last offsets may have no batch.
#[test]
fn the_log_end_is_where_the_log_says() {
    let log = TestLog::new();
    let stored = Recovered { log_end: 9, ..Recovered::empty() };
    assert_eq!(open(&log, stored, 1).close_state().0, 9);
}

/// State of a roll whose batch was lost is newer than the log.
#[test]
fn state_from_beyond_the_log_end_is_not_used() {
    let (log, partition) = stalled();
    log.roll_every(1);
    (0..4).for_each(|sequence| drop(send(&partition, sequence, 1, Acks::All)));
    log.publish(2);
    let (log, stored) = log.crash();
    assert!(stored.states.iter().any(|(offset, _)| *offset == 3));
    log.publish_at_once();
    let partition = open(&log, stored, 1);
    assert_eq!(sent(&partition, 1, 1), at(1, true));
    assert_eq!(sent(&partition, 2, 1), at(2, false));
}

#[test]
fn a_log_that_cannot_be_replayed_is_not_opened() {
    let stored = Recovered { log_end: 1, replay: Box::new(|_, _| Err(broken())), ..Recovered::empty() };
    let outcome = Partition::open(TestLog::new(), stored, 1, NOW).map(|_| ());
    assert_eq!(outcome, Err(OpenError::Log(broken())));
}

#[test]
fn an_epoch_is_stored_with_its_first_batch_and_with_no_other() {
    let (log, partition) = fast();
    assert_eq!(log.epochs(), []);
    sent(&partition, 0, 3).unwrap();
    let first = EpochStart { epoch: 1, start: 0 };
    assert_eq!(log.epochs(), [first]);

    let (log, mut stored) = log.crash();
    // An epoch whose only batch was lost.
    stored.epochs.push(EpochStart { epoch: 9, start: 3 });
    log.publish_at_once();
    let partition = open(&log, stored, 4);
    assert_eq!(partition.end_offset_for_epoch(4, None), Ok(Some((4, 3))));
    assert_eq!(log.epochs(), []);
    sent(&partition, 3, 1).unwrap();
    assert_eq!(log.epochs(), [first, EpochStart { epoch: 4, start: 3 }]);
    assert_eq!(partition.end_offset_for_epoch(2, Some(4)), Ok(Some((1, 3))));
    assert_eq!(partition.end_offset_for_epoch(5, None), Ok(None));
    assert_eq!(partition.end_offset_for_epoch(1, Some(3)), Err(FetchError::FencedLeaderEpoch));

    let (log, stored) = log.crash();
    let outcome = Partition::open(log, stored, 3, NOW).map(|_| ());
    assert_eq!(outcome, Err(OpenError::EpochBehind { stored: 4, given: 3 }));
}

#[test]
fn a_duplicate_gets_the_originals_append_time() {
    let (log, partition) = fast();
    let timed = |now| {
        let (mut header, records) = batch(7, 0, 0, 2);
        header.set_append_time(now);
        partition.append(header, records, Acks::All, now).finish().now_or_never()
    };
    let appended = timed(6_000).unwrap().unwrap();
    assert_eq!((appended.log_append_time, appended.duplicate), (6_000, false));
    let again = timed(7_000).unwrap().unwrap();
    assert_eq!((again.log_append_time, again.duplicate), (6_000, true));
    assert_eq!(log.batches()[0].header.max_timestamp, 6_000);
    assert_eq!(sent(&partition, 0, 2), at(0, true));
}

#[test]
fn idle_producers_are_forgotten() {
    let (_log, partition) = fast();
    sent(&partition, 0, 1).unwrap();
    assert_eq!(partition.expire_producers(NOW + 99, 100), 0);
    assert_eq!(partition.expire_producers(NOW + 100, 100), 1);
    assert_eq!(partition.producer_count(), 0);
}

fn fetch(from: Offset) -> Fetch {
    Fetch {
        from,
        max_bytes: 1,
        first_whole: true,
        leader_epoch: None,
        isolation: Isolation::ReadUncommitted,
        wait: Wait::Never,
    }
}

fn text(fetched: &Fetched) -> String {
    let bytes = fetched.slices.iter().map(|slice| match slice {
        Slice::Memory(bytes) => &bytes[61..],
        Slice::File { .. } => panic!("the test log has no files"),
    });
    bytes.map(String::from_utf8_lossy).collect()
}

#[test]
fn a_reader_sees_what_is_published_and_no_more() {
    let (log, partition) = stalled();
    (0..4).for_each(|sequence| drop(send(&partition, sequence, 1, Acks::All)));
    log.publish(2);
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let all = Fetch { max_bytes: usize::MAX, isolation, ..fetch(0) };
        let fetched = partition.fetch(&all).unwrap();
        assert_eq!(text(&fetched), "7/0/0+17/0/1+1");
        assert_eq!((fetched.log_start, fetched.last_stable, fetched.high_watermark), (0, 2, 2));
    }
    for from in [2, 3, 4] {
        assert!(partition.fetch(&fetch(from)).unwrap().slices.is_empty(), "at {from}");
    }
    for from in [-1, 5, i64::MAX] {
        assert!(matches!(partition.fetch(&fetch(from)), Err(FetchError::OutOfRange)), "at {from}");
    }
    assert!(partition.fetch(&Fetch { first_whole: false, ..fetch(0) }).unwrap().slices.is_empty());
    log.trim(1);
    assert!(matches!(partition.fetch(&fetch(0)), Err(FetchError::OutOfRange)));
    assert_eq!(partition.fetch(&fetch(1)).unwrap().log_start, 1);
}

#[test]
fn the_clients_leader_epoch_must_be_ours() {
    let (_log, partition) = fast();
    let with = |leader_epoch| partition.fetch(&Fetch { leader_epoch, ..fetch(0) }).map(|_| ());
    assert_eq!(with(None), Ok(()));
    assert_eq!(with(Some(1)), Ok(()));
    assert_eq!(with(Some(0)), Err(FetchError::FencedLeaderEpoch));
    assert_eq!(with(Some(2)), Err(FetchError::UnknownLeaderEpoch));
    let latest = partition.offset_for(OffsetQuery::Latest, Isolation::ReadUncommitted, Some(2));
    assert_eq!(latest, Err(FetchError::UnknownLeaderEpoch));
}

#[test]
fn offsets_by_query() {
    let (log, partition) = stalled();
    (0..4).for_each(|sequence| drop(send(&partition, sequence, 1, Acks::All)));
    log.publish(3);
    let ask = |query| {
        let found = partition.offset_for(query, Isolation::ReadCommitted, Some(1)).unwrap();
        found.map(|found| (found.timestamp, found.offset, found.leader_epoch))
    };
    assert_eq!(ask(OffsetQuery::Earliest), Some((-1, 0, 1)));
    assert_eq!(ask(OffsetQuery::Latest), Some((-1, 3, 1)));
    assert_eq!(ask(OffsetQuery::AtTime(1_001)), Some((1_001, 1, 1)));
    assert_eq!(ask(OffsetQuery::AtTime(1_003)), None, "not published");
    assert_eq!(ask(OffsetQuery::MaxTimestamp), Some((1_002, 2, 1)));
    assert_eq!(partition.end_offset_for_epoch(1, None), Ok(Some((1, 3))));
    log.trim(2);
    assert_eq!(partition.end_offset_for_epoch(0, None), Ok(Some((0, 2))));
    log.trim(3);
    assert_eq!(ask(OffsetQuery::Earliest), Some((-1, 3, 1)));
}

#[tokio::test]
async fn a_reader_is_woken_by_the_record_it_waits_for() {
    let (log, partition) = stalled();
    let waiter = Waiter::new();
    let _registration = partition.register(1, &waiter);
    let mut woken = Box::pin(waiter.wait());
    (0..2).for_each(|sequence| drop(send(&partition, sequence, 1, Acks::All)));
    log.publish(1);
    assert_eq!((&mut woken).now_or_never(), None);
    log.publish(2);
    woken.await;
}

/// What happens to a partition.
#[derive(Clone, Debug)]
enum Event {
    /// Producer, and whether it sends its next batch or one from so many back.
    Send(i64, usize),
    /// So many of the records that wait become durable.
    Publish(i64),
    /// Crash and reopen.
    Crash,
    /// Stop and reopen.
    Stop,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0..3i64, prop_oneof![3 => Just(0), 1 => 1..7usize]).prop_map(|(id, back)| Event::Send(id, back)),
        6 => (1..4i64).prop_map(Event::Publish),
        1 => Just(Event::Crash),
        1 => Just(Event::Stop),
    ];
    proptest::collection::vec(event, 0..80)
}

/// A client that never has more than five batches in the air and sends again what was not acknowledged.
#[derive(Default)]
struct Client {
    sent: i32,
    acknowledged: i32,
}

proptest! {
    /// Whatever happens, a reopened partition knows what a replay of everything durable knows, nothing acknowledged is
    /// gone and nothing is stored twice.
    #[test]
    fn live_equals_reopened_and_retries_never_duplicate(events in events(), roll_every in 1..5usize) {
        let (mut log, mut partition) = stalled();
        log.roll_every(roll_every);
        let mut clients: [Client; 3] = Default::default();
        let mut waiting = Vec::new();
        let mut epoch = 1;
        for event in events {
            match event {
                Event::Send(id, back) => {
                    let client = &mut clients[id as usize];
                    let sequence = (client.sent - back as i32).max(0);
                    if sequence - client.acknowledged >= 5 {
                        continue;
                    }
                    let stored = log.batches();
                    let own: Vec<_> = stored.iter().map(|b| &b.header).filter(|h| h.producer_id == id).collect();
                    let expected = match own.get(sequence as usize) {
                        Some(original) if own.len() as i32 - sequence <= 5 => at(original.base_offset, true),
                        Some(_) => out_of_order(own.len() as i32, sequence),
                        None => at(partition.close_state().0, false),
                    };
                    let (header, records) = batch(id, 0, sequence, 1);
                    let done = partition.append(header, records, Acks::All, NOW);
                    client.sent = client.sent.max(sequence + 1);
                    waiting.push((id, sequence, expected, Box::pin(done.finish())));
                }
                Event::Publish(records) => {
                    let end = partition.close_state().0.min(partition.high_watermark() + records);
                    log.publish(end);
                }
                Event::Crash | Event::Stop => {
                    if matches!(event, Event::Stop) {
                        log.publish(partition.close_state().0);
                        log.save(partition.close_state());
                    }
                    waiting.clear();
                    let (reopened, stored) = log.crash();
                    log = reopened;
                    epoch += 1;
                    partition = open(&log, stored, epoch);
                    log.roll_every(roll_every);
                    let mut replayed = Producers::default();
                    log.batches().iter().for_each(|batch| _ = replayed.apply(&batch.header, NOW));
                    let live = partition.state.lock().producers().clone();
                    prop_assert_eq!(live, replayed);
                    // The clients go on from what was acknowledged, as after a timeout.
                    clients.iter_mut().for_each(|client| client.sent = client.acknowledged);
                }
            }
            waiting.retain_mut(|(id, sequence, expected, done)| match done.now_or_never() {
                None => true,
                Some(outcome) => {
                    let outcome = untimed(outcome);
                    assert_eq!(outcome, *expected, "producer {id} sequence {sequence}");
                    let client = &mut clients[*id as usize];
                    if outcome.is_ok() {
                        client.acknowledged = client.acknowledged.max(*sequence + 1);
                    }
                    false
                }
            });
            for (id, client) in clients.iter().enumerate() {
                let stored = log.batches();
                let own: Vec<_> = stored.iter().map(|b| &b.header).filter(|h| h.producer_id == id as i64).collect();
                for (expected, header) in own.iter().enumerate() {
                    prop_assert_eq!(header.base_sequence, expected as i32);
                }
                let durable = own.iter().filter(|header| header.base_offset < partition.high_watermark()).count();
                prop_assert!(client.acknowledged as usize <= durable);
            }
        }
    }
}
