use super::*;
use proptest::prelude::*;

/// A batch of `count` records with these sequence numbers, at `base_offset`.
fn batch(producer_id: i64, epoch: i16, base_sequence: i32, count: i32, base_offset: Offset) -> BatchHeader {
    BatchHeader {
        base_offset,
        batch_length: 100,
        leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 500,
        max_timestamp: base_offset.saturating_add(500),
        producer_id,
        producer_epoch: epoch,
        base_sequence,
        record_count: count,
    }
}

fn out_of_order(expected: i32, got: i32) -> Result<Verdict, SequenceError> {
    Err(SequenceError::OutOfOrder { expected, got })
}

/// Producers who have stored these batches one after the other, two records each unless said otherwise.
fn after(batches: &[BatchHeader]) -> Producers {
    let mut producers = Producers::default();
    for header in batches {
        assert_eq!(producers.check(header), Ok(Verdict::Append), "{header:?}");
        producers.apply(header, 1_000);
    }
    producers
}

fn encode(producers: &Producers) -> Vec<u8> {
    producers.encode(&[])
}

fn decode(bytes: &[u8], end: Offset) -> Result<Producers, StateError> {
    Producers::decode(bytes, end).map(|(producers, _)| producers)
}

fn six() -> Producers {
    after(&[0, 2, 4, 6, 8, 10].map(|sequence| batch(7, 0, sequence, 2, 100 + i64::from(sequence))))
}

/// P01: the last five are duplicates with their own offsets, the sixth back is not known any more.
#[test]
fn the_window_is_five() {
    let restored = decode(&encode(&six()), 112).unwrap();
    for producers in [six(), restored] {
        for sequence in [2, 4, 6, 8, 10] {
            let base_offset = 100 + i64::from(sequence);
            let stored = Stored { base_offset, last_offset: base_offset + 1, timestamp: 500 + base_offset };
            assert_eq!(producers.check(&batch(7, 0, sequence, 2, 0)), Ok(Verdict::Duplicate(stored)));
        }
        assert_eq!(producers.check(&batch(7, 0, 0, 2, 0)), out_of_order(12, 0));
        assert_eq!(producers.check(&batch(7, 0, 12, 2, 0)), Ok(Verdict::Append));
    }
}

/// Kafka's own snapshot has one batch of the five; what is left of it still says what comes next.
#[test]
fn kafkas_snapshot_keeps_the_last_batch() {
    let producers = Producers::decode_snapshot(&six().encode_snapshot(), 112, 2_000).unwrap();
    assert!(matches!(producers.check(&batch(7, 0, 10, 2, 0)), Ok(Verdict::Duplicate(_))));
    assert_eq!(producers.check(&batch(7, 0, 8, 2, 0)), out_of_order(12, 8));
    assert_eq!(producers.check(&batch(7, 0, 12, 2, 0)), Ok(Verdict::Append));
}

/// P02, and what only looks like a duplicate.
#[test]
fn sequences_and_epochs() {
    let producers = six();
    assert_eq!(producers.check(&batch(7, 0, 13, 2, 0)), out_of_order(12, 13));
    assert_eq!(producers.check(&batch(7, 0, 10, 1, 0)), out_of_order(12, 10));
    assert_eq!(producers.check(&batch(7, 0, 11, 1, 0)), out_of_order(12, 11));
    assert_eq!(producers.check(&batch(7, 0, 10, 4, 0)), out_of_order(12, 10));
    assert_eq!(producers.check(&batch(7, 1, 12, 2, 0)), out_of_order(0, 12));
    assert_eq!(producers.check(&batch(7, 1, 0, 2, 0)), Ok(Verdict::Append));
    assert_eq!(producers.check(&batch(8, 5, 77, 2, 0)), Ok(Verdict::Append));
    assert_eq!(producers.check(&batch(-1, -1, -1, 2, 0)), Ok(Verdict::Append));

    let newer = after(&[batch(7, 3, 0, 2, 0), batch(7, 4, 0, 2, 2)]);
    let stale = Err(SequenceError::StaleEpoch { current: 4, got: 3 });
    assert_eq!(newer.check(&batch(7, 3, 2, 2, 0)), stale);
    assert_eq!(newer.check(&batch(7, 3, 0, 2, 0)), stale);
    let Ok(Verdict::Duplicate(stored)) = newer.check(&batch(7, 4, 0, 2, 0)) else { panic!("not a duplicate") };
    assert_eq!(stored.base_offset, 2);
}

