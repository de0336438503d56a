use super::*;
use crate::wire::compression::tests::compress;
use crate::wire::compression::{GZIP, LZ4, SNAPPY};
use crate::wire::records::Fault;
use crate::wire::records::tests::{body, framed, header};
use proptest::prelude::*;

const NOW: Millis = 1_000_000;
const DAY: i64 = 86_400_000;

fn rules() -> Rules {
    Rules {
        api_version: 9,
        max_message_bytes: 10_000,
        segment_bytes: 1 << 30,
        compacted: false,
        timestamp_type: TimestampType::CreateTime { before_max_ms: i64::MAX, after_max_ms: 3_600_000 },
        now: NOW,
        decompressed_limit: 1 << 20,
    }
}

fn window(before_max_ms: i64, after_max_ms: i64) -> TimestampType {
    TimestampType::CreateTime { before_max_ms, after_max_ms }
}

/// Records given as timestamp (the base timestamp is 1000) and key.
fn records(of: &[(Millis, Option<&[u8]>)]) -> Vec<u8> {
    let one = |(at, (timestamp, key)): (usize, &(Millis, Option<&[u8]>))| {
        framed(&body(timestamp - 1000, at as i64, *key, Some(b"value"), &[]))
    };
    of.iter().enumerate().flat_map(one).collect()
}

const TWO: &[(Millis, Option<&[u8]>)] = &[(1000, Some(b"k")), (1005, None)];

/// A batch of `count` records; `edit` has its way with the header before the CRC is made.
fn batch_of(count: i32, codec: u8, payload: &[u8], edit: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let payload = compress(codec, payload);
    let mut header = header(count, codec);
    header.batch_length = (HEADER_SIZE - LENGTH_PREFIX + payload.len()) as i32;
    header.max_timestamp = 1005;
    edit(&mut header);
    header.crc = checksum(&header.encode(), &payload);
    [&header.encode()[..], &payload].concat()
}

fn two(edit: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    batch_of(2, 0, &records(TWO), edit)
}

fn set(mut bytes: Vec<u8>, at: usize, to: &[u8]) -> Vec<u8> {
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// Kafka's name for the code that each error stands for.
fn family(outcome: &Result<ValidBatch, BatchError>) -> &'static str {
    match outcome {
        Ok(_) => "NONE",
        Err(BatchError::Corrupt(_)) => "CORRUPT_MESSAGE",
        Err(BatchError::Invalid(_)) => "INVALID_RECORD",
        Err(BatchError::InvalidRecords(_)) => "INVALID_RECORD with records",
        Err(BatchError::InvalidTimestamps(_)) => "INVALID_TIMESTAMP with records",
        Err(BatchError::TooLarge(_)) => "MESSAGE_TOO_LARGE",
        Err(BatchError::LargerThanSegment { .. }) => "RECORD_LIST_TOO_LARGE",
        Err(BatchError::Codec { .. }) => "UNSUPPORTED_COMPRESSION_TYPE",
        Err(BatchError::Undecodable) => "not decodable",
    }
}

fn check(name: &str, bytes: Vec<u8>, rules: Rules, expected: &str) {
    let outcome = validate(Some(Bytes::from(bytes)), &rules);
    assert_eq!(family(&outcome), expected, "{name}: {outcome:?}");
}

#[test]
fn framing() {
    const CORRUPT: &str = "CORRUPT_MESSAGE";
    const INVALID: &str = "INVALID_RECORD";
    let good = || two(|_| {});
    let size = good().len();
    let cut = |at: usize| good()[..at].to_vec();
    let followed = |by: &[u8]| [&good()[..], by].concat();
    let short = |length: i32, size: usize| set(good(), 8, &length.to_be_bytes())[..size].to_vec();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("one batch", good(), "NONE"),
        ("no bytes", vec![], INVALID),
        ("11 bytes", cut(11), INVALID),
        ("16 bytes", cut(16), INVALID),
        ("a header alone", cut(61), INVALID),
        ("one byte missing", cut(size - 1), INVALID),
        ("length field negative", set(good(), 8, &[0xff; 4]), CORRUPT),
        ("length field 0", set(good(), 8, &[0; 4]), CORRUPT),
        ("length field 13", set(good(), 8, &[0, 0, 0, 13]), CORRUPT),
        ("length field i32::MAX", set(good(), 8, &[0x7f, 0xff, 0xff, 0xff]), INVALID),
        ("length field one too small", set(good(), 8, &(size as i32 - 13).to_be_bytes()), CORRUPT),
        ("26 bytes in all", short(14, 26), CORRUPT),
        ("60 bytes in all", short(48, 60), CORRUPT),
        ("magic 0", set(good(), 16, &[0]), INVALID),
        ("magic 1", set(good(), 16, &[1]), INVALID),
        ("magic 3", set(good(), 16, &[3]), CORRUPT),
        ("magic -1", set(good(), 16, &[0xff]), CORRUPT),
        ("two batches", followed(&good()), INVALID),
        ("second batch of an old format", followed(&set(good(), 16, &[1])), INVALID),
        ("11 bytes after", followed(&[0; 11]), "NONE"),
        ("second length field too small", followed(&[0; 12]), CORRUPT),
        ("16 bytes of a second batch", followed(&good()[..16]), "NONE"),
        ("second magic unknown", followed(&set(good(), 16, &[9])[..17]), CORRUPT),
        ("most of a second batch", followed(&good()[..size - 1]), "NONE"),
        ("CRC wrong", set(good(), 17, &[0; 4]), CORRUPT),
        ("payload damaged", set(good(), size - 1, &[9]), CORRUPT),
        ("attributes damaged", set(good(), 21, &[1]), CORRUPT),
        ("leader epoch is not covered", set(good(), 12, &[1, 2, 3, 4]), "NONE"),
    ];
    for (name, bytes, expected) in rows {
        check(name, bytes, rules(), expected);
    }
    assert_eq!(family(&validate(None, &rules())), INVALID, "null records");
}

