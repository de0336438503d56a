//! A reply as a list of pieces: small fields that were encoded, and runs of records that go out as the log gave them,
//! from memory or from a file, without passing through an encoder.

use crate::log::Slice;
use crate::wire::frame::{LENGTH_PREFIX, put_response_header};
use bytes::{Bytes, BytesMut};

/// A whole reply, its length in front.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    segments: Vec<Slice>,
}

/// The reply is longer than a frame can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply is longer than a frame can be")]
pub struct TooLong;

impl Rope {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Slice::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(Slice::is_empty)
    }

    /// The pieces, none of them empty.
    pub fn into_segments(self) -> Vec<Slice> {
        self.segments
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        let segments = if bytes.is_empty() { Vec::new() } else { vec![Slice::Memory(bytes)] };
        Rope { segments }
    }
}

/// Builds a reply. The small fields share one buffer; the places where slices go between them are remembered.
#[derive(Debug)]
pub struct RopeBuilder {
    fields: BytesMut,
    cuts: Vec<(usize, Slice)>,
    sliced: usize,
}

impl RopeBuilder {
    /// A reply with its header; `capacity` is how many bytes of fields are expected.
    pub fn reply(correlation_id: i32, header_version: i16, capacity: usize) -> Self {
        let mut fields = BytesMut::with_capacity(LENGTH_PREFIX + 5 + capacity);
        fields.extend_from_slice(&[0; LENGTH_PREFIX]);
        put_response_header(&mut fields, correlation_id, header_version);
        RopeBuilder { fields, cuts: Vec::new(), sliced: 0 }
    }

    /// Where fields are written.
    pub fn fields(&mut self) -> &mut BytesMut {
        &mut self.fields
    }

    /// Puts a run of records after what has been written so far.
    pub fn slice(&mut self, slice: Slice) {
        if !slice.is_empty() {
            self.sliced = self.sliced.saturating_add(slice.len());
            self.cuts.push((self.fields.len(), slice));
        }
    }

    /// Writes the length in front and hands the reply over.
    pub fn finish(mut self) -> Result<Rope, TooLong> {
        let body = (self.fields.len() - LENGTH_PREFIX).checked_add(self.sliced).ok_or(TooLong)?;
        let length = i32::try_from(body).map_err(|_| TooLong)?;
        if let Some(prefix) = self.fields.first_chunk_mut() {
            *prefix = length.to_be_bytes();
        }
        let mut fields = self.fields.freeze();
        let mut segments = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut done = 0;
        for (at, slice) in self.cuts {
            if at > done {
                segments.push(Slice::Memory(fields.split_to(at - done)));
                done = at;
            }
            segments.push(slice);
        }
        if !fields.is_empty() {
            segments.push(Slice::Memory(fields));
        }
        Ok(Rope { segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    #[test]
    fn slices_keep_their_place_between_the_fields_and_are_not_copied() {
        let records = Bytes::from_static(b"records");
        let mut builder = RopeBuilder::reply(7, 1, 0);
        builder.fields().put_u8(0xaa);
        builder.slice(Slice::Memory(records.clone()));
        builder.slice(Slice::Memory(records.clone()));
        builder.slice(Slice::Memory(Bytes::new()));
        builder.fields().put_u8(0xbb);
        let rope = builder.finish().unwrap();
        assert_eq!(rope.len(), 4 + 5 + 1 + 14 + 1);
        let segments: Vec<Bytes> = rope
            .into_segments()
            .into_iter()
            .map(|segment| match segment {
                Slice::Memory(bytes) => bytes,
                Slice::File { .. } => unreachable!(),
            })
            .collect();
        assert_eq!(segments[0], [0, 0, 0, 21, 0, 0, 0, 7, 0, 0xaa][..]);
        assert_eq!(segments[1].as_ptr(), records.as_ptr());
        assert_eq!(segments[2].as_ptr(), records.as_ptr());
        assert_eq!(segments[3], [0xbb][..]);
    }
}
