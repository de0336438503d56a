//! The fields that Kafka's own records are made of, for reading and writing by hand: what the schemas of coordinator
//! records need, in the plain form (lengths of two or four bytes) and the flexible one (KIP-482).
//!
//! Reading trusts nothing: a length beyond the bytes that are there is an error, memory follows the elements that were
//! really read, and tagged fields that nobody knows are skipped. As Kafka does it, text that is not UTF-8 is read with
//! replacement characters, and bytes after the last field are tolerated. Left out: requests and replies, which have
//! `shape` and the codec crate.

use crate::wire::frame::put_unsigned_varint;
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// The most bytes that text may have, in either form (Kafka's generated code checks it when it reads and writes).
pub const MAX_STRING: usize = i16::MAX as usize;

/// What is wrong with a field, which is named as in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The bytes end inside it.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// A length or count that the remaining bytes cannot hold, or that no field of this kind may have.
    #[error("{field} cannot have length {length}")]
    Length {
        /// Where.
        field: &'static str,
        /// What is announced; when writing, what there is.
        length: i64,
    },
    /// Null where there must be something.
    #[error("{0} is null")]
    Null(&'static str),
    /// A variable-length integer that is longer than its type.
    #[error("{0} is a malformed variable-length integer")]
    Varint(&'static str),
    /// The content of a known tagged field does not have the size that is announced.
    #[error("tagged field {0} is not of the size it announces")]
    TaggedSize(u32),
}

/// Reads fields off the front of some bytes.
#[derive(Clone, Debug)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> FieldReader<'a> {
    /// Over `bytes`, in the flexible form or the plain one.
    pub fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Self { rest: bytes, flexible }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on in the flexible form or the plain one: a version is read before it is known which.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// The next `count` bytes.
    pub fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], FieldError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(FieldError::Truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FieldError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(FieldError::Truncated(field))?;
        self.rest = rest;
        Ok(*chunk)
    }

    /// One byte, signed.
    pub fn int8(&mut self, field: &'static str) -> Result<i8, FieldError> {
        self.chunk(field).map(i8::from_be_bytes)
    }

    /// Two bytes.
    pub fn int16(&mut self, field: &'static str) -> Result<i16, FieldError> {
        self.chunk(field).map(i16::from_be_bytes)
    }

    /// Four bytes.
    pub fn int32(&mut self, field: &'static str) -> Result<i32, FieldError> {
        self.chunk(field).map(i32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn int64(&mut self, field: &'static str) -> Result<i64, FieldError> {
        self.chunk(field).map(i64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, field: &'static str) -> Result<Uuid, FieldError> {
        self.chunk(field).map(Uuid::from_bytes)
    }

    /// An unsigned integer of at most five bytes (KIP-482).
    pub fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, FieldError> {
        u32::try_from(self.varbits(field, 5)?).map_err(|_| FieldError::Varint(field))
    }

    /// A zigzag integer of at most five bytes, as in records; bits beyond the 32nd are dropped (Kafka's `ByteUtils`).
    pub fn varint(&mut self, field: &'static str) -> Result<i32, FieldError> {
        let value = self.varbits(field, 5)? as u32;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A zigzag integer of at most ten bytes, as in records.
    pub fn varlong(&mut self, field: &'static str) -> Result<i64, FieldError> {
        let value = self.varbits(field, 10)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varbits(&mut self, field: &'static str, most: u32) -> Result<u64, FieldError> {
        let mut value = 0;
        for at in 0..most {
            let [byte] = self.chunk(field)?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FieldError::Varint(field))
    }

    /// Text that may not be null.
    pub fn string(&mut self, field: &'static str) -> Result<String, FieldError> {
        self.nullable_string(field)?.ok_or(FieldError::Null(field))
    }

    /// Text; any negative length is null, as with Kafka.
    pub fn nullable_string(&mut self, field: &'static str) -> Result<Option<String>, FieldError> {
        let length = if self.flexible { self.compact(field)? } else { self.int16(field)?.into() };
        let Some(size) = self.within(field, length)? else { return Ok(None) };
        if size > MAX_STRING {
            return Err(FieldError::Length { field, length });
        }
        Ok(Some(String::from_utf8_lossy(self.take(field, size)?).into_owned()))
    }

    /// Bytes that may not be null.
    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, FieldError> {
        let size = self.length(field)?.ok_or(FieldError::Null(field))?;
        self.take(field, size).map(Bytes::copy_from_slice)
    }

    /// A list that may not be null.
    pub fn array<T>(
        &mut self,
        field: &'static str,
        element: impl FnMut(&mut Self) -> Result<T, FieldError>,
    ) -> Result<Vec<T>, FieldError> {
        self.nullable_array(field, element)?.ok_or(FieldError::Null(field))
    }

    /// A list. Every element takes a byte at least, or the bytes run out; memory grows with what was read.
    pub fn nullable_array<T>(
        &mut self,
        field: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, FieldError>,
    ) -> Result<Option<Vec<T>>, FieldError> {
        let Some(count) = self.length(field)? else { return Ok(None) };
        (0..count).map(|_| element(self)).collect::<Result<_, _>>().map(Some)
    }

    /// The tagged fields at the end of a struct, each given to `known` with its tag and a reader of its content, which
    /// tells whether it was one that it knows. In the plain form there are none.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut FieldReader<'a>) -> Result<bool, FieldError>,
    ) -> Result<(), FieldError> {
        const NAME: &str = "the tagged fields";
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint(NAME)? {
            let tag = self.unsigned_varint(NAME)?;
            let size = self.unsigned_varint(NAME)?;
            let mut content = FieldReader::new(self.take(NAME, size as usize)?, true);
            if known(tag, &mut content)? && !content.rest.is_empty() {
                return Err(FieldError::TaggedSize(tag));
            }
        }
        Ok(())
    }

    /// The tagged fields at the end of a struct that has none of its own.
    pub fn no_tagged_fields(&mut self) -> Result<(), FieldError> {
        self.tagged_fields(|_, _| Ok(false))
    }

    fn length(&mut self, field: &'static str) -> Result<Option<usize>, FieldError> {
        let length = if self.flexible { self.compact(field)? } else { self.int32(field)?.into() };
        self.within(field, length)
    }

    /// One more than what it says, so that 0 is null.
    fn compact(&mut self, field: &'static str) -> Result<i64, FieldError> {
        Ok(i64::from(self.unsigned_varint(field)?) - 1)
    }

    fn within(&self, field: &'static str, length: i64) -> Result<Option<usize>, FieldError> {
        if length < 0 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(count) if count <= self.rest.len() => Ok(Some(count)),
            _ => Err(FieldError::Length { field, length }),
        }
    }
}

/// Writes fields one after another. What does not fit its length is remembered, and told by [`FieldWriter::finish`].
#[derive(Debug)]
pub struct FieldWriter {
    out: BytesMut,
    flexible: bool,
    failed: Option<FieldError>,
}

impl FieldWriter {
    /// Writes in the flexible form or the plain one.
    pub fn new(flexible: bool) -> Self {
        Self { out: BytesMut::new(), flexible, failed: None }
    }

    /// All that was written, or what could not be.
    pub fn finish(self) -> Result<Bytes, FieldError> {
        self.failed.map_or(Ok(self.out.freeze()), Err)
    }

    /// One byte, signed.
    pub fn int8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    /// Two bytes.
    pub fn int16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    /// Four bytes.
    pub fn int32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    /// Eight bytes.
    pub fn int64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.out.put_slice(value.as_bytes());
    }

    /// An unsigned integer (KIP-482).
    pub fn unsigned_varint(&mut self, value: u32) {
        put_unsigned_varint(&mut self.out, value);
    }

    /// A zigzag integer, as in records.
    pub fn varlong(&mut self, value: i64) {
        let mut bits = (value << 1 ^ value >> 63) as u64;
        while bits >= 0x80 {
            self.out.put_u8(bits as u8 | 0x80);
            bits >>= 7;
        }
        self.out.put_u8(bits as u8);
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// Text.
    pub fn string(&mut self, field: &'static str, value: &str) {
        self.nullable_string(field, Some(value));
    }

    /// Text or null.
    pub fn nullable_string(&mut self, field: &'static str, value: Option<&str>) {
        let length = value.map(str::len);
        if let Some(length) = length.filter(|&length| length > MAX_STRING) {
            return self.fail(field, length);
        }
        match (self.flexible, length) {
            (true, length) => self.compact(field, length),
            (false, None) => self.out.put_i16(-1),
            (false, Some(length)) => self.out.put_i16(length as i16),
        }
        self.raw(value.unwrap_or_default().as_bytes());
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, field: &'static str, value: &[u8]) {
        self.length(field, Some(value.len()));
        self.raw(value);
    }

    /// A list.
    pub fn array<T>(&mut self, field: &'static str, values: &[T], element: impl FnMut(&mut Self, &T)) {
        self.nullable_array(field, Some(values), element);
    }

    /// A list or null.
    pub fn nullable_array<T>(
        &mut self,
        field: &'static str,
        values: Option<&[T]>,
        mut element: impl FnMut(&mut Self, &T),
    ) {
        self.length(field, values.map(<[T]>::len));
        for value in values.unwrap_or_default() {
            element(self, value);
        }
    }

    /// The tagged fields at the end of a struct, which `write` adds in the order of their tags. In the plain form
    /// nothing is written.
    pub fn tagged_fields(&mut self, write: impl FnOnce(&mut TaggedFields)) {
        if !self.flexible {
            return;
        }
        let mut fields = TaggedFields { count: 0, content: FieldWriter::new(true) };
        write(&mut fields);
        self.unsigned_varint(fields.count);
        self.raw(&fields.content.out);
        self.failed = self.failed.or(fields.content.failed);
    }

    /// The tagged fields at the end of a struct that has none.
    pub fn no_tagged_fields(&mut self) {
        self.tagged_fields(|_| ());
    }

    fn length(&mut self, field: &'static str, length: Option<usize>) {
        match (self.flexible, length.map(i32::try_from)) {
            (_, Some(Err(_))) => self.fail(field, length.unwrap_or_default()),
            (true, _) => self.compact(field, length),
            (false, Some(Ok(length))) => self.out.put_i32(length),
            (false, None) => self.out.put_i32(-1),
        }
    }

    fn compact(&mut self, field: &'static str, length: Option<usize>) {
        match length.map_or(Some(0), |length| u32::try_from(length).ok()?.checked_add(1)) {
            Some(length) => self.unsigned_varint(length),
            None => self.fail(field, length.unwrap_or_default()),
        }
    }

    fn fail(&mut self, field: &'static str, length: usize) {
        self.failed.get_or_insert(FieldError::Length { field, length: length as i64 });
    }
}

/// The tagged fields of one struct, being written.
#[derive(Debug)]
pub struct TaggedFields {
    count: u32,
    content: FieldWriter,
}

impl TaggedFields {
    /// Adds the field with this tag.
    pub fn field(&mut self, tag: u32, write: impl FnOnce(&mut FieldWriter)) {
        let mut content = FieldWriter::new(true);
        write(&mut content);
        self.count += 1;
        self.content.unsigned_varint(tag);
        match u32::try_from(content.out.len()) {
            Ok(size) => self.content.unsigned_varint(size),
            Err(_) => self.content.fail("a tagged field", content.out.len()),
        }
        self.content.raw(&content.out);
        self.content.failed = self.content.failed.or(content.failed);
    }
}

#[cfg(test)]
mod tests;
