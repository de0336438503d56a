//! One socket, one task: frames in, dispatch, replies in the order of the requests.
//!
//! The task is one state machine. Each time it is woken it collects answers that are ready, starts the requests that may
//! start, writes, reads, and sleeps when none of them gets further. What it does not do is what bounds it: it reads
//! no more while a whole frame waits to be started, and starts none while the window is full or replies wait for a client
//! that does not read.
//!
//! A request that has started is always carried to its end, whether or not its client is still there: handlers need
//! not be written to be dropped half-way. Only when the process stops, or after `drain_ms`, are they dropped.
//!
//! TLS and authentication are not here; they will be layers under the stream and before the dispatch.

mod budget;
mod inbound;
mod outbound;
mod spares;

pub use budget::{Budget, Reserved};
pub use inbound::UNRESERVED;

use crate::api::context::{Peer, Place};
use crate::api::{Answer, Dispatch, Fatal, Mode, Pending, Started};
use crate::time::{Millis, OncePerSecond, monotonic};
use crate::wire::frame::{FrameError, Greeting};
use futures_util::future::ready;
use futures_util::stream::{FuturesOrdered, StreamExt};
use inbound::{Frame, Inbound};
use outbound::Outbound;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;

/// Nothing is started while this many bytes of replies are unsent.
const UNSENT: usize = 64 * 1024;

/// Small frames in flight above this many bytes need a part of the budget like large ones, if there is one free.
const UNRESERVED_IN_FLIGHT: usize = 256 * 1024;

/// So many bytes of an unfinished frame count as a sign of life.
const PROGRESS: usize = 64 * 1024;

/// What a connection may use. Plain values: it does not know where settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The largest request, in bytes (`socket.request.max.bytes`).
    pub request_max_bytes: usize,
    /// A connection without a whole request or a byte of reply for so long is closed; 0 for never
    /// (`connections.max.idle.ms`).
    pub idle_ms: u64,
    /// A large frame holds a part of the budget while it arrives; one that stops arriving for so long costs its
    /// connection.
    pub stalled_frame_ms: u64,
    /// Requests of a client that is gone are given so long to finish.
    pub drain_ms: u64,
    /// Requests in flight at once.
    pub window_requests: usize,
    /// Bytes of requests in flight at once; one request alone may be larger.
    pub window_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            request_max_bytes: 100 * 1024 * 1024,
            idle_ms: 600_000,
            stalled_frame_ms: 30_000,
            drain_ms: 30_000,
            window_requests: 64,
            window_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The client closed it, or the server stops; everything was answered.
    Closed,
    /// Nothing happened for too long.
    Idle,
    /// A request called for it: unreadable, unknown, or acks=0 with an error.
    Refused,
    /// The socket failed, or a file that was being sent.
    Broken,
}

/// Serves one client until either side ends it. Panics of handlers pass through to the task.
pub async fn serve<S>(
    stream: S,
    peer: Arc<Peer>,
    dispatch: Arc<dyn Dispatch>,
    limits: ConnectionLimits,
    budget: Budget,
    mut shutdown: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream, peer, dispatch, limits, budget);
    // A server that is gone stops its connections too.
    let mut stop = pin!(async move { drop(shutdown.wait_for(|stop| *stop).await) });
    let mut stopped = false;
    let mut due = connection.due();
    let mut timer = pin!(sleep(until(due)));
    poll_fn(|cx| {
        if !stopped && stop.as_mut().poll(cx).is_ready() {
            stopped = true;
            connection.stop_reading(End::Closed);
        }
        if connection.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if connection.due() < due {
            due = connection.due();
            timer.set(sleep(until(due)));
        }
        while timer.as_mut().poll(cx).is_ready() {
            if connection.is_overdue(monotonic()) {
                return Poll::Ready(());
            }
            due = connection.due();
            timer.set(sleep(until(due)));
        }
        Poll::Pending
    })
    .await;
    connection.end
}

/// Timers of more than a day go off once a day and are set again.
fn until(due: Millis) -> Duration {
    let left = due.saturating_sub(monotonic()).clamp(1, 86_400_000);
    Duration::from_millis(left.unsigned_abs())
}

struct Connection<S> {
    stream: S,
    peer: Arc<Peer>,
    dispatch: Arc<dyn Dispatch>,
    limits: ConnectionLimits,
    budget: Budget,
    inbound: Inbound,
    /// A whole frame that may not start yet.
    next: Option<Frame>,
    in_flight: FuturesOrdered<InFlight>,
    /// Their frames.
    in_flight_bytes: usize,
    /// The part of it that is not in the budget.
    unreserved_bytes: usize,
    /// One of them is serial; it is the only one.
    serial: bool,
    /// Where the last of them does not know its place yet.
    place: Option<Place>,
    outbound: Outbound,
    reading: bool,
    starting: bool,
    /// Answers are still sent. What is in `outbound` is sent in any case.
    answering: bool,
    /// The socket failed.
    broken: bool,
    last_active: Millis,
    /// Bytes read since.
    unnoted: usize,
    end: End,
}

