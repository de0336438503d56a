//! What goes wrong, drawn at random: in each period some faults at once, and in one of four periods none, so that
//! things can settle and get into states from which more can go wrong.

use super::model::Operation;
use super::producer::{PART, Role};
use super::readers::Recorder;
use super::script::Script;
use super::workload::SLOTS;
use crate::actors::Actor;
use crate::common::Rng;
use crate::stage::Stage;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    BrokerKilled,
    /// In an orderly way, with whatever is under way.
    BrokerStopped,
    BrokerHalted,
    ProducerKilled,
    /// Its successor begins while it is halted, and then it goes on.
    Zombie,
    /// Replies are lost, connections cut.
    WireBreaks,
}

const FAULTS: [Fault; 6] = [
    Fault::BrokerKilled,
    Fault::BrokerStopped,
    Fault::BrokerHalted,
    Fault::ProducerKilled,
    Fault::Zombie,
    Fault::WireBreaks,
];

pub struct Nemesis<'a> {
    pub stage: &'a mut Stage,
    pub cast: Cast,
    pub rng: Rng,
    /// How often what happened; `None` is calm.
    pub happened: BTreeMap<Option<Fault>, usize>,
}

impl Nemesis<'_> {
    /// One period.
    pub fn rage(&mut self) {
        let calm = self.rng.below(4) == 0;
        let drawn: Vec<_> = FAULTS.into_iter().filter(|_| !calm && self.rng.below(5) < 2).collect();
        let faults: Vec<_> = drawn.into_iter().filter(|fault| self.is_possible(*fault)).collect();
        self.stage.proxy.set_breaking(faults.contains(&Fault::WireBreaks));
        for fault in &faults {
            self.pause(500);
            self.strike(*fault);
            self.cast.replace_ended();
        }
        self.pause(1_500);
        self.stage.proxy.set_breaking(false);
        self.cast.replace_ended();
        let happened = if faults.is_empty() { vec![None] } else { faults.into_iter().map(Some).collect() };
        happened.into_iter().for_each(|what| *self.happened.entry(what).or_default() += 1);
    }

    /// Whether all that a run must have in it has happened.
    pub fn has_done_its_worst(&self) -> bool {
        let needed = [Fault::BrokerKilled, Fault::BrokerHalted, Fault::ProducerKilled, Fault::Zombie];
        needed.into_iter().all(|fault| self.happened.contains_key(&Some(fault)) || !self.is_possible(fault))
    }

    fn is_possible(&self, fault: Fault) -> bool {
        !matches!(fault, Fault::BrokerKilled | Fault::BrokerStopped) || self.stage.may_be_killed()
    }

    fn pause(&mut self, up_to_ms: u64) {
        thread::sleep(Duration::from_micros(self.rng.below(up_to_ms * 1_000)));
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::BrokerKilled => {
                if self.rng.below(2) == 0 {
                    self.cast.until_committing();
                    self.pause(10);
                }
                self.stage.kill();
                if self.rng.below(4) == 0 {
                    self.stage.start_in_vain(&mut self.rng);
                }
                self.pause(300);
                self.stage.start();
            }
            Fault::BrokerStopped => {
                self.stage.shut_down();
                self.pause(300);
                self.stage.start();
            }
            Fault::BrokerHalted => {
                self.stage.signal(Signal::STOP);
                self.pause(2_000);
                self.stage.signal(Signal::CONT);
            }
            Fault::ProducerKilled => {
                let slot = self.rng.below(self.cast.playing.len() as u64) as usize;
                self.cast.kill(slot);
                self.pause(300);
                self.cast.replace_ended();
            }
            Fault::Zombie => {
                let slot = self.rng.below(SLOTS as u64) as usize;
                self.cast.replace_ended();
                self.cast.playing[slot].actor.signal(Signal::STOP);
                let zombie = self.cast.replace(slot);
                self.pause(2_000);
                zombie.actor.signal(Signal::CONT);
                self.cast.retired.push(zombie);
            }
            // It goes on meanwhile.
            Fault::WireBreaks => {}
        }
    }
}

/// The producers: one for each slot, the last of which makes no transactions.
pub struct Cast {
    pub bootstrap: String,
    pub recorder: Arc<Recorder>,
    rng: Rng,
    playing: Vec<Playing>,
    retired: Vec<Playing>,
    /// Transactions that were open when their producer was killed.
    pub cut_short: usize,
}

struct Playing {
    actor: Actor,
    script: Arc<Mutex<Script>>,
    gone: bool,
}

impl Cast {
    pub fn new(bootstrap: String, recorder: Arc<Recorder>, rng: Rng) -> Self {
        let (playing, retired) = (Vec::new(), Vec::new());
        let mut cast = Self { bootstrap, recorder, rng, playing, retired, cut_short: 0 };
        for slot in 0..=SLOTS {
            let player = cast.player(slot);
            cast.playing.push(player);
        }
        cast
    }

    fn player(&mut self, slot: usize) -> Playing {
        let (process, seed) = (self.recorder.process(), self.rng.next());
        let role = Role { bootstrap: self.bootstrap.clone(), process, slot, transactional: slot < SLOTS, seed };
        let script = Arc::new(Mutex::new(Script::new(process)));
        let hearing = script.clone();
        let actor = Actor::start(PART, &role.settings(), move |line| hearing.lock().unwrap().take(line));
        Playing { actor, script, gone: false }
    }

    /// Waits until somebody has just asked for a commit, or for a while: what is decided may not be written everywhere
    /// yet.
    fn until_committing(&self) {
        let committing = |playing: &Playing| playing.script.lock().unwrap().is_committing();
        let count = || self.playing.iter().filter(|playing| committing(playing)).count();
        let (before, began) = (count(), Instant::now());
        while count() <= before && began.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Starts a successor, and gives the one before.
    fn replace(&mut self, slot: usize) -> Playing {
        let next = self.player(slot);
        std::mem::replace(&mut self.playing[slot], next)
    }

    fn kill(&mut self, slot: usize) {
        let killed = &mut self.playing[slot];
        killed.actor.kill();
        killed.gone = true;
        self.cut_short += usize::from(killed.script.lock().unwrap().is_open());
    }

    /// Successors for those who are gone.
    fn replace_ended(&mut self) {
        for slot in 0..self.playing.len() {
            if self.playing[slot].actor.has_ended() {
                let ended = self.replace(slot);
                self.retired.push(ended);
            }
        }
    }

    /// Has all end what they do, and gives what all have done, and why some could do nothing more.
    pub fn end(mut self) -> (Vec<Operation>, BTreeMap<String, usize>) {
        let mut all = self.retired;
        all.append(&mut self.playing);
        all.iter_mut().for_each(|it| it.actor.ask_to_end());
        let (mut operations, mut fatal) = (Vec::new(), BTreeMap::new());
        for mut player in all {
            if !player.gone {
                player.actor.end();
            }
            let script = player.script.lock().unwrap();
            operations.extend(script.operations());
            script.fatal.iter().for_each(|why| *fatal.entry(why.clone()).or_default() += 1);
        }
        (operations, fatal)
    }
}
