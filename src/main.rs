//! The broker's process: configuration, logs, the directory's lock, signals, exit codes.
//!
//! Exit codes: 0 after a clean stop, 1 if the broker cannot start or fails, 2 for a wrong configuration.

use anyhow::Context;
use ottla::api::Api;
use ottla::api::context::Endpoint;
use ottla::broker::{Broker, waiting};
use ottla::config::{self, BrokerConfig, LoadError, Loaded};
use ottla::connection::ConnectionLimits;
use ottla::log::disk::OsFiles;
use ottla::server::{ListenerSpec, Server, ServerLimits};
use ottla::time;
use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Kafka's name for the file that keeps a second process out.
const LOCK_FILE: &str = ".lock";
/// Idle producers are looked for this often, as Kafka does (`producer.id.expiration.check.interval.ms`).
const PRODUCER_SWEEP: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let loaded = match config::load(std::env::args_os(), config::environment::of_process(), |path: &Path| {
        std::fs::read_to_string(path)
    }) {
        Ok(loaded) => loaded,
        Err(error @ LoadError::Output(_)) => {
            println!("{error}");
            return ExitCode::from(error.exit_code());
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(error.exit_code());
        }
    };
    start_logging();
    match start(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn start(loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, warnings } = loaded;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let dir = config.data_dir().to_owned();
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the data directory {}", dir.display()))?;
    let _lock = lock(&dir)?;
    // Taken before the data is touched, so that a port in use is found out at once.
    let server = Server::bind(listeners(&config)).context("cannot listen")?;
    let open_files = raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(run(config, server, open_files))
}

/// Keeps other processes away from the directory for as long as the file is open.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            anyhow::bail!("{} is in use by another process; give this one its own with --log.dirs", dir.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn listeners(config: &BrokerConfig) -> Vec<ListenerSpec> {
    let spec = |listener: &config::Listener| ListenerSpec {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        advertised: listener
            .advertised
            .as_ref()
            .map(|(host, port)| Endpoint { host: host.as_str().into(), port: *port }),
    };
    config.listeners.iter().map(spec).collect()
}

/// Lets the process have as many files as it may, and says how many of them the log can keep open: half, the rest is
/// for connections.
fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(files / 2).unwrap_or(512).clamp(64, 1 << 16)
}

fn limits(config: &BrokerConfig) -> ServerLimits {
    let defaults = ServerLimits::default();
    let positive = |value: i64| usize::try_from(value).ok().filter(|value| *value > 0);
    ServerLimits {
        max_connections: positive(i64::from(config.max_connections)).unwrap_or(defaults.max_connections),
        in_flight_bytes: positive(config.queued_max_request_bytes).unwrap_or(defaults.in_flight_bytes),
        connection: ConnectionLimits {
            request_max_bytes: positive(i64::from(config.socket_request_max_bytes)).unwrap_or(0),
            idle_ms: u64::try_from(config.connections_max_idle_ms).unwrap_or(0),
            ..defaults.connection
        },
        ..defaults
    }
}

async fn run(config: BrokerConfig, server: Server, open_files: usize) -> anyhow::Result<()> {
    let began = time::monotonic();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let broker = waiting(|| Broker::open(Arc::new(OsFiles), config, open_files)).context("cannot start")?;
    announce(&broker, &server, began);
    let (stop, stopping) = watch::channel(false);
    let api = Arc::new(Api::new(broker.clone()));
    let mut serving = tokio::spawn(server.run(api, limits(broker.config()), stopping));
    let sweeping = tokio::spawn(sweep_producers(broker.clone()));
    let mut timing = tokio::spawn(run_groups(broker.clone()));
    let mut completing = tokio::spawn(broker.txns().clone().run());
    let ended = tokio::select! {
        _ = terminate.recv() => { tracing::info!("stopping: SIGTERM"); None }
        _ = interrupt.recv() => { tracing::info!("stopping: interrupt"); None }
        ended = &mut serving => Some(ended),
        // Without them members would never expire, and transactions never end.
        _ = &mut timing => { tracing::error!("stopping: the timers of groups have failed"); None }
        _ = &mut completing => { tracing::error!("stopping: the transaction coordinator has failed"); None }
    };
    sweeping.abort();
    // An error means that nobody listens any more, which is what is wanted.
    let _ = stop.send(true);
    // Who waits for other members would wait past the end.
    broker.groups().stop();
    timing.abort();
    let served = match ended {
        Some(ended) => ended,
        None => serving.await,
    };
    served.context("the server failed")?.context("the server failed")?;
    // Decided transactions are completed at the next start.
    broker.txns().stop();
    completing.abort();
    let stopped = waiting(|| broker.stop());
    report(&broker);
    stopped.context("the stop was not clean")
}

/// What a person wants to know at the start, a line each; the last one says that clients may come.
fn announce(broker: &Broker, server: &Server, began: time::Millis) {
    let image = broker.catalog().image();
    let (version, node_id, cluster_id) = (env!("CARGO_PKG_VERSION"), image.node_id(), image.cluster_id());
    tracing::info!("ottla {version}, node {node_id} of cluster {cluster_id}");
    let data = broker.config().data_dir();
    let topics = image.topics().len();
    tracing::info!("data in {}, {topics} topics, leader epoch {}", data.display(), image.boot_epoch());
    for (name, address) in server.local_addrs() {
        let advertised =
            broker.config().listeners.iter().find(|it| *it.name == *name).and_then(|it| it.advertised.as_ref());
        match advertised {
            Some((host, port)) => tracing::info!("{name} on {address}, clients are told {host}:{port}"),
            None => tracing::info!("{name} on {address}, clients are told the address they connected to"),
        }
    }
    tracing::info!("ready after {} ms", time::monotonic() - began);
}

/// What was done, for whoever measures.
fn report(broker: &Broker) {
    let counters = broker.partitions().disk().counters();
    tracing::info!(
        rounds = counters.rounds.load(Ordering::Relaxed),
        syncs = counters.syncs.load(Ordering::Relaxed),
        batches = counters.batches.load(Ordering::Relaxed),
        journal_rounds = counters.journal_rounds.load(Ordering::Relaxed),
        duplicates = broker.partitions().duplicates(),
        "stopped"
    );
}

/// Loads the groups while the first clients come, then keeps time for them.
async fn run_groups(broker: Arc<Broker>) {
    let loading = broker.clone();
    tokio::task::spawn_blocking(move || loading.groups().load());
    broker.groups().run().await;
}

async fn sweep_producers(broker: Arc<Broker>) {
    let mut ticks = tokio::time::interval(PRODUCER_SWEEP);
    loop {
        ticks.tick().await;
        let expiration_ms = i64::from(broker.config().producer_id_expiration_ms);
        waiting(|| broker.partitions().expire_producers(expiration_ms));
    }
}
