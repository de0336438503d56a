//! The process: flags and files, its directory and port, signals, exit codes, what it logs, what it keeps.

use crate::clients::{Admin, consumer, read_all};
use crate::common::{ANY_PORT, DEADLINE, Ended, Ottla, data_flag, ottla, stored_batches, temp_dir, until};
use crate::ledger::{Numbered, assert_exactly_once};
use rdkafka::consumer::Consumer;
use rustix::process::{Signal, geteuid};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// A process that cannot start says so well within this time; the promise is one second.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// Runs one that is expected to end by itself: its exit code and what it says.
fn refused(flags: &[String]) -> (i32, String) {
    let began = Instant::now();
    let mut child = ottla(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(_) => break child.wait_with_output().unwrap(),
            None if began.elapsed() > REFUSED_WITHIN => {
                child.kill().unwrap();
                panic!("it does not end: {:?}", child.wait_with_output());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let Output { status, stderr, .. } = ended;
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn an_unknown_setting_is_exit_2_and_names_the_nearest() {
    let dir = temp_dir();
    let (code, said) = refused(&["--num.partition=3".into()]);
    assert_eq!((code, said.trim()), (2, "unknown flag --num.partition; the nearest one is --num.partitions"));

    let properties = file(dir.path(), "server.properties", "num.partitions=3\nlog.dri=/x\n");
    let (code, said) = refused(std::slice::from_ref(&properties));
    assert_eq!(code, 2);
    assert!(said.contains("server.properties line 2: unknown setting log.dri; the nearest one is log.dir"), "{said}");

    let (code, said) = refused(&["--num.partitions=many".into()]);
    assert_eq!(code, 2);
    assert!(said.contains("--num.partitions: Invalid value many"), "{said}");
}

#[test]
fn an_unknown_variable_is_a_warning_and_a_known_one_acts() {
    let dir = temp_dir();
    let mut command = ottla(&[ANY_PORT, &data_flag(dir.path())]);
    command.env("KAFKA_NUM_PARTITIONS", "3").env("KAFKA_NUM_PARTITION", "4");
    let broker = Ottla::spawn(command, dir.path());
    let warned = broker.log().into_iter().find(|line| line.contains("KAFKA_NUM_PARTITION "));
    let warned = warned.expect("a warning");
    assert!(warned.contains("WARN") && warned.contains("nearest: KAFKA_NUM_PARTITIONS"), "{warned}");
    let producer = Numbered::idempotent(0, &broker.bootstrap(), "made-by-writing");
    producer.send(None, None);
    producer.finish();
    assert_eq!(Admin::new(&broker).topics(), [("made-by-writing".into(), 3)]);
    broker.stop();
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    let (code, said) = refused(&[ANY_PORT.into(), data_flag(dir.path())]);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("{} is in use by another process", dir.path().display())), "{said}");
    broker.stop();
}

#[test]
fn a_port_in_use_is_refused() {
    let dir = temp_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = refused(&[format!("--listeners=PLAINTEXT://{address}"), data_flag(dir.path())]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot listen") && said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let dir = temp_dir();
    let no_directory = file(dir.path(), "a-file", "");
    let (code, said) = refused(&[ANY_PORT.into(), data_flag(Path::new(&no_directory))]);
    assert_eq!(code, 1);
    assert!(said.contains(&no_directory), "{said}");

    if geteuid().is_root() {
        println!("root may read everything: the closed directory is left out");
        return;
    }
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let (code, said) = refused(&[ANY_PORT.into(), data_flag(&closed)]);
    assert_eq!(code, 1);
    assert!(said.contains(&closed.display().to_string()) && said.contains("Permission denied"), "{said}");
}

/// The settings of a stock KRaft file, on ports that are free.
const STOCK: &str = "\
process.roles=broker,controller
node.id=7
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:0,CONTROLLER://:0
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/nowhere/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn a_stock_file_needs_one_line() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    let (code, said) = refused(&[file(dir.path(), "stock.properties", STOCK), data_flag(&data)]);
    assert_eq!(code, 2);
    let line = said.lines().last().unwrap();
    assert_eq!(line, "allow.insecure.listeners=true", "{said}");
    assert!(!data.exists(), "a refused file leaves nothing behind");

    let allowed = file(dir.path(), "allowed.properties", &format!("{STOCK}{line}\n"));
    let broker = Ottla::start_on(&data, &[allowed]);
    let log = broker.log();
    let warned = |of: &str| assert!(log.iter().any(|it| it.contains("WARN") && it.contains(of)), "{of}: {log:#?}");
    warned("allow.insecure.listeners");
    warned("CONTROLLER");
    assert!(log.len() <= 10, "{log:#?}");
    broker.stop();
}

#[test]
fn a_start_is_told_in_ten_lines_and_ends_ready() {
    let dir = temp_dir();
    let flags = [
        "--listeners=PLAINTEXT://localhost:0,OTHER://127.0.0.1:0",
        "--advertised.listeners=OTHER://b.example:1",
        "--listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT",
    ]
    .map(String::from);
    let broker = Ottla::start_on(dir.path(), &flags);
    let log = broker.log();
    assert!(log.len() <= 10, "{log:#?}");
    assert!(log.last().unwrap().contains(" ready after "), "{log:#?}");
    let said = |of: &str| assert!(log.iter().any(|line| line.contains(of)), "{of}: {log:#?}");
    let port = broker.port();
    said(&format!("PLAINTEXT on 127.0.0.1:{port}, clients are told the address"));
    said(&format!("PLAINTEXT on [::1]:{port}, clients are told the address"));
    said("clients are told b.example:1");
    said(&dir.path().display().to_string());
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let client = consumer(&format!("{host}:{port}"));
        let metadata = client.fetch_metadata(None, DEADLINE).unwrap();
        let told = metadata.brokers()[0].host();
        assert!(host.contains(told) || host == "localhost", "{told} for {host}");
    }
    broker.stop();
}

