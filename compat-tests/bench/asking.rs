//! A client by hand: typed requests over one connection.

use bytes::Bytes;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A string of the protocol.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A client's connection.
pub struct Connection(TcpStream);

impl Connection {
    /// A new one.
    pub async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection(stream))
    }

    /// Sends a request and waits for the reply.
    pub async fn ask<Q: Request>(&mut self, version: i16, request: &Q) -> anyhow::Result<Q::Response> {
        self.send(&frame(version, request)?).await?;
        self.answer::<Q>(version).await
    }

    /// Sends frames.
    pub async fn send(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(frames).await?)
    }

    /// The reply to a request that was sent.
    pub async fn answer<Q: Request>(&mut self, version: i16) -> anyhow::Result<Q::Response> {
        let mut reply = vec![0; self.0.read_u32().await? as usize];
        self.0.read_exact(&mut reply).await?;
        let mut reply = Bytes::from(reply);
        ResponseHeader::decode(&mut reply, Q::Response::header_version(version))?;
        Q::Response::decode(&mut reply, version)
    }
}

/// A request as it is sent, size first.
pub fn frame<Q: Request>(version: i16, request: &Q) -> anyhow::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(text("bench")));
    header.encode(&mut frame, Q::header_version(version))?;
    request.encode(&mut frame, version)?;
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}
