use super::*;
use proptest::prelude::*;
use std::io::Write;

/// `data` as one raw snappy block in snappy-java's framing, cut into blocks of `block` bytes.
pub fn xerial(data: &[u8], block: usize) -> Vec<u8> {
    let mut out = [XERIAL_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
    for part in data.chunks(block) {
        let packed = snap::raw::Encoder::new().compress_vec(part).unwrap();
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

fn lz4(data: &[u8], info: lz4_flex::frame::FrameInfo) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// What clients send: `data` compressed with `codec` (snappy raw, LZ4 in 64 KiB blocks, zstd level 3).
pub fn compress(codec: u8, data: &[u8]) -> Vec<u8> {
    match codec {
        0 => data.to_vec(),
        GZIP => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        SNAPPY => snap::raw::Encoder::new().compress_vec(data).unwrap(),
        LZ4 => lz4(data, lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB)),
        ZSTD => zstd::stream::encode_all(data, 3).unwrap(),
        other => panic!("no codec {other}"),
    }
}

const CODECS: [u8; 4] = [GZIP, SNAPPY, LZ4, ZSTD];

#[test]
fn the_limit_is_exact() {
    let data = vec![7; 200_000];
    for codec in [0, GZIP, SNAPPY, LZ4, ZSTD] {
        let packed = compress(codec, &data);
        assert_eq!(decompress(codec, &packed, data.len()).as_ref(), Ok(&data), "codec {codec}");
        let over = decompress(codec, &packed, data.len() - 1);
        assert_eq!(over, Err(CompressionError::TooLarge), "codec {codec}");
        assert_eq!(decompress(codec, &packed, 0), Err(CompressionError::TooLarge), "codec {codec}");
    }
    assert_eq!(decompress(SNAPPY, &xerial(&data, 32 << 10), data.len()), Ok(data.clone()));
    assert_eq!(decompress(SNAPPY, &xerial(&data, 32 << 10), data.len() - 1), Err(CompressionError::TooLarge));
}

#[test]
fn unassigned_codecs_are_refused() {
    for codec in [5, 6, 7, 255] {
        assert_eq!(decompress(codec, b"x", 10), Err(CompressionError::UnknownCodec(codec)));
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 8 << 20];
    for codec in CODECS {
        let bomb = compress(codec, &zeros);
        let limit = 1 << 20;
        assert_eq!(decompress(codec, &bomb, limit), Err(CompressionError::TooLarge), "codec {codec}");
        let mut reader = Reader::new(codec, &bomb, limit).unwrap();
        let mut seen = 0;
        let mut buffer = [1; 8192];
        let error = loop {
            match reader.read(&mut buffer) {
                Ok(read) => seen += read,
                Err(error) => break CompressionError::from(error),
            }
        };
        assert_eq!(error, CompressionError::TooLarge, "codec {codec}");
        assert!(seen <= limit, "codec {codec} gave {seen}");
    }
}

#[test]
fn lying_snappy_lengths_allocate_nothing() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(decompress(SNAPPY, &claim, usize::MAX), Err(CompressionError::Corrupt));
    let mut framed = xerial(b"x", 1)[..XERIAL_HEADER].to_vec();
    framed.extend_from_slice(&(claim.len() as u32).to_be_bytes());
    framed.extend_from_slice(&claim);
    assert_eq!(decompress(SNAPPY, &framed, usize::MAX), Err(CompressionError::Corrupt));
    for length in [u32::MAX, 0x7fff_ffff, 0x8000_0000, 2] {
        let mut framed = xerial(b"x", 1)[..XERIAL_HEADER].to_vec();
        framed.extend_from_slice(&length.to_be_bytes());
        framed.push(0);
        assert_eq!(decompress(SNAPPY, &framed, usize::MAX), Err(CompressionError::Corrupt), "{length}");
    }
}

#[test]
fn a_snappy_block_beyond_the_limit_is_not_allocated() {
    let bomb = compress(SNAPPY, &vec![0; 8 << 20]);
    let mut snappy = Snappy::new(&bomb);
    assert_eq!(snappy.read(&mut [0; 10], 1 << 20), Err(CompressionError::TooLarge));
    assert_eq!(snappy.block.capacity(), 0);
}

#[test]
fn snappy_java_streams_may_follow_each_other() {
    let joined = [xerial(b"hello ", 4), xerial(b"world", 100)].concat();
    assert_eq!(decompress(SNAPPY, &joined, 100).unwrap(), b"hello world");
}

#[test]
fn snappy_inside_snappy_is_data() {
    let inner = xerial(b"hello", 10);
    assert_eq!(decompress(SNAPPY, &xerial(&inner, 1000), 100), Ok(inner));
}

/// A zstd frame header with a window of 2^`log` and no content size, followed by one block of `size` equal bytes
/// (at most 128 KiB each) repeated `blocks` times.
fn zstd_frame(log: u8, blocks: usize, size: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    for at in 1..=blocks {
        let run_length = 1 << 1;
        let header = size << 3 | run_length | u32::from(at == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(7);
    }
    frame
}

#[test]
fn zstd_windows_are_capped() {
    let block = 128 << 10;
    assert_eq!(zstd_window(&zstd_frame(24, 1, 1)), 1 << 24);
    // Level 22 from Java announces 128 MiB and then sends a batch of ordinary size.
    assert_eq!(decompress(ZSTD, &zstd_frame(27, 8, block), 64 << 20).map(|all| all.len()), Ok(1 << 20));
    assert_eq!(decompress(ZSTD, &zstd_frame(27, 400, block), 64 << 20), Err(CompressionError::TooLarge));
    assert_eq!(decompress(ZSTD, &zstd_frame(24, 400, block), 64 << 20).map(|all| all.len()), Ok(400 * block as usize));
    assert_eq!(decompress(ZSTD, &zstd_frame(28, 1, 1), 64 << 20), Err(CompressionError::Corrupt));
    assert_eq!(decompress(ZSTD, &zstd_frame(31, 1, 1), 64 << 20), Err(CompressionError::Corrupt));
    // A second frame cannot ask for more than the first was granted.
    let second = [zstd_frame(10, 1, 1), zstd_frame(27, 1, 1)].concat();
    assert_eq!(decompress(ZSTD, &second, 64 << 20), Err(CompressionError::Corrupt));
    // One segment: the window is the content's size, here 2^30.
    let mut single = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    single.extend_from_slice(&(1u32 << 30).to_le_bytes());
    assert_eq!(zstd_window(&single), 1 << 30);
    assert_eq!(decompress(ZSTD, &single, 64 << 20), Err(CompressionError::Corrupt));
}

#[test]
fn lz4_frames_are_those_that_java_reads() {
    use lz4_flex::frame::{BlockMode, FrameInfo};
    let data = vec![9; 300_000];
    let every = FrameInfo::new().block_checksums(true).content_checksum(true).content_size(Some(300_000));
    assert_eq!(decompress(LZ4, &lz4(&data, every), 300_000).as_ref(), Ok(&data));
    let linked = lz4(&data, FrameInfo::new().block_mode(BlockMode::Linked));
    assert_eq!(decompress(LZ4, &linked, 300_000), Err(CompressionError::Corrupt));
    let whole = compress(LZ4, &data);
    let without_end = &whole[..whole.len() - 4];
    assert_eq!(decompress(LZ4, without_end, 300_000), Err(CompressionError::Corrupt));
    let with_more = [&whole[..], b"x"].concat();
    assert_eq!(decompress(LZ4, &with_more, 300_000), Err(CompressionError::Corrupt));
    // A block that decodes to nothing, and then more: the decoder alone takes that for the end.
    let mut empty = whole[..7].to_vec();
    empty.extend_from_slice(&[1, 0, 0, 0, 0]);
    empty.extend_from_slice(&whole[7..]);
    assert_eq!(decompress(LZ4, &empty, 300_000), Err(CompressionError::Corrupt));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips(data in proptest::collection::vec(0u8..4, 0..5000), block in 1usize..700) {
        for codec in CODECS {
            // An empty snappy payload is one length byte, which is what encoders write.
            let out = decompress(codec, &compress(codec, &data), 5000);
            prop_assert_eq!(out.as_ref(), Ok(&data));
        }
        let out = decompress(SNAPPY, &xerial(&data, block), 5000);
        prop_assert_eq!(out.as_ref(), Ok(&data));
    }

    #[test]
    fn a_cut_payload_never_gives_the_whole(data in proptest::collection::vec(any::<u8>(), 1..300)) {
        for codec in CODECS {
            let packed = compress(codec, &data);
            for cut in 0..packed.len() {
                if let Ok(out) = decompress(codec, &packed[..cut], 1000) {
                    prop_assert!(out.is_empty() && cut == 0, "codec {} cut at {}", codec, cut);
                }
            }
        }
    }

    #[test]
    fn damage_never_panics_nor_passes_the_limit(
        data in proptest::collection::vec(0u8..8, 1..2000), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let framed = [compress(GZIP, &data), xerial(&data, 500), compress(LZ4, &data), compress(ZSTD, &data)];
        for (codec, mut packed) in CODECS.into_iter().zip(framed) {
            let place = at.index(packed.len());
            packed[place] = byte;
            if let Ok(out) = decompress(codec, &packed, 1500) {
                prop_assert!(out.len() <= 1500);
            }
        }
    }

    #[test]
    fn noise_never_panics(codec in 0u8..8, data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decompress(codec, &data, 10_000);
    }
}
