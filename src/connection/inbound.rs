//! Bytes from a socket, cut into frames.
//!
//! Between frames there is no buffer at all: a read goes through the stack, and what arrived is copied out once. A frame
//! that is longer than what arrived gets a buffer that grows with what arrives, never by what was announced. Above
//! [`UNRESERVED`] bytes it first needs its size from the budget; until it has it, its socket is not read. Then it goes on in
//! a buffer that an earlier frame has left, if there is one.

use super::budget::{Budget, Reserved};
use super::spares::{capacity_for, lend};
use crate::wire::frame::{FrameError, LENGTH_PREFIX, frame_length};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// A frame of at most this many bytes needs no part of the budget.
pub const UNRESERVED: usize = 64 * 1024;

/// Bytes read at once between frames.
const READ_SIZE: usize = 64 * 1024;

/// The smallest buffer of a frame that is being read, if the frame is not smaller.
const FIRST_BUFFER: usize = 4 * 1024;

/// A whole frame, without its length.
#[derive(Debug)]
pub struct Frame {
    /// Its bytes. Small frames may share memory with their neighbours, at most [`READ_SIZE`] in all.
    pub bytes: Bytes,
    /// Its part of the budget, if it needed one.
    pub reserved: Option<Reserved>,
}

/// What has arrived and is not a whole frame yet, or not asked for.
pub struct Inbound {
    limit: usize,
    budget: Budget,
    received: Bytes,
    partial: Option<Partial>,
}

struct Partial {
    data: Vec<u8>,
    total: usize,
    reservation: Reservation,
}

enum Reservation {
    NotNeeded,
    Needed,
    Waiting(BoxFuture<'static, Option<Reserved>>),
    Held(Option<Reserved>),
}

impl Inbound {
    /// Frames of at most `limit` bytes.
    pub fn new(limit: usize, budget: Budget) -> Self {
        Inbound { limit, budget, received: Bytes::new(), partial: None }
    }

    /// The next frame, if all of it has arrived.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(partial) = self.partial.take_if(|partial| partial.data.len() >= partial.total) {
            return Ok(Some(partial.into_frame(&self.budget)));
        }
        let Some(&prefix) = self.received.first_chunk::<LENGTH_PREFIX>().filter(|_| self.partial.is_none()) else {
            return Ok(None);
        };
        let length = frame_length(prefix, self.limit)?;
        let mut bytes = self.received.split_off(LENGTH_PREFIX.min(self.received.len()));
        if bytes.len() < length {
            self.partial = Some(Partial::new(&bytes, length));
            self.received = Bytes::new();
            return Ok(None);
        }
        self.received = bytes.split_off(length);
        if self.received.len() < LENGTH_PREFIX {
            // A few bytes must not keep the frames before them in memory.
            self.received = Bytes::copy_from_slice(&self.received);
        }
        Ok(Some(Frame { bytes, reserved: None }))
    }

    /// The four bytes of a length that [`Inbound::next`] refused.
    pub fn refused(&self) -> Option<[u8; LENGTH_PREFIX]> {
        self.received.first_chunk().copied()
    }

    /// Whether a frame holds a part of the budget while it is being read.
    pub fn holds_budget(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| matches!(partial.reservation, Reservation::Held(_)))
    }

    /// Bytes kept here.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.received.len() + self.partial.as_ref().map_or(0, |partial| partial.data.capacity())
    }

    /// Reads once; to be called when [`Inbound::next`] has nothing. 0 is the end of the stream. A large frame is read
    /// past its first [`UNRESERVED`] bytes only if it has no more than `room`: where it has more, this is `Pending`
    /// and does not wake.
    pub fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        match &mut self.partial {
            None => self.poll_read_between(stream, cx),
            Some(partial) => {
                ready!(partial.poll_reserve(cx, &self.budget, room));
                partial.poll_read(stream, cx)
            }
        }
    }

    fn poll_read_between<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let arrived = buffer.filled();
        if self.received.is_empty() {
            self.received = Bytes::copy_from_slice(arrived);
        } else {
            let mut both = BytesMut::with_capacity(self.received.len() + arrived.len());
            both.extend_from_slice(&self.received);
            both.extend_from_slice(arrived);
            self.received = both.freeze();
        }
        Poll::Ready(Ok(arrived.len()))
    }
}

impl Partial {
    fn new(begin: &[u8], total: usize) -> Self {
        let reservation = if total > UNRESERVED { Reservation::Needed } else { Reservation::NotNeeded };
        let mut partial = Partial { data: Vec::new(), total, reservation };
        partial.grow(begin.len());
        partial.data.extend_from_slice(begin);
        partial
    }

    fn into_frame(self, budget: &Budget) -> Frame {
        match self.reservation {
            Reservation::Held(reserved) => Frame { bytes: lend(self.data, budget.spares()), reserved },
            _ => Frame { bytes: self.data.into(), reserved: None },
        }
    }

    /// How much memory the frame may take.
    fn ceiling(&self) -> usize {
        match self.reservation {
            Reservation::NotNeeded => self.total,
            Reservation::Held(_) => capacity_for(self.total),
            Reservation::Needed | Reservation::Waiting(_) => self.total.min(UNRESERVED),
        }
    }

    fn poll_reserve(&mut self, cx: &mut Context<'_>, budget: &Budget, room: usize) -> Poll<()> {
        if self.data.len() < self.ceiling() {
            return Poll::Ready(());
        }
        if matches!(self.reservation, Reservation::Needed) {
            if self.total > room {
                return Poll::Pending;
            }
            self.reservation = Reservation::Waiting(budget.reserve(capacity_for(self.total)));
        }
        if let Reservation::Waiting(waiting) = &mut self.reservation {
            let reserved = ready!(waiting.as_mut().poll(cx));
            self.reservation = Reservation::Held(reserved);
            if let Some(mut spare) = budget.spares().take(self.total) {
                spare.extend_from_slice(&self.data);
                self.data = spare;
            }
        }
        Poll::Ready(())
    }

    fn poll_read<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.data.len() >= self.data.capacity() {
            self.grow(self.data.len());
        }
        let whole = self.ceiling().min(self.total);
        let room = whole.min(self.data.capacity()).saturating_sub(self.data.len());
        let mut target = (&mut self.data).limit(room);
        pin!(stream.read_buf(&mut target)).poll(cx)
    }

    /// Makes room for as much again as there is, within the frame.
    fn grow(&mut self, have: usize) {
        let want = have.saturating_mul(2).max(FIRST_BUFFER).min(self.ceiling()).max(have);
        self.data.reserve_exact(want.saturating_sub(self.data.len()));
    }
}