/// A request that has started. The queue drops it when its answer is there, and with it the part of the budget: the frame
/// is not needed any more, though the answer may have to wait for others.
struct InFlight {
    pending: Pending,
    frame: FrameSize,
    _reserved: Option<Reserved>,
}

#[derive(Clone, Copy)]
struct FrameSize {
    bytes: usize,
    unreserved: usize,
}

impl Future for InFlight {
    type Output = (Answer, FrameSize);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.pending.as_mut().poll(cx));
        Poll::Ready((answer, self.frame))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, peer: Arc<Peer>, dispatch: Arc<dyn Dispatch>, limits: ConnectionLimits, budget: Budget) -> Self {
        Connection {
            stream,
            peer,
            dispatch,
            limits,
            inbound: Inbound::new(limits.request_max_bytes, budget.clone()),
            budget,
            next: None,
            in_flight: FuturesOrdered::new(),
            in_flight_bytes: 0,
            unreserved_bytes: 0,
            serial: false,
            place: None,
            outbound: Outbound::default(),
            reading: true,
            starting: true,
            answering: true,
            broken: false,
            last_active: monotonic(),
            unnoted: 0,
            end: End::Closed,
        }
    }

    /// Goes as far as it can; ready when there is nothing left to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Requests that find their place are polled by the first, and let the second go on.
            while self.collect(cx) | self.start() {}
            let wrote = self.write(cx);
            if self.is_done() {
                return Poll::Ready(());
            }
            let read = self.read(cx);
            if !(wrote || read) {
                return Poll::Pending;
            }
        }
    }

    fn is_done(&self) -> bool {
        !self.reading && !self.starting && self.in_flight.is_empty() && self.outbound.is_empty()
    }

    /// Takes one answer, if the oldest request has one.
    fn collect(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some((answer, frame))) = self.in_flight.poll_next_unpin(cx) else { return false };
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(frame.bytes);
        self.unreserved_bytes = self.unreserved_bytes.saturating_sub(frame.unreserved);
        self.serial &= !self.in_flight.is_empty();
        match answer {
            Answer::Send(reply) if self.answering => self.outbound.push(reply),
            Answer::Send(_) | Answer::Nothing => {}
            Answer::Close => {
                self.stop_starting(End::Refused);
                self.answering = false;
            }
        }
        true
    }

    /// Starts one request, if there is one that may start.
    fn start(&mut self) -> bool {
        if !self.starting {
            return false;
        }
        let frame = match self.next.take().map_or_else(|| self.inbound.next(), |frame| Ok(Some(frame))) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.starting = self.reading;
                return false;
            }
            Err(error) => {
                self.refuse_frame(error);
                return false;
            }
        };
        match self.admit(frame) {
            Ok((frame, mode)) => self.start_frame(frame, mode),
            Err(frame) => {
                self.next = Some(frame);
                return false;
            }
        }
        true
    }

    /// Whether a frame may start now; a small one may need a part of the budget for it.
    fn admit(&self, mut frame: Frame) -> Result<(Frame, Mode), Frame> {
        let mode = self.dispatch.mode(&frame.bytes);
        if self.in_flight.is_empty() {
            return if self.outbound.len() < UNSENT { Ok((frame, mode)) } else { Err(frame) };
        }
        let fits = self.in_flight.len() < self.limits.window_requests
            && self.in_flight_bytes.saturating_add(frame.bytes.len()) <= self.limits.window_bytes
            && self.outbound.len() < UNSENT;
        let is_placed = self.place.as_ref().is_none_or(Place::is_fixed);
        if self.serial || mode == Mode::Serial || !is_placed || !fits {
            return Err(frame);
        }
        let unreserved = self.unreserved_bytes.saturating_add(frame.bytes.len());
        if frame.reserved.is_none() && unreserved > UNRESERVED_IN_FLIGHT {
            frame.reserved = self.budget.try_reserve(frame.bytes.len());
            if frame.reserved.is_none() {
                return Err(frame);
            }
        }
        Ok((frame, mode))
    }

    fn start_frame(&mut self, frame: Frame, mode: Mode) {
        self.last_active = monotonic();
        self.unnoted = 0;
        let bytes = frame.bytes.len();
        let size = FrameSize { bytes, unreserved: if frame.reserved.is_none() { bytes } else { 0 } };
        let started = self.dispatch.start(&self.peer, frame.bytes).unwrap_or_else(|fatal| {
            self.refuse_request(&fatal);
            Started::from(Box::pin(ready(Answer::Close)) as Pending)
        });
        self.place = started.place;
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(size.bytes);
        self.unreserved_bytes = self.unreserved_bytes.saturating_add(size.unreserved);
        self.serial = mode == Mode::Serial;
        // A serial request may wait for long, and its frame is decoded: it must not keep others from being read.
        let reserved = frame.reserved.filter(|_| mode == Mode::Pipelined);
        self.in_flight.push_back(InFlight { pending: started.answer, frame: size, _reserved: reserved });
    }

    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        match self.outbound.poll_write(&mut self.stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(_)) => {
                self.last_active = monotonic();
                true
            }
            Poll::Ready(Err(error)) => {
                self.break_off(&error);
                true
            }
        }
    }

    /// Reads only when there is nothing to start.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.reading || self.next.is_some() {
            return false;
        }
        let window = self.limits.window_bytes.saturating_sub(self.in_flight_bytes);
        let room = if self.in_flight.is_empty() { usize::MAX } else { window };
        let held_budget = self.inbound.holds_budget();
        let read = self.inbound.poll_read(&mut self.stream, cx, room);
        if self.inbound.holds_budget() && !held_budget {
            // It had to wait for us; its own time begins now.
            self.last_active = monotonic();
        }
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.stop_reading(End::Closed),
            Poll::Ready(Ok(count)) => self.note(count),
            Poll::Ready(Err(error)) => self.break_off(&error),
        }
        true
    }

    fn note(&mut self, count: usize) {
        self.unnoted = self.unnoted.saturating_add(count);
        if self.unnoted >= PROGRESS {
            self.unnoted = 0;
            self.last_active = monotonic();
        }
    }

    /// What has arrived is still answered.
    fn stop_reading(&mut self, end: End) {
        if self.reading {
            self.reading = false;
            self.end = end;
            self.last_active = monotonic();
        }
    }

    /// What has started is still answered.
    fn stop_starting(&mut self, end: End) {
        self.stop_reading(end);
        self.starting = false;
        self.next = None;
    }

    /// The client is gone: what has started is carried to its end, and nobody told.
    fn break_off(&mut self, error: &io::Error) {
        tracing::debug!(peer = %self.peer.remote, %error, "connection broken");
        self.stop_starting(End::Broken);
        self.end = End::Broken;
        self.answering = false;
        self.broken = true;
        self.outbound = Outbound::default();
        self.last_active = monotonic();
    }

    fn refuse_frame(&mut self, error: FrameError) {
        let listener = &self.peer.listener.name;
        match self.inbound.refused().and_then(Greeting::detect) {
            Some(greeting) if WARNINGS.lets_through(monotonic()) => tracing::warn!(
                peer = %self.peer.remote, %listener,
                "closing a connection that speaks {greeting}: this port speaks Kafka's protocol, without TLS"
            ),
            _ if REFUSALS.lets_through(monotonic()) => {
                tracing::debug!(peer = %self.peer.remote, %listener, %error, "closing a connection");
            }
            _ => {}
        }
        self.stop_starting(End::Refused);
    }

    fn refuse_request(&mut self, fatal: &Fatal) {
        if REFUSALS.lets_through(monotonic()) {
            tracing::debug!(peer = %self.peer.remote, error = %fatal, "closing a connection");
        }
        self.stop_starting(End::Refused);
    }

    /// When the connection ends if nothing happens until then.
    fn due(&self) -> Millis {
        let wait = if self.broken {
            self.limits.drain_ms
        } else if self.inbound.holds_budget() {
            self.limits.stalled_frame_ms
        } else if self.limits.idle_ms == 0 {
            return Millis::MAX;
        } else {
            self.limits.idle_ms
        };
        self.last_active.saturating_add_unsigned(wait)
    }

    /// Whether it has to end now. A client that waits for us is not idle.
    fn is_overdue(&mut self, now: Millis) -> bool {
        if self.due() > now {
            return false;
        }
        if self.reading && !self.in_flight.is_empty() && self.outbound.is_empty() {
            self.last_active = now;
            return false;
        }
        if !self.broken {
            tracing::debug!(peer = %self.peer.remote, "closing an idle connection");
            self.end = End::Idle;
        }
        true
    }
}

static WARNINGS: OncePerSecond = OncePerSecond::new();
static REFUSALS: OncePerSecond = OncePerSecond::new();

#[cfg(test)]
mod tests;
