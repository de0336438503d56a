//! The state machine without a task around it, to look at what it holds.

use super::*;
use futures_util::task::noop_waker_ref;

fn by_hand(dispatch: Arc<dyn Dispatch>, budget: &Budget) -> (Connection<DuplexStream>, DuplexStream) {
    let (client, server) = duplex(16 * 1024);
    (Connection::new(server, peer(), dispatch, ConnectionLimits::default(), budget.clone()), client)
}

fn step(connection: &mut Connection<DuplexStream>) -> bool {
    connection.poll(&mut Context::from_waker(noop_waker_ref())).is_ready()
}

/// Hands over what the pipe and the connection take.
async fn offer(connection: &mut Connection<DuplexStream>, client: &mut DuplexStream, bytes: &[u8]) -> usize {
    let (mut taken, mut in_vain) = (0, 0);
    while taken < bytes.len() && in_vain < 20 {
        let writing = Pin::new(&mut *client).poll_write(&mut Context::from_waker(noop_waker_ref()), &bytes[taken..]);
        in_vain += 1;
        if let Poll::Ready(count) = writing {
            taken += count.unwrap();
            in_vain = 0;
        }
        step(connection);
        // Or the runtime thinks that this task has had its turn.
        tokio::task::yield_now().await;
    }
    step(connection);
    taken
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_and_starts_nothing() {
    let dispatch = script(|number, _| at_once(number, 10_000));
    for mode in [b'S', b'P'] {
        let (mut connection, mut client) = by_hand(dispatch.clone(), &Budget::new(1 << 20));
        dispatch.started.lock().clear();
        let requests = all((0..10_000usize).map(|number| frame(mode, number as u8, 100)));
        let taken = offer(&mut connection, &mut client, &requests).await;
        assert!(taken < 200_000, "{taken} bytes were read");
        let started = dispatch.started.lock().len();
        assert!(started < 100, "{started} were started");
        // What the window lets through: 64 pipelined requests may have been in flight when the limit was reached.
        let most = if mode == b'S' { UNSENT + 10_008 } else { UNSENT + 64 * 10_008 };
        assert!(connection.outbound.memory() <= most, "{} bytes of replies", connection.outbound.memory());
        assert!(connection.inbound.memory() <= 64 * 1024, "{} bytes of requests", connection.inbound.memory());
    }
}

#[tokio::test]
async fn a_large_reply_from_a_file_costs_two_chunks() {
    let (_dir, content, files) = test_files(4_000_000);
    let file = files[0].clone();
    let length = content.len();
    let handler = move |_, _: &[u8]| -> Pending {
        let mut out = RopeBuilder::reply(1, 0, 0);
        out.slice(Slice::File { file: file.clone(), position: 0, length });
        Box::pin(ready(Answer::Send(out.finish().unwrap())))
    };
    let (mut connection, mut client) = by_hand(script(handler), &Budget::new(0));
    offer(&mut connection, &mut client, &all([frame(b'S', 1, 10), frame(b'S', 2, 10)])).await;
    assert!(connection.outbound.len() > 3_900_000);
    assert!(connection.outbound.memory() <= 256 * 1024);
    let mut sent = vec![0; 8 + length];
    let mut most = 0;
    for chunk in sent.chunks_mut(10_000) {
        within(async {
            let mut done = 0;
            while done < chunk.len() {
                done += client.read(&mut chunk[done..]).await.unwrap();
                step(&mut connection);
                most = most.max(connection.outbound.memory());
            }
        })
        .await;
    }
    assert!(sent[8..] == content, "the bytes differ");
    assert!(most <= 256 * 1024 + 8, "{most}");
}

#[tokio::test]
async fn memory_grows_with_what_arrives_not_with_what_is_announced() {
    let budget = Budget::new(200 << 20);
    let (mut connection, mut client) = by_hand(script(|number, _| at_once(number, 0)), &budget);
    let announced = frame(b'P', 1, 90 << 20);
    let mut sent = 0;
    for upto in [2, 4, 5, 100, 5_000, 60_000, 65_000] {
        sent += offer(&mut connection, &mut client, &announced[sent..upto]).await;
        assert_eq!(sent, upto);
        assert!(connection.inbound.memory() <= (2 * sent).max(4096), "{} for {sent}", connection.inbound.memory());
        assert_eq!(budget.available(), 200 << 20, "reserved after {sent}");
    }
    for upto in [70_000, 1 << 20, 3 << 20] {
        sent += offer(&mut connection, &mut client, &announced[sent..upto]).await;
        assert_eq!(sent, upto);
        assert!(connection.inbound.memory() <= 2 * sent);
        assert_eq!(budget.available(), 110 << 20);
    }
    drop(connection);
    assert_eq!(budget.available(), 200 << 20);
}

#[tokio::test]
async fn without_budget_no_more_than_the_free_part_of_a_frame_is_read() {
    let budget = Budget::new(100_000);
    let held = budget.try_reserve(1).unwrap();
    let (mut connection, mut client) = by_hand(script(|number, _| at_once(number, 0)), &budget);
    let large = frame(b'P', 1, 100_000);
    let taken = offer(&mut connection, &mut client, &large).await;
    assert!(taken <= 4 + UNRESERVED + 16 * 1024, "{taken}");
    assert!(connection.inbound.memory() <= UNRESERVED);
    drop(held);
    offer(&mut connection, &mut client, &large[taken..]).await;
    assert!(connection.outbound.is_empty() && connection.inbound.memory() == 0);
    assert_eq!(within(client.read_i32()).await.unwrap(), 4);
}

#[tokio::test]
async fn budget_is_given_back_when_the_answer_is_ready_not_when_it_is_sent() {
    let budget = Budget::new(1 << 20);
    let gates = Arc::new(Gates::default());
    let handler = gates.clone();
    let dispatch = script(move |number, _| if number == 0 { handler.wait(0) } else { at_once(number, 0) });
    let (mut connection, mut client) = by_hand(dispatch.clone(), &budget);
    let requests = all([frame(b'P', 0, 10), frame(b'P', 1, 100_000)]);
    assert_eq!(offer(&mut connection, &mut client, &requests).await, requests.len());
    assert_eq!(*dispatch.started.lock(), [0, 1]);
    assert!(connection.outbound.is_empty());
    assert_eq!(budget.available(), 1 << 20);
}

#[tokio::test]
async fn the_window_counts_bytes_and_small_frames_need_budget_beyond_their_share() {
    let gates = Arc::new(Gates::default());
    let started_with = async |budget: usize, size: usize| {
        let count = if size > 1 << 20 { 3 } else { 60 };
        let handler = gates.clone();
        let dispatch = script(move |number, _| handler.wait(number));
        let (mut connection, mut client) = by_hand(dispatch.clone(), &Budget::new(budget));
        offer(&mut connection, &mut client, &all((0..count).map(|number| frame(b'P', number, size)))).await;
        dispatch.started.lock().len()
    };
    assert_eq!(started_with(1 << 30, 60_000).await, 60);
    assert_eq!(started_with(100_000, 60_000).await, UNRESERVED_IN_FLIGHT / 60_000 + 1);
    assert_eq!(started_with(1 << 30, 1 << 20).await, 16);
    assert_eq!(started_with(1 << 30, 17 << 20).await, 1);
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (mut connection, mut client) = by_hand(script(|number, _| at_once(number, 5_000)), &Budget::new(0));
    let requests = all([frame(b'P', 1, 60_000), frame(b'S', 2, 10), vec![0]]);
    assert_eq!(offer(&mut connection, &mut client, &requests).await, requests.len());
    let mut replies = vec![0; 2 * 5_008];
    within(client.read_exact(&mut replies)).await.unwrap();
    step(&mut connection);
    assert_eq!(connection.inbound.memory(), 1);
    assert_eq!(connection.outbound.memory(), 0);
    let (_stop, stopped) = watch::channel(false);
    let dispatch = script(|number, _| at_once(number, 0));
    let task = serve(client, peer(), dispatch, ConnectionLimits::default(), Budget::new(0), stopped);
    assert!(size_of_val(&task) < 2048, "{} bytes", size_of_val(&task));
}

#[tokio::test]
async fn idle_is_a_client_that_neither_waits_for_us_nor_finishes_anything() {
    let gates = Arc::new(Gates::default());
    let handler = gates.clone();
    let (mut connection, mut client) = by_hand(script(move |number, _| handler.wait(number)), &Budget::new(1 << 20));
    let idle = i64::try_from(ConnectionLimits::default().idle_ms).unwrap();
    let opened = connection.last_active;
    assert!(!connection.is_overdue(opened + idle - 1));
    assert!(connection.is_overdue(opened + idle));
    offer(&mut connection, &mut client, &frame(b'S', 1, 10)).await;
    assert!(!connection.is_overdue(opened + 10 * idle), "it waits for us");
    assert!(!connection.is_overdue(opened + 11 * idle - 1));
    gates.open(1);
    connection.last_active = opened;
    step(&mut connection);
    let answered = connection.last_active;
    let half = frame(b'S', 2, 1000);
    connection.last_active = answered - 5;
    offer(&mut connection, &mut client, &half[..500]).await;
    assert_eq!(connection.last_active, answered - 5, "half a small frame is no sign of life");
    offer(&mut connection, &mut client, &half[500..]).await;
    assert!(connection.last_active >= answered);
    let large = frame(b'P', 3, 200_000);
    connection.stop_starting(End::Closed);
    let (mut connection, mut client) = by_hand(script(|number, _| at_once(number, 0)), &Budget::new(1 << 20));
    offer(&mut connection, &mut client, &large[..100_000]).await;
    let stalled = i64::try_from(ConnectionLimits::default().stalled_frame_ms).unwrap();
    assert_eq!(connection.due(), connection.last_active + stalled, "it holds budget");
}
