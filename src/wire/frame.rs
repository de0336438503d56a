//! Request frames and the headers of requests and replies, without I/O.
//!
//! A frame is a four-byte length and that many bytes. The first eight of them (API key, version, correlation id) have
//! the same form in every version of the protocol, which is what makes it possible to answer a client that is too new.
//! Tagged fields of a request header are skipped: no version defines one that a broker reads.
//! Reading sockets is `connection`; what lies behind the header is `shape` and the codec.

use bytes::{BufMut, BytesMut};

/// Bytes of the length before each frame.
pub const LENGTH_PREFIX: usize = 4;

/// More tagged fields than this in one request header are refused; Kafka's clients send none.
const MAX_HEADER_TAGS: u32 = 64;

/// Why a frame is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is zero or negative.
    #[error("frame of {0} bytes")]
    Length(i32),
    /// The length is over the limit (`socket.request.max.bytes`).
    #[error("frame of {length} bytes, more than the {limit} allowed")]
    TooLarge {
        /// As announced.
        length: usize,
        /// As allowed.
        limit: usize,
    },
    /// The frame ends inside its header.
    #[error("the frame ends inside its header")]
    Short,
    /// The length of the client id is below -1.
    #[error("client id of {0} bytes")]
    ClientId(i16),
    /// The tagged fields of the header are malformed, or too many.
    #[error("malformed tagged fields in the header")]
    TaggedFields,
}

/// The length that a frame announces.
pub fn frame_length(prefix: [u8; LENGTH_PREFIX], limit: usize) -> Result<usize, FrameError> {
    let announced = i32::from_be_bytes(prefix);
    match usize::try_from(announced) {
        Ok(length) if length > limit => Err(FrameError::TooLarge { length, limit }),
        Ok(length) if length > 0 => Ok(length),
        _ => Err(FrameError::Length(announced)),
    }
}

/// What the first eight bytes of every request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// The client's number for the request; the reply carries it.
    pub correlation_id: i32,
}

impl RequestId {
    /// Bytes it takes.
    pub const SIZE: usize = 8;

    /// Reads it from the begin of a frame.
    pub fn parse(frame: &[u8]) -> Result<RequestId, FrameError> {
        let &[k0, k1, v0, v1, c0, c1, c2, c3] = frame.first_chunk::<{ Self::SIZE }>().ok_or(FrameError::Short)?;
        Ok(RequestId {
            api_key: i16::from_be_bytes([k0, k1]),
            api_version: i16::from_be_bytes([v0, v1]),
            correlation_id: i32::from_be_bytes([c0, c1, c2, c3]),
        })
    }
}

/// The rest of a request header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRest<'a> {
    /// As sent; Kafka asks for UTF-8 and replaces what is not.
    pub client_id: Option<&'a [u8]>,
    /// Bytes from the begin of the frame to the body.
    pub body_at: usize,
}

impl<'a> HeaderRest<'a> {
    /// Reads what follows [`RequestId`]: version 1 has a client id, version 2 tagged fields after it. The client id has
    /// the old form of a string in both (KIP-482), so that any broker can read it.
    pub fn parse(frame: &'a [u8], header_version: i16) -> Result<HeaderRest<'a>, FrameError> {
        let mut rest = frame.get(RequestId::SIZE..).ok_or(FrameError::Short)?;
        let client_id = if header_version >= 1 { take_nullable_string(&mut rest)? } else { None };
        if header_version >= 2 {
            skip_tagged_fields(&mut rest)?;
        }
        Ok(HeaderRest { client_id, body_at: frame.len() - rest.len() })
    }
}

/// Writes the header of a reply. Version 1 has tagged fields, of which there are none.
pub fn put_response_header(out: &mut BytesMut, correlation_id: i32, header_version: i16) {
    out.put_i32(correlation_id);
    if header_version >= 1 {
        out.put_u8(0);
    }
}

/// Writes an unsigned varint (KIP-482).
pub fn put_unsigned_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes that [`put_unsigned_varint`] writes.
pub fn unsigned_varint_size(value: u32) -> usize {
    (32 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Another protocol's first words, which read as a frame length make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A TLS client hello.
    Tls,
    /// An HTTP request.
    Http,
    /// An SSH banner.
    Ssh,
}

impl Greeting {
    /// What the first four bytes of a connection are, if they are the begin of another protocol. Read as lengths all
    /// of them lie above 350 MB: ask only about a length that was refused.
    pub fn detect(first: [u8; LENGTH_PREFIX]) -> Option<Greeting> {
        const METHODS: [&[u8; 4]; 9] =
            [b"GET ", b"POST", b"PUT ", b"HEAD", b"HTTP", b"OPTI", b"DELE", b"PATC", b"PRI "];
        match &first {
            [0x16, 0x03, _, _] => Some(Greeting::Tls),
            b"SSH-" => Some(Greeting::Ssh),
            first if METHODS.contains(&first) => Some(Greeting::Http),
            _ => None,
        }
    }
}

impl std::fmt::Display for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Greeting::Tls => "TLS",
            Greeting::Http => "HTTP",
            Greeting::Ssh => "SSH",
        })
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], FrameError> {
    let (taken, rest) = from.split_at_checked(count).ok_or(FrameError::Short)?;
    *from = rest;
    Ok(taken)
}

