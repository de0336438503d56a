//! Listeners: sockets bound, connections accepted, and everything brought to an end when the process stops.
//!
//! A connection over `max.connections` is not refused: it waits, accepted but not served, as in Kafka. Out of file
//! descriptors the listener pauses; what connects meanwhile waits in the backlog. TLS is not here yet.

use crate::api::Dispatch;
use crate::api::context::{Endpoint, Listener, Peer};
use crate::connection::{Budget, ConnectionLimits, End, serve};
use crate::time::{OncePerSecond, monotonic};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

/// Connections that wait to be accepted. The kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// How long a listener without file descriptors waits before it tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// Ports tried where any will do but two addresses must have the same.
const PORT_TRIES: usize = 20;

/// A listener to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Its name, as in `listeners`.
    pub name: String,
    /// An address, a host name, `localhost` for 127.0.0.1 and ::1, or nothing for all interfaces.
    pub host: String,
    /// Port; 0 for any.
    pub port: u16,
    /// What `advertised.listeners` says of it, if anything.
    pub advertised: Option<Endpoint>,
}

/// What a server may use. Plain values: it does not know where settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections served at once (`max.connections`).
    pub max_connections: usize,
    /// Bytes of large requests in flight over all connections.
    pub in_flight_bytes: usize,
    /// When the server stops, requests are given so long to finish.
    pub shutdown_ms: u64,
    /// For each connection.
    pub connection: ConnectionLimits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_connections: i32::MAX as usize,
            in_flight_bytes: 256 * 1024 * 1024,
            shutdown_ms: 5_000,
            connection: ConnectionLimits::default(),
        }
    }
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections that have ended, however.
    pub ended: AtomicU64,
    /// Of them, those that a request cost: unreadable, unknown, or acks=0 with an error.
    pub refused: AtomicU64,
    /// Of them, those that were idle.
    pub idle: AtomicU64,
    /// Of them, those whose task panicked.
    pub panics: AtomicU64,
}

/// Bound sockets.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<(Arc<Listener>, StdListener)>,
    stats: Arc<ServerStats>,
}

impl Server {
    /// Binds all of them, or says which cannot be bound and why.
    pub fn bind(listeners: Vec<ListenerSpec>) -> io::Result<Server> {
        let mut sockets = Vec::new();
        for spec in listeners {
            let bound = bind_host(&spec.host, spec.port).map_err(|error| explain(&spec, &error))?;
            let listener = Arc::new(Listener { name: spec.name.into(), advertised: spec.advertised });
            sockets.extend(bound.into_iter().map(|socket| (listener.clone(), socket)));
        }
        Ok(Server { sockets, stats: Arc::default() })
    }

    /// Listener name and address of every socket; a port that was 0 is the real one here.
    pub fn local_addrs(&self) -> Vec<(Arc<str>, SocketAddr)> {
        let address = |(listener, socket): &(Arc<Listener>, StdListener)| {
            Some((listener.name.clone(), socket.local_addr().ok()?))
        };
        self.sockets.iter().filter_map(address).collect()
    }

    /// What happens while it runs.
    pub fn stats(&self) -> Arc<ServerStats> {
        self.stats.clone()
    }

    /// Serves until `shutdown` says so or its sender is gone; then accepts no more, lets what has arrived be answered
    /// within `shutdown_ms`, and returns when every connection is closed.
    pub async fn run(
        self,
        dispatch: Arc<dyn Dispatch>,
        limits: ServerLimits,
        shutdown: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let shared = Arc::new(Shared {
            dispatch,
            limits,
            budget: Budget::new(limits.in_flight_bytes),
            places: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
            stats: self.stats,
        });
        let mut listening = JoinSet::new();
        for (listener, socket) in self.sockets {
            let socket = TcpListener::from_std(socket)?;
            listening.spawn(listen(shared.clone(), listener, socket, shutdown.clone()));
        }
        while let Some(ended) = listening.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// What all listeners share.
struct Shared {
    dispatch: Arc<dyn Dispatch>,
    limits: ServerLimits,
    budget: Budget,
    places: Arc<Semaphore>,
    stats: Arc<ServerStats>,
}

/// Accepts on one socket until the server stops, and sees its connections to their end.
async fn listen(
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    socket: TcpListener,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let each = shutdown.clone();
    tokio::select! {
        () = accept(&shared, &listener, &socket, &each, &mut connections) => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    drop(socket);
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            shared.note(ended);
        }
    };
    if timeout(Duration::from_millis(shared.limits.shutdown_ms), ending).await.is_err() {
        tracing::warn!(listener = %listener.name, connections = connections.len(), "stopping with requests unanswered");
        connections.shutdown().await;
    }
}

async fn accept(
    shared: &Shared,
    listener: &Arc<Listener>,
    socket: &TcpListener,
    shutdown: &watch::Receiver<bool>,
    connections: &mut JoinSet<End>,
) {
    // A connection that waits for its place. Kept here, since an end of another cancels the wait.
    let mut waiting: Option<(TcpStream, SocketAddr)> = None;
    loop {
        tokio::select! {
            Some(ended) = connections.join_next(), if !connections.is_empty() => shared.note(ended),
            accepted = socket.accept(), if waiting.is_none() => match accepted {
                Ok(connection) => waiting = Some(connection),
                Err(error) => pause(&error).await,
            },
            Ok(place) = shared.places.clone().acquire_owned(), if waiting.is_some() => {
                let Some((stream, remote)) = waiting.take() else { continue };
                shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
                match set_up(&stream) {
                    Ok(local) => {
                        let peer = Arc::new(Peer::new(listener.clone(), local, remote));
                        connections.spawn(shared.serve(stream, peer, place, shutdown.clone()));
                    }
                    Err(error) => tracing::debug!(peer = %remote, %error, "connection lost before it began"),
                }
            }
        }
    }
}

impl Shared {
    fn serve(
        &self,
        stream: TcpStream,
        peer: Arc<Peer>,
        place: OwnedSemaphorePermit,
        shutdown: watch::Receiver<bool>,
    ) -> impl Future<Output = End> + Send + use<> {
        let connection =
            serve(stream, peer, self.dispatch.clone(), self.limits.connection, self.budget.clone(), shutdown);
        async move {
            let _place = place;
            connection.await
        }
    }

