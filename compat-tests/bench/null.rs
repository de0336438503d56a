//! The null server: what a broker cannot do without, and nothing else. A thread for each connection; a frame is read, its
//! batch's checksum compared, its base offset set, the bytes appended by one write; a fetch is whole batches by
//! `sendfile`. Just enough of the protocol that librdkafka takes it for a broker. Nothing is checked that a hostile
//! client could get wrong.

use anyhow::Context;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CRC_FROM: usize = 21;
const CRC_AT: usize = 17;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const UNSUPPORTED_VERSION: i16 = 35;

/// Key, lowest and highest version.
const APIS: [(i16, i16, i16); 6] = [(0, 3, 7), (1, 4, 4), (2, 1, 1), (3, 4, 4), (10, 0, 0), (18, 0, 0)];

struct Server {
    port: u16,
    dir: PathBuf,
    partitions: i32,
    logs: Mutex<HashMap<(String, i32), Arc<Log>>>,
}

struct Log {
    file: File,
    state: Mutex<State>,
}

/// Where every batch begins, and where the last one ends.
struct State {
    batches: Vec<(i64, u64)>,
    end: (i64, u64),
}

/// `null-server <port> <directory> [<partitions>]`
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let argument = |at: usize| arguments.get(at).context("null-server <port> <directory> [<partitions>]");
    let (port, dir) = (argument(1)?.parse()?, PathBuf::from(argument(2)?));
    let partitions = argument(3).map_or(Ok(1), |count| count.parse())?;
    std::fs::create_dir_all(&dir)?;
    let server = Arc::new(Server { port, dir, partitions, logs: Mutex::default() });
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (server, stream) = (server.clone(), stream?);
        stream.set_nodelay(true)?;
        std::thread::spawn(move || {
            // A client that is gone.
            let _ = server.serve(stream);
        });
    }
    Ok(())
}

impl Server {
    fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut frame = Vec::new();
        loop {
            let mut prefix = [0; 4];
            stream.read_exact(&mut prefix)?;
            frame.resize(u32::from_be_bytes(prefix) as usize, 0);
            stream.read_exact(&mut frame)?;
            let (mut request, mut reply) = (Reader { bytes: &mut frame, at: 0 }, Reply(vec![0; 4]));
            let (key, version, correlation_id) = (request.i16()?, request.i16()?, request.i32()?);
            reply.i32(correlation_id);
            request.string()?;
            let mut records = None;
            match (key, version) {
                (0, _) => self.produce(&mut request, &mut reply)?,
                (1, _) => records = self.fetch(&mut request, &mut reply)?,
                (2, _) => self.list_offsets(&mut request, &mut reply)?,
                (3, _) => self.metadata(&mut request, &mut reply)?,
                (10, _) => drop(reply.i16(COORDINATOR_NOT_AVAILABLE).i32(-1).string("").i32(-1)),
                (_, version) => api_versions(version, &mut reply),
            }
            reply.send(&mut stream, records.as_ref().map_or(0, |(_, _, length)| *length))?;
            if let Some((log, mut position, mut left)) = records {
                while left > 0 {
                    left -= rustix::fs::sendfile(&stream, &log.file, Some(&mut position), left)?;
                }
            }
        }
    }

    fn log(&self, topic: &str, partition: i32) -> anyhow::Result<Arc<Log>> {
        let mut logs = self.logs.lock();
        if let Some(log) = logs.get(&(topic.to_owned(), partition)) {
            return Ok(log.clone());
        }
        let path = self.dir.join(format!("{topic}-{partition}"));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        let log = Arc::new(Log { file, state: Mutex::new(State { batches: Vec::new(), end: (0, 0) }) });
        logs.insert((topic.to_owned(), partition), log.clone());
        Ok(log)
    }

    fn produce(&self, request: &mut Reader<'_>, reply: &mut Reply) -> anyhow::Result<()> {
        request.string()?; // transactional id
        let _acks = request.i16()?;
        let _timeout_ms = request.i32()?;
        let topics = request.i32()?;
        reply.i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            let partitions = request.i32()?;
            reply.string(&topic);
            reply.i32(partitions);
            for _ in 0..partitions {
                let partition = request.i32()?;
                let size = request.i32()? as usize;
                let offset = self.log(&topic, partition)?.append(request.take(size)?)?;
                reply.i32(partition).i16(0).i64(offset).i64(-1).i64(0);
            }
        }
        reply.i32(0);
        Ok(())
    }

    fn fetch(&self, request: &mut Reader<'_>, reply: &mut Reply) -> anyhow::Result<Option<(Arc<Log>, u64, usize)>> {
        let _replica_id = request.i32()?;
        let wait = Duration::from_millis(request.i32()? as u64);
        let (_min_bytes, max_bytes) = (request.i32()?, request.i32()? as u64);
        request.take(1)?; // isolation
        if request.i32()? == 0 {
            std::thread::sleep(wait);
            reply.i32(0).i32(0);
            return Ok(None);
        }
        let topic = request.string()?;
        let _partitions = request.i32()?;
        let (partition, from, partition_max_bytes) = (request.i32()?, request.i64()?, request.i32()? as u64);
        let log = self.log(&topic, partition)?;
        let until = Instant::now() + wait;
        let (position, length, end) = loop {
            let (position, length, end) = log.find(from, max_bytes.min(partition_max_bytes));
            if length > 0 || Instant::now() >= until {
                break (position, length, end);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        reply.i32(0).i32(1).string(&topic).i32(1).i32(partition).i16(0).i64(end).i64(end).i32(-1).i32(length as i32);
        Ok(Some((log, position, length)))
    }

    fn list_offsets(&self, request: &mut Reader<'_>, reply: &mut Reply) -> anyhow::Result<()> {
        let _replica_id = request.i32()?;
        let topics = request.i32()?;
        reply.i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            let partitions = request.i32()?;
            reply.string(&topic).i32(partitions);
            for _ in 0..partitions {
                let (partition, timestamp) = (request.i32()?, request.i64()?);
                let end = self.log(&topic, partition)?.state.lock().end.0;
                reply.i32(partition).i16(0).i64(-1).i64(if timestamp == -2 { 0 } else { end });
            }
        }
        Ok(())
    }

    /// Every topic that is asked for exists.
    fn metadata(&self, request: &mut Reader<'_>, reply: &mut Reply) -> anyhow::Result<()> {
        let topics = request.i32()?.max(0);
        reply.i32(0).i32(1).i32(1).string("127.0.0.1").i32(i32::from(self.port)).i16(-1).i16(-1).i32(1).i32(topics);
        for _ in 0..topics {
            let topic = request.string()?;
            reply.i16(0).string(&topic).raw(&[0]).i32(self.partitions);
            for partition in 0..self.partitions {
                reply.i16(0).i32(partition).i32(1).i32(1).i32(1).i32(1).i32(1);
            }
        }
        Ok(())
    }
}

