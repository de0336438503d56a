//! A broker behind a proxy, so that its successor has the same address; it can be killed, halted for a while, and
//! started again.
//!
//! COMPAT_AGAINST=kafka puts a real Apache Kafka there, which is how stories are known to ask for nothing but Kafka.

mod kafka;

use crate::common::{Ottla, Rng, temp_dir};
use crate::proxy::Proxy;
use kafka::Kafka;
use rustix::process::Signal;
use std::path::PathBuf;
use tempfile::TempDir;

pub struct Stage {
    broker: Option<Broker>,
    pub proxy: Proxy,
    flags: Vec<String>,
    /// Dropped when nobody uses it any more.
    dir: TempDir,
}

enum Broker {
    Ottla(Ottla),
    Kafka(Kafka),
}

fn against_kafka() -> bool {
    std::env::var("COMPAT_AGAINST").is_ok_and(|broker| broker == "kafka")
}

impl Stage {
    /// The flags are settings of Kafka, for either broker.
    pub fn new(rng: &mut Rng, flags: &[&str]) -> Self {
        let (dir, proxy) = (temp_dir(), Proxy::start(rng.split()));
        let mut stage = Self { broker: None, proxy, flags: flags.iter().map(ToString::to_string).collect(), dir };
        stage.start();
        stage
    }

    pub fn start(&mut self) {
        let broker = self.launch();
        self.proxy.lead_to(broker.port());
        self.broker = Some(broker);
    }

    fn launch(&self) -> Broker {
        if against_kafka() {
            return Broker::Kafka(Kafka::start(self.dir.path(), &self.proxy, &self.flags));
        }
        Broker::Ottla(Ottla::start_on(self.dir.path(), &self.all_flags()))
    }

    fn all_flags(&self) -> Vec<String> {
        [self.proxy.flags(), self.flags.clone()].concat()
    }

    /// Starts one and kills it at once, in the middle of its recovery perhaps.
    pub fn start_in_vain(&self, rng: &mut Rng) {
        if !against_kafka() {
            let broker = Ottla::launch(self.dir.path(), &self.all_flags());
            std::thread::sleep(std::time::Duration::from_micros(rng.below(30_000)));
            broker.kill().assert_sound();
        }
    }

    /// For clients that live longer than a broker.
    pub fn bootstrap(&self) -> String {
        self.proxy.bootstrap()
    }

    /// For clients that go straight to the one that runs.
    pub fn direct(&self) -> String {
        match self.broker.as_ref().unwrap() {
            Broker::Ottla(broker) => broker.bootstrap(),
            Broker::Kafka(broker) => broker.bootstrap(),
        }
    }

    /// The files of a partition.
    pub fn folder(&self, topic: &str, partition: i32) -> PathBuf {
        let data = if against_kafka() { kafka::data(self.dir.path()) } else { self.dir.path().to_owned() };
        data.join(format!("{topic}-{partition}"))
    }

    /// SIGSTOP, or SIGCONT.
    pub fn signal(&self, signal: Signal) {
        match self.broker.as_ref().unwrap() {
            Broker::Ottla(broker) => broker.signal(signal),
            Broker::Kafka(broker) => broker.signal(signal),
        }
    }

    /// Kafka alone on a machine may leave a transaction open for ever when it is killed: while it starts again it knows
    /// of no leader of the partitions, and takes them for deleted when it should write how the transaction ended.
    pub fn may_be_killed(&self) -> bool {
        !against_kafka()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.proxy.lead_nowhere();
        match self.broker.take().unwrap() {
            Broker::Ottla(broker) => broker.kill().assert_sound(),
            Broker::Kafka(broker) => drop(broker),
        }
    }

    /// A clean end, after which another one may be started.
    pub fn shut_down(&mut self) {
        self.proxy.lead_nowhere();
        self.close();
    }

    pub fn stop(mut self) {
        self.close();
    }

    /// A clean end, of a broker that has told of no fault of its own. Its files stay.
    pub fn close(&mut self) {
        match self.broker.take().unwrap() {
            Broker::Ottla(broker) => broker.stop().assert_sound(),
            Broker::Kafka(broker) => drop(broker),
        }
    }
}

impl Broker {
    fn port(&self) -> u16 {
        match self {
            Broker::Ottla(broker) => broker.port(),
            Broker::Kafka(broker) => broker.port(),
        }
    }
}
