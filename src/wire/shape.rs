//! The guard in front of the message decoder: may these bytes be decoded at all?
//!
//! The decoder reserves memory for as many elements as a request announces, so five bytes can ask for gigabytes, and
//! an allocation that fails cannot be caught. The guard walks the body once, by the table in [`schema`], allocates
//! nothing, and refuses every length and count that the remaining bytes cannot hold, an excess of tagged fields, and
//! a request whose decoded form would cost more than its budget. What it passes, the decoder reads without surprise;
//! it does not promise that the decoder accepts it: text may be bad UTF-8, and null may stand where it may not.
//! Bytes after a request are not its business: [`Shape::consumed`] says where the request ends.

mod schema;

use schema::{APIS, Field, Kind};

/// The most tagged fields in one struct. The newest requests have two that are known; a count beyond this is an
/// attack (CVE-2026-111115), not a newer client.
const MAX_TAGGED_FIELDS: u32 = 64;
/// What the decoder keeps for one tagged field that it does not know, in a map from its number to its bytes.
const UNKNOWN_FIELD_COST: usize = 72;
/// What that map costs as soon as it is not empty.
const UNKNOWN_FIELDS_COST: usize = 416;

/// What a request's bytes say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many bytes the request takes; more may follow.
    pub consumed: usize,
    /// An upper estimate of the bytes that its decoded form allocates. Text and records are slices of the frame.
    pub cost: usize,
}