/// P02: sequences wrap to 0, between batches and inside one.
#[test]
fn sequences_wrap() {
    let producers = after(&[batch(7, 0, i32::MAX - 1, 2, 0)]);
    assert_eq!(producers.check(&batch(7, 0, 0, 2, 0)), Ok(Verdict::Append));
    assert_eq!(producers.check(&batch(7, 0, 1, 2, 0)), out_of_order(0, 1));

    let producers = after(&[batch(7, 0, i32::MAX - 1, 5, 0), batch(7, 0, 3, 1, 5)]);
    let again = producers.check(&batch(7, 0, i32::MAX - 1, 5, 0));
    assert!(matches!(again, Ok(Verdict::Duplicate(Stored { base_offset: 0, last_offset: 4, .. }))));
    assert_eq!(producers.check(&batch(7, 0, 4, 1, 0)), Ok(Verdict::Append));
}

/// KAFKA-7298's case: of the epoch there is only a marker.
#[test]
fn after_a_marker_alone_sequences_begin_at_zero() {
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    let mut producers = Producers::default();
    let marker = BatchHeader { attributes: TRANSACTIONAL | CONTROL, ..batch(7, 2, -1, 1, 50) };
    let aborted = Marker { committed: false, coordinator_epoch: 3 };
    assert_eq!(producers.end_transaction(&marker, aborted, 0), None);
    assert_eq!(producers.check(&batch(7, 2, 4, 2, 0)), out_of_order(0, 4));
    assert_eq!(producers.check(&batch(7, 2, 0, 2, 0)), Ok(Verdict::Append));

    let within = BatchHeader { attributes: TRANSACTIONAL, ..batch(7, 2, 0, 2, 51) };
    assert_eq!(producers.apply(&within, 0), Some(51));
    assert_eq!(producers.check(&batch(7, 2, 2, 2, 0)), Err(SequenceError::OutsideTransaction));
    assert_eq!(producers.check(&BatchHeader { base_sequence: 2, ..within }), Ok(Verdict::Append));
    assert_eq!(producers.expire(i64::MAX, 1), 0, "an open transaction holds its producer");
    assert_eq!(producers.open_transactions().collect::<Vec<_>>(), [(51, 7)]);
    assert_eq!(producers.end_transaction(&BatchHeader { base_offset: 53, ..marker }, aborted, 0), Some(51));
    assert_eq!(producers.check(&batch(7, 2, 2, 2, 0)), Ok(Verdict::Append));
}

#[test]
fn a_producer_expires_by_its_last_append_not_by_its_timestamps() {
    let mut producers = Producers::default();
    producers.apply(&BatchHeader { max_timestamp: 1, ..batch(7, 0, 0, 1, 0) }, 10_000);
    producers.apply(&BatchHeader { max_timestamp: i64::MAX, ..batch(8, 0, 0, 1, 1) }, 4_000);
    assert_eq!(producers.expire(13_999, 10_000), 0);
    assert_eq!(producers.expire(14_000, 10_000), 1);
    assert!(producers.knows(7) && !producers.knows(8));
    assert_eq!(producers.expire(5_000, 10_000), 0, "the clock was set back");
    assert_eq!(producers.expire(15_000, 10_000), 1, "and does not hold the producer for longer");
}

/// The layout of `ProducerSnapshot.json`, field by field.
#[test]
fn the_snapshot_is_kafkas() {
    let producers = after(&[batch(0x0102, 3, 4, 2, 9)]);
    #[rustfmt::skip]
    let entries = [
        0, 0, 0, 1,
        0, 0, 0, 0, 0, 0, 1, 2,
        0, 3,
        0, 0, 0, 5,
        0, 0, 0, 0, 0, 0, 0, 10,
        0, 0, 0, 1,
        0, 0, 0, 0, 0, 0, 1, 253,
        255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255,
    ];
    let mut file = vec![0, 1];
    file.extend(crc32c::crc32c(&entries).to_be_bytes());
    file.extend(entries);
    assert_eq!(producers.encode_snapshot(), file);
    assert_eq!(Producers::decode_snapshot(&file, 11, 1_000), Ok(producers));
}

