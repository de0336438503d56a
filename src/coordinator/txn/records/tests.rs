use super::*;
use crate::coordinator::Unreadable;
use crate::coordinator::records::{Decoded, RecordError};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

mod golden;

fn state() -> impl Strategy<Value = TransactionState> {
    proptest::sample::select(TransactionState::ALL.to_vec())
}

fn version() -> impl Strategy<Value = TransactionVersion> {
    use TransactionVersion::{V0, V1, V2};
    proptest::sample::select(vec![V0, V1, V2])
}

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,12}".prop_map(Arc::from)
}

fn id() -> impl Strategy<Value = i64> {
    prop_oneof![Just(-1), any::<i64>()]
}

fn value() -> impl Strategy<Value = TransactionLogValue> {
    let topic =
        (text(), vec(any::<i32>(), 0..4)).prop_map(|(topic, partition_ids)| PartitionsSchema { topic, partition_ids });
    let epoch = || prop_oneof![Just(-1), any::<i16>()];
    let producer = (any::<i64>(), id(), id(), any::<i16>(), epoch());
    let rest = (any::<i32>(), state(), of(vec(topic, 0..4)), any::<i64>(), any::<i64>(), version());
    (producer, rest).prop_map(|(producer, rest)| TransactionLogValue {
        producer_id: producer.0,
        previous_producer_id: producer.1,
        next_producer_id: producer.2,
        producer_epoch: producer.3,
        next_producer_epoch: producer.4,
        transaction_timeout_ms: rest.0,
        transaction_status: rest.1,
        transaction_partitions: rest.2,
        transaction_last_update_timestamp_ms: rest.3,
        transaction_start_timestamp_ms: rest.4,
        client_transaction_version: rest.5,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(transactional_id in text(), value in of(value())) {
        let record = Record { transactional_id, value };
        let (key, value) = record.encode().unwrap();
        prop_assert_eq!(Record::decode(&key, value.as_deref()), Ok(Decoded::Known(record)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        key in vec(any::<u8>(), 0..20), value in of(vec(any::<u8>(), 0..80)), cut in any::<prop::sample::Index>(),
        sound in value(),
    ) {
        let _ = Record::decode(&key, value.as_deref());
        let (key, value) = Record { transactional_id: "t".into(), value: Some(sound) }.encode().unwrap();
        let value = value.unwrap();
        let end = cut.index(value.len());
        let torn = Record::decode(&key, Some(&value[..end]));
        prop_assert!(matches!(torn, Err(RecordError::Value { .. } | RecordError::NoType)), "{torn:?}");
    }
}

fn unhex(text: &str) -> Bytes {
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn ongoing() -> TransactionLogValue {
    TransactionLogValue {
        producer_id: 4000,
        previous_producer_id: 4000,
        next_producer_id: -1,
        producer_epoch: 7,
        next_producer_epoch: -1,
        transaction_timeout_ms: 60_000,
        transaction_status: TransactionState::Ongoing,
        transaction_partitions: Some(vec![
            PartitionsSchema { topic: "a".into(), partition_ids: vec![0, 258] },
            PartitionsSchema { topic: "bc".into(), partition_ids: vec![1] },
        ]),
        transaction_last_update_timestamp_ms: 0x0102_0304_0506,
        transaction_start_timestamp_ms: 0x0102_0304_0500,
        client_transaction_version: TransactionVersion::V2,
    }
}

const KEY: &str = "0000 0002 7478";

/// By hand from `TransactionLogKey.json` and `TransactionLogValue.json`.
#[test]
fn records_have_kafkas_bytes() {
    let with = |value: Option<TransactionLogValue>| {
        let (key, value) = Record { transactional_id: "tx".into(), value }.encode().unwrap();
        assert_eq!(key, unhex(KEY));
        value
    };
    assert_eq!(with(None), None);
    let head = "0001 0000000000000fa0 0007 0000ea60 01";
    let partitions = "03 0261 03 00000000 00000102 00 036263 02 00000001 00";
    let times = "0000010203040506 0000010203040500";
    let tags = "02 00 08 0000000000000fa0 02 02 0002";
    assert_eq!(with(Some(ongoing())), Some(unhex(&format!("{head}{partitions}{times}{tags}"))));

    let empty = TransactionLogValue {
        producer_epoch: 0,
        transaction_status: TransactionState::Empty,
        transaction_partitions: None,
        transaction_start_timestamp_ms: -1,
        client_transaction_version: TransactionVersion::V0,
        ..ongoing()
    };
    let expected =
        "0001 0000000000000fa0 0000 0000ea60 00 00 0000010203040506 ffffffffffffffff 01 00 08 0000000000000fa0";
    assert_eq!(with(Some(empty)), Some(unhex(expected)));

    let exhausted = TransactionLogValue {
        producer_epoch: i16::MAX,
        transaction_status: TransactionState::PrepareAbort,
        transaction_partitions: Some(Vec::new()),
        next_producer_id: 4001,
        next_producer_epoch: 3,
        ..ongoing()
    };
    let head = "0001 0000000000000fa0 7fff 0000ea60 03 01";
    let tags = "04 00 08 0000000000000fa0 01 08 0000000000000fa1 02 02 0002 03 02 0003";
    assert_eq!(with(Some(exhausted.clone())), Some(unhex(&format!("{head}{times}{tags}"))));

    let plain = TransactionLogValue {
        previous_producer_id: -1,
        next_producer_id: -1,
        next_producer_epoch: -1,
        client_transaction_version: TransactionVersion::V0,
        ..exhausted
    };
    assert_eq!(with(Some(plain)), Some(unhex(&format!("{head}{times} 00"))));
}

#[test]
fn version_0_is_read() {
    let value = "0000 0000000000000fa0 0007 0000ea60 01
        00000002 0001 61 00000002 00000000 00000102 0002 6263 00000001 00000001
        0000010203040506 0000010203040500";
    let read = TransactionLogValue {
        previous_producer_id: -1,
        client_transaction_version: TransactionVersion::V0,
        ..ongoing()
    };
    let record = Record { transactional_id: "tx".into(), value: Some(read) };
    assert_eq!(Record::decode(&unhex(KEY), Some(&unhex(value))), Ok(Decoded::Known(record)));
}

/// What a newer Kafka adds without a new version of the value.
#[test]
fn tagged_fields_that_are_not_known_are_passed_over() {
    let (key, value) = Record { transactional_id: "tx".into(), value: Some(ongoing()) }.encode().unwrap();
    let value = value.unwrap();
    let tags = value.len() - unhex("02 00 08 0000000000000fa0 02 02 0002").len();
    let newer = [&value[..tags], &[3], &value[tags + 1..], &unhex("0a 03 010203")].concat();
    let record = Record { transactional_id: "tx".into(), value: Some(ongoing()) };
    assert_eq!(Record::decode(&key, Some(&newer)), Ok(Decoded::Known(record)));
}

#[test]
fn what_a_newer_broker_wrote_is_not_guessed_at() {
    let decode = |key: &str, value: &str| Record::decode(&unhex(key), Some(&unhex(value))).map_err(Unreadable::from);
    let with = |status: &str, version: &str| {
        format!("0001 0000000000000fa0 0007 0000ea60 {status} 00 0000000000000001 0000000000000001 01 02 02 {version}")
    };
    assert!(matches!(decode(KEY, &with("05", "0002")), Ok(Decoded::Known(_))));
    let newer = [with("06", "0002"), with("07", "0002"), with("ff", "0000"), with("00", "0003"), "0002".into()];
    for value in newer {
        assert!(matches!(decode(KEY, &value), Err(Unreadable::Newer(_))), "{value}");
    }
    for (key, value) in [("00", "0001"), ("0000 0002 74", "0001"), (KEY, "0001 00")] {
        assert!(matches!(decode(key, value), Err(Unreadable::Foreign(_))), "{key} {value}");
    }
    assert_eq!(decode("0001 0002 7478", "0001"), Ok(Decoded::Unknown(1)));
}

#[test]
fn ids_that_no_key_can_hold_have_no_bytes() {
    let record = |length| Record { transactional_id: "x".repeat(length).into(), value: None };
    assert!(record(i16::MAX as usize).encode().is_ok());
    assert!(matches!(record(i16::MAX as usize + 1).encode(), Err(RecordError::Key { record_type: 0, .. })));
}

#[test]
fn states_have_kafkas_numbers_and_names() {
    for (id, state) in (0..).zip(TransactionState::ALL) {
        assert_eq!((state.id(), TransactionState::from_id(id)), (id, Some(state)));
        assert_eq!(format!("{state:?}"), state.name());
    }
    assert_eq!([-1, 6, 7].map(TransactionState::from_id), [None; 3]);
}