/// Why bytes may not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The table has no such request.
    #[error("API {api_key} version {version} is unknown")]
    Unsupported {
        /// Of the request.
        api_key: i16,
        /// Of the request.
        version: i16,
    },
    /// The bytes end inside this field.
    #[error("the request ends inside {0}")]
    Truncated(&'static str),
    /// A length or count below -1, or more than the remaining bytes can hold.
    #[error("{field} announces {length}, which the request cannot hold")]
    Length {
        /// Where.
        field: &'static str,
        /// What it says.
        length: i64,
    },
    /// A variable-length integer of more than 32 bits.
    #[error("the length of {0} is malformed")]
    Varint(&'static str),
    /// Neither there (1) nor absent (-1).
    #[error("{field} begins with {byte:#04x}, neither present nor null")]
    Presence {
        /// Where.
        field: &'static str,
        /// What it says.
        byte: u8,
    },
    /// A text of more than [`MAX_TEXT`] bytes.
    #[error("{field}: a text of {length} bytes is too long")]
    Text {
        /// Which field.
        field: &'static str,
        /// Bytes.
        length: usize,
    },
    /// More than [`MAX_TAGGED_FIELDS`] in one struct.
    #[error("{0} tagged fields in one struct are too many")]
    TaggedFields(u32),
    /// The content of a known tagged field does not have the size that is announced.
    #[error("tagged field {0} is not of the size it announces")]
    TaggedSize(&'static str),
    /// The decoded form would cost more than the budget.
    #[error("decoding would take more than {0} bytes of memory")]
    Budget(usize),
}

/// Longest text, bytes: what the older encoding of its length can say. Kafka holds the compact one to it too, and so
/// whatever came in a request fits a record of the broker's own.
pub const MAX_TEXT: usize = i16::MAX as usize;

/// Checks the body of a request (what follows the header), which may cost `budget` bytes of memory when decoded.
pub fn check(api_key: i16, version: i16, body: &[u8], budget: usize) -> Result<Shape, ShapeError> {
    let api = schema::find(api_key, version).ok_or(ShapeError::Unsupported { api_key, version })?;
    let mut walk = Walk { rest: body, version, flexible: version >= api.flexible_since, cost: 0, budget };
    walk.charge(1, struct_memory(api.fields))?;
    walk.fields(api.fields)?;
    Ok(Shape { consumed: body.len() - walk.rest.len(), cost: walk.cost })
}

/// Checks a request header at the front of `frame`: version 1, or 2 with tagged fields (KIP-482).
pub fn check_request_header(frame: &[u8], header_version: i16, budget: usize) -> Result<Shape, ShapeError> {
    let mut walk = Walk { rest: frame, version: header_version, flexible: false, cost: 0, budget };
    walk.charge(1, struct_memory(schema::REQUEST_HEADER))?;
    walk.fields(schema::REQUEST_HEADER)?;
    if header_version >= 2 {
        walk.tagged_fields(&[])?;
    }
    Ok(Shape { consumed: frame.len() - walk.rest.len(), cost: walk.cost })
}

/// The version of the header that this request comes with: 2 from the first version whose encoding is flexible.
/// `None` where the table has no such request.
pub fn request_header_version(api_key: i16, version: i16) -> Option<i16> {
    schema::find(api_key, version).map(|api| if version >= api.flexible_since { 2 } else { 1 })
}

/// Every request that [`check`] knows: API key, lowest and highest version.
pub fn known() -> impl Iterator<Item = (i16, i16, i16)> {
    APIS.iter().map(|api| (api.key, api.lowest, api.highest))
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    cost: usize,
    budget: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &'static [Field]) -> Result<(), ShapeError> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(field.name, field.kind)?;
        }
        if self.flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    fn value(&mut self, name: &'static str, kind: Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(size) => self.skip(name, size),
            Kind::Text => {
                let length = if self.flexible { self.compact(name)? } else { self.int16(name)?.into() };
                let size = self.size(name, length, 1)?;
                if size > MAX_TEXT {
                    return Err(ShapeError::Text { field: name, length: size });
                }
                self.skip(name, size)
            }
            Kind::Blob => {
                let size = self.length(name, 1)?;
                self.skip(name, size)
            }
            Kind::Values(element) => {
                let count = self.length(name, self.least(*element))?;
                self.charge(count, value_memory(*element))?;
                (0..count).try_for_each(|_| self.value(name, *element))
            }
            Kind::Structs(fields) => {
                let count = self.length(name, self.least_struct(fields))?;
                self.charge(count, struct_memory(fields))?;
                (0..count).try_for_each(|_| self.fields(fields))
            }
            Kind::Struct(fields) => self.fields(fields),
            Kind::NullableStruct(fields) => match self.byte(name)? {
                1 => self.fields(fields),
                0xff => Ok(()),
                byte => Err(ShapeError::Presence { field: name, byte }),
            },
        }
    }

    /// The tagged fields at the end of a struct (KIP-482), of which `fields` tells the known ones.
    fn tagged_fields(&mut self, fields: &'static [Field]) -> Result<(), ShapeError> {
        const NAME: &str = "the tagged fields";
        let count = self.varint(NAME)?;
        if count > MAX_TAGGED_FIELDS {
            return Err(ShapeError::TaggedFields(count));
        }
        let mut unknown = 0;
        for _ in 0..count {
            let tag = self.varint(NAME)?;
            let length = self.varint(NAME)?;
            let size = self.size(NAME, length.into(), 1)?;
            match fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version)) {
                Some(known) => {
                    // The decoder trusts the content, not the size; they have to agree.
                    let after = self.rest.len().saturating_sub(size);
                    self.value(known.name, known.kind)?;
                    if self.rest.len() != after {
                        return Err(ShapeError::TaggedSize(known.name));
                    }
                }
                None => {
                    self.skip(NAME, size)?;
                    unknown += 1;
                }
            }
        }
        if unknown > 0 {
            self.charge(1, UNKNOWN_FIELDS_COST)?;
        }
        self.charge(unknown, UNKNOWN_FIELD_COST)
    }

    fn charge(&mut self, count: usize, each: usize) -> Result<(), ShapeError> {
        self.cost = self.cost.saturating_add(count.saturating_mul(each));
        if self.cost > self.budget { Err(ShapeError::Budget(self.budget)) } else { Ok(()) }
    }

    /// A length or count in front of elements that take at least `least` bytes each; null counts as none.
    fn length(&mut self, name: &'static str, least: usize) -> Result<usize, ShapeError> {
        let length = if self.flexible { self.compact(name)? } else { self.int32(name)?.into() };
        self.size(name, length, least)
    }

    fn size(&self, field: &'static str, length: i64, least: usize) -> Result<usize, ShapeError> {
        if length == -1 {
            return Ok(0);
        }
        match usize::try_from(length) {
            Ok(size) if size <= self.rest.len() / least.max(1) => Ok(size),
            _ => Err(ShapeError::Length { field, length }),
        }
    }

    /// A compact length: one more than what it says, so that 0 is null.
    fn compact(&mut self, name: &'static str) -> Result<i64, ShapeError> {
        Ok(i64::from(self.varint(name)?) - 1)
    }

    fn varint(&mut self, name: &'static str) -> Result<u32, ShapeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte(name)?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ShapeError::Varint(name))
    }

    fn byte(&mut self, name: &'static str) -> Result<u8, ShapeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(ShapeError::Truncated(name))?;
        self.rest = rest;
        Ok(byte)
    }

    fn int16(&mut self, name: &'static str) -> Result<i16, ShapeError> {
        self.take(name).map(i16::from_be_bytes)
    }

    fn int32(&mut self, name: &'static str) -> Result<i32, ShapeError> {
        self.take(name).map(i32::from_be_bytes)
    }

    fn take<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], ShapeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ShapeError::Truncated(name))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn skip(&mut self, name: &'static str, size: usize) -> Result<(), ShapeError> {
        self.rest = self.rest.get(size..).ok_or(ShapeError::Truncated(name))?;
        Ok(())
    }

    /// The fewest bytes that a value takes on the wire.
    fn least(&self, kind: Kind) -> usize {
        match kind {
            Kind::Fixed(size) => size,
            Kind::NullableStruct(_) => 1,
            Kind::Text if !self.flexible => 2,
            Kind::Blob | Kind::Values(_) | Kind::Structs(_) if !self.flexible => 4,
            Kind::Text | Kind::Blob | Kind::Values(_) | Kind::Structs(_) => 1,
            Kind::Struct(fields) => self.least_struct(fields),
        }
    }

    fn least_struct(&self, fields: &[Field]) -> usize {
        let there = fields.iter().filter(|field| field.tag.is_none() && field.is_in(self.version));
        there.map(|field| self.least(field.kind)).sum::<usize>() + usize::from(self.flexible)
    }
}

/// What a decoded struct takes: its fields, of every version, and the map of tagged fields that it did not know.
fn struct_memory(fields: &[Field]) -> usize {
    fields.iter().map(|field| value_memory(field.kind).next_multiple_of(8)).sum::<usize>() + 24
}

fn value_memory(kind: Kind) -> usize {
    match kind {
        Kind::Fixed(size) => size,
        Kind::Text | Kind::Blob => 32,
        Kind::Values(_) | Kind::Structs(_) => 24,
        Kind::Struct(fields) | Kind::NullableStruct(fields) => struct_memory(fields),
    }
}

#[cfg(test)]
mod tests;