#[test]
fn headers() {
    const INVALID: &str = "INVALID_RECORD";
    type Edit = fn(&mut BatchHeader);
    let producer: Edit = |it| (it.producer_id, it.producer_epoch, it.base_sequence) = (7, 0, 0);
    let rows: Vec<(&str, Edit, &str)> = vec![
        ("idempotent", producer, "NONE"),
        ("base offset 1", |it| it.base_offset = 1, INVALID),
        ("base offset -1", |it| it.base_offset = -1, INVALID),
        ("last offset delta -1", |it| it.last_offset_delta = -1, INVALID),
        ("last offset delta least", |it| it.last_offset_delta = i32::MIN, INVALID),
        ("last offset delta 0", |it| it.last_offset_delta = 0, INVALID),
        ("last offset delta 2", |it| it.last_offset_delta = 2, INVALID),
        ("count 0", |it| it.record_count = 0, INVALID),
        ("count -1", |it| it.record_count = -1, INVALID),
        ("count i32::MIN", |it| it.record_count = i32::MIN, INVALID),
        ("count i32::MAX", |it| it.record_count = i32::MAX, INVALID),
        ("count and range 1, records 2", |it| (it.record_count, it.last_offset_delta) = (1, 0), INVALID),
        ("count and range 3, records 2", |it| (it.record_count, it.last_offset_delta) = (3, 2), INVALID),
        ("count and range largest", |it| (it.record_count, it.last_offset_delta) = (i32::MAX, i32::MAX - 1), INVALID),
        ("control", |it| it.attributes |= 0x20, INVALID),
        ("producer id without sequence", |it| (it.producer_id, it.producer_epoch) = (7, 0), INVALID),
        ("producer id without epoch", |it| (it.producer_id, it.base_sequence) = (7, 0), INVALID),
        ("sequence without producer id", |it| it.base_sequence = 0, "NONE"),
        (
            "transactional",
            |it| {
                (it.producer_id, it.producer_epoch, it.base_sequence) = (7, 0, 0);
                it.attributes |= 0x10;
            },
            "NONE",
        ),
        ("transactional without producer id", |it| it.attributes |= 0x10, INVALID),
        ("unused attribute bits", |it| it.attributes |= 0x100, "NONE"),
        ("gzip bit on plain records", |it| it.attributes |= 1, "not decodable"),
        ("codec 5", |it| it.attributes |= 5, "UNSUPPORTED_COMPRESSION_TYPE"),
        ("codec 6", |it| it.attributes |= 6, "UNSUPPORTED_COMPRESSION_TYPE"),
        ("codec 7", |it| it.attributes |= 7, "UNSUPPORTED_COMPRESSION_TYPE"),
        ("timestamps overflow", |it| it.base_timestamp = i64::MAX, INVALID),
    ];
    for (name, edit, expected) in rows {
        check(name, two(edit), rules(), expected);
    }
}

