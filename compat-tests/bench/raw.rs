//! Kafka's protocol by hand, as little of it as the loads need: Metadata 4, Produce 7, ApiVersions 0. No client library
//! stands between the load and the broker.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::TcpStream;

pub const PRODUCE: i16 = 0;
pub const METADATA: i16 = 3;
pub const API_VERSIONS: i16 = 18;

/// A request with its length in front.
pub struct Request(Vec<u8>);

impl Request {
    pub fn new(api_key: i16, api_version: i16) -> Self {
        let mut request = Request(vec![0; 4]);
        request.i16(api_key).i16(api_version).i32(0).string("bench");
        request
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - 4) as u32;
        if let Some(prefix) = self.0.first_chunk_mut() {
            *prefix = length.to_be_bytes();
        }
        self.0
    }
}

/// A batch of one record without a key.
pub fn batch(value_size: usize) -> Vec<u8> {
    let mut record = vec![0, 0, 0, 1]; // attributes, timestamp delta, offset delta, null key
    varint(&mut record, value_size as i32);
    record.extend((0..value_size).map(|at| at as u8));
    record.push(0); // headers
    let mut records = Vec::new();
    varint(&mut records, record.len() as i32);
    records.append(&mut record);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |at| at.as_millis() as i64);
    let mut covered = vec![0; 6]; // attributes, last offset delta
    covered.extend([now.to_be_bytes(), now.to_be_bytes(), (-1_i64).to_be_bytes()].concat());
    covered.extend((-1_i16).to_be_bytes());
    covered.extend([(-1_i32).to_be_bytes(), 1_i32.to_be_bytes()].concat());
    covered.extend(records);
    let mut batch = vec![0; 8];
    batch.extend((covered.len() as i32 + 9).to_be_bytes());
    batch.extend([0; 4]); // leader epoch
    batch.push(2);
    batch.extend(crc32c::crc32c(&covered).to_be_bytes());
    batch.extend(covered);
    batch
}

fn varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A Produce with one batch for each of the partitions.
pub fn produce(topic: &str, partitions: &[i32], batch: &[u8], acks: i16) -> Vec<u8> {
    let mut request = Request::new(PRODUCE, 7);
    request.i16(-1).i16(acks).i32(30_000).i32(1).string(topic).i32(partitions.len() as i32);
    for partition in partitions {
        request.i32(*partition).i32(batch.len() as i32).raw(batch);
    }
    request.finish()
}

/// Looks at every partition of a Produce reply, without its length; returns the first error code.
pub fn produce_error(reply: &[u8], topic: &str, partitions: usize) -> anyhow::Result<i16> {
    const PARTITION: usize = 4 + 2 + 8 + 8 + 8;
    let parts = reply.get(4 + 4 + 2 + topic.len() + 4..).context("short reply")?;
    for part in parts.chunks_exact(PARTITION).take(partitions) {
        match part.get(4..6).and_then(|code| code.first_chunk()).copied().map(i16::from_be_bytes) {
            Some(0) => {}
            Some(code) => return Ok(code),
            None => bail!("short reply"),
        }
    }
    if parts.len() < partitions * PARTITION { bail!("short reply") } else { Ok(0) }
}

/// Makes a topic by asking for it.
pub fn touch_topic(stream: &mut TcpStream, topic: &str) -> anyhow::Result<()> {
    loop {
        let mut request = Request::new(METADATA, 4);
        request.i32(1).string(topic).raw(&[1]);
        let reply = call(stream, &request.finish())?;
        // The topic stands at the end: its error, its name, whether it is internal, its partitions.
        let at = reply.windows(topic.len()).rposition(|window| window == topic.as_bytes()).context("no topic")?;
        let error = reply.get(at.saturating_sub(4)..).and_then(|rest| rest.first_chunk()).copied();
        let count = reply.get(at + topic.len() + 1..).and_then(|rest| rest.first_chunk()).copied();
        match (error.map(i16::from_be_bytes), count.map(i32::from_be_bytes)) {
            (Some(0), Some(1..)) => return Ok(()),
            (Some(3 | 5), _) => std::thread::sleep(std::time::Duration::from_micros(200)),
            (code, _) => bail!("Metadata of {topic}: error {code:?}"),
        }
    }
}

/// Sends a request and reads its reply, which comes without its length.
pub fn call(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut reply = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// A connection to a broker of this machine.
pub fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