#[test]
fn where_the_aborted_transactions_are_is_stored_with_the_producers() {
    let file = |base| IndexFile { base, bytes: 34, crc: 9 };
    let files = vec![file(0), file(111)];
    let whole = six().encode(&files);
    assert_eq!(Producers::decode(&whole, 112), Ok((six(), files)));
    for wrong in [[file(0), file(112)], [file(-1), file(5)], [file(5), file(5)]] {
        assert_eq!(Producers::decode(&six().encode(&wrong), 112), Err(StateError::Corrupt), "{wrong:?}");
    }
    // The first version ended with the producers.
    let first = encode(&six());
    let first = seal(first[..first.len() - 4].to_vec(), 1);
    assert_eq!(Producers::decode(&first, 112), Ok((six(), Vec::new())));
}

#[test]
fn damaged_state_is_refused() {
    let whole = encode(&six());
    assert_eq!(decode(&whole, 112), Ok(six()));
    assert_eq!(decode(&whole, 111), Err(StateError::Corrupt), "knows more than there was");
    assert_eq!(Producers::decode_snapshot(&six().encode_snapshot(), 111, 0), Err(StateError::Corrupt));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(decode(&changed, 112).is_err(), "byte {at}");
        assert!(decode(&whole[..at], 112).is_err(), "first {at}");
    }
    let lie = seal([&[0; ENVELOPE][..], &i32::MAX.to_be_bytes(), &[0; 500]].concat(), 1);
    assert_eq!(decode(&lie, 0), Err(StateError::Corrupt));
    assert_eq!(Producers::decode_snapshot(&lie, 0, 0), Err(StateError::Corrupt));
    assert_eq!(decode(&seal(vec![0; 10], 3), 0), Err(StateError::Version(3)));
    assert_eq!(decode(&encode(&Producers::default()), 0), Ok(Producers::default()));

    let mut six_held = [&whole[..whole.len() - 4], &[0; ENTRY_BATCH]].concat();
    six_held[ENVELOPE + 4 + ENTRY - 1] = 6;
    assert_eq!(decode(&seal(six_held, 1), 112), Err(StateError::Corrupt));
}

#[test]
fn a_producer_is_small() {
    assert!(size_of::<(u64, i64, Producer)>() <= 200, "{}", size_of::<(u64, i64, Producer)>());
    let last = encode(&six()).len() - ENVELOPE - 8;
    assert!(last <= 5 * 64, "{last}");
}

/// What a client may do next.
#[derive(Clone, Debug)]
enum Step {
    /// The right next batch.
    Next { id: i64, count: i32 },
    /// One of the last batches again.
    Retry { id: i64, back: usize },
    /// A new epoch from the start.
    Bump { id: i64, count: i32 },
    /// Anything.
    Wild { id: i64, epoch: i16, base: i32, count: i32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, count) = (0..3i64, 1..5i32);
    let base = prop_oneof![0..12i32, (i32::MAX - 8)..=i32::MAX];
    let step = prop_oneof![
        6 => (id.clone(), count.clone()).prop_map(|(id, count)| Step::Next { id, count }),
        4 => (id.clone(), 0..8usize).prop_map(|(id, back)| Step::Retry { id, back }),
        1 => (id.clone(), count.clone()).prop_map(|(id, count)| Step::Bump { id, count }),
        3 => (id, 0..4i16, base, count).prop_map(|(id, epoch, base, count)| Step::Wild { id, epoch, base, count }),
    ];
    proptest::collection::vec(step, 0..60)
}

/// The rules once more, over everything that was ever stored, newest last, with plain arithmetic.
fn spec(stored: &[BatchHeader], header: &BatchHeader) -> Result<Verdict, SequenceError> {
    let of_producer: Vec<_> = stored.iter().rev().filter(|old| old.producer_id == header.producer_id).collect();
    let Some(newest) = of_producer.first() else { return Ok(Verdict::Append) };
    let current = newest.producer_epoch;
    let in_epoch = of_producer.iter().take_while(|old| old.producer_epoch == current);
    let range = |h: &BatchHeader| (h.producer_epoch, h.base_sequence, h.record_count);
    if let Some(old) = in_epoch.take(5).filter(|old| range(old) == range(header)).last() {
        let (base_offset, timestamp) = (old.base_offset, old.max_timestamp);
        let last_offset = base_offset + i64::from(old.record_count) - 1;
        return Ok(Verdict::Duplicate(Stored { base_offset, last_offset, timestamp }));
    }
    if header.producer_epoch < current {
        return Err(SequenceError::StaleEpoch { current, got: header.producer_epoch });
    }
    let expected = match header.producer_epoch == current {
        true => ((newest.base_sequence as u32 + newest.record_count as u32) % (1 << 31)) as i32,
        false => 0,
    };
    if header.base_sequence == expected { Ok(Verdict::Append) } else { out_of_order(expected, header.base_sequence) }
}

