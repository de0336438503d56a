//! The primitives of flexible versions (KIP-482): compact lengths, one more than what they say so that 0 is null, and
//! tagged fields at the end of each struct. Nothing here reserves memory for more elements than the bytes can hold.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Reads fields off the front of a buffer; every error means that the bytes are no such message.
pub(super) struct Reader<'a, B>(pub &'a mut B);

impl<B: ByteBuf> Reader<'_, B> {
    pub fn boolean(&mut self) -> Result<bool> {
        Ok(self.0.try_get_u8()? != 0)
    }

    pub fn int32(&mut self) -> Result<i32> {
        Ok(self.0.try_get_i32()?)
    }

    pub fn int64(&mut self) -> Result<i64> {
        Ok(self.0.try_get_i64()?)
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_u128(self.0.try_get_u128()?))
    }

    pub fn text(&mut self) -> Result<StrBytes> {
        self.nullable_text()?.map_or_else(|| bail!("null where a text has to be"), Ok)
    }

    pub fn nullable_text(&mut self) -> Result<Option<StrBytes>> {
        let Some(size) = self.length()? else { return Ok(None) };
        Ok(Some(StrBytes::try_from(self.0.try_get_bytes(size)?)?))
    }

    pub fn array<T>(&mut self, least: usize, element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.nullable_array(least, element)?.map_or_else(|| bail!("null where an array has to be"), Ok)
    }

    /// An array whose elements take `least` bytes each, or more.
    pub fn nullable_array<T>(
        &mut self,
        least: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.length()? else { return Ok(None) };
        ensure!(count <= self.0.remaining() / least.max(1), "{count} elements do not fit into what is left");
        (0..count).map(|_| element(self)).collect::<Result<_>>().map(Some)
    }

    /// The tagged fields at the end of a struct that knows none.
    pub fn tagged_fields(&mut self) -> Result<BTreeMap<i32, Bytes>> {
        let count = self.varint()?;
        let mut fields = BTreeMap::new();
        for _ in 0..count {
            let tag = self.varint()?.cast_signed();
            let size = usize::try_from(self.varint()?)?;
            fields.insert(tag, self.0.try_get_bytes(size)?);
        }
        Ok(fields)
    }

    fn length(&mut self) -> Result<Option<usize>> {
        Ok(usize::try_from(self.varint()?)?.checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.0.try_get_u8()?;
            ensure!(shift < 28 || byte <= 0x0f, "a number of more than 32 bits");
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }
}

/// Writes fields behind what is in a buffer.
pub(super) struct Writer<'a, B>(pub &'a mut B);

impl<B: ByteBufMut> Writer<'_, B> {
    pub fn boolean(&mut self, value: bool) {
        self.0.put_u8(value.into());
    }

    pub fn int32(&mut self, value: i32) {
        self.0.put_i32(value);
    }

    pub fn int64(&mut self, value: i64) {
        self.0.put_i64(value);
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.0.put_u128(value.as_u128());
    }

    pub fn text(&mut self, value: &str) -> Result<()> {
        self.nullable_text(Some(value))
    }

    pub fn nullable_text(&mut self, value: Option<&str>) -> Result<()> {
        self.length(value.map(str::len))?;
        self.0.put_slice(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub fn array<T>(&mut self, values: &[T], element: impl FnMut(&mut Self, &T) -> Result<()>) -> Result<()> {
        self.nullable_array(Some(values), element)
    }

    pub fn nullable_array<T>(
        &mut self,
        values: Option<&[T]>,
        mut element: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        self.length(values.map(<[T]>::len))?;
        values.unwrap_or_default().iter().try_for_each(|value| element(self, value))
    }

    pub fn tagged_fields(&mut self, fields: &BTreeMap<i32, Bytes>) -> Result<()> {
        self.varint(u32::try_from(fields.len())?);
        for (tag, value) in fields {
            self.varint(tag.cast_unsigned());
            self.varint(u32::try_from(value.len())?);
            self.0.put_slice(value);
        }
        Ok(())
    }

    fn length(&mut self, length: Option<usize>) -> Result<()> {
        let Some(length) = length else {
            self.varint(0);
            return Ok(());
        };
        let more = u32::try_from(length)?.checked_add(1);
        self.varint(more.ok_or_else(|| anyhow::anyhow!("{length} is too long"))?);
        Ok(())
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value as u8);
    }
}
