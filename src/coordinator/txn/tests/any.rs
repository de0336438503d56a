//! Any requests in any order, of a producer whose epochs are nearly used up: who begins is alone from then on, and nobody is
//! ever told the highest epoch.

use super::*;
use crate::coordinator::seeds::seeds;
use crate::coordinator::txn::request::ProducerIdAndEpoch;
use proptest::prelude::*;

/// Producers are named by their places among all that were told.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Begin,
    GoOn(usize),
    Add(usize, TransactionVersion),
    End(usize, bool, TransactionVersion),
    WriteMarkers,
    Pass(i64),
    Restart,
}

fn ask() -> impl Strategy<Value = Ask> {
    let version = || prop_oneof![1 => Just(V0), 2 => Just(V2)];
    // Mostly one of the last.
    let who = || prop_oneof![5 => 0..3usize, 1 => any::<usize>()];
    prop_oneof![
        2 => Just(Ask::Begin),
        2 => who().prop_map(Ask::GoOn),
        6 => (who(), version()).prop_map(|(who, version)| Ask::Add(who, version)),
        6 => (who(), any::<bool>(), version()).prop_map(|(who, committed, version)| Ask::End(who, committed, version)),
        6 => Just(Ask::WriteMarkers),
        1 => (0..100_000i64).prop_map(Ask::Pass),
        1 => Just(Ask::Restart),
    ]
}

#[derive(Default)]
struct Told {
    /// In the order in which they were told; the same one may be told again.
    producers: Vec<ProducerIdAndEpoch>,
    /// Those before this were told before the last client began.
    fenced: usize,
}

impl Told {
    fn is_fenced(&self, producer: ProducerIdAndEpoch) -> bool {
        self.producers[..self.fenced].contains(&producer)
    }

    /// Of what was told, counted from the last.
    fn pick(&self, back: usize) -> Option<ProducerIdAndEpoch> {
        self.producers.iter().rev().nth(back.checked_rem(self.producers.len())?).copied()
    }

    fn add(&mut self, answer: Result<ProducerIdAndEpoch, ErrorCode>) -> Result<(), String> {
        let Ok(producer) = answer else { return Ok(()) };
        if producer.producer_epoch < 0 || producer.producer_epoch > LAST || self.is_fenced(producer) {
            return Err(format!("{producer:?} was told after {:?}", self.producers));
        }
        self.producers.push(producer);
        Ok(())
    }
}

fn take(bench: &mut Bench, told: &mut Told, ask: Ask) -> Result<(), String> {
    let who = match ask {
        Ask::GoOn(back) | Ask::Add(back, _) | Ask::End(back, ..) => told.pick(back),
        _ => None,
    };
    let served = match (ask, who) {
        (Ask::Begin, _) => {
            let begun = bench.init(None);
            if begun.is_ok() {
                told.fenced = told.producers.len();
            }
            return told.add(begun);
        }
        (Ask::GoOn(_), Some(who)) => {
            let answer = bench.init(Some(who));
            told.add(answer)?;
            answer.is_ok()
        }
        (Ask::Add(_, version), Some(who)) => bench.add(who, &[0], version).is_none(),
        (Ask::End(_, committed, version), Some(who)) => {
            let answer = bench.end(who, committed, version);
            if version.bumps_epochs() {
                told.add(answer)?;
            }
            answer.is_ok()
        }
        _ => {
            match ask {
                Ask::WriteMarkers => bench.write_markers(),
                Ask::Pass(ms) => bench.advance(ms),
                Ask::Restart => bench.restart(),
                // Nobody was told anything yet.
                _ => {}
            }
            return Ok(());
        }
    };
    match who.filter(|who| served && told.is_fenced(*who)) {
        Some(zombie) => Err(format!("{ask:?} of {zombie:?} was served, {:?}", bench.tx())),
        None => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(), ..ProptestConfig::default() })]

    #[test]
    fn who_begins_is_alone(asks in proptest::collection::vec(ask(), 1..80), left in 0..8i16) {
        let (mut bench, _) = Bench::at(TransactionState::CompleteAbort, V2);
        bench.stored(|tx| tx.producer = producer(7, LAST - left));
        let mut told = Told::default();
        for ask in asks {
            take(&mut bench, &mut told, ask).map_err(TestCaseError::fail)?;
        }
    }
}
