use super::*;
use crate::api::Api;
use crate::api::context::{Listener, Place};
use crate::api::rope::{Rope, RopeBuilder};
use crate::broker::Broker;
use crate::log::disk::{File, Files, Open, OsFiles};
use crate::log::{Slice, Wait};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Only ends hangs.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("it hangs")
}

fn peer() -> Arc<Peer> {
    let listener = Listener { name: "PLAINTEXT".into(), advertised: None };
    let address = "127.0.0.1:9".parse().unwrap();
    Arc::new(Peer::new(Arc::new(listener), address, address))
}

/// A dispatcher whose requests are `[P, S or D, number]` and anything after; what a request answers is a function's choice. D
/// is pipelined, and its place deferred until there is a permit.
struct Script<F> {
    handler: F,
    places: Arc<Semaphore>,
    started: Mutex<Vec<u8>>,
}

fn script<F>(handler: F) -> Arc<Script<F>>
where
    F: Fn(u8, &[u8]) -> Pending + Send + Sync + 'static,
{
    Arc::new(Script { handler, places: Arc::new(Semaphore::new(0)), started: Mutex::default() })
}

impl<F: Fn(u8, &[u8]) -> Pending + Send + Sync> Dispatch for Script<F> {
    fn mode(&self, frame: &[u8]) -> Mode {
        if frame.first() == Some(&b'S') { Mode::Serial } else { Mode::Pipelined }
    }

    fn start(&self, _peer: &Arc<Peer>, frame: Bytes) -> Result<Started, Fatal> {
        let number = frame.get(1).copied().unwrap_or_default();
        if frame.first() == Some(&b'X') {
            return Err(Fatal::UnknownApi(i16::from(number)));
        }
        self.started.lock().push(number);
        let answer = (self.handler)(number, &frame);
        if frame.first() != Some(&b'D') {
            return Ok(answer.into());
        }
        let (place, deferred) = Place::deferred();
        let places = self.places.clone();
        let answer = Box::pin(async move {
            let _ = places.acquire().await;
            drop(deferred);
            answer.await
        });
        Ok(Started { answer, place: Some(place) })
    }
}

/// A reply with the request's number as its correlation id and this many bytes behind it.
fn reply(number: u8, size: usize) -> Answer {
    let mut out = RopeBuilder::reply(i32::from(number), 0, size);
    out.fields().put_bytes(number, size);
    Answer::Send(out.finish().unwrap())
}

fn at_once(number: u8, size: usize) -> Pending {
    Box::pin(ready(reply(number, size)))
}

/// Requests that are answered when the test says so.
#[derive(Default)]
struct Gates(Mutex<BTreeMap<u8, oneshot::Sender<()>>>);

impl Gates {
    fn wait(&self, number: u8) -> Pending {
        let (open, opened) = oneshot::channel();
        self.0.lock().insert(number, open);
        Box::pin(async move {
            drop(opened.await);
            reply(number, 0)
        })
    }

    fn open(&self, number: u8) {
        self.0.lock().remove(&number).expect("it has started").send(()).expect("it is still there");
    }

    fn waiting(&self) -> Vec<u8> {
        self.0.lock().keys().copied().collect()
    }
}

fn frame(mode: u8, number: u8, size: usize) -> Vec<u8> {
    let mut out = i32::try_from(size).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(&[mode, number]);
    out.resize(4 + size, 0);
    out
}

fn all(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    frames.into_iter().flatten().collect()
}

struct Served {
    client: TcpStream,
    server: JoinHandle<End>,
    stop: watch::Sender<bool>,
}

async fn served(dispatch: Arc<dyn Dispatch>, limits: ConnectionLimits, budget: &Budget) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(stream, peer(), dispatch, limits, budget.clone(), stopped));
    Served { client, server, stop }
}

async fn plainly(dispatch: Arc<dyn Dispatch>) -> Served {
    served(dispatch, ConnectionLimits::default(), &Budget::new(1 << 30)).await
}

async fn read_reply(client: &mut TcpStream) -> Bytes {
    let length = within(client.read_i32()).await.unwrap();
    let mut reply = vec![0; usize::try_from(length).unwrap()];
    within(client.read_exact(&mut reply)).await.unwrap();
    reply.into()
}

/// Numbers of the replies until the server closes.
async fn numbers_until_closed(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(client.read_to_end(&mut bytes)).await.unwrap();
    let mut rest = Bytes::from(bytes);
    let mut numbers = Vec::new();
    while rest.has_remaining() {
        let length = usize::try_from(rest.get_i32()).unwrap();
        numbers.push(u8::try_from(rest.split_to(length).get_i32()).unwrap());
    }
    numbers
}

/// Waits for what another task does.
async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

mod by_hand;

