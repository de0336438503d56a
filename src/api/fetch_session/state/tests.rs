use super::*;
use crate::log::Slice;
use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NO_NAMES: NameOf<'_> = &|_| None;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicKey::Name("t".into()), index }
}

fn params(fetch_offset: Offset) -> Params {
    Params { fetch_offset, leader_epoch: -1, last_fetched_epoch: -1, max_bytes: 100 }
}

fn wanted(index: i32, fetch_offset: Offset) -> Wanted {
    Wanted { partition: key(index), name: None, params: params(fetch_offset) }
}

fn asked(changed: &[(i32, Offset)], forgotten: &[i32]) -> Asked {
    Asked {
        wanted: changed.iter().map(|&(index, offset)| (key(index), params(offset))).collect(),
        forgotten: forgotten.iter().map(|&index| key(index)).collect(),
    }
}

fn answer(index: i32, high_watermark: Offset, log_start: Offset, records: usize) -> FetchedPartition {
    FetchedPartition {
        error_code: None,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: log_start,
        records: Some(vec![Slice::Memory(Bytes::from(vec![0; records]))]),
        ..FetchedPartition::error(index, ErrorCode::None)
    }
}

/// A session that knows these partitions, all of them empty.
fn session(indexes: &[i32]) -> State {
    let wanted: Vec<_> = indexes.iter().map(|&index| wanted(index, 0)).collect();
    let answers: Vec<_> = indexes.iter().map(|&index| answer(index, 0, 0, 0)).collect();
    State::new(false, wanted.iter().zip(&answers))
}

fn begin(state: &mut State, epoch: i32, asked: &Asked) -> (Vec<Wanted>, i32) {
    match state.begin(epoch, false, asked, NO_NAMES) {
        Ok(Begun::Read(wanted, number)) => (wanted, number),
        other => panic!("{other:?}"),
    }
}

fn order(wanted: &[Wanted]) -> Vec<i32> {
    wanted.iter().map(|one| one.partition.index).collect()
}

#[test]
fn epochs_are_counted_and_wrap_to_one() {
    let mut state = session(&[0]);
    for wrong in [i32::MIN, -1, 0, 2, i32::MAX] {
        let refused = state.begin(wrong, false, &asked(&[(7, 0)], &[0]), NO_NAMES);
        assert_eq!(refused, Err(ErrorCode::InvalidFetchSessionEpoch), "epoch {wrong}");
    }
    assert_eq!(order(&begin(&mut state, 1, &Asked::default()).0), [0], "a refused request changes nothing");
    state.epoch = i32::MAX;
    assert_eq!(begin(&mut state, i32::MAX, &Asked::default()).1, 1);
    begin(&mut state, 1, &Asked::default());
}

#[test]
fn a_session_calls_topics_in_one_way() {
    for uses_ids in [false, true] {
        let mut state = session(&[0]);
        state.uses_ids = uses_ids;
        let other = state.begin(1, !uses_ids, &asked(&[], &[0]), NO_NAMES);
        assert_eq!(other, Err(ErrorCode::FetchSessionTopicIdError));
        assert!(matches!(state.begin(1, uses_ids, &Asked::default(), NO_NAMES), Ok(Begun::Read(..))));
    }
}

#[test]
fn requests_add_change_and_forget_partitions() {
    let mut state = session(&[0, 1, 2]);
    let (read, _) = begin(&mut state, 1, &asked(&[(1, 5), (3, 9)], &[0]));
    assert_eq!(read, [wanted(1, 5), wanted(2, 0), wanted(3, 9)]);
    // Forgotten goes before wanted, and what is not there can be forgotten.
    let (read, _) = begin(&mut state, 2, &asked(&[(2, 7), (4, 0)], &[2, 4, 77]));
    assert_eq!(order(&read), [1, 3]);
    assert_eq!((state.len(), state.bytes()), (2, 2 * (PARTITION_BYTES + 1)));
}

#[test]
fn without_partitions_a_session_is_closed() {
    let mut state = session(&[0]);
    let (_, number) = begin(&mut state, 1, &Asked::default());
    assert_eq!(state.begin(2, false, &asked(&[], &[0]), NO_NAMES), Ok(Begun::Closed));
    assert_eq!(state.finish(number, std::iter::empty()), Err(ErrorCode::InvalidFetchSessionEpoch));
    for epoch in [-1, 0, 1, 2, 3] {
        assert!(state.begin(epoch, false, &asked(&[(0, 0)], &[]), NO_NAMES).is_err());
    }
}

