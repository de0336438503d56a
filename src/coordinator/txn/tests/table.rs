//! What every request comes to in every state, as Kafka has it.

use super::*;
use ErrorCode::{
    ConcurrentTransactions as Wait, InvalidProducerIdMapping as Mapping, InvalidTxnState as State, None as Done,
    ProducerFenced as Fenced, TransactionAbortable as NotIn,
};
use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};

const STATES: [TransactionState; 6] = [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort];

/// Whose producer a request names.
#[derive(Clone, Copy, Debug)]
enum Who {
    Nobody,
    Current,
    /// The epoch before, in all states but `Empty` that of the producer that got the transaction where it is.
    Before,
    /// An epoch that is long over.
    Old,
    /// An epoch that was not given yet.
    Next,
    Stranger,
}
use Who::{Before, Current, Next, Nobody, Old, Stranger};

#[derive(Clone, Copy, Debug)]
enum Asks {
    Init,
    Add,
    Verify,
    Commit,
    Abort,
}
use Asks::{Abort, Add, Commit, Init, Verify};

/// In the order of `STATES`.
type Row = (Asks, Who, [ErrorCode; 6]);

#[rustfmt::skip]
const V2_TABLE: &[Row] = &[
    (Init, Nobody, [Done, Wait, Wait, Wait, Done, Done]),
    (Init, Current, [Done, Wait, Wait, Wait, Done, Done]),
    // That of the transaction that has ended: the answer was lost. A client that has begun is not to be replaced like this.
    (Init, Before, [Fenced, Wait, Wait, Wait, Done, Done]),
    (Init, Old, [Fenced, Wait, Wait, Wait, Fenced, Fenced]),
    (Init, Next, [Fenced, Wait, Wait, Wait, Fenced, Fenced]),
    (Init, Stranger, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Current, [Done, Done, Wait, Wait, Done, Done]),
    (Add, Before, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Old, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Next, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Stranger, [Mapping, Mapping, Wait, Wait, Mapping, Mapping]),
    (Verify, Current, [NotIn, Done, Wait, Wait, NotIn, NotIn]),
    (Verify, Before, [Fenced; 6]),
    (Verify, Next, [Fenced; 6]),
    (Verify, Stranger, [Mapping; 6]),
    (Commit, Current, [State, Done, Wait, Wait, State, State]),
    (Commit, Before, [Fenced, Fenced, Wait, Wait, Done, State]),
    (Commit, Old, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Commit, Next, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Commit, Stranger, [Mapping, Mapping, Wait, Wait, Mapping, Mapping]),
    (Abort, Current, [Done, Done, Wait, Wait, Done, Done]),
    (Abort, Before, [Fenced, Fenced, Wait, Wait, State, Done]),
    (Abort, Old, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Abort, Next, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Abort, Stranger, [Mapping, Mapping, Wait, Wait, Mapping, Mapping]),
];

#[rustfmt::skip]
const V0_TABLE: &[Row] = &[
    (Init, Nobody, [Done, Wait, Wait, Wait, Done, Done]),
    (Init, Current, [Done, Wait, Wait, Wait, Done, Done]),
    (Init, Before, [Fenced, Wait, Wait, Wait, Fenced, Fenced]),
    (Init, Stranger, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Current, [Done, Done, Wait, Wait, Done, Done]),
    (Add, Before, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Next, [Fenced, Fenced, Wait, Wait, Fenced, Fenced]),
    (Add, Stranger, [Mapping, Mapping, Wait, Wait, Mapping, Mapping]),
    (Verify, Current, [NotIn, Done, Wait, Wait, NotIn, NotIn]),
    (Verify, Before, [Fenced; 6]),
    (Verify, Stranger, [Mapping; 6]),
    (Commit, Current, [State, Done, Wait, Wait, Done, State]),
    (Commit, Before, [Fenced; 6]),
    (Commit, Next, [Fenced; 6]),
    (Commit, Stranger, [Mapping; 6]),
    (Abort, Current, [State, Done, Wait, Wait, State, Done]),
    (Abort, Before, [Fenced; 6]),
    (Abort, Next, [Fenced; 6]),
    (Abort, Stranger, [Mapping; 6]),
];

fn ask(state: TransactionState, version: TransactionVersion, asks: Asks, who: Who) -> ErrorCode {
    let (mut bench, current) = Bench::at(state, version);
    let with = |change| producer(current.producer_id, current.producer_epoch + change);
    let named = match who {
        Nobody | Current => current,
        Before => with(-1),
        Old => with(-2),
        Next => with(1),
        Stranger => producer(77, current.producer_epoch),
    };
    let (written, before) = (bench.log.len(), bench.tx().clone());
    let code = match asks {
        Init => bench.init((!matches!(who, Nobody)).then_some(named)).err(),
        Add => Some(bench.add(named, &[0], version)),
        Verify => Some(bench.verify(named, &[0]).unwrap_or_else(|code| vec![code])[0]),
        Commit => bench.end(named, true, version).err(),
        Abort => bench.end(named, false, version).err(),
    };
    let code = code.unwrap_or(Done);
    // Who is refused has changed nothing, except that a transaction is ended for whoever wants to begin.
    let ends = state == Ongoing && matches!(asks, Init) && code == Wait;
    if !code.is_none() && !ends {
        assert_eq!((bench.log.len(), bench.tx()), (written, &before), "{state:?} {asks:?} {who:?}");
    }
    code
}

fn check(version: TransactionVersion, table: &[Row]) {
    for (asks, who, expected) in table {
        let codes = STATES.map(|state| ask(state, version, *asks, *who));
        assert_eq!(codes, *expected, "{version:?}: {asks:?} by {who:?} in {STATES:?}");
    }
}

#[test]
fn with_v2() {
    check(V2, V2_TABLE);
}

#[test]
fn with_v0_and_v1() {
    check(V0, V0_TABLE);
    check(TransactionVersion::V1, V0_TABLE);
}

#[test]
fn of_ids_that_there_are_not() {
    for version in [V0, V2] {
        let mut bench = Bench::new();
        let nobody = producer(1, 0);
        assert_eq!(bench.add(nobody, &[0], version), Mapping);
        assert_eq!(bench.verify(nobody, &[0]), Err(Mapping));
        assert_eq!(bench.end(nobody, true, version), Err(Mapping));
        assert_eq!(bench.end(nobody, false, version), Err(Mapping));
        assert!(bench.log.is_empty());
    }
}