#[tokio::test]
async fn the_table_answers_over_a_socket() {
    let mut served = plainly(Arc::new(Api::new(Broker::in_memory(&[])))).await;
    for version in [0i16, 1, 2, 3, 4, 99] {
        let mut body = BytesMut::new();
        body.put_i16(18);
        body.put_i16(version);
        body.put_i32(i32::from(version));
        body.put_i16(-1);
        if version >= 3 {
            body.put_slice(b"\0\x02a\x02b\0");
        }
        served.client.write_i32(i32::try_from(body.len()).unwrap()).await.unwrap();
        served.client.write_all(&body).await.unwrap();
        let mut reply = read_reply(&mut served.client).await;
        assert_eq!(reply.get_i32(), i32::from(version));
        assert_eq!(reply.get_i16(), if version == 99 { 35 } else { 0 });
    }
    drop(served.client);
    assert!(matches!(within(served.server).await.unwrap(), End::Closed));
}

#[tokio::test]
async fn pipelined_requests_overlap_and_are_answered_in_order() {
    let gates = Arc::new(Gates::default());
    let handler = gates.clone();
    let mut served = plainly(script(move |number, _| handler.wait(number))).await;
    served.client.write_all(&all((0..5).map(|number| frame(b'P', number, 10)))).await.unwrap();
    until(|| gates.waiting() == [0, 1, 2, 3, 4]).await;
    for number in (0..5).rev() {
        gates.open(number);
    }
    for number in 0..5 {
        assert_eq!(read_reply(&mut served.client).await.get_i32(), number);
    }
}

#[tokio::test]
async fn a_serial_request_is_alone() {
    let gates = Arc::new(Gates::default());
    let handler = gates.clone();
    let mut served = plainly(script(move |number, _| handler.wait(number))).await;
    let modes = [b'P', b'P', b'S', b'S', b'P'];
    served.client.write_all(&all((0..).zip(modes).map(|(number, mode)| frame(mode, number, 10)))).await.unwrap();
    for alone in [&[0, 1][..], &[2], &[3], &[4]] {
        until(|| !gates.waiting().is_empty()).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gates.waiting(), alone);
        for &number in alone.iter().rev() {
            gates.open(number);
        }
        for &number in alone {
            assert_eq!(read_reply(&mut served.client).await.get_i32(), i32::from(number));
        }
    }
}

/// The second request is not started before the first knows its place, and not later either: neither has its answer.
#[tokio::test]
async fn nothing_overtakes_a_request_whose_place_is_deferred() {
    let gates = Arc::new(Gates::default());
    let waiting = gates.clone();
    let dispatch = script(move |number, _: &[u8]| waiting.wait(number));
    let mut served = plainly(dispatch.clone()).await;
    served.client.write_all(&all([frame(b'D', 1, 10), frame(b'P', 2, 10), frame(b'D', 3, 10)])).await.unwrap();
    until(|| gates.waiting() == [1]).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*dispatch.started.lock(), [1]);
    dispatch.places.add_permits(1);
    until(|| gates.waiting() == [1, 2, 3]).await;
    dispatch.places.add_permits(1);
    for number in [3, 2, 1] {
        gates.open(number);
    }
    for number in 1..=3 {
        assert_eq!(read_reply(&mut served.client).await.get_i32(), number);
    }
}

#[tokio::test]
async fn other_protocols_and_impossible_lengths_are_closed_without_a_word() {
    let greetings: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ];
    let limit = i32::try_from(ConnectionLimits::default().request_max_bytes).unwrap();
    let lengths = [0, -1, i32::MIN, limit + 1, i32::MAX].map(i32::to_be_bytes);
    for first in greetings.into_iter().chain(lengths.iter().map(|length| &length[..])) {
        let mut served = plainly(script(|number, _| at_once(number, 0))).await;
        served.client.write_all(first).await.unwrap();
        assert!(matches!(within(served.server).await.unwrap(), End::Refused), "{first:?}");
        let mut answer = Vec::new();
        // Bytes that nobody read may turn the close into a reset.
        drop(within(served.client.read_to_end(&mut answer)).await);
        assert!(answer.is_empty());
    }
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte() {
    let mut served = plainly(script(|number, frame| at_once(number, frame.len()))).await;
    served.client.set_nodelay(true).unwrap();
    for byte in all([frame(b'S', 7, 50), frame(b'P', 8, 3)]) {
        served.client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_reply(&mut served.client).await.len(), 4 + 50);
    assert_eq!(read_reply(&mut served.client).await.len(), 4 + 3);
}

#[tokio::test]
async fn a_client_that_is_done_sending_still_gets_its_answers() {
    let mut served = plainly(script(|number, _| at_once(number, 0))).await;
    let half = frame(b'P', 9, 100)[..50].to_vec();
    served.client.write_all(&all((0..3).map(|number| frame(b'S', number, 10)).chain([half]))).await.unwrap();
    served.client.shutdown().await.unwrap();
    assert_eq!(numbers_until_closed(&mut served.client).await, [0, 1, 2]);
    assert!(matches!(within(served.server).await.unwrap(), End::Closed));
}