#[test]
fn only_news_are_told() {
    let failed = || FetchedPartition::error(0, ErrorCode::OffsetOutOfRange);
    let elsewhere = || FetchedPartition { preferred_read_replica: 3, ..answer(0, 5, 0, 0) };
    let mut state = session(&[0]);
    for (epoch, (what, outcome, told)) in (1..).zip([
        ("nothing", answer(0, 0, 0, 0), false),
        ("a high watermark", answer(0, 5, 0, 0), true),
        ("the same again", answer(0, 5, 0, 0), false),
        ("records", answer(0, 5, 0, 9), true),
        ("the same records again", answer(0, 5, 0, 9), true),
        ("no records any more", answer(0, 5, 0, 0), false),
        ("a log start", answer(0, 5, 2, 0), true),
        ("an error", failed(), true),
        ("the same error again", failed(), true),
        ("the error's end, all else as before", answer(0, 5, 2, 0), true),
        ("nothing again", answer(0, 5, 2, 0), false),
        ("another broker to read from", elsewhere(), true),
    ]) {
        let (read, number) = begin(&mut state, epoch, &Asked::default());
        assert_eq!(state.finish(number, read.iter().zip([&outcome])), Ok(vec![told]), "{what}");
    }
}

#[test]
fn an_error_that_shows_offsets_ends_with_news_too() {
    let mut state = session(&[0]);
    let failed = FetchedPartition { error_code: Some(ErrorCode::OffsetNotAvailable), ..answer(0, 5, 0, 0) };
    for (epoch, outcome) in [(1, &failed), (2, &answer(0, 5, 0, 0))] {
        let (read, number) = begin(&mut state, epoch, &Asked::default());
        assert_eq!(state.finish(number, read.iter().zip([outcome])), Ok(vec![true]));
    }
}

#[test]
fn the_first_answer_counts_as_told_its_errors_too() {
    let first = [wanted(0, 0), wanted(1, 9)];
    let answers = [answer(0, 3, 1, 0), FetchedPartition::error(1, ErrorCode::OffsetOutOfRange)];
    let mut state = State::new(false, first.iter().zip(&answers));
    let (read, number) = begin(&mut state, 1, &Asked::default());
    let outcomes = [answer(0, 3, 1, 0), answer(1, 3, 1, 0)];
    assert_eq!(state.finish(number, read.iter().zip(&outcomes)), Ok(vec![false, true]));
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let mut state = session(&[0, 1, 2, 3]);
    let (read, number) = begin(&mut state, 1, &Asked::default());
    let outcomes = [answer(0, 9, 0, 5), answer(1, 9, 0, 0), answer(2, 9, 0, 5), answer(3, 0, 0, 0)];
    state.finish(number, read.iter().zip(&outcomes)).unwrap();
    let (read, number) = begin(&mut state, 2, &Asked::default());
    assert_eq!(order(&read), [1, 3, 0, 2]);
    state.finish(number, read.iter().zip(&[1, 3, 0, 2].map(|index| answer(index, 9, 0, 0)))).unwrap();
    assert_eq!(order(&begin(&mut state, 3, &Asked::default()).0), [1, 3, 0, 2]);
}

