//! A broker as a process of its own, on a fresh directory: started, measured by `/proc`, stopped, cleared away.

use crate::raw;
use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What `/proc` counts CPU in.
const TICKS_PER_SECOND: f64 = 100.0;
const READY_WITHIN: Duration = Duration::from_secs(600);

/// Settings of Kafka's page-cache mode: nobody waits for a sync.
pub const PAGE_CACHE: &str = "--log.flush.interval.messages=9223372036854775807";

/// The directory for what is not to wait for a disk.
pub const MEMORY: &str = "/dev/shm";

/// A running broker.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    dir: PathBuf,
    /// When it was started.
    pub began: Instant,
}

impl Process {
    /// Ottla as it is shipped, with data in `dir`.
    pub fn ottla(dir: &Path, settings: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        let port = free_port()?;
        command.arg(format!("--listeners=PLAINTEXT://127.0.0.1:{port}"));
        command.arg(format!("--log.dirs={}", dir.join("data").display())).args(settings);
        Process::start(command, dir, port)
    }

    /// This program in another role, with data in `dir`.
    pub fn role(role: &str, dir: &Path, settings: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        let port = free_port()?;
        command.arg(role).arg(port.to_string()).arg(dir.join("data")).args(settings);
        Process::start(command, dir, port)
    }

    fn start(mut command: Command, dir: &Path, port: u16) -> anyhow::Result<Process> {
        let log = File::options().create(true).append(true).open(log_of(dir))?;
        command.stderr(log.try_clone()?).stdout(log).env_remove("RUST_LOG");
        let began = Instant::now();
        let child = command.spawn().context("cannot start a broker")?;
        Ok(Process { child, port, dir: dir.to_owned(), began })
    }

    /// Waits until it answers; says how long after its start that was. (Connecting is possible before.)
    pub fn ready(&mut self) -> anyhow::Result<Duration> {
        let answers = || raw::call(&mut raw::connect(self.port)?, &raw::Request::new(raw::API_VERSIONS, 0).finish());
        while answers().is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the broker ended with {status}: {}", self.log());
            }
            if self.began.elapsed() > READY_WITHIN {
                bail!("the broker is not ready: {}", self.log());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(self.began.elapsed())
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_of(&self.dir)).unwrap_or_default()
    }

    /// Seconds of CPU that it has used.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(&self.child.id().to_string())
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// How many files it has open.
    pub fn open_files(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// A clean stop; what it said in all.
    pub fn stop(mut self) -> anyhow::Result<String> {
        self.signal(Signal::TERM)?;
        let status = self.wait()?;
        if !status.success() {
            bail!("the broker ended with {status}: {}", self.log());
        }
        Ok(self.log())
    }

    /// kill -9.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such process")?;
        Ok(kill_process(pid, signal)?)
    }

    fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a clean stop there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("broker.log")
}

/// An empty directory under `parent`, removed when dropped.
pub fn fresh_dir(parent: impl AsRef<Path>) -> anyhow::Result<TempDir> {
    fs::create_dir_all(&parent)?;
    Ok(tempfile::Builder::new().prefix("ottla-bench.").tempdir_in(parent)?)
}

/// Seconds of CPU that this process has used.
pub fn own_cpu() -> anyhow::Result<f64> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may have spaces in it; the fields are counted from behind it.
    let (_, rest) = stat.rsplit_once(") ").context("no stat")?;
    let ticks: f64 = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// Seconds of CPU that the whole machine has used.
pub fn machine_cpu() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields = stat.lines().next().context("no stat")?.split_whitespace().skip(1);
    let figures: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy: f64 = figures.iter().enumerate().filter(|(at, _)| ![3, 4].contains(at)).take(6).map(|(_, n)| n).sum();
    Ok(busy / TICKS_PER_SECOND)
}

/// A port that nobody listens on now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Lets this process, and those that it starts, have as many files as they may.
pub fn allow_many_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