#[tokio::test]
async fn what_came_before_an_unreadable_request_is_answered() {
    for bad in [frame(b'X', 0, 10), (-5i32).to_be_bytes().to_vec()] {
        let mut served = plainly(script(|number, _| at_once(number, 0))).await;
        let frames = [frame(b'P', 1, 10), frame(b'S', 2, 10), bad, frame(b'P', 3, 10)];
        served.client.write_all(&all(frames)).await.unwrap();
        assert_eq!(numbers_until_closed(&mut served.client).await, [1, 2]);
        assert!(matches!(within(served.server).await.unwrap(), End::Refused));
    }
}

#[tokio::test]
async fn an_answer_may_be_silence_or_the_end() {
    let handler = |number, _: &[u8]| -> Pending {
        match number {
            1 => Box::pin(ready(Answer::Nothing)),
            3 => Box::pin(ready(Answer::Close)),
            _ => at_once(number, 0),
        }
    };
    let mut served = plainly(script(handler)).await;
    served.client.write_all(&all((0..5).map(|number| frame(b'P', number, 10)))).await.unwrap();
    assert_eq!(numbers_until_closed(&mut served.client).await, [0, 2]);
}

#[tokio::test]
async fn ten_thousand_requests_in_one_write_pass_through_the_window() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (in_flight.clone(), most.clone());
    let handler = move |number, _: &[u8]| -> Pending {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let now = now.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            reply(number, 0)
        })
    };
    let Served { client, server, stop: _stop } = plainly(script(handler)).await;
    let (mut read, mut write) = client.into_split();
    let numbers = || (0..10_000usize).map(|number| (number % 256) as u8);
    let requests = all(numbers().map(|number| frame(b'P', number, 20)));
    let writer = tokio::spawn(async move {
        write.write_all(&requests).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut bytes = Vec::new();
    within(read.read_to_end(&mut bytes)).await.unwrap();
    let replies: Vec<u8> = bytes.chunks(8).map(|reply| reply[7]).collect();
    assert_eq!(replies, numbers().collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), ConnectionLimits::default().window_requests);
    within(writer).await.unwrap();
    assert!(matches!(within(server).await.unwrap(), End::Closed));
}

