//! Fetch sessions that are guessed, and opened without end.

use super::Healthy;
use crate::asking::{FETCH, create_topic, fetch_request};
use crate::broker::Broker;
use crate::client::Client;

#[test]
fn sessions_that_do_not_exist_are_said_not_to() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "sessions", 1, &[]);
    let asked = |id, epoch| {
        let request = fetch_request("sessions", [0], 1000);
        request.with_session_id(id).with_session_epoch(epoch)
    };
    for (id, epoch, code) in [
        (77, 1, 70),
        (-77, 1, 70),
        (i32::MAX, i32::MAX, 70),
        (0, 1, 70),
        (0, i32::MAX, 70),
        (0, i32::MIN, 70),
        (77, -1, 0),
        (0, -1, 0),
    ] {
        assert_eq!(client.ask(FETCH, &asked(id, epoch)).error_code, code, "session {id}, epoch {epoch}");
    }
    // Many sessions, none of them closed: only so many are kept, and all are answered.
    for _ in 0..2_000 {
        assert_eq!(client.ask(FETCH, &asked(0, 0)).error_code, 0);
    }
    healthy.still_works();
}