/// Newer clients ask in a newer version first, and are told which there are.
fn api_versions(version: i16, reply: &mut Reply) {
    reply.i16(if version == 0 { 0 } else { UNSUPPORTED_VERSION }).i32(APIS.len() as i32);
    for (key, min, max) in APIS {
        reply.i16(key).i16(min).i16(max);
    }
}

impl Log {
    fn append(&self, batch: &mut [u8]) -> anyhow::Result<i64> {
        let stored: [u8; 4] =
            batch.get(CRC_AT..).and_then(|rest| rest.first_chunk()).copied().context("short batch")?;
        let computed = crc32c::crc32c(batch.get(CRC_FROM..).context("short batch")?);
        anyhow::ensure!(computed == u32::from_be_bytes(stored), "a batch's checksum is wrong");
        let delta: [u8; 4] = batch.get(23..).and_then(|rest| rest.first_chunk()).copied().context("short batch")?;
        let mut state = self.state.lock();
        let (offset, position) = state.end;
        if let Some(base_offset) = batch.first_chunk_mut() {
            *base_offset = offset.to_be_bytes();
        }
        self.file.write_all_at(batch, position)?;
        state.batches.push((offset, position));
        state.end = (offset + i64::from(i32::from_be_bytes(delta)) + 1, position + batch.len() as u64);
        Ok(offset)
    }

    /// Position and length of whole batches, at least one, and the end of the log.
    fn find(&self, from: i64, max_bytes: u64) -> (u64, usize, i64) {
        let state = self.state.lock();
        let after = state.batches.partition_point(|(offset, _)| *offset <= from);
        let Some((_, position)) = state.batches.get(after.saturating_sub(1)).filter(|_| from < state.end.0) else {
            return (0, 0, state.end.0);
        };
        let limit = position + max_bytes;
        let rest = state.batches.get(after..).unwrap_or_default();
        // Ends of batches are beginnings of others, but for the last.
        let end = match rest.get(rest.partition_point(|(_, begin)| *begin <= limit).saturating_sub(1)) {
            _ if state.end.1 <= limit => state.end.1,
            Some((_, begin)) => *begin,
            None => state.end.1,
        };
        (*position, (end - position) as usize, state.end.0)
    }
}

struct Reader<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> anyhow::Result<&mut [u8]> {
        let from = self.at;
        self.at += count;
        self.bytes.get_mut(from..self.at).context("short request")
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        self.take(N)?.first_chunk().copied().context("short request")
    }

    fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn string(&mut self) -> anyhow::Result<String> {
        let length = self.i16()?.max(0);
        Ok(String::from_utf8_lossy(self.take(length as usize)?).into_owned())
    }
}

struct Reply(Vec<u8>);

impl Reply {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }

    /// Sends it; so many bytes of records will follow.
    fn send(&mut self, stream: &mut TcpStream, following: usize) -> anyhow::Result<()> {
        let length = (self.0.len() - 4 + following) as u32;
        if let Some(prefix) = self.0.first_chunk_mut() {
            *prefix = length.to_be_bytes();
        }
        Ok(stream.write_all(&self.0)?)
    }
}
