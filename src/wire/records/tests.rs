use super::*;
use crate::wire::batch::HEADER_SIZE;
use crate::wire::compression::tests::{compress, xerial};
use crate::wire::compression::{GZIP, LZ4, SNAPPY, ZSTD};
use proptest::prelude::*;

type Pair<'a> = (&'a [u8], Option<&'a [u8]>);

pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut value = (value << 1 ^ value >> 63) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// A record's bytes after its length.
pub fn body(
    timestamp_delta: i64,
    offset_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Pair],
) -> Vec<u8> {
    let mut out = vec![0];
    put_varint(&mut out, timestamp_delta);
    put_varint(&mut out, offset_delta);
    put_nullable(&mut out, key);
    put_nullable(&mut out, value);
    put_varint(&mut out, headers.len() as i64);
    for (key, value) in headers {
        put_nullable(&mut out, Some(key));
        put_nullable(&mut out, *value);
    }
    out
}

pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, body.len() as i64);
    out.extend_from_slice(body);
    out
}

/// A header for `count` records from base timestamp 1000; lengths and CRC are left zero.
pub fn header(count: i32, codec: u8) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_length: HEADER_SIZE as i32 - 12,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: i16::from(codec),
        last_offset_delta: count.wrapping_sub(1),
        base_timestamp: 1000,
        max_timestamp: 1000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    }
}

fn collect(header: &BatchHeader, payload: &[u8]) -> Result<Vec<Record>, RecordsError> {
    let mut all = Vec::new();
    walk(header, payload, 1 << 20, |record| {
        all.push(*record);
        Ok::<_, RecordsError>(())
    })?;
    Ok(all)
}

/// The outcome of `payload`, which must be the same through every codec.
fn outcome(count: i32, payload: &[u8]) -> Result<Vec<Record>, RecordsError> {
    let plain = collect(&header(count, 0), payload);
    for codec in [GZIP, SNAPPY, LZ4, ZSTD] {
        assert_eq!(collect(&header(count, codec), &compress(codec, payload)), plain, "codec {codec}");
    }
    assert_eq!(collect(&header(count, SNAPPY), &xerial(payload, 5)), plain, "snappy-java");
    plain
}

fn fault(index: i32, fault: Fault) -> Result<Vec<Record>, RecordsError> {
    Err(RecordsError::Record { index, fault })
}

#[test]
fn tells_what_it_saw() {
    let headers: &[Pair] = &[(b"a", Some(b"1")), (b"a", None), (b"", Some(b""))];
    let payload = [
        framed(&body(5, 0, Some(b"key"), Some(&[7; 300]), headers)),
        framed(&body(-10, 1, None, None, &[])),
        framed(&body(0, 2, Some(b""), Some(b""), &[])),
    ]
    .concat();
    let seen = |offset_delta, timestamp, key_size, value_size| Record { offset_delta, timestamp, key_size, value_size };
    let expected = vec![seen(0, 1005, Some(3), Some(300)), seen(1, 990, None, None), seen(2, 1000, Some(0), Some(0))];
    assert_eq!(outcome(3, &payload), Ok(expected.clone()));

    let mut appended = header(3, 0);
    appended.set_append_time(77);
    let at_append = expected.into_iter().map(|record| Record { timestamp: 77, ..record }).collect();
    assert_eq!(collect(&appended, &payload), Ok(at_append));
}

#[test]
fn the_count_must_be_right() {
    let one = framed(&body(0, 0, None, Some(b"v"), &[]));
    assert_eq!(outcome(2, &one), fault(1, Fault::Truncated));
    assert_eq!(outcome(0, &one), Err(RecordsError::LeftOver));
    assert_eq!(outcome(0, &[]), Ok(vec![]));
    assert_eq!(outcome(-1, &one), Err(RecordsError::Count(-1)));
    assert_eq!(outcome(i32::MAX, &one), fault(1, Fault::Truncated));
    assert_eq!(outcome(1, &[&one[..], &[0]].concat()), Err(RecordsError::LeftOver));
}

