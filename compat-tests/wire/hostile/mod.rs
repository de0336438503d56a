//! Clients that mean no good, each with a healthy one beside it. What they get is a Kafka error or a closed connection;
//! what the others notice is nothing; what it costs is bounded memory.

mod appends;
mod frames;
mod groups;
mod memory;
mod reads;
mod sessions;
mod shapes;
mod transactions;

use crate::asking::{append, create_topic, fetch};
use crate::broker::Broker;
use crate::client::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const MIB: usize = 1 << 20;

/// A client that appends and reads while others misbehave. Wrong answers, and no answers, fail the test.
struct Healthy {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Healthy {
    fn beside(broker: &Broker) -> Healthy {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut client = Client::new(broker);
        create_topic(&mut client, "healthy", 1, &[]);
        round_trip(&mut client, 0);
        let thread = std::thread::spawn({
            let (stop, rounds) = (stop.clone(), rounds.clone());
            move || {
                for round in 1.. {
                    round_trip(&mut client, round);
                    rounds.store(round, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        });
        Healthy { stop, rounds, thread: Some(thread) }
    }

    /// It still works: one more round at least, begun after this was called.
    fn still_works(mut self) {
        let before = self.rounds.load(Ordering::Relaxed);
        while self.rounds.load(Ordering::Relaxed) < before + 2 {
            assert!(!self.thread.as_ref().unwrap().is_finished(), "the healthy client failed");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("the healthy client works");
    }
}

fn round_trip(client: &mut Client, round: usize) {
    let value = format!("round {round}");
    let offset = append(client, "healthy", value.as_bytes());
    assert_eq!(offset, round as i64, "nobody else writes here");
    let read = fetch(client, "healthy", offset);
    assert!(read.windows(value.len()).any(|part| part == value.as_bytes()), "what was appended is read");
}
