//! A client made of a socket.

use crate::broker::Broker;
use crate::messages;
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The client id of a test.
const NAME: &str = "wire";

/// One connection.
pub struct Client {
    port: u16,
    stream: TcpStream,
    next_id: i32,
}

impl Client {
    /// Connects.
    pub fn new(broker: &Broker) -> Client {
        Client::connect(broker.port())
    }

    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { port, stream, next_id: 1 }
    }

    /// A new connection to the same broker.
    pub fn again(&self) -> Client {
        Client::connect(self.port)
    }

    /// Sends bytes as they are. That the broker has closed the connection is not noticed here.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(&error) => panic!("cannot send: {error}"),
            _ => {}
        }
    }

    /// The next reply without its size, or `None` where the broker has closed the connection.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        if !self.fill(&mut size) {
            return None;
        }
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        assert!(self.fill(&mut frame), "closed inside a reply");
        Some(frame)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if is_closed(&error) => false,
            Err(error) => panic!("no reply: {error}"),
        }
    }

    /// Whether the broker closes the connection, or has, without saying anything more.
    pub fn closes(mut self) -> bool {
        self.receive().is_none()
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Asks and waits for the answer, of which nothing may be left over.
    pub fn ask<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.try_ask(version, request).expect("an answer")
    }

    /// As [`Client::ask`]; `None` where the broker closes the connection.
    pub fn try_ask<Q: Request>(&mut self, version: i16, request: &Q) -> Option<Q::Response> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&frame(id, version, request));
        let reply = self.receive()?;
        assert_eq!(correlation_id(&reply), id, "replies come in order");
        Some(response::<Q>(version, reply))
    }
}

/// A whole request, size first.
pub fn frame<Q: Request>(correlation_id: i32, version: i16, request: &Q) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(NAME)));
    let mut frame = vec![0; 4];
    header.encode(&mut frame, Q::header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    sized(frame)
}

/// A whole request with any body, size first.
pub fn raw_frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 9, 0, 4]);
    frame.extend_from_slice(NAME.as_bytes());
    if messages::KNOWN.contains(&key) && messages::header_versions(key, version).0 >= 2 {
        frame.push(0);
    }
    frame.extend_from_slice(body);
    sized(frame)
}

/// Makes the first four bytes the size of what follows.
pub fn sized(mut frame: Vec<u8>) -> Vec<u8> {
    let size = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

/// The number that a reply carries.
pub fn correlation_id(reply: &[u8]) -> i32 {
    i32::from_be_bytes(*reply.first_chunk().expect("a reply has a header"))
}

/// Decodes a reply, of which nothing may be left over.
pub fn response<Q: Request>(version: i16, reply: Vec<u8>) -> Q::Response {
    use kafka_protocol::messages::ResponseHeader;
    use kafka_protocol::protocol::Decodable;
    let mut bytes = bytes::Bytes::from(reply);
    ResponseHeader::decode(&mut bytes, Q::Response::header_version(version)).unwrap();
    let response = Q::Response::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "{} bytes behind the reply", bytes.len());
    response
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::*;
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted)
}