#[test]
fn a_request_that_is_overtaken_is_not_answered() {
    let mut state = session(&[0]);
    let (first, one) = begin(&mut state, 1, &Asked::default());
    let (second, two) = begin(&mut state, 2, &asked(&[(1, 0)], &[0]));
    assert!(!state.is_last(one) && state.is_last(two));
    let late = state.finish(one, first.iter().zip(&[answer(0, 9, 0, 9)]));
    assert_eq!(late, Err(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(state.finish(two, second.iter().zip(&[answer(1, 0, 0, 0)])), Ok(vec![true]));
}

#[test]
fn a_topic_id_is_resolved_later_and_keeps_its_first_name() {
    let id = Uuid::from_u128(7);
    let partition = PartitionKey { topic: TopicKey::Id(id), index: 0 };
    let first = Wanted { partition: partition.clone(), name: None, params: params(0) };
    let error = FetchedPartition::error(0, ErrorCode::UnknownTopicId);
    let mut state = State::new(true, [(&first, &error)].into_iter());
    for (epoch, known, seen) in
        [(1, None, None), (2, Some("a"), Some("a")), (3, None, Some("a")), (4, Some("b"), Some("a"))]
    {
        let name_of = |asked| known.filter(|_| asked == id).map(Arc::from);
        let Ok(Begun::Read(read, _)) = state.begin(epoch, true, &Asked::default(), &name_of) else { panic!() };
        assert_eq!(read[0].name.as_deref(), seen);
    }
}

/// What a client may know of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    error: bool,
    high_watermark: Offset,
    log_start: Offset,
}

impl View {
    fn of(answer: &FetchedPartition) -> View {
        View {
            error: answer.error_code.is_some(),
            high_watermark: answer.high_watermark,
            log_start: answer.log_start_offset,
        }
    }

    fn outcome(self, index: i32, records: usize) -> FetchedPartition {
        match self.error {
            true => FetchedPartition::error(index, ErrorCode::OffsetOutOfRange),
            false => answer(index, self.high_watermark, self.log_start, records),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The broker's partition is now like this.
    Change(i32, View),
    /// The client wants others.
    Fetch { add: Vec<i32>, forget: Vec<i32>, overtaken: bool, lost_count: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..5i32;
    let view = (prop::bool::weighted(0.2), 0..3i64, 0..2i64).prop_map(|(error, high_watermark, log_start)| View {
        error,
        high_watermark,
        log_start,
    });
    let rarely = || prop::bool::weighted(0.1);
    let few = || btree_set(0..5i32, 0..2).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    prop_oneof![
        (index, view).prop_map(|(index, view)| Step::Change(index, view)),
        (few(), few(), rarely(), rarely()).prop_map(|(add, forget, overtaken, lost_count)| Step::Fetch {
            add,
            forget,
            overtaken,
            lost_count
        }),
    ]
}

proptest! {
    /// A client that lays every answer over what it knew sees what a client without a session would see.
    #[test]
    fn merged_answers_are_the_full_view(steps in vec(step(), 1..60)) {
        let mut broker: BTreeMap<i32, View> = (0..5).map(|index| (index, View::default())).collect();
        let mut client: BTreeMap<i32, Option<View>> = [(0, Some(View::default())), (1, Some(View::default()))].into();
        let mut state = session(&[0, 1]);
        let mut epoch = 1;
        for step in steps {
            let (add, forget, overtaken, lost_count) = match step {
                Step::Change(index, view) => {
                    broker.insert(index, view);
                    continue;
                }
                Step::Fetch { add, forget, overtaken, lost_count } => (add, forget, overtaken, lost_count),
            };
            if lost_count {
                prop_assert!(state.begin(epoch + 1, false, &asked(&[(4, 0)], &[0, 1]), NO_NAMES).is_err());
            }
            let changed: Vec<_> = add.iter().map(|&index| (index, 0)).collect();
            for index in add {
                client.entry(index).or_insert(None);
            }
            for index in &forget {
                client.remove(index);
            }
            let begun = state.begin(epoch, false, &asked(&changed, &forget), NO_NAMES);
            let Ok(Begun::Read(read, number)) = begun else {
                prop_assert_eq!(begun, Ok(Begun::Closed));
                prop_assert!(client.is_empty());
                return Ok(());
            };
            epoch += 1;
            let outcomes: Vec<_> = read.iter().map(|one| {
                let index = one.partition.index;
                broker[&index].outcome(index, usize::from(index == 2))
            }).collect();
            if overtaken {
                begin(&mut state, epoch, &Asked::default());
                epoch += 1;
                prop_assert!(state.finish(number, read.iter().zip(&outcomes)).is_err());
                continue;
            }
            let told = state.finish(number, read.iter().zip(&outcomes)).unwrap();
            for (outcome, _) in outcomes.iter().zip(told).filter(|(_, told)| *told) {
                let known = client.get_mut(&outcome.index);
                prop_assert!(known.is_some(), "partition {} was forgotten", outcome.index);
                *known.unwrap() = Some(View::of(outcome));
            }
            for (index, known) in &client {
                let now = View::of(&broker[index].outcome(*index, 0));
                prop_assert_eq!(*known, Some(now), "partition {}", index);
            }
        }
    }

    /// With room for the records of one partition in each answer, each that has some gets its turn.
    #[test]
    fn no_partition_starves(full in btree_set(0..12i32, 1..12)) {
        let mut state = session(&(0..12).collect::<Vec<_>>());
        let mut served = std::collections::BTreeSet::new();
        for epoch in 1..=i32::try_from(full.len()).unwrap() {
            let (read, number) = begin(&mut state, epoch, &Asked::default());
            let first = read.iter().map(|one| one.partition.index).find(|index| full.contains(index));
            let outcomes: Vec<_> = read.iter().map(|one| {
                let index = one.partition.index;
                answer(index, 9, 0, if first == Some(index) { 7 } else { 0 })
            }).collect();
            state.finish(number, read.iter().zip(&outcomes)).unwrap();
            served.extend(first);
        }
        prop_assert_eq!(served, full);
    }
}
