//! Replies on their way to a socket: what is in memory goes out in vectored writes, what is in files is read in chunks
//! as the socket takes them, so that a connection holds little memory however large its replies are.
//!
//! A chunk is read where the socket is written, if it is in the page cache; where the disk would have to be waited for,
//! a blocking thread does it.

use crate::api::rope::Rope;
use crate::log::{Slice, Wait, disk::File};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read from a file at once, and bytes ready to be written above which no more are read.
const CHUNK: usize = 128 * 1024;

/// The kernel takes at most so many slices in one write (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// Replies that are not sent yet, in order.
#[derive(Default)]
pub struct Outbound {
    /// In memory, to be written next; of the first, `sent` bytes are written already.
    ready: VecDeque<Bytes>,
    sent: usize,
    ready_bytes: usize,
    /// What comes after it.
    later: VecDeque<Slice>,
    later_bytes: usize,
    /// A chunk of the first of `later`, being read.
    loading: Option<JoinHandle<io::Result<BytesMut>>>,
    /// A chunk's buffer, for the next chunk.
    spare: Option<BytesMut>,
}

impl Outbound {
    /// Puts a reply at the end.
    pub fn push(&mut self, reply: Rope) {
        for segment in reply.into_segments() {
            self.later_bytes = self.later_bytes.saturating_add(segment.len());
            self.later.push_back(segment);
        }
    }

    /// Bytes to send.
    pub fn len(&self) -> usize {
        self.ready_bytes.saturating_add(self.later_bytes)
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that wait to be sent.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let in_memory = |slice: &Slice| if let Slice::Memory(bytes) = slice { bytes.len() } else { 0 };
        self.ready_bytes + self.later.iter().map(in_memory).sum::<usize>()
    }

    /// Writes once. `Pending` where the socket takes nothing, the disk is waited for, or there is nothing to write.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.fill(cx)?;
        if self.ready.is_empty() {
            return Poll::Pending;
        }
        let written = {
            let mut slices: Vec<IoSlice<'_>> = self.ready.iter().take(MAX_SLICES).map(|b| IoSlice::new(b)).collect();
            let mut unsent = &mut slices[..];
            IoSlice::advance_slices(&mut unsent, self.sent);
            ready!(Pin::new(stream).poll_write_vectored(cx, unsent))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.forget(written);
        Poll::Ready(Ok(written))
    }

    /// Drops what was written, and all memory when nothing is left.
    fn forget(&mut self, written: usize) {
        self.ready_bytes = self.ready_bytes.saturating_sub(written);
        self.sent += written;
        while let Some(first) = self.ready.pop_front_if(|first| first.len() <= self.sent) {
            self.sent -= first.len();
            self.spare = first.try_into_mut().ok().filter(|buffer| buffer.capacity() >= CHUNK).or(self.spare.take());
        }
        if self.is_empty() {
            *self = Outbound::default();
        }
    }

    /// Moves what comes later to what is ready, until that is a chunk or more.
    fn fill(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if let Some(loading) = &mut self.loading {
                let Poll::Ready(chunk) = Pin::new(loading).poll(cx) else { return Ok(()) };
                self.loading = None;
                self.loaded(chunk.map_err(io::Error::other)??);
            }
            if self.ready_bytes >= CHUNK {
                return Ok(());
            }
            match self.later.pop_front() {
                None => return Ok(()),
                Some(Slice::Memory(bytes)) => {
                    self.later_bytes = self.later_bytes.saturating_sub(bytes.len());
                    self.make_ready(bytes);
                }
                Some(Slice::File { file, position, length }) => {
                    self.later.push_front(Slice::File { file: file.clone(), position, length });
                    self.load(file, position, length.min(CHUNK))?;
                }
            }
        }
    }

    /// Reads a chunk at once, or begins to.
    fn load(&mut self, file: Arc<dyn File>, position: u64, size: usize) -> io::Result<()> {
        let mut buffer = self.spare.take().unwrap_or_else(|| BytesMut::with_capacity(size));
        buffer.resize(size, 0);
        match read_chunk(&*file, &mut buffer, position, Wait::Never) {
            Ok(()) => self.loaded(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.loading = Some(spawn_blocking(move || {
                    read_chunk(&*file, &mut buffer, position, Wait::Allowed)?;
                    Ok(buffer)
                }));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A chunk of the first of `later` is there.
    fn loaded(&mut self, chunk: BytesMut) {
        self.later_bytes = self.later_bytes.saturating_sub(chunk.len());
        if let Some(Slice::File { position, length, .. }) = self.later.front_mut() {
            *position = position.saturating_add(chunk.len() as u64);
            *length = length.saturating_sub(chunk.len());
            if *length == 0 {
                self.later.pop_front();
            }
        }
        self.make_ready(chunk.freeze());
    }

    fn make_ready(&mut self, bytes: Bytes) {
        self.ready_bytes = self.ready_bytes.saturating_add(bytes.len());
        self.ready.push_back(bytes);
    }
}

/// All of the chunk, or an error: the length of the reply is promised already.
fn read_chunk(file: &dyn File, chunk: &mut [u8], position: u64, wait: Wait) -> io::Result<()> {
    let read = match file.read_at(chunk, position, wait) {
        Ok(read) if read == chunk.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(error),
    };
    read.inspect_err(|error: &io::Error| {
        if error.kind() != io::ErrorKind::WouldBlock {
            tracing::warn!(?file, position, %error, "a reply could not be read from its file; its connection is closed");
        }
    })
}
