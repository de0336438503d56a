//! Consumer groups of librdkafka.
//!
//! What is judged comes from the clients' callbacks and from the records in `__consumer_offsets`, decoded by the
//! broker's own library; never from the clock. Retention of offsets is not exercised here.

mod commits;
mod instances;
mod judge;
mod member;
mod storms;

use crate::common::{Ended, Ottla, Rng, temp_dir};
use crate::proxy::Proxy;
use tempfile::TempDir;

/// A broker behind a proxy, so that its successor has the same address.
struct Stage {
    dir: TempDir,
    proxy: Proxy,
    flags: Vec<String>,
    broker: Option<Ottla>,
}

impl Stage {
    fn new(rng: &mut Rng, flags: &[&str]) -> Self {
        let (dir, proxy) = (temp_dir(), Proxy::start(rng.split()));
        let mut all = proxy.flags();
        all.extend(flags.iter().map(ToString::to_string));
        let mut stage = Self { dir, proxy, flags: all, broker: None };
        stage.start();
        stage
    }

    fn start(&mut self) {
        let broker = Ottla::start_on(self.dir.path(), &self.flags);
        self.proxy.lead_to(broker.port());
        self.broker = Some(broker);
    }

    /// The one that runs, for clients that go straight to it.
    fn broker(&self) -> &Ottla {
        self.broker.as_ref().unwrap()
    }

    /// For clients that live longer than a broker.
    fn bootstrap(&self) -> String {
        self.proxy.bootstrap()
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.proxy.lead_nowhere();
        self.broker.take().unwrap().kill().assert_sound();
    }

    fn stop(mut self) -> Ended {
        self.broker.take().unwrap().stop()
    }
}
