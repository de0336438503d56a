//! What a handler is told beside its request: who asks, over which connection, and of which broker.
//!
//! [`authorize`] and [`throttle`] are called by every handler from the start, so that access control and quotas will
//! not touch the handlers. Until there are any the answers are yes and zero.

use super::fetch_session::FetchSessions;
use crate::broker::Broker;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A listener as requests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, as in `listeners`.
    pub name: Arc<str>,
    /// What `advertised.listeners` says of it; `None` where a client is told the address that it connected to.
    pub advertised: Option<Endpoint>,
}

/// A host and a port to be told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
}

/// One client connection.
#[derive(Debug)]
pub struct Peer {
    /// The listener it came in on.
    pub listener: Arc<Listener>,
    /// Our end.
    pub local: SocketAddr,
    /// The client's end.
    pub remote: SocketAddr,
    /// The client id of the last request: nearly always that of the next.
    client_id: Mutex<Option<Arc<str>>>,
}

impl Peer {
    /// A connection between these two addresses.
    pub fn new(listener: Arc<Listener>, local: SocketAddr, remote: SocketAddr) -> Self {
        Peer { listener, local, remote, client_id: Mutex::new(None) }
    }

    /// A client id that does not keep its frame in memory. What is not UTF-8 is replaced, as Java does.
    pub(super) fn client_id(&self, bytes: &[u8]) -> Arc<str> {
        let mut last = self.client_id.lock();
        match last.as_ref().filter(|last| last.as_bytes() == bytes) {
            Some(same) => same.clone(),
            None => last.insert(String::from_utf8_lossy(bytes).into()).clone(),
        }
    }
}

/// A request's surroundings.
#[derive(Debug)]
pub struct Ctx {
    /// The broker that was asked.
    pub broker: Arc<Broker>,
    /// The fetch sessions of all connections.
    pub fetch_sessions: Arc<FetchSessions>,
    /// Which API.
    pub api_key: i16,
    /// Which version of it; the reply has the same.
    pub version: i16,
    /// The client's number for the request.
    pub correlation_id: i32,
    /// What the client calls itself; `None` where it sent null, which Kafka takes for the empty string.
    pub client_id: Option<Arc<str>>,
    /// The connection.
    pub peer: Arc<Peer>,
    pub(super) place: OnceLock<Place>,
}

/// The place of a pipelined request among those of its connection: none after it starts before its place is fixed.
#[derive(Clone, Debug)]
pub struct Place(Arc<AtomicBool>);

impl Place {
    /// A place that is not fixed, and what fixes it.
    pub fn deferred() -> (Self, Deferred) {
        let place = Place(Arc::default());
        (place.clone(), Deferred(place))
    }

    /// Whether it is fixed.
    pub fn is_fixed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Fixes a place when it is dropped. The request's own future must do that: it is what the connection looks at next.
#[derive(Debug)]
pub struct Deferred(Place);

impl Drop for Deferred {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

impl Ctx {
    /// Defers the place of this request until what is returned is dropped. Once, before the handler returns its future.
    pub fn defer_place(&self) -> Deferred {
        let (place, deferred) = Place::deferred();
        let _ = self.place.set(place);
        deferred
    }

    /// Where this client reaches this broker: as advertised, else the address that it connected to.
    pub fn advertised(&self) -> Endpoint {
        let local = self.peer.local;
        let own = || Endpoint { host: local.ip().to_canonical().to_string().into(), port: local.port() };
        self.peer.listener.advertised.clone().unwrap_or_else(own)
    }
}

/// What a client wants to do (`AclOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
}

/// To what (`ResourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The cluster as a whole.
    Cluster,
    /// A topic, by name.
    Topic(&'a str),
    /// A group, by its id.
    Group(&'a str),
    /// A transactional id.
    TransactionalId(&'a str),
}

/// Whether the client may do it.
pub fn authorize(_ctx: &Ctx, _operation: Operation, _resource: Resource<'_>) -> bool {
    true
}

/// How long the client is asked to wait, in milliseconds: the `throttle_time_ms` of its reply.
pub fn throttle(_ctx: &Ctx) -> i32 {
    0
}
