//! The broker's process and its directory; random numbers; waiting.

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Only ends hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A port of 127.0.0.1 that the system chooses, given to clients as it is.
pub const ANY_PORT: &str = "--listeners=PLAINTEXT://127.0.0.1:0";

/// A directory that is gone when the test is.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("ottla-test-").tempdir().unwrap()
}

/// The binary with nothing of this process's environment.
pub fn ottla(flags: &[impl AsRef<str>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.env_clear().args(flags.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    command
}

/// The flag that puts the data into this directory.
pub fn data_flag(dir: &Path) -> String {
    format!("--log.dirs={}", dir.display())
}

/// Waits until `what` gives something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Wall time in milliseconds.
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Microseconds of a clock that all processes of this machine share and nobody sets.
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1_000).unwrap()
}

/// A broker that runs. Dropped, it is killed.
pub struct Ottla {
    child: Child,
    log: Arc<Log>,
    reading: Option<JoinHandle<()>>,
    /// Of the listener PLAINTEXT.
    port: u16,
    /// Of the listener DIRECT, or else the same.
    direct_port: u16,
    data: PathBuf,
}

#[derive(Default)]
struct Log {
    /// The lines, and whether there will be no more.
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    /// The first line that `wanted` takes, or `None` when the log ends without.
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut lines = self.lines.lock().unwrap();
        let began = Instant::now();
        loop {
            if let Some(line) = lines.0.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            if lines.1 {
                return None;
            }
            assert!(began.elapsed() < DEADLINE, "the log says nothing more: {:#?}", lines.0);
            lines = self.more.wait_timeout(lines, Duration::from_secs(1)).unwrap().0;
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().0.clone()
    }
}

/// The port of a listener, as the log names it.
fn port_of(log: &[String], listener: &str) -> Option<u16> {
    let said = format!("{listener} on ");
    let address = log.iter().find_map(|line| line.split(said.as_str()).nth(1))?.split(',').next()?;
    address.rsplit(':').next()?.parse().ok()
}

/// What a broker left behind.
pub struct Ended {
    pub status: ExitStatus,
    pub log: Vec<String>,
}

impl Ended {
    /// A counter of the last line, such as `duplicates=3`.
    pub fn counter(&self, name: &str) -> u64 {
        let last = self.log.last().map(String::as_str).unwrap_or_default();
        let value = last.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {last:?}")).parse().unwrap()
    }
}

impl Ottla {
    /// Starts one on any port, and waits until it is ready.
    pub fn start(data: &Path, flags: &[&str]) -> Self {
        let mut all = vec![ANY_PORT.to_string()];
        all.extend(flags.iter().map(ToString::to_string));
        Self::start_on(data, &all)
    }

    /// Starts one whose flags name its listener, and waits until it is ready.
    pub fn start_on(data: &Path, flags: &[String]) -> Self {
        Self::launch(data, flags).ready()
    }

    /// Starts one by a command of its own, and waits until it is ready.
    pub fn spawn(command: Command, data: &Path) -> Self {
        Self::launch_command(command, data).ready()
    }

    fn ready(self) -> Self {
        let mut broker = self;
        let ready = broker.log.wait_for(|line| line.contains(" ready after "));
        assert!(ready.is_some(), "not ready: {:#?}", broker.log.lines());
        broker.port = port_of(&broker.log(), "PLAINTEXT").unwrap();
        broker.direct_port = port_of(&broker.log(), "DIRECT").unwrap_or(broker.port);
        broker
    }

    /// Starts one and does not wait; its port is not known.
    pub fn launch(data: &Path, flags: &[String]) -> Self {
        let mut flags = flags.to_vec();
        flags.push(data_flag(data));
        Self::launch_command(ottla(&flags), data)
    }

    fn launch_command(mut command: Command, data: &Path) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, to) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        let reading = thread::spawn(move || {
            for line in stderr.lines() {
                to.lines.lock().unwrap().0.push(line.unwrap());
                to.more.notify_all();
            }
            to.lines.lock().unwrap().1 = true;
            to.more.notify_all();
        });
        Self { child, log, reading: Some(reading), port: 0, direct_port: 0, data: data.to_owned() }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `bootstrap.servers` of clients that shall meet the broker itself.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.direct_port)
    }

    /// What it has logged.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, and for the end of its log.
    pub fn ended(mut self) -> Ended {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        self.reading.take().unwrap().join().unwrap();
        Ended { status, log: self.log.lines() }
    }

    /// SIGTERM; it has to end well.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        let ended = self.ended();
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.log);
        ended
    }

    /// `kill -9`. It must not have ended by itself.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        let ended = self.ended();
        assert_eq!(ended.status.code(), None, "it had ended by itself: {:#?}", ended.log);
        ended
    }
}

impl Ended {
    /// Nothing in the log tells of a fault of the broker.
    pub fn assert_sound(&self) {
        let wrong = |line: &&String| line.contains("panicked") || line.contains(" ERROR ");
        assert_eq!(self.log.iter().find(wrong), None, "{:#?}", self.log);
    }
}

impl Drop for Ottla {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the broker's log: {:#?}", self.log.lines());
        }
    }
}

/// What the header of a stored batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    pub base_offset: i64,
    /// Kafka's number of the codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub codec: i16,
    /// Whether the broker gave the time.
    pub append_time: bool,
    /// Whether it has no records of producers, but tells how a transaction ended.
    pub control: bool,
    pub producer_id: i64,
    pub records: i32,
}

/// The batches in the segments of a partition's folder, read by their headers alone.
pub fn stored_batches(folder: &Path) -> Vec<StoredBatch> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    segments.sort();
    let mut batches = Vec::new();
    for segment in segments {
        let bytes = fs::read(&segment).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let int = |at: usize| i32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            let long = |at: usize| i64::from_be_bytes(rest[at..at + 8].try_into().unwrap());
            let attributes = i16::from_be_bytes([rest[21], rest[22]]);
            batches.push(StoredBatch {
                base_offset: long(0),
                codec: attributes & 7,
                append_time: attributes & 8 != 0,
                control: attributes & 32 != 0,
                producer_id: long(43),
                records: int(57),
            });
            rest = &rest[12 + usize::try_from(int(8)).unwrap()..];
        }
    }
    batches
}

/// Pseudo random numbers (SplitMix64).
pub struct Rng(u64);

impl Rng {
    /// From COMPAT_SEED, or else from the clock. Says which.
    pub fn seeded() -> Self {
        let given = std::env::var("COMPAT_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| now_ms().unsigned_abs());
        println!("COMPAT_SEED={seed}");
        Self(seed)
    }

    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one, for another thread.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(length).collect()
    }
}
