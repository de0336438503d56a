//! Walking the records of a v2 batch without building them.
//!
//! One pass over the payload, compressed or not, checks that every record is what its lengths say and that nothing
//! is left over; on the way it tells where each record stands in time and whether it has a key. Keys, values and
//! headers are stepped over, never kept. Rules after Kafka's `DefaultRecord.readFrom` and `DefaultRecordBatch`;
//! stricter in three places, where no client's data is affected and some clients' readers would fail: offsets run
//! 0, 1, 2 and so on, a length below -1 is not a null, and timestamps do not overflow. Left out: what a broker
//! demands beyond form (`validate`), and header keys being UTF-8, which Kafka does not check either.

use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use crate::wire::compression::{CompressionError, Reader};
use std::io::Read;

/// What the walk tells of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the batch, from 0: the offset less the batch's base offset.
    pub offset_delta: i32,
    /// Milliseconds; the batch's append time where it has one.
    pub timestamp: Millis,
    /// Bytes of the key; `None` is a null key.
    pub key_size: Option<usize>,
    /// Bytes of the value; `None` is a null value.
    pub value_size: Option<usize>,
}

/// Why a batch's payload is not the records that its header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The record at this place is malformed.
    #[error("record {index}: {fault}")]
    Record {
        /// Its place in the batch, from 0.
        index: i32,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The header's count of records is negative.
    #[error("the record count {0} is negative")]
    Count(i32),
    /// Bytes are left after as many records as the header announces.
    #[error("bytes are left after the last record")]
    LeftOver,
    /// The payload does not decompress, or to too much.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The payload ends before the record does.
    #[error("the batch ends before the record does")]
    Truncated,
    /// A variable-length integer of more than 5 bytes, or 10 for the timestamp.
    #[error("a variable-length integer is too long")]
    Varint,
    /// A length is negative where it may not be, or reaches beyond the record.
    #[error("length {0} does not fit the record")]
    Length(i32),
    /// The offset delta is not the record's place in the batch.
    #[error("offset delta {0} is out of sequence")]
    OffsetDelta(i32),
    /// The timestamp does not fit 64 bits.
    #[error("the timestamp overflows")]
    Timestamp,
    /// The record's fields end before its length says so.
    #[error("{0} bytes are left at the end of the record")]
    LeftOver(usize),
}

/// Walks the records of the batch that `header` heads; `payload` is all that follows the header, and decompresses to
/// at most `limit` bytes. `visit` sees each record as soon as it has been read, and may end the walk by an error.
pub fn walk<E, F>(header: &BatchHeader, payload: &[u8], limit: usize, mut visit: F) -> Result<(), E>
where
    E: From<RecordsError>,
    F: FnMut(&Record) -> Result<(), E>,
{
    match header.codec() {
        0 => Records::plain(header, payload).try_for_each(|record| visit(&record?)),
        _ => Records::compressed(header, payload, limit)?.try_for_each(|record| visit(&record?)),
    }
}

/// The records of one batch, in order. Ends after the first error; a `None` without one means that the payload is
/// exactly the announced records.
pub struct Records<S> {
    source: S,
    count: i32,
    next: i32,
    base_timestamp: Millis,
    append_time: Option<Millis>,
    done: bool,
}

impl<'a> Records<Plain<'a>> {
    /// Over an uncompressed payload.
    pub fn plain(header: &BatchHeader, payload: &'a [u8]) -> Self {
        Self::over(header, Plain { rest: payload })
    }
}

impl<'a> Records<Inflated<'a>> {
    /// Over a compressed payload that becomes at most `limit` bytes; holds a small buffer of them at a time.
    pub fn compressed(header: &BatchHeader, payload: &'a [u8], limit: usize) -> Result<Self, RecordsError> {
        let reader = Reader::new(header.codec(), payload, limit)?;
        Ok(Self::over(header, Inflated { reader, buffer: vec![0; BUFFER], start: 0, end: 0 }))
    }
}

impl<S: Source> Records<S> {
    fn over(header: &BatchHeader, source: S) -> Self {
        Self {
            source,
            count: header.record_count,
            next: 0,
            base_timestamp: header.base_timestamp,
            append_time: header.is_append_time().then_some(header.max_timestamp),
            done: false,
        }
    }

    fn read(&mut self) -> Result<Option<Record>, RecordsError> {
        if self.count < 0 {
            return Err(RecordsError::Count(self.count));
        }
        if self.next == self.count {
            return if self.source.at_end()? { Ok(None) } else { Err(RecordsError::LeftOver) };
        }
        let index = self.next;
        let record = self.read_one(index).map_err(|stop| match stop {
            Stop::Fault(fault) => RecordsError::Record { index, fault },
            Stop::Compression(error) => RecordsError::Compression(error),
        })?;
        self.next += 1;
        Ok(Some(record))
    }

