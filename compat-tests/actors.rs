//! This test binary once more, as processes of their own that can be killed, halted for a while, or asked to end.
//!
//! An actor plays a part, which is an ignored test. Its settings are in the environment, it is asked to end by the end
//! of its standard input, and what becomes of it, it tells line by line.

use crate::common::until;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Names the variable with an actor's settings.
const SETTINGS: &str = "COMPAT_ACTOR";

/// One that plays. Dropped, it is killed.
pub struct Actor {
    child: Child,
    stdin: Option<ChildStdin>,
    hearing: Option<JoinHandle<()>>,
}

impl Actor {
    /// Starts the test of this name. What it tells goes to `hear`, with lines of the harness in between.
    pub fn start(part: &str, settings: &str, hear: impl FnMut(&str) + Send + 'static) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([part, "--exact", "--ignored", "--nocapture"])
            .env(SETTINGS, settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, lines, mut hear) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()), hear);
        let hearing = thread::spawn(move || {
            // One that is killed may be cut off in a line: only whole ones count.
            let mut lines = lines;
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
                hear(line.trim_end_matches('\n'));
                line.clear();
            }
        });
        Self { child, stdin, hearing: Some(hearing) }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end; it goes on until it can.
    pub fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Whether it has ended, by itself or because it was asked to.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Has it end well, and waits until it is gone and everything it told is heard.
    pub fn end(&mut self) {
        self.ask_to_end();
        let status = until("an actor ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        self.hear_out();
    }

    /// `kill -9`. Everything it told is heard.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.hear_out();
    }

    fn hear_out(&mut self) {
        self.hearing.take().unwrap().join().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In an actor: its settings; none where somebody runs the ignored tests by hand.
pub fn settings() -> Option<String> {
    std::env::var(SETTINGS).ok()
}

/// In an actor: becomes true when it is asked to end.
pub fn asked_to_end() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    let told_to = asked.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told_to.store(true, Ordering::SeqCst);
    });
    asked
}

/// In an actor: says a line to whoever started it, past the harness, which keeps what is printed for itself.
pub fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
