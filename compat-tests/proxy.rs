//! A wire between clients and the broker that can lose replies and break. It counts what it does.
//!
//! The broker behind it advertises the proxy's address, so that no client finds a way around it.

use crate::common::{Rng, until};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Kafka's number of the Produce API.
const PRODUCE: i16 = 0;
/// What breaks: this, and AddPartitionsToTxn, AddOffsetsToTxn, EndTxn and TxnOffsetCommit.
const FRAGILE: [i16; 5] = [PRODUCE, 24, 25, 26, 28];
/// While it breaks things, this many of their replies in a hundred suffer.
const BROKEN_REPLIES: u64 = 10;
/// And this many of the requests.
const BROKEN_REQUESTS: u64 = 1;

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The broker's port; 0 for none.
    target: AtomicU16,
    breaking: AtomicBool,
    rng: Mutex<Rng>,
    connections: AtomicU64,
    swallowed: AtomicU64,
    unanswered: AtomicU64,
    over: AtomicBool,
}

impl Proxy {
    /// On any port, leading nowhere yet.
    pub fn start(rng: Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(0),
            breaking: AtomicBool::new(false),
            rng: Mutex::new(rng),
            connections: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::SeqCst) {
                    break;
                }
                // A refusal is what a client sees of a broker that is down.
                let _ = connect(&accepting, client.unwrap());
            }
        });
        Self { port, shared }
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker's flags that lead the clients of one listener here, and of the other to itself.
    pub fn flags(&self) -> Vec<String> {
        vec![
            "--listeners=PLAINTEXT://127.0.0.1:0,DIRECT://127.0.0.1:0".into(),
            "--listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT".into(),
            format!("--advertised.listeners=PLAINTEXT://127.0.0.1:{}", self.port),
        ]
    }

    /// New connections lead to this port.
    pub fn lead_to(&self, port: u16) {
        self.shared.target.store(port, Ordering::SeqCst);
    }

    /// New connections are refused. What is open stays.
    pub fn lead_nowhere(&self) {
        self.lead_to(0);
    }

    /// Whether replies are lost and connections cut.
    pub fn set_breaking(&self, breaking: bool) {
        self.shared.breaking.store(breaking, Ordering::SeqCst);
    }

    /// Replies of the broker that no client saw.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// Waits until every connection has ended, and tells how many Produce requests, since it was asked last, had been
    /// passed on whole when their connection ended without a reply.
    pub fn unanswered(&self) -> u64 {
        until("the connections end", || (self.shared.connections.load(Ordering::SeqCst) == 0).then_some(()));
        self.shared.unanswered.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    // Counted before the target is read, so that nothing slips by once that is 0.
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let broker = match shared.target.load(Ordering::SeqCst) {
        0 => Err(ErrorKind::ConnectionRefused.into()),
        port => TcpStream::connect(("127.0.0.1", port)),
    };
    let broker = broker.inspect_err(|_| {
        shared.connections.fetch_sub(1, Ordering::SeqCst);
    })?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let mut rng = shared.rng.lock().unwrap();
    let wire = Arc::new(Wire { client, broker, pending: Mutex::default(), shared: shared.clone() });
    let (up, up_rng, down, down_rng) = (wire.clone(), rng.split(), wire, rng.split());
    thread::spawn(move || {
        let _ = up.requests(up_rng);
        up.cut();
    });
    thread::spawn(move || {
        let _ = down.replies(down_rng);
        down.cut();
        let pending = down.pending.lock().unwrap();
        let unanswered = pending.iter().filter(|key| **key == PRODUCE).count();
        down.shared.unanswered.fetch_add(unanswered as u64, Ordering::SeqCst);
        down.shared.connections.fetch_sub(1, Ordering::SeqCst);
    });
    Ok(())
}

/// One connection, both halves.
struct Wire {
    client: TcpStream,
    broker: TcpStream,
    /// The APIs of the requests that have not been answered. Replies come in their order.
    pending: Mutex<VecDeque<i16>>,
    shared: Arc<Shared>,
}

impl Wire {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn breaks(&self, rng: &mut Rng, of_hundred: u64) -> bool {
        self.shared.breaking.load(Ordering::SeqCst) && rng.below(100) < of_hundred
    }

    fn requests(&self, mut rng: Rng) -> io::Result<()> {
        loop {
            let frame = read_frame(&self.client)?;
            let key = i16::from_be_bytes([frame[4], frame[5]]);
            if FRAGILE.contains(&key) && self.breaks(&mut rng, BROKEN_REQUESTS) {
                let part = 1 + rng.below(frame.len() as u64 - 1) as usize;
                (&self.broker).write_all(&frame[..part])?;
                return Ok(());
            }
            self.pending.lock().unwrap().push_back(key);
            (&self.broker).write_all(&frame)?;
        }
    }

    fn replies(&self, mut rng: Rng) -> io::Result<()> {
        loop {
            let frame = read_frame(&self.broker)?;
            let key = self.pending.lock().unwrap().pop_front();
            if key.is_some_and(|key| FRAGILE.contains(&key)) && self.breaks(&mut rng, BROKEN_REPLIES) {
                self.shared.swallowed.fetch_add(1, Ordering::SeqCst);
                return self.lose(&frame, &mut rng);
            }
            (&self.client).write_all(&frame)?;
        }
    }

    /// The client gets a part of this reply, or none of it and none of up to four more.
    fn lose(&self, frame: &[u8], rng: &mut Rng) -> io::Result<()> {
        if rng.below(4) == 0 {
            let part = rng.below(frame.len() as u64) as usize;
            return (&self.client).write_all(&frame[..part]);
        }
        for _ in 0..rng.below(5) {
            if self.pending.lock().unwrap().is_empty() {
                break;
            }
            read_frame(&self.broker)?;
            if self.pending.lock().unwrap().pop_front().is_some_and(|key| FRAGILE.contains(&key)) {
                self.shared.swallowed.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// One request or reply with its length in front.
fn read_frame(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let size = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}