    fn read_one(&mut self, index: i32) -> Result<Record, Stop> {
        let mut body = Body { source: &mut self.source, left: 5 };
        let size = body.varint()?;
        body.left = usize::try_from(size).map_err(|_| Fault::Length(size))?;
        body.byte()?; // attributes, which mean nothing yet
        let delta = body.varlong()?;
        let timestamp = self.base_timestamp.checked_add(delta).ok_or(Fault::Timestamp)?;
        let offset_delta = body.varint()?;
        if offset_delta != index {
            return Err(Fault::OffsetDelta(offset_delta).into());
        }
        let key_size = body.skip_nullable()?;
        let value_size = body.skip_nullable()?;
        body.skip_headers()?;
        if body.left != 0 {
            return Err(Fault::LeftOver(body.left).into());
        }
        Ok(Record { offset_delta, timestamp: self.append_time.unwrap_or(timestamp), key_size, value_size })
    }
}

impl<S: Source> Iterator for Records<S> {
    type Item = Result<Record, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Why reading a record stopped, before it is known which record it was.
#[doc(hidden)]
#[derive(Debug)]
pub enum Stop {
    Fault(Fault),
    Compression(CompressionError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where the bytes of the records come from.
pub trait Source {
    #[doc(hidden)]
    fn byte(&mut self) -> Result<u8, Stop>;
    #[doc(hidden)]
    fn skip(&mut self, count: usize) -> Result<(), Stop>;
    #[doc(hidden)]
    fn at_end(&mut self) -> Result<bool, CompressionError>;
}

/// An uncompressed payload.
pub struct Plain<'a> {
    rest: &'a [u8],
}

impl Source for Plain<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.rest.split_first().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Result<(), Stop> {
        self.rest = self.rest.get(count..).ok_or(Fault::Truncated)?;
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, CompressionError> {
        Ok(self.rest.is_empty())
    }
}

const BUFFER: usize = 8 * 1024;

/// A compressed payload, decompressed as the walk goes on.
pub struct Inflated<'a> {
    reader: Reader<'a>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inflated<'_> {
    /// What is buffered; filled again where nothing was, so that empty means the end.
    fn ready(&mut self) -> Result<&[u8], CompressionError> {
        if self.start == self.end {
            self.start = 0;
            self.end = self.reader.read(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }
}

impl Source for Inflated<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.ready().map_err(Stop::Compression)?.first().copied().ok_or(Fault::Truncated)?;
        self.start += 1;
        Ok(byte)
    }

    fn skip(&mut self, mut count: usize) -> Result<(), Stop> {
        while count > 0 {
            let step = self.ready().map_err(Stop::Compression)?.len().min(count);
            if step == 0 {
                return Err(Fault::Truncated.into());
            }
            self.start += step;
            count -= step;
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, CompressionError> {
        Ok(self.ready()?.is_empty())
    }
}

/// The inside of one record: a source of which `left` bytes may still be taken.
struct Body<'s, S> {
    source: &'s mut S,
    left: usize,
}

impl<S: Source> Body<'_, S> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Fault::Length(1))?;
        self.source.byte()
    }

    /// A zigzag integer of at most five bytes; as in Kafka's `ByteUtils`, bits beyond the 32nd are dropped.
    #[inline]
    fn varint(&mut self) -> Result<i32, Stop> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
            }
        }
        Err(Fault::Varint.into())
    }

    /// A zigzag integer of at most ten bytes.
    #[inline]
    fn varlong(&mut self) -> Result<i64, Stop> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Fault::Varint.into())
    }

    /// Steps over a length and as many bytes; -1 is null.
    #[inline]
    fn skip_nullable(&mut self) -> Result<Option<usize>, Stop> {
        match self.varint()? {
            -1 => Ok(None),
            length => self.skip(length).map(Some),
        }
    }

    #[inline]
    fn skip(&mut self, length: i32) -> Result<usize, Stop> {
        let size = usize::try_from(length).map_err(|_| Fault::Length(length))?;
        self.left = self.left.checked_sub(size).ok_or(Fault::Length(length))?;
        self.source.skip(size)?;
        Ok(size)
    }

    fn skip_headers(&mut self) -> Result<(), Stop> {
        let count = self.varint()?;
        // A header has two lengths, so two bytes at least.
        if usize::try_from(count).map_or(true, |count| count > self.left / 2) {
            return Err(Fault::Length(count).into());
        }
        for _ in 0..count {
            let key_size = self.varint()?;
            self.skip(key_size)?;
            self.skip_nullable()?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests;