#[tokio::test]
async fn a_request_outlives_its_client() {
    let gates = Arc::new(Gates::default());
    let finished = Arc::new(AtomicUsize::new(0));
    let (handler, count) = (gates.clone(), finished.clone());
    let dispatch = script(move |number, _: &[u8]| -> Pending {
        let (waiting, count) = (handler.wait(number), count.clone());
        Box::pin(async move {
            let answer = waiting.await;
            count.fetch_add(1, Ordering::SeqCst);
            answer
        })
    });
    let mut served = plainly(dispatch).await;
    served.client.write_all(&frame(b'S', 1, 10)).await.unwrap();
    until(|| !gates.waiting().is_empty()).await;
    // The client resets its connection.
    socket2::SockRef::from(&served.client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(served.client);
    gates.open(1);
    within(served.server).await.unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stop_answers_what_has_arrived() {
    let gates = Arc::new(Gates::default());
    let handler = gates.clone();
    let mut served = plainly(script(move |number, _| handler.wait(number))).await;
    served.client.write_all(&all((0..3).map(|number| frame(b'S', number, 10)))).await.unwrap();
    until(|| gates.waiting() == [0]).await;
    served.stop.send(true).unwrap();
    for number in 0..3 {
        until(|| gates.waiting() == [number]).await;
        gates.open(number);
    }
    assert_eq!(numbers_until_closed(&mut served.client).await, [0, 1, 2]);
    assert!(matches!(within(served.server).await.unwrap(), End::Closed));
}

#[tokio::test]
async fn silent_connections_and_half_frames_are_closed() {
    let limits = ConnectionLimits { idle_ms: 20, ..Default::default() };
    for sent in [vec![], vec![0, 0], frame(b'P', 1, 100)[..50].to_vec(), frame(b'P', 1, 10)] {
        let mut served = served(script(|number, _| at_once(number, 0)), limits, &Budget::new(0)).await;
        served.client.write_all(&sent).await.unwrap();
        assert!(matches!(within(served.server).await.unwrap(), End::Idle));
    }
}

#[tokio::test]
async fn a_large_frame_that_stops_arriving_gives_its_budget_back() {
    let budget = Budget::new(1 << 20);
    let limits = ConnectionLimits { stalled_frame_ms: 20, ..Default::default() };
    let mut served = served(script(|number, _| at_once(number, 0)), limits, &budget).await;
    served.client.write_all(&frame(b'P', 1, 1 << 20)[..100_000]).await.unwrap();
    assert!(matches!(within(served.server).await.unwrap(), End::Idle));
    assert_eq!(budget.available(), 1 << 20);
}

#[tokio::test]
async fn frames_that_share_a_budget_wait_for_each_other_and_all_arrive() {
    let budget = Budget::new(300_000);
    let dispatch = script(|number, frame: &[u8]| at_once(number, frame.len() / 1000));
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut served = served(dispatch.clone(), ConnectionLimits::default(), &budget).await;
        served.client.write_all(&frame(b'P', number, 200_000)[..150_000]).await.unwrap();
        clients.push(served);
    }
    until(|| budget.available() <= 100_000).await;
    assert!(dispatch.started.lock().is_empty());
    let rest = vec![0; 50_004];
    let finish = clients.iter_mut().map(|served| async {
        served.client.write_all(&rest).await.unwrap();
        assert_eq!(read_reply(&mut served.client).await.len(), 4 + 200);
    });
    within(futures_util::future::join_all(finish)).await;
    until(|| budget.available() == 300_000).await;
}

#[tokio::test]
async fn a_frame_larger_than_the_budget_takes_all_of_it() {
    let budget = Budget::new(100_000);
    let mut served = served(script(|number, _| at_once(number, 0)), ConnectionLimits::default(), &budget).await;
    served.client.write_all(&frame(b'P', 5, 3_000_000)).await.unwrap();
    assert_eq!(read_reply(&mut served.client).await.get_i32(), 5);
    until(|| budget.available() == 100_000).await;
}

/// A file whose bytes are never in memory.
#[derive(Debug)]
struct Cold(Arc<dyn File>);

impl File for Cold {
    fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> io::Result<usize> {
        match wait {
            Wait::Never => Err(io::ErrorKind::WouldBlock.into()),
            Wait::Allowed => self.0.read_at(buffer, position, wait),
        }
    }
    fn write_at(&self, slices: &mut [io::IoSlice<'_>], position: u64) -> io::Result<()> {
        self.0.write_at(slices, position)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// A file of this size, every eight bytes of it different, in and out of the page cache.
fn test_files(size: usize) -> (tempfile::TempDir, Vec<u8>, [Arc<dyn File>; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..size / 8).flat_map(|at| at.to_be_bytes()).collect();
    let file = OsFiles.open(&dir.path().join("f"), Open::Create).unwrap();
    file.write_at(&mut [io::IoSlice::new(&content)], 0).unwrap();
    (dir, content, [file.clone(), Arc::new(Cold(file))])
}

/// A reply of small pieces with regions of a file between them, and what it has to look like.
fn mixed_reply(content: &[u8], file: &Arc<dyn File>) -> (Rope, Vec<u8>) {
    let mut out = RopeBuilder::reply(1, 0, 0);
    let mut expected = Vec::new();
    let mut from = 3;
    for length in [5, 100_000, 1, 1_500_000, 131_072] {
        out.fields().put_slice(b"fields");
        out.slice(Slice::File { file: file.clone(), position: from as u64, length });
        out.slice(Slice::Memory(Bytes::from_static(b"memory")));
        expected.extend_from_slice(b"fields");
        expected.extend_from_slice(&content[from..from + length]);
        expected.extend_from_slice(b"memory");
        from += length;
    }
    (out.finish().unwrap(), expected)
}

#[tokio::test]
async fn regions_of_files_are_sent_in_their_place() {
    let (_dir, content, files) = test_files(2_000_000);
    for file in files {
        let (rope, expected) = mixed_reply(&content, &file);
        let handler = move |number, _: &[u8]| -> Pending {
            if number == 1 { Box::pin(ready(Answer::Send(rope.clone()))) } else { at_once(number, 0) }
        };
        let mut served = plainly(script(handler)).await;
        served.client.write_all(&all([frame(b'S', 1, 10), frame(b'S', 2, 10)])).await.unwrap();
        let reply = read_reply(&mut served.client).await;
        assert!(reply[4..] == expected, "the bytes differ");
        assert_eq!(read_reply(&mut served.client).await.get_i32(), 2);
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_promised_breaks_the_connection() {
    let (_dir, _content, files) = test_files(1000);
    for file in files {
        let handler = move |_, _: &[u8]| -> Pending {
            let mut out = RopeBuilder::reply(1, 0, 0);
            out.slice(Slice::File { file: file.clone(), position: 500, length: 501 });
            Box::pin(ready(Answer::Send(out.finish().unwrap())))
        };
        let mut served = plainly(script(handler)).await;
        served.client.write_all(&frame(b'S', 1, 10)).await.unwrap();
        assert!(matches!(within(served.server).await.unwrap(), End::Broken));
    }
}