#[test]
fn both_signals_stop_it_well_with_clients_connected() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = temp_dir();
        let broker = Ottla::start(dir.path(), &[]);
        let producer = Numbered::idempotent(0, &broker.bootstrap(), "t");
        producer.send(None, None);
        producer.finish();
        let reader = consumer(&broker.bootstrap());
        reader.fetch_metadata(None, DEADLINE).unwrap();
        broker.signal(signal);
        let ended = broker.ended();
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.log);
        ended.assert_sound();
        assert!(ended.log.last().unwrap().contains("stopped"), "{:#?}", ended.log);
    }
}

#[test]
fn a_restart_keeps_topics_data_and_identity() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &["--node.id=5"]);
    Admin::new(&broker).create("kept", 3, &[]);
    let producer = Numbered::idempotent(0, &broker.bootstrap(), "kept");
    (0..300).for_each(|number| producer.send(Some(number % 3), None));
    producer.finish();
    let log = read_all(&broker.bootstrap(), "kept", 3);
    let identity = identity(&broker);
    let ended = broker.stop();
    assert!(ended.log.iter().any(|line| line.contains(&identity.1)), "{identity:?}: {:#?}", ended.log);

    for kill in [false, true, true, false] {
        let broker = Ottla::start(dir.path(), &[]);
        assert_eq!(Admin::new(&broker).topics(), [("kept".into(), 3)]);
        assert_eq!(self::identity(&broker), identity);
        let again = read_all(&broker.bootstrap(), "kept", 3);
        assert_eq!(again, log);
        let _: Ended = if kill { broker.kill() } else { broker.stop() };
    }
    assert_exactly_once(&[producer], &log);
    let (code, said) = refused(&[ANY_PORT.into(), data_flag(dir.path()), "--node.id=6".into()]);
    assert_ne!(code, 0);
    assert!(said.contains('5') && said.contains('6') && said.contains("node.id"), "{said}");
}

/// Node id and cluster id as clients are told.
fn identity(broker: &Ottla) -> (i32, String) {
    let client = consumer(&broker.bootstrap());
    let metadata = client.fetch_metadata(None, DEADLINE).unwrap();
    let [only] = metadata.brokers() else { panic!("{} brokers", metadata.brokers().len()) };
    assert_eq!(format!("{}:{}", only.host(), only.port()), broker.bootstrap());
    let cluster = until("the cluster id", || client.client().fetch_cluster_id(Duration::from_secs(1)));
    (only.id(), cluster)
}

/// Producer ids have to differ over all restarts, or a new producer would be taken for an old one.
#[test]
fn producer_ids_are_never_given_twice() {
    let dir = temp_dir();
    for round in 0..6 {
        let broker = Ottla::start(dir.path(), &[]);
        let producers = [0, 1, 2].map(|name| Numbered::idempotent(name, &broker.bootstrap(), "t"));
        producers.iter().for_each(|producer| producer.send(None, None));
        producers.iter().for_each(Numbered::finish);
        let _: Ended = if round % 2 == 0 { broker.kill() } else { broker.stop() };
    }
    let batches = stored_batches(&dir.path().join("t-0"));
    let mut ids: Vec<_> = batches.iter().map(|batch| batch.producer_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 18, "{ids:?}");
}