fn take_nullable_string<'a>(from: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FrameError> {
    let (&prefix, rest) = from.split_first_chunk::<2>().ok_or(FrameError::Short)?;
    *from = rest;
    match i16::from_be_bytes(prefix) {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| FrameError::ClientId(length))?;
            take(from, length).map(Some)
        }
    }
}

fn skip_tagged_fields(from: &mut &[u8]) -> Result<(), FrameError> {
    let count = take_unsigned_varint(from)?;
    if count > MAX_HEADER_TAGS {
        return Err(FrameError::TaggedFields);
    }
    for _ in 0..count {
        take_unsigned_varint(from)?;
        let size = take_unsigned_varint(from)?;
        take(from, size as usize)?;
    }
    Ok(())
}

fn take_unsigned_varint(from: &mut &[u8]) -> Result<u32, FrameError> {
    let mut value = 0u64;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = from.split_first().ok_or(FrameError::Short)?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| FrameError::TaggedFields);
        }
    }
    Err(FrameError::TaggedFields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::RequestHeader;
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    #[test]
    fn lengths_outside_one_to_the_limit_are_refused() {
        let check = |length: i32| frame_length(length.to_be_bytes(), 1000);
        assert_eq!(check(1), Ok(1));
        assert_eq!(check(1000), Ok(1000));
        assert_eq!(check(1001), Err(FrameError::TooLarge { length: 1001, limit: 1000 }));
        assert_eq!(check(i32::MAX), Err(FrameError::TooLarge { length: i32::MAX as usize, limit: 1000 }));
        for length in [0, -1, i32::MIN] {
            assert_eq!(check(length), Err(FrameError::Length(length)));
        }
    }

    fn encoded(header_version: i16, client_id: Option<&str>, tags: &[(i32, usize)]) -> Vec<u8> {
        let mut header = RequestHeader::default()
            .with_request_api_key(3)
            .with_request_api_version(12)
            .with_correlation_id(-77)
            .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
        for &(tag, size) in tags {
            header.unknown_tagged_fields.insert(tag, vec![9; size].into());
        }
        let mut out = Vec::new();
        header.encode(&mut out, header_version).unwrap();
        out
    }

    #[test]
    fn headers_of_the_codec_are_read_up_to_the_body() {
        for version in [1, 2] {
            for client_id in [None, Some(""), Some("rdkafka")] {
                for tags in [&[][..], &[(0, 0), (70_000, 300)]] {
                    let tags = if version == 2 { tags } else { &[] };
                    let mut frame = encoded(version, client_id, tags);
                    let end = frame.len();
                    frame.extend_from_slice(b"body");
                    let id = RequestId::parse(&frame).unwrap();
                    assert_eq!((id.api_key, id.api_version, id.correlation_id), (3, 12, -77));
                    let rest = HeaderRest::parse(&frame, version).unwrap();
                    assert_eq!(rest.client_id, client_id.map(str::as_bytes));
                    assert_eq!(rest.body_at, end);
                    for cut in 0..end {
                        let cut = &frame[..cut];
                        let read = RequestId::parse(cut).and_then(|_| HeaderRest::parse(cut, version));
                        assert_eq!(read, Err(FrameError::Short));
                    }
                }
            }
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        let mut frame = vec![0; 8];
        frame.extend_from_slice(&(-2i16).to_be_bytes());
        assert_eq!(HeaderRest::parse(&frame, 1), Err(FrameError::ClientId(-2)));
        let with_tags = |tags: &[u8]| [&[0; 8][..], &[0xff, 0xff], tags].concat();
        assert_eq!(HeaderRest::parse(&with_tags(&[65]), 2), Err(FrameError::TaggedFields));
        assert_eq!(HeaderRest::parse(&with_tags(&[0xff; 6]), 2), Err(FrameError::TaggedFields));
        assert_eq!(HeaderRest::parse(&with_tags(&[0xff, 0xff, 0xff, 0xff, 0x10]), 2), Err(FrameError::TaggedFields));
        assert_eq!(HeaderRest::parse(&with_tags(&[1, 0, 200, 1]), 2), Err(FrameError::Short));
    }

    #[test]
    fn other_protocols_are_recognised_by_their_first_words() {
        assert_eq!(Greeting::detect([0x16, 0x03, 0x01, 0x02]), Some(Greeting::Tls));
        assert_eq!(Greeting::detect(*b"GET "), Some(Greeting::Http));
        assert_eq!(Greeting::detect(*b"POST"), Some(Greeting::Http));
        assert_eq!(Greeting::detect(*b"HTTP"), Some(Greeting::Http));
        assert_eq!(Greeting::detect(*b"SSH-"), Some(Greeting::Ssh));
        assert_eq!(Greeting::detect([0, 0, 0, 20]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), version in 0i16..3) {
            if let Ok(rest) = HeaderRest::parse(&bytes, version) {
                prop_assert!(rest.body_at <= bytes.len());
            }
        }

        #[test]
        fn varints_are_read_as_written(value in any::<u32>()) {
            let mut out = BytesMut::new();
            put_unsigned_varint(&mut out, value);
            prop_assert_eq!(out.len(), unsigned_varint_size(value));
            let mut rest = &out[..];
            prop_assert_eq!(take_unsigned_varint(&mut rest), Ok(value));
            prop_assert!(rest.is_empty());
        }
    }
}
