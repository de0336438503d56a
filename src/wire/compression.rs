//! The four codecs of the record batch, decoding only, for hostile input.
//!
//! A [`Reader`] hands out what a batch's payload decompresses to, a buffer at a time, and stops at a limit; memory
//! follows what was really decoded, never a length that the payload announces. Left out: encoding (the broker keeps
//! the client's bytes, so only tests compress) and telling one codec from another (the batch header says which).

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use std::io::{self, Read};

/// Gzip's codec id, as in a batch's attributes (Kafka's `CompressionType`).
pub const GZIP: u8 = 1;
/// Snappy's codec id.
pub const SNAPPY: u8 = 2;
/// LZ4's codec id.
pub const LZ4: u8 = 3;
/// Zstandard's codec id.
pub const ZSTD: u8 = 4;

/// What a zstd decoder may use as its window without more ado, as a power of two: 16 MiB. Java's and librdkafka's
/// encoders stay below it up to level 19.
const ZSTD_WINDOW_LOG: u32 = 24;
/// Libzstd's own default, and so the largest window that Kafka accepts.
const ZSTD_WIDE_WINDOW_LOG: u32 = 27;
/// How much a frame that asks for a wider window may decode to: the window is touched no further than this.
const ZSTD_WIDE_LIMIT: usize = 24 << 20;

const XERIAL_MAGIC: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER: usize = 16;

/// Why a payload was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// Codec ids 5 to 7 are not assigned.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    /// It decodes to more than the limit.
    #[error("decompresses to more than the limit")]
    TooLarge,
    /// Not what the codec calls a whole, well-formed stream.
    #[error("the compressed data is malformed")]
    Corrupt,
}

impl From<io::Error> for CompressionError {
    /// Errors of a [`Reader`] carry one of ours; any other comes from a decoder that met bad data.
    fn from(error: io::Error) -> Self {
        error.get_ref().and_then(|inner| inner.downcast_ref()).copied().unwrap_or(Self::Corrupt)
    }
}

impl From<CompressionError> for io::Error {
    fn from(error: CompressionError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decompresses the whole of `data`, which may become at most `limit` bytes. Codec 0 is a copy.
pub fn decompress(codec: u8, data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    const STEP: usize = 64 * 1024;
    let mut reader = Reader::new(codec, data, limit)?;
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            let grown = out.len().max(STEP).saturating_add(out.len()).min(limit).max(filled + 1);
            out.reserve_exact(grown - out.len());
            out.resize(grown, 0);
        }
        match reader.read(out.get_mut(filled..).unwrap_or_default())? {
            0 => break,
            read => filled += read,
        }
    }
    out.truncate(filled);
    Ok(out)
}

/// A decompressed payload as a stream. Reading beyond the limit, and malformed data, are errors that turn into a
/// [`CompressionError`]; the end of the stream is the end of a whole payload.
pub struct Reader<'a> {
    stream: Stream<'a>,
    left: usize,
}

enum Stream<'a> {
    Plain(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(Snappy<'a>),
    Lz4(Box<FrameDecoder<&'a [u8]>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, &'a [u8]>>),
}

impl<'a> Reader<'a> {
    /// A stream of at most `limit` bytes out of `data`.
    pub fn new(codec: u8, data: &'a [u8], limit: usize) -> Result<Self, CompressionError> {
        let mut left = limit;
        let stream = match codec {
            0 => Stream::Plain(data),
            GZIP => Stream::Gzip(Box::new(MultiGzDecoder::new(data))),
            SNAPPY => Stream::Snappy(Snappy::new(data)),
            LZ4 => {
                check_lz4_frame(data).ok_or(CompressionError::Corrupt)?;
                Stream::Lz4(Box::new(FrameDecoder::new(data)))
            }
            ZSTD => {
                let wide = zstd_window(data) > 1 << ZSTD_WINDOW_LOG;
                let mut decoder = zstd::stream::read::Decoder::with_buffer(data)?;
                decoder.window_log_max(if wide { ZSTD_WIDE_WINDOW_LOG } else { ZSTD_WINDOW_LOG })?;
                left = if wide { left.min(ZSTD_WIDE_LIMIT) } else { left };
                Stream::Zstd(Box::new(decoder))
            }
            other => return Err(CompressionError::UnknownCodec(other)),
        };
        Ok(Self { stream, left })
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return match self.stream.read(&mut [0], 1)? {
                0 => Ok(0),
                _ => Err(CompressionError::TooLarge.into()),
            };
        }
        let wanted = buffer.len().min(self.left);
        let read = self.stream.read(buffer.get_mut(..wanted).unwrap_or_default(), self.left)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl Stream<'_> {
    /// Fills the front of `buffer`; `left` is what the limit still allows.
    fn read(&mut self, buffer: &mut [u8], left: usize) -> io::Result<usize> {
        match self {
            Self::Plain(data) => data.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Snappy(blocks) => Ok(blocks.read(buffer, left)?),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => match decoder.read(buffer)? {
                // The decoder also says 0 after a block that decodes to nothing, with blocks still to come.
                0 if !decoder.get_ref().is_empty() => Err(CompressionError::Corrupt.into()),
                read => Ok(read),
            },
        }
    }
}

/// Snappy as Kafka's clients write it: one raw block (librdkafka), or the framing of snappy-java, which is a header
/// and then blocks with a length before each.
struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    given: usize,
}

