//! Reading the records of stored batches: keys, values and times, for what the broker keeps in its own topics.
//!
//! Stored is not the same as fresh from a client: the cleaner leaves gaps between the offsets of a batch, and batches
//! without records; users and older files may have compressed them; transactions put control batches between them.
//! Left out: the CRC, which is the log's business, headers, which are stepped over, and formats before v2.

use crate::time::Millis;
use crate::wire::batch::{BatchHeader, HEADER_SIZE, HeaderError};
use crate::wire::compression::decompress;
use crate::wire::fields::{FieldError, FieldReader};
use crate::wire::records::{Fault, RecordsError};
use bytes::Bytes;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds; the batch's append time where it has one.
    pub timestamp: Millis,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null: a tombstone.
    pub value: Option<Bytes>,
}

/// What a batch holds.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Records of whoever wrote it.
    Records(Entries),
    /// Markers of the broker's, such as the end of a transaction: not records of the topic's own format.
    Control(Entries),
}

/// Splits what was read from a log into batches: each header, and all that follows it. Ends after the first error; a
/// batch that is not there to its end is [`HeaderError::Short`].
pub fn batches(mut bytes: Bytes) -> impl Iterator<Item = Result<(BatchHeader, Bytes), HeaderError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let header = BatchHeader::parse(&bytes).and_then(|header| match header.size() > bytes.len() {
            true => Err(HeaderError::Short),
            false => Ok(header),
        });
        let batch = bytes.split_to(header.map_or(bytes.len(), |header| header.size()));
        Some(header.map(|header| (header, batch.slice(HEADER_SIZE..))))
    })
}

/// The records of the batch that `header` heads; `payload` is all that follows the header. Slices of it where it is
/// not compressed; otherwise it is decompressed here, to at most `limit` bytes.
pub fn read(header: &BatchHeader, payload: &Bytes, limit: usize) -> Result<Contents, RecordsError> {
    if header.record_count < 0 {
        return Err(RecordsError::Count(header.record_count));
    }
    let rest = match header.codec() {
        0 => payload.clone(),
        // The cleaner leaves nothing at all, not a compressed nothing, where it takes every record.
        _ if payload.is_empty() && header.record_count == 0 => Bytes::new(),
        codec => decompress(codec, payload, limit)?.into(),
    };
    let entries = Entries { header: *header, rest, next: 0, least_delta: 0, done: false };
    Ok(if header.is_control() { Contents::Control(entries) } else { Contents::Records(entries) })
}

/// The records of one batch, in order. Ends after the first error; a `None` without one means that the payload is
/// exactly the announced records.
#[derive(Clone, Debug)]
pub struct Entries {
    header: BatchHeader,
    rest: Bytes,
    next: i32,
    least_delta: i32,
    done: bool,
}

impl Entries {
    fn read(&mut self) -> Result<Option<Entry>, RecordsError> {
        if self.next == self.header.record_count {
            return if self.rest.is_empty() { Ok(None) } else { Err(RecordsError::LeftOver) };
        }
        let index = self.next;
        self.next += 1;
        self.read_one().map(Some).map_err(|fault| RecordsError::Record { index, fault })
    }

    fn read_one(&mut self) -> Result<Entry, Fault> {
        let payload = self.rest.clone();
        let mut from = FieldReader::new(&payload, true);
        let size = from.varint("the record")?;
        let mut body = FieldReader::new(take(&mut from, size)?, true);
        self.rest = payload.slice_ref(from.rest());
        body.int8("attributes")?;
        let delta = body.varlong("timestamp")?;
        let timestamp = self.header.base_timestamp.checked_add(delta).ok_or(Fault::Timestamp)?;
        let offset_delta = body.varint("offset")?;
        if !(self.least_delta..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(Fault::OffsetDelta(offset_delta));
        }
        self.least_delta = offset_delta.saturating_add(1);
        let key = take_nullable(&mut body)?.map(|key| payload.slice_ref(key));
        let value = take_nullable(&mut body)?.map(|value| payload.slice_ref(value));
        skip_headers(&mut body)?;
        if !body.rest().is_empty() {
            return Err(Fault::LeftOver(body.rest().len()));
        }
        let offset = self.header.base_offset.saturating_add(offset_delta.into());
        let timestamp = if self.header.is_append_time() { self.header.max_timestamp } else { timestamp };
        Ok(Entry { offset, timestamp, key, value })
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Varint(_) => Self::Varint,
            // The fields of a record are read one by one, by lengths of their own.
            _ => Self::Truncated,
        }
    }
}

fn take<'a>(from: &mut FieldReader<'a>, length: i32) -> Result<&'a [u8], Fault> {
    let size = usize::try_from(length).map_err(|_| Fault::Length(length))?;
    from.take("the record", size).map_err(|_| Fault::Length(length))
}

fn take_nullable<'a>(from: &mut FieldReader<'a>) -> Result<Option<&'a [u8]>, Fault> {
    match from.varint("length")? {
        -1 => Ok(None),
        length => take(from, length).map(Some),
    }
}

/// A count that lies runs into the end of the record: a header has two bytes at least.
fn skip_headers(from: &mut FieldReader) -> Result<(), Fault> {
    let count = from.varint("headers")?;
    if count < 0 {
        return Err(Fault::Length(count));
    }
    for _ in 0..count {
        let key_length = from.varint("header")?;
        take(from, key_length)?;
        take_nullable(from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
