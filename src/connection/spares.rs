//! Buffers of large frames, kept for the next ones. A fresh buffer of a megabyte costs a page fault for each of its pages,
//! more than all that is done with the bytes in it.
//!
//! Left out: giving the memory back after a time. What is kept is little ([`KEPT`]), for all connections together.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of unused buffers that are kept.
const KEPT: usize = 8 * 1024 * 1024;

/// Frames of more bytes than this get a buffer of their own, of exactly their size.
const LARGEST: usize = 2 * 1024 * 1024;

/// The unused buffers, the last used ones at the back: what they were used for may still be in the processor's cache.
#[derive(Debug, Default)]
pub struct Spares(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Spares {
    /// An empty buffer for a frame of this many bytes, if there is one: its capacity is [`capacity_for`] them.
    pub fn take(&self, frame: usize) -> Option<Vec<u8>> {
        let capacity = capacity_for(frame);
        let mut kept = self.0.lock();
        let at = kept.buffers.iter().rposition(|buffer| buffer.capacity() == capacity)?;
        kept.bytes -= capacity;
        kept.buffers.remove(at)
    }

    fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock();
        kept.bytes += buffer.capacity();
        kept.buffers.push_back(buffer);
        let mut dropped = Vec::new();
        while kept.bytes > KEPT
            && let Some(oldest) = kept.buffers.pop_front()
        {
            kept.bytes -= oldest.capacity();
            dropped.push(oldest);
        }
        // The allocator is not called under the lock.
        drop(kept);
    }
}

/// What a buffer for a frame of this many bytes may hold: a few sizes, so that one frame's buffer fits the next, at
/// most a quarter more than the frame.
pub fn capacity_for(frame: usize) -> usize {
    if frame > LARGEST {
        return frame;
    }
    let step = frame.next_power_of_two() / 8;
    if step == 0 { frame } else { frame.next_multiple_of(step) }
}

/// Hands a frame out; its buffer comes back when the last part of it is dropped.
pub fn lend(buffer: Vec<u8>, spares: &Arc<Spares>) -> Bytes {
    if buffer.capacity() > LARGEST {
        return buffer.into();
    }
    Bytes::from_owner(Lent { buffer, spares: spares.clone() })
}

struct Lent {
    buffer: Vec<u8>,
    spares: Arc<Spares>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spares.put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_at_most_a_quarter_more_and_one_of_a_few() {
        let mut capacities: Vec<usize> = (1..=LARGEST + 10).map(capacity_for).collect();
        for (frame, capacity) in (1..).zip(&capacities) {
            assert!(frame <= *capacity && *capacity <= frame + frame / 4, "{capacity} for {frame}");
        }
        capacities.retain(|capacity| (64 << 10..=LARGEST).contains(capacity));
        capacities.dedup();
        assert_eq!(capacities.len(), 21);
    }

    #[test]
    fn a_buffer_comes_back_with_the_last_part_of_its_frame() {
        let spares = Arc::<Spares>::default();
        let mut buffer = Vec::with_capacity(capacity_for(100_000));
        buffer.extend_from_slice(&[7; 100_000]);
        let (at, frame) = (buffer.as_ptr(), lend(buffer, &spares));
        let part = frame.slice(10..20);
        drop(frame);
        assert_eq!(spares.take(100_000), None);
        drop(part);
        assert_eq!(spares.take(200_000), None);
        let again = spares.take(99_000).unwrap();
        assert!(again.is_empty() && again.as_ptr() == at);
        assert_eq!(spares.0.lock().bytes, 0);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let spares = Arc::<Spares>::default();
        for frame in [1 << 20, 1 << 21, 1 << 20, 70_000, 1 << 21].into_iter().cycle().take(100) {
            drop(lend(Vec::with_capacity(capacity_for(frame)), &spares));
            let kept = spares.0.lock();
            assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::capacity).sum::<usize>());
            assert!(kept.bytes <= KEPT);
        }
        drop(lend(Vec::with_capacity(LARGEST + 1), &spares));
        assert!(spares.0.lock().buffers.iter().all(|buffer| buffer.capacity() <= LARGEST));
    }
}