impl<'a> Snappy<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { rest: data, framed: data.starts_with(XERIAL_MAGIC), block: Vec::new(), given: 0 }
    }

    fn read(&mut self, buffer: &mut [u8], left: usize) -> Result<usize, CompressionError> {
        loop {
            let ready = self.block.get(self.given..).unwrap_or_default();
            if !ready.is_empty() {
                let size = ready.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..size), ready.get(..size)) {
                    to.copy_from_slice(from);
                }
                self.given += size;
                return Ok(size);
            }
            match self.next_block()? {
                Some(data) => self.decode(data, left)?,
                None => return Ok(0),
            }
        }
    }

    fn next_block(&mut self) -> Result<Option<&'a [u8]>, CompressionError> {
        // Streams may follow each other, each with its header.
        while self.framed && self.rest.starts_with(XERIAL_MAGIC) {
            self.rest = self.rest.get(XERIAL_HEADER..).ok_or(CompressionError::Corrupt)?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        if !self.framed {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let (length, rest) = self.rest.split_first_chunk().ok_or(CompressionError::Corrupt)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| CompressionError::Corrupt)?;
        let (block, rest) = rest.split_at_checked(length).ok_or(CompressionError::Corrupt)?;
        self.rest = rest;
        Ok(Some(block))
    }

    fn decode(&mut self, data: &[u8], left: usize) -> Result<(), CompressionError> {
        let size = snap::raw::decompress_len(data).map_err(|_| CompressionError::Corrupt)?;
        // Three bytes of a block make at most 64 of its content: a block that claims more is lying.
        if size / 64 > data.len() / 3 + 1 {
            return Err(CompressionError::Corrupt);
        }
        if size > left {
            return Err(CompressionError::TooLarge);
        }
        self.block.clear();
        self.block.reserve_exact(size);
        self.block.resize(size, 0);
        self.given = 0;
        let written = snap::raw::Decoder::new().decompress(data, &mut self.block);
        written.map(drop).map_err(|_| CompressionError::Corrupt)
    }
}

/// Whether `data` is exactly one LZ4 frame that Java's reader (Kafka's `Lz4BlockInputStream`) takes: blocks that do
/// not depend on each other, an end mark, nothing after it. The decoder that follows would pass over a missing end.
fn check_lz4_frame(data: &[u8]) -> Option<()> {
    const MAGIC: u32 = 0x184d_2204;
    const BLOCKS_INDEPENDENT: u8 = 0x20;
    const BLOCK_CHECKSUM: u8 = 0x10;
    const CONTENT_SIZE: u8 = 0x08;
    const CONTENT_CHECKSUM: u8 = 0x04;
    const STORED: u32 = 1 << 31;
    let (magic, rest) = data.split_first_chunk()?;
    let (flags, rest) = rest.split_first()?;
    if u32::from_le_bytes(*magic) != MAGIC || flags & BLOCKS_INDEPENDENT == 0 {
        return None;
    }
    // The block size and the header's checksum are left to the decoder.
    let mut rest = rest.get(if flags & CONTENT_SIZE != 0 { 10 } else { 2 }..)?;
    loop {
        let (length, blocks) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length) & !STORED).ok()?;
        if length == 0 {
            let end = if flags & CONTENT_CHECKSUM != 0 { 4 } else { 0 };
            return (blocks.len() == end).then_some(());
        }
        let checksum = if flags & BLOCK_CHECKSUM != 0 { 4 } else { 0 };
        rest = blocks.get(length.checked_add(checksum)?..)?;
    }
}

/// The window in bytes that the first frame of `data` asks for (RFC 8878, 3.1.1.1); 0 where that cannot be read,
/// which the decoder then reports.
fn zstd_window(data: &[u8]) -> u64 {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const SINGLE_SEGMENT: u8 = 0x20;
    let Some((descriptor, rest)) = data.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else { return 0 };
    if descriptor & SINGLE_SEGMENT == 0 {
        let window = rest.first().copied().unwrap_or(0);
        let base = 1u64 << (10 + u32::from(window >> 3));
        return base + base / 8 * u64::from(window & 7);
    }
    let dictionary_id = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let size = 1usize << (descriptor >> 6);
    let content = rest.get(dictionary_id..).and_then(|rest| rest.get(..size)).unwrap_or_default();
    content.iter().rev().fold(0, |window, &byte| window << 8 | u64::from(byte))
}

#[cfg(test)]
pub mod tests;