#[test]
fn limits_and_codecs() {
    let size = two(|_| {}).len();
    let limited = |max_message_bytes| Rules { max_message_bytes, ..rules() };
    check("max.message.bytes met", two(|_| {}), limited(size), "NONE");
    check("max.message.bytes passed", two(|_| {}), limited(size - 1), "MESSAGE_TOO_LARGE");
    let damaged = set(two(|_| {}), 17, &[0; 4]);
    check("max.message.bytes goes before the CRC", damaged, limited(size - 1), "MESSAGE_TOO_LARGE");
    check("segment.bytes met", two(|_| {}), Rules { segment_bytes: size, ..rules() }, "NONE");
    let small = Rules { segment_bytes: size - 1, ..rules() };
    check("segment.bytes passed", two(|_| {}), small, "RECORD_LIST_TOO_LARGE");
    for codec in [GZIP, SNAPPY, LZ4, ZSTD] {
        let packed = |payload: &[u8]| batch_of(2, codec, payload, |_| {});
        let good = records(TWO);
        check("compressed", packed(&good), rules(), "NONE");
        check("bytes left over", packed(&[&good[..], b"?"].concat()), rules(), "INVALID_RECORD");
        check("a record cut", packed(&good[..good.len() - 1]), rules(), "INVALID_RECORD");
        check("expands too far", packed(&good), Rules { decompressed_limit: 5, ..rules() }, "MESSAGE_TOO_LARGE");
        let bomb = framed(&body(0, 0, None, Some(&vec![0; 3 << 20]), &[]));
        let allowed = limited(1 << 20);
        check("bomb", batch_of(1, codec, &bomb, |_| {}), allowed, "MESSAGE_TOO_LARGE");
        let mut broken = compress(codec, &good);
        broken.pop();
        let broken = batch_of(2, 0, &broken, |it| it.attributes |= i16::from(codec));
        check("payload cut, CRC made to match", broken, rules(), "not decodable");
    }
    for (version, expected) in [(3, "UNSUPPORTED_COMPRESSION_TYPE"), (6, "UNSUPPORTED_COMPRESSION_TYPE"), (7, "NONE")] {
        let old = Rules { api_version: version, ..rules() };
        check("zstd by version", batch_of(2, ZSTD, &records(TWO), |_| {}), old, expected);
        check("lz4 by version", batch_of(2, LZ4, &records(TWO), |_| {}), old, "NONE");
    }
    let gap = [framed(&body(0, 0, None, None, &[])), framed(&body(0, 2, None, None, &[]))].concat();
    check("gap in the offsets", batch_of(2, 0, &gap, |_| {}), rules(), "INVALID_RECORD");
    let outcome = validate(Some(batch_of(2, 0, &gap, |_| {}).into()), &rules()).unwrap_err();
    let fault = RecordsError::Record { index: 1, fault: Fault::OffsetDelta(2) };
    assert_eq!(outcome, BatchError::Invalid(Invalid::Records(fault)));
}

