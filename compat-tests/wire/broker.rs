//! The real binary on a free port of loopback, with a data directory of its own. Ended with the test.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running broker.
pub struct Broker {
    child: Child,
    port: u16,
    folder: TempDir,
    settings: Vec<String>,
}

fn spawn(folder: &Path, settings: &[String]) -> Child {
    let log = File::create(folder.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_ottla"))
        .arg("--listeners=PLAINTEXT://127.0.0.1:0")
        .arg(format!("--log.dirs={}", folder.join("data").display()))
        .args(settings)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Broker {
    /// Starts one with these settings, each `key=value`.
    pub fn start(settings: &[&str]) -> Broker {
        let folder = tempfile::tempdir().unwrap();
        let settings: Vec<_> = settings.iter().map(|setting| format!("--{setting}")).collect();
        let mut broker = Broker { child: spawn(folder.path(), &settings), port: 0, folder, settings };
        broker.port = broker.wait_until_ready();
        broker
    }

    /// Ends it as kill -9 does, and starts it again on the same data, on another port.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let log = self.log();
        assert!(!log.contains("panicked"), "it panicked:\n{log}");
        self.child = spawn(self.folder.path(), &self.settings);
        self.port = self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) -> u16 {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let log = self.log();
            if log.contains(" ready after ") {
                let address = log.split(" on 127.0.0.1:").nth(1).expect("it says where it listens");
                return address.split(',').next().unwrap().parse().unwrap();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended:\n{log}");
            assert!(Instant::now() < deadline, "not ready:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Bytes of memory that it has.
    pub fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The largest of [`Broker::resident`] while `f` runs, and until it has returned.
    pub fn peak_during<T>(&self, f: impl FnOnce() -> T) -> (T, usize) {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut peak = self.resident();
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(2));
                    peak = peak.max(self.resident());
                }
                peak
            });
            let done = Done(&done);
            let result = f();
            drop(done);
            (result, watching.join().unwrap())
        })
    }
}

/// Says that something is over, however it ended.
struct Done<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Release);
    }
}

impl Drop for Broker {
    /// Whatever a test did to it, it must still run, and nothing in it may have panicked.
    fn drop(&mut self) {
        let ended = self.child.try_wait().unwrap();
        drop(self.child.kill());
        drop(self.child.wait());
        let log = self.log();
        if std::thread::panicking() {
            println!("the broker's log:\n{log}");
        } else {
            assert!(ended.is_none(), "it ended:\n{log}");
            assert!(!log.contains("panicked"), "it panicked:\n{log}");
        }
    }
}