    fn note(&self, ended: Result<End, JoinError>) {
        let stats = &self.stats;
        stats.ended.fetch_add(1, Ordering::Relaxed);
        match ended {
            Ok(End::Closed | End::Broken) => {}
            Ok(End::Idle) => drop(stats.idle.fetch_add(1, Ordering::Relaxed)),
            Ok(End::Refused) => drop(stats.refused.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                stats.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a request panicked; its connection is closed");
            }
        }
    }
}

fn set_up(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_keepalive(true)?;
    stream.local_addr()
}

/// Where the process lacks something, trying again at once would only burn its time. All other errors belong to a
/// client that was gone before we got to it.
async fn pause(error: &io::Error) {
    static WARNINGS: OncePerSecond = OncePerSecond::new();
    if is_shortage(error) {
        if WARNINGS.lets_through(monotonic()) {
            tracing::warn!(%error, "no connection can be accepted for now");
        }
        sleep(PAUSE).await;
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

fn bind_host(host: &str, port: u16) -> io::Result<Vec<StdListener>> {
    match host {
        "localhost" => bind_both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, port),
        "" => bind_both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, port),
        host => {
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let address = match host.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, port),
                // As Java does: the first address of the name.
                Err(_) => (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
            };
            // `::` alone means both families, as Java has it.
            Ok(vec![bind(address, !address.ip().is_unspecified())?])
        }
    }
}

/// One port on an address of each family. A machine may lack one of the families, but a port that somebody else has on
/// one of them is an error: half of the clients would reach that somebody.
fn bind_both(v4: Ipv4Addr, v6: Ipv6Addr, port: u16) -> io::Result<Vec<StdListener>> {
    let mut result = bind_pair(v4, v6, port);
    for _ in 0..PORT_TRIES {
        match &result {
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => result = bind_pair(v4, v6, port),
            _ => break,
        }
    }
    result
}

fn bind_pair(v4: Ipv4Addr, v6: Ipv6Addr, port: u16) -> io::Result<Vec<StdListener>> {
    let first = match bind((v4, port).into(), true) {
        Err(error) if !is_missing(&error) => return Err(error),
        first => first,
    };
    let port = match &first {
        Ok(first) => first.local_addr()?.port(),
        Err(_) => port,
    };
    match (first, bind((v6, port).into(), true)) {
        (Ok(first), Ok(second)) => Ok(vec![first, second]),
        (Err(_), second) => Ok(vec![second?]),
        (Ok(first), Err(error)) if is_missing(&error) => Ok(vec![first]),
        (Ok(_), Err(error)) => Err(error),
    }
}

/// The machine does not have this address, or not this family.
fn is_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// An error that says what to do about it.
fn explain(spec: &ListenerSpec, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => ": another process has this port",
        io::ErrorKind::AddrNotAvailable => ": this machine does not have that address",
        io::ErrorKind::PermissionDenied => ": ports below 1024 need privileges",
        _ => "",
    };
    let ListenerSpec { name, host, port, .. } = spec;
    io::Error::new(
        error.kind(),
        format!("cannot listen on {host}:{port} (listeners={name}://{host}:{port}){hint} ({error})"),
    )
}

#[cfg(test)]
mod tests;
