//! Ottla with a slow disk: the library's broker in a process of its own, over files whose syncs take longer.

use anyhow::Context;
use ottla::api::Api;
use ottla::broker::Broker;
use ottla::config::BrokerConfig;
use ottla::log::Wait;
use ottla::log::disk::{Entry, File, Files, Open, OsFiles};
use ottla::server::{ListenerSpec, Server, ServerLimits};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// `broker <port> <directory> <milliseconds of a sync> <partitions>`; at SIGTERM it prints its counters as Ottla does.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let argument = |at: usize| arguments.get(at).context("broker <port> <directory> <sync ms> <partitions>");
    let (port, dir) = (argument(1)?.parse()?, argument(2)?.clone());
    let delay = Duration::from_millis(argument(3)?.parse()?);
    let config = BrokerConfig::from_pairs([("log.dirs", dir.as_str()), ("num.partitions", argument(4)?)])?;
    let listener = ListenerSpec { name: "PLAINTEXT".into(), host: "127.0.0.1".into(), port, advertised: None };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let broker = Broker::open(Arc::new(SlowFiles { files: OsFiles, delay }), config, 1000)?;
        let server = Server::bind(vec![listener])?;
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(server.run(Arc::new(Api::new(broker.clone())), ServerLimits::default(), stopping));
        terminate.recv().await;
        stop.send(true)?;
        serving.await??;
        broker.stop()?;
        let counters = broker.partitions().disk().counters();
        println!(
            "stopped rounds={} syncs={} batches={} journal_rounds={}",
            counters.rounds.load(Ordering::Relaxed),
            counters.syncs.load(Ordering::Relaxed),
            counters.batches.load(Ordering::Relaxed),
            counters.journal_rounds.load(Ordering::Relaxed),
        );
        Ok(())
    })
}

/// The operating system's files, where a sync takes at least this long.
#[derive(Debug)]
struct SlowFiles {
    files: OsFiles,
    delay: Duration,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    delay: Duration,
}

impl Files for SlowFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SlowFile { file: self.files.open(path, how)?, delay: self.delay }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.files.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.files.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.files.sync_dir(path)
    }

    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.files.sync_all(dir)
    }
}

impl File for SlowFile {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        self.file.read_at(buffer, position, wait)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.file.write_at(slices, position)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.file.sync()
    }
}