#[test]
fn malformed_records_are_named() {
    let good = body(0, 0, Some(b"k"), Some(b"v"), &[(b"h", Some(b"x"))]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        framed(&bytes)
    };
    // attributes 0 | timestamp 1 | offset 2 | key length 3, key 4 | value length 5, value 6 | headers 7 | h...
    let zigzag = |value: i64| {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out[0]
    };
    let cases = [
        ("offset delta", with(2, zigzag(1)), Fault::OffsetDelta(1)),
        ("negative offset delta", with(2, zigzag(-1)), Fault::OffsetDelta(-1)),
        ("key longer than the record", with(3, zigzag(60)), Fault::Length(60)),
        ("key length -2", with(3, zigzag(-2)), Fault::Length(-2)),
        ("value longer than the record", with(5, zigzag(50)), Fault::Length(50)),
        ("value length -2", with(5, zigzag(-2)), Fault::Length(-2)),
        ("header count negative", with(7, zigzag(-1)), Fault::Length(-1)),
        ("more headers than fit", with(7, zigzag(3)), Fault::Length(3)),
        ("fewer headers than there are", with(7, zigzag(0)), Fault::LeftOver(4)),
        ("header key null", with(8, zigzag(-1)), Fault::Length(-1)),
        ("header key too long", with(8, zigzag(9)), Fault::Length(9)),
        ("header value too long", with(10, zigzag(2)), Fault::Length(2)),
        ("header value length -2", with(10, zigzag(-2)), Fault::Length(-2)),
        ("bytes after the headers", framed(&[&good[..], b"??"].concat()), Fault::LeftOver(2)),
        ("body length negative", vec![zigzag(-1)], Fault::Length(-1)),
        ("body length zero", vec![0], Fault::Length(1)),
        ("body length of six bytes", vec![0x80, 0x80, 0x80, 0x80, 0x80, 0], Fault::Varint),
        ("offset delta of six bytes", framed(&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0]), Fault::Varint),
        ("timestamp of eleven bytes", framed(&[&[0][..], &[0x80; 10], &[0, 0, 1, 1, 0]].concat()), Fault::Varint),
        ("timestamp overflows", framed(&body(i64::MAX, 0, None, None, &[])), Fault::Timestamp),
        ("body length beyond the batch", vec![0xfe, 0xff, 0xff, 0xff, 0x0f], Fault::Truncated),
        ("nothing", vec![], Fault::Truncated),
    ];
    for (name, payload, expected) in cases {
        assert_eq!(outcome(1, &payload), fault(0, expected), "{name}");
    }
}

#[test]
fn the_walk_can_be_left() {
    let payload: Vec<u8> = (0..5).flat_map(|at| framed(&body(at, at, None, None, &[]))).collect();
    let header = header(5, 0);
    let found = Records::plain(&header, &payload).find(|record| record.as_ref().is_ok_and(|it| it.timestamp >= 1003));
    assert_eq!(found.unwrap().unwrap().offset_delta, 3);
    #[derive(Debug, PartialEq)]
    enum Own {
        Enough(i32),
        Records(RecordsError),
    }
    impl From<RecordsError> for Own {
        fn from(error: RecordsError) -> Self {
            Self::Records(error)
        }
    }
    let left = walk(&header, &payload, 0, |record| if record.offset_delta == 2 { Err(Own::Enough(2)) } else { Ok(()) });
    assert_eq!(left, Err(Own::Enough(2)));
}

#[test]
fn decompression_errors_come_through() {
    let payload = framed(&body(0, 0, None, Some(&[1; 5000]), &[]));
    let over = walk(&header(1, ZSTD), &compress(ZSTD, &payload), 4999, |_| Ok::<_, RecordsError>(()));
    assert_eq!(over, Err(CompressionError::TooLarge.into()));
    assert_eq!(collect(&header(1, 5), &payload), Err(CompressionError::UnknownCodec(5).into()));
    assert_eq!(collect(&header(1, GZIP), &payload), Err(CompressionError::Corrupt.into()));
    // What follows the last record is decompressed too, and must be sound.
    let packed = compress(GZIP, &payload);
    let cut = &packed[..packed.len() - 1];
    assert_eq!(collect(&header(1, GZIP), cut), Err(CompressionError::Corrupt.into()));
}

fn any_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))
}

type Loose = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn any_records() -> impl Strategy<Value = Vec<Loose>> {
    let headers = proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..9), any_bytes()), 0..4);
    proptest::collection::vec((any::<i32>(), any_bytes(), any_bytes(), headers), 0..20)
}

fn encode(records: &[Loose]) -> Vec<u8> {
    let one = |(at, (delta, key, value, headers)): (usize, &Loose)| {
        let pairs: Vec<Pair> = headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        framed(&body((*delta).into(), at as i64, key.as_deref(), value.as_deref(), &pairs))
    };
    records.iter().enumerate().flat_map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_what_was_written(records in any_records()) {
        let seen = outcome(records.len() as i32, &encode(&records)).unwrap();
        prop_assert_eq!(seen.len(), records.len());
        for (seen, (delta, key, value, _)) in seen.iter().zip(&records) {
            prop_assert_eq!(seen.timestamp, 1000 + i64::from(*delta));
            prop_assert_eq!(seen.key_size, key.as_ref().map(Vec::len));
            prop_assert_eq!(seen.value_size, value.as_ref().map(Vec::len));
        }
    }

    #[test]
    fn no_cut_is_valid(records in any_records(), at in any::<prop::sample::Index>()) {
        let whole = encode(&records);
        if !whole.is_empty() {
            prop_assert!(outcome(records.len() as i32, &whole[..at.index(whole.len())]).is_err());
        }
    }

    #[test]
    fn noise_never_panics(count in any::<i32>(), codec in 0u8..8, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = collect(&header(count, codec), &payload);
        let _ = outcome(count, &payload);
    }
}