fn header_of(step: &Step, stored: &[BatchHeader], end: Offset) -> BatchHeader {
    let newest_of = |id: i64| stored.iter().rev().filter(move |old| old.producer_id == id);
    match *step {
        Step::Next { id, count } => match newest_of(id).next() {
            Some(last) => {
                let base = increment_sequence(last.base_sequence, last.record_count);
                batch(id, last.producer_epoch, base, count, end)
            }
            None => batch(id, 0, i32::MAX - 5, count, end),
        },
        Step::Retry { id, back } => match newest_of(id).nth(back) {
            Some(old) => BatchHeader { base_offset: end, ..*old },
            None => batch(id, 0, 0, 1, end),
        },
        Step::Bump { id, count } => {
            let epoch = newest_of(id).next().map_or(0, |last| last.producer_epoch + 1);
            batch(id, epoch, 0, count, end)
        }
        Step::Wild { id, epoch, base, count } => batch(id, epoch, base, count, end),
    }
}

/// Runs steps against the spec; gives what was stored and the producers at the end.
fn run(steps: &[Step]) -> Result<(Vec<BatchHeader>, Producers), TestCaseError> {
    let (mut stored, mut producers, mut end) = (Vec::new(), Producers::default(), 0);
    for step in steps {
        let header = header_of(step, &stored, end);
        let verdict = producers.check(&header);
        prop_assert_eq!(verdict, spec(&stored, &header), "{:?}", header);
        if verdict == Ok(Verdict::Append) {
            producers.apply(&header, 1_000);
            end = header.next_offset();
            stored.push(header);
        }
    }
    Ok((stored, producers))
}

proptest! {
    #[test]
    fn verdicts_are_those_of_the_spec(steps in steps()) {
        run(&steps)?;
    }

    /// From our state at any point, the headers after it lead to the state that the live partition had.
    #[test]
    fn live_equals_replayed(steps in steps(), at in any::<prop::sample::Index>()) {
        let (stored, live) = run(&steps)?;
        let (before, later) = stored.split_at(at.index(stored.len() + 1));
        let mut snapshot = Producers::default();
        before.iter().for_each(|header| _ = snapshot.apply(header, 1_000));
        let end = before.last().map_or(0, BatchHeader::next_offset);
        let mut replayed = decode(&encode(&snapshot), end).unwrap();
        prop_assert_eq!(&replayed, &snapshot);
        later.iter().for_each(|header| _ = replayed.apply(header, 1_000));
        prop_assert_eq!(&replayed, &live);

        let kafkas = Producers::decode_snapshot(&live.encode_snapshot(), i64::MAX, 1_000).unwrap();
        prop_assert_eq!(kafkas.encode_snapshot(), live.encode_snapshot());
    }

    /// Behind a right CRC there may still be anything.
    #[test]
    fn arbitrary_bytes_never_panic(
        body in proptest::collection::vec(any::<u8>(), 400),
        length in prop_oneof![Just(SNAPSHOT_ENTRY), Just(ENTRY), Just(ENTRY + ENTRY_BATCH), 0..200usize],
        count in 0..3u8,
        held in proptest::option::of(0..7u8),
    ) {
        let mut body = body[..length * usize::from(count)].to_vec();
        if let (Some(place), Some(held)) = (body.get_mut(ENTRY - 1), held) {
            *place = held;
        }
        let bytes = seal([&[0; ENVELOPE][..], &[0, 0, 0, count], &body].concat(), 1);
        for producers in [decode(&bytes, i64::MAX), Producers::decode_snapshot(&bytes, i64::MAX, 0)] {
            let Ok(mut producers) = producers else { continue };
            let ids: Vec<_> = producers.by_id.keys().copied().collect();
            for id in ids {
                let _ = producers.check(&batch(id, 0, 0, 1, 0));
                producers.apply(&batch(id, i16::MAX, i32::MAX, i32::MAX, i64::MAX), i64::MIN);
            }
            producers.expire(i64::MAX, i64::MIN);
            producers.expire(i64::MIN, i64::MAX);
            encode(&producers);
        }
    }
}
