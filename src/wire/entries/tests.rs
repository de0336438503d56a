use super::*;
use crate::wire::build;
use crate::wire::compression::tests::compress;
use crate::wire::compression::{CompressionError, GZIP, LZ4, SNAPPY, ZSTD};
use crate::wire::records::tests::{body, framed, header};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn entries(header: &BatchHeader, payload: &[u8]) -> Result<Vec<Entry>, RecordsError> {
    match read(header, &Bytes::copy_from_slice(payload), LIMIT)? {
        Contents::Records(entries) => entries.collect(),
        Contents::Control(_) => panic!("a control batch"),
    }
}

fn entry(offset: i64, timestamp: Millis, key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Entry {
    Entry { offset, timestamp, key: key.map(Bytes::from_static), value: value.map(Bytes::from_static) }
}

fn two() -> Vec<u8> {
    let first = framed(&body(5, 0, Some(b"k"), Some(b"v"), &[(b"h", Some(b"x")), (b"", None)]));
    [first, framed(&body(-7, 1, None, None, &[]))].concat()
}

#[test]
fn compressed_or_not_they_are_the_same() {
    let payload = two();
    let mut expected = vec![entry(100, 1005, Some(b"k"), Some(b"v")), entry(101, 993, None, None)];
    for codec in [0, GZIP, SNAPPY, LZ4, ZSTD] {
        let header = BatchHeader { base_offset: 100, ..header(2, codec) };
        assert_eq!(entries(&header, &compress(codec, &payload)), Ok(expected.clone()), "codec {codec}");
    }
    let mut appended = BatchHeader { base_offset: 100, ..header(2, 0) };
    appended.set_append_time(77);
    expected.iter_mut().for_each(|entry| entry.timestamp = 77);
    assert_eq!(entries(&appended, &payload), Ok(expected));
    assert!(matches!(read(&header(2, 5), &Bytes::new(), LIMIT), Err(RecordsError::Compression(_))));
}

#[test]
fn the_limit_holds() {
    let payload = framed(&body(0, 0, Some(b"k"), Some(&[0; 100_000]), &[]));
    let packed = Bytes::from(compress(ZSTD, &payload));
    assert!(read(&header(1, ZSTD), &packed, payload.len()).is_ok());
    let error = read(&header(1, ZSTD), &packed, payload.len() - 1).unwrap_err();
    assert_eq!(error, RecordsError::Compression(CompressionError::TooLarge));
}

#[test]
fn the_cleaner_leaves_gaps() {
    let payload = [framed(&body(0, 2, Some(b"a"), None, &[])), framed(&body(0, 7, Some(b"b"), None, &[]))].concat();
    let cleaned = BatchHeader { base_offset: 10, last_offset_delta: 9, ..header(2, 0) };
    let offsets: Vec<_> = entries(&cleaned, &payload).unwrap().iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, [12, 17]);
    for codec in [0, GZIP] {
        let emptied = BatchHeader { last_offset_delta: 9, ..header(0, codec) };
        assert_eq!(entries(&emptied, &[]), Ok(vec![]));
    }

    let bad = |index, delta| Err(RecordsError::Record { index, fault: Fault::OffsetDelta(delta) });
    let beyond = BatchHeader { last_offset_delta: 6, ..cleaned };
    assert_eq!(entries(&beyond, &payload), bad(1, 7));
    let back = [framed(&body(0, 2, None, None, &[])), framed(&body(0, 2, None, None, &[]))].concat();
    assert_eq!(entries(&cleaned, &back), bad(1, 2));
    assert_eq!(entries(&cleaned, &framed(&body(0, -1, None, None, &[]))), bad(0, -1));
}

#[test]
fn control_batches_are_told_apart() {
    const CONTROL: i16 = 0x20;
    let payload = Bytes::from(framed(&body(0, 0, Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[])));
    let header = BatchHeader { attributes: CONTROL, ..header(1, 0) };
    let Ok(Contents::Control(mut markers)) = read(&header, &payload, LIMIT) else { panic!("not a control batch") };
    assert_eq!(markers.next().unwrap().unwrap().key.unwrap(), &[0, 0, 0, 1][..]);
    assert_eq!(markers.next(), None);
}

#[test]
fn what_is_not_the_announced_records_is_refused() {
    let payload = two();
    let fault = |index, fault| Err(RecordsError::Record { index, fault });
    assert_eq!(entries(&header(3, 0), &payload), fault(2, Fault::Truncated));
    assert_eq!(entries(&header(1, 0), &payload), Err(RecordsError::LeftOver));
    assert_eq!(entries(&header(-1, 0), &payload), Err(RecordsError::Count(-1)));
    assert_eq!(entries(&header(1, 0), &[0xff; 9]), fault(0, Fault::Varint));
    assert_eq!(entries(&header(1, 0), &[1]), fault(0, Fault::Length(-1)));
    assert_eq!(entries(&header(1, 0), &[60, 0]), fault(0, Fault::Length(30)));
    let overlong = [body(0, 0, None, None, &[]), vec![9]].concat();
    assert_eq!(entries(&header(1, 0), &framed(&overlong)), fault(0, Fault::LeftOver(1)));
    assert_eq!(entries(&header(1, 0), &framed(&body(i64::MAX, 0, None, None, &[]))), fault(0, Fault::Timestamp));

    let mut once = match read(&header(3, 0), &payload.into(), LIMIT) {
        Ok(Contents::Records(entries)) => entries,
        other => panic!("{other:?}"),
    };
    assert_eq!(once.by_ref().filter(Result::is_err).count(), 1);
    assert_eq!(once.next(), None);
}

#[test]
fn batches_follow_each_other() {
    let one = build::batch(&[(Bytes::from_static(b"a"), None)], 1);
    let two = build::batch(&[(Bytes::from_static(b"b"), None), (Bytes::from_static(b"c"), None)], 2);
    let both = Bytes::from([&one[..], &two].concat());
    let counts =
        |bytes: Bytes| batches(bytes).map(|batch| batch.map(|(header, _)| header.record_count)).collect::<Vec<_>>();
    assert_eq!(counts(both.clone()), [Ok(1), Ok(2)]);
    assert_eq!(counts(both.slice(..both.len() - 1)), [Ok(1), Err(HeaderError::Short)]);
    assert_eq!(counts(both.slice(..one.len() + 20)), [Ok(1), Err(HeaderError::Short)]);
    assert_eq!(counts(Bytes::new()), []);
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        records in vec((vec(any::<u8>(), 0..50), proptest::option::of(vec(any::<u8>(), 0..200))), 1..40),
        timestamp in any::<i64>(),
    ) {
        let records: Vec<_> = records.into_iter().map(|(key, value)| (Bytes::from(key), value.map(Bytes::from))).collect();
        let all: Vec<_> = batches(build::batch(&records, timestamp)).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(all.len(), 1);
        let expected: Vec<_> = (0..).zip(&records).map(|(offset, (key, value))| {
            Entry { offset, timestamp, key: Some(key.clone()), value: value.clone() }
        }).collect();
        prop_assert_eq!(entries(&all[0].0, &all[0].1), Ok(expected));
    }

    #[test]
    fn noise_never_panics(
        bytes in vec(any::<u8>(), 0..200),
        count in any::<i32>(),
        codec in 0u8..6,
        last_offset_delta in any::<i32>(),
        base_offset in any::<i64>(),
    ) {
        drop(entries(&BatchHeader { last_offset_delta, base_offset, ..header(count, codec) }, &bytes));
        batches(Bytes::from(bytes)).for_each(drop);
    }
}