fn named(outcome: Result<ValidBatch, BatchError>) -> Vec<(i32, Reason)> {
    match outcome {
        Err(BatchError::InvalidRecords(errors) | BatchError::InvalidTimestamps(errors)) => {
            errors.named.iter().map(|error| (error.index, error.reason)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = Rules { compacted: true, ..rules() };
    for codec in [0, ZSTD] {
        let outcome = validate(Some(batch_of(2, codec, &records(TWO), |_| {}).into()), &compacted);
        assert_eq!(family(&outcome), "INVALID_RECORD with records");
        assert_eq!(named(outcome), [(1, Reason::NoKey)]);
    }
    let empty_key = records(&[(1000, Some(b"k")), (1005, Some(b""))]);
    check("an empty key is a key", batch_of(2, 0, &empty_key, |_| {}), compacted, "NONE");
    let many = records(&[(1000, None); 250]);
    let outcome = validate(Some(batch_of(250, 0, &many, |_| {}).into()), &compacted).unwrap_err();
    let BatchError::InvalidRecords(errors) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((errors.total, errors.named.len()), (250, NAMED_RECORDS));
    assert!(outcome.to_string().contains("250"), "{outcome}");
    let cut = [&many[..many.len() - 1]].concat();
    check("a malformed record outweighs them", batch_of(250, 0, &cut, |_| {}), compacted, "INVALID_RECORD");
}

#[test]
fn timestamps_lie_within_the_window() {
    let at = |timestamp: Millis| batch_of(1, 0, &records(&[(timestamp, Some(b"k"))]), |_| {});
    let narrow = Rules { timestamp_type: window(1000, 500), ..rules() };
    let late = "INVALID_TIMESTAMP with records";
    let rows = [
        (NOW, "NONE"),
        (NOW - 1000, "NONE"),
        (NOW - 1001, late),
        (NOW + 500, "NONE"),
        (NOW + 501, late),
        (-1, "NONE"),
        (-2, late),
        (0, late),
    ];
    for (timestamp, expected) in rows {
        check(&format!("timestamp {timestamp}"), at(timestamp), narrow, expected);
    }
    check("any past by default", at(NOW - 1000 * DAY), rules(), "NONE");
    check("the hour ahead by default", at(NOW + 3_600_001), rules(), late);
    // Java's subtraction wraps: the least timestamp counts as the far future.
    let least = batch_of(1, 0, &framed(&body(0, 0, None, None, &[])), |it| it.base_timestamp = i64::MIN);
    check("least timestamp", least, rules(), late);
    let most = batch_of(1, 0, &framed(&body(0, 0, None, None, &[])), |it| it.base_timestamp = i64::MAX);
    check("largest timestamp", most, rules(), late);
    let both = records(&[(NOW, None), (0, Some(b"k")), (NOW, Some(b"k"))]);
    let compacted = Rules { compacted: true, ..narrow };
    let outcome = validate(Some(batch_of(3, 0, &both, |_| {}).into()), &compacted);
    assert_eq!(family(&outcome), late, "one bad timestamp decides the code");
    let reason = Reason::Timestamp { timestamp: 0, earliest: NOW - 1000, latest: NOW + 500 };
    assert_eq!(named(outcome), [(0, Reason::NoKey), (1, reason)]);
    let by_broker = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    check("no window with the broker's clock", at(0), by_broker, "NONE");
    let outcome = validate(Some(two(|it| it.attributes |= 0x08).into()), &by_broker);
    assert_eq!(family(&outcome), late, "append time set by a client");
    assert_eq!(named(outcome), [(0, Reason::AppendTime), (1, Reason::AppendTime)]);
    let hidden = batch_of(1, 0, &records(&[(0, None)]), |it| (it.attributes, it.max_timestamp) = (0x08, NOW));
    check("an old record behind an append time", hidden, narrow, late);
}

#[test]
fn append_time_from_a_client_does_not_count() {
    let header = accepted(two(|it| (it.attributes, it.max_timestamp) = (0x08, 77)), &rules());
    assert!(!header.is_append_time());
    assert_eq!(header.max_timestamp, 1005);
    let header = accepted(two(|it| it.attributes = 0x08), &rules());
    assert!(!header.is_append_time(), "also where nothing else changes");
}

fn accepted(bytes: Vec<u8>, rules: &Rules) -> BatchHeader {
    let valid = validate(Some(bytes.into()), rules).unwrap();
    assert_eq!(valid.header.crc, checksum(&valid.header.encode(), &valid.records), "the CRC fits the header");
    valid.header
}

#[test]
fn the_maximum_timestamp_is_made_true() {
    for codec in [0, ZSTD] {
        let sent = |max| batch_of(2, codec, &records(TWO), move |it| it.max_timestamp = max);
        for max in [1005, 0, -1, i64::MAX, i64::MIN] {
            assert_eq!(accepted(sent(max), &rules()).max_timestamp, 1005, "sent as {max}");
        }
    }
    let untouched = two(|_| {});
    assert_eq!(accepted(untouched.clone(), &rules()).encode()[..], untouched[..HEADER_SIZE]);
    let without = batch_of(1, 0, &records(&[(-1, None)]), |it| it.max_timestamp = 55);
    assert_eq!(accepted(without, &rules()).max_timestamp, -1);
    let negative = batch_of(1, 0, &records(&[(-5, None)]), |_| {});
    assert_eq!(accepted(negative, &rules()).max_timestamp, -1, "never below no timestamp");
}

#[test]
fn append_time_is_set() {
    let by_broker = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let header = accepted(two(|_| {}), &by_broker);
    assert!(header.is_append_time());
    assert_eq!(header.max_timestamp, NOW);
}

#[test]
fn what_follows_the_batch_is_dropped() {
    let good = two(|_| {});
    let size = good.len();
    let frame = Bytes::from([&good[..], &good[..40]].concat());
    let valid = validate(Some(frame.clone()), &rules()).unwrap();
    assert_eq!(valid.records, frame.slice(HEADER_SIZE..size));
    assert_eq!(valid.records.as_ptr(), frame.slice(HEADER_SIZE..).as_ptr(), "the client's own bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn damage_is_refused_or_harmless(
        codec in 0u8..5, at in any::<prop::sample::Index>(), byte in any::<u8>(), mend in any::<bool>()
    ) {
        let mut bytes = batch_of(2, codec, &records(TWO), |_| {});
        let place = at.index(bytes.len());
        bytes[place] = byte;
        if mend {
            let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
            bytes = set(bytes, 17, &crc.to_be_bytes());
        }
        if let Ok(valid) = validate(Some(bytes.into()), &rules()) {
            prop_assert_eq!(valid.header.record_count, 2);
            prop_assert_eq!(valid.header.crc, checksum(&valid.header.encode(), &valid.records));
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = validate(Some(bytes.into()), &rules());
    }
}
