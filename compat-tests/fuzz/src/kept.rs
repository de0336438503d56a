//! Arbitrary bytes as what is kept of groups and transactions: records of their coordinators' topics, markers, indexes of
//! aborted transactions. Whatever can be read is written so that the same is read again.

use bytes::Bytes;
use ottla::coordinator::records::Decoded;
use ottla::coordinator::{group, txn};
use ottla::partition::aborted::Aborted;
use ottla::wire::control::Marker;
use std::fmt::Debug;

const NOW: i64 = 1_700_000_000_000;
const END: i64 = i64::MAX;

/// One byte that chooses what it is and one more: of a record the length of its key, of an index where its segment begins.
pub fn kept(data: &[u8]) {
    let Some((&[choice, number], rest)) = data.split_first_chunk() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(number)));
    let value = (choice & 0x80 != 0).then_some(value);
    match choice & 3 {
        0 => record(key, value, group::records::Record::decode, |record| record.encode().ok()),
        1 => record(key, value, txn::records::Record::decode, |record| record.encode().ok()),
        2 => marker(rest),
        _ => index(i64::from(number), rest),
    }
}

fn record<R: Debug + PartialEq, E>(
    key: &[u8],
    value: Option<&[u8]>,
    decode: impl Fn(&[u8], Option<&[u8]>) -> Result<Decoded<R>, E>,
    encode: impl Fn(&R) -> Option<(Bytes, Option<Bytes>)>,
) {
    let Ok(Decoded::Known(record)) = decode(key, value) else { return };
    // Lengths that are compact can say more than can be written.
    let Some((key, value)) = encode(&record) else { return };
    let Ok(Decoded::Known(again)) = decode(&key, value.as_deref()) else { panic!("what was written is not read") };
    assert_eq!(again, record, "what was written is read as something else");
}

fn marker(payload: &[u8]) {
    let (header, _) = Marker { committed: true, coordinator_epoch: 0 }.batch(7, 0, NOW);
    let Some(marker) = Marker::read(&header, &Bytes::copy_from_slice(payload)) else { return };
    let (header, payload) = marker.batch(7, 0, NOW);
    assert_eq!(Marker::read(&header, &payload), Some(marker));
}

fn index(base: i64, bytes: &[u8]) {
    let files = [(base, bytes.to_vec())];
    let Some(mut aborted) = Aborted::from_kafkas_files(&files, END) else { return };
    let written = aborted.clone().write_files(&[base], END);
    assert_eq!(Aborted::from_kafkas_files(&written, END).as_ref(), Some(&aborted));
    for (from, below) in [(0, END), (base, base + 1), (END, 0)] {
        assert!(aborted.overlapping(from, below).len() <= aborted.entries().len());
    }
    let later = base + 10;
    let written = aborted.write_files(&[later], END);
    assert!(aborted.entries().iter().all(|entry| entry.last_offset >= later));
    assert_eq!(Aborted::from_files(&written, aborted.files().to_vec(), later, END).as_ref(), Some(&aborted));
}
