//! A real Apache Kafka, by `scripts/kafka/broker`.

use crate::common::until;
use crate::proxy::Proxy;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

/// A broker that runs. Dropped, it is killed.
pub struct Kafka {
    dir: PathBuf,
    pid: Pid,
    port: u16,
}

/// Its files.
pub fn data(dir: &Path) -> PathBuf {
    dir.join("kafka/data")
}

impl Kafka {
    /// Starts one, the first or the next on what is there, and waits until it is ready.
    pub fn start(dir: &Path, proxy: &Proxy, flags: &[String]) -> Self {
        let dir = dir.join("kafka");
        let port = port_of(&dir);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka/broker");
        let started = Command::new(script)
            .arg("start")
            .arg(&dir)
            .arg(port.to_string())
            .args(listeners(port, &proxy.bootstrap()))
            .args(flags.iter().map(|flag| flag.trim_start_matches("--")))
            .output()
            .unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let pid = String::from_utf8(started.stdout).unwrap().trim().parse().unwrap();
        Self { dir, pid: Pid::from_raw(pid).unwrap(), port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        // Whoever inherited it may leave a zombie, which has no command line; the script would take it for one that
        // runs.
        let command_line = format!("/proc/{}/cmdline", self.pid.as_raw_nonzero());
        let ended = || fs::read(&command_line).map_or(true, |line| line.is_empty());
        until("Kafka is gone", || (ended() && is_free(self.port)).then_some(()));
        let _ = fs::remove_file(self.dir.join("pid"));
    }
}

/// One listener whose clients are led to the proxy, and one for itself and for those who go straight to it.
fn listeners(port: u16, proxy: &str) -> [String; 4] {
    let (controller, direct) = (port + 1, port + 2);
    let all = |plaintext: &str| {
        format!("PLAINTEXT://{plaintext},CONTROLLER://127.0.0.1:{controller},DIRECT://127.0.0.1:{direct}")
    };
    [
        format!("listeners={}", all(&format!("127.0.0.1:{port}"))),
        format!("advertised.listeners={}", all(proxy)),
        "inter.broker.listener.name=DIRECT".into(),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT".into(),
    ]
}

/// The port of the first one there. Kafka remembers its own address, in the log of its quorum.
fn port_of(dir: &Path) -> u16 {
    let kept = dir.join("port");
    if let Ok(port) = fs::read_to_string(&kept) {
        return port.parse().unwrap();
    }
    let port = free_port();
    fs::create_dir_all(dir).unwrap();
    fs::write(kept, port.to_string()).unwrap();
    port
}

/// Below the ephemeral range, so that no outgoing connection takes it in the meantime; the two after it as well.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1_000) as u16 * 20;
    let port = || first + 3 * TAKEN.fetch_add(1, Ordering::SeqCst);
    std::iter::repeat_with(port).find(|port| is_free(*port)).unwrap()
}

/// Whether nobody listens there, nor at the next two.
fn is_free(port: u16) -> bool {
    (port..port + 3).all(|port| TcpStream::connect(("127.0.0.1", port)).is_err())
}
