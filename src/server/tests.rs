use super::*;
use crate::api::{Answer, Api, Fatal, Mode, Pending, Started};
use crate::broker::Broker;
use bytes::{BufMut, Bytes, BytesMut};
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// Only ends hangs.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("it hangs")
}

async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn spec(host: &str, port: u16) -> ListenerSpec {
    ListenerSpec { name: "PLAINTEXT".into(), host: host.into(), port, advertised: None }
}

struct Running {
    addresses: Vec<SocketAddr>,
    stats: Arc<ServerStats>,
    stop: watch::Sender<bool>,
    ended: JoinHandle<io::Result<()>>,
}

fn run(host: &str, dispatch: Arc<dyn Dispatch>, limits: ServerLimits) -> Running {
    let server = Server::bind(vec![spec(host, 0)]).unwrap();
    let addresses = server.local_addrs().into_iter().map(|(_, address)| address).collect();
    let (stop, stopped) = watch::channel(false);
    let stats = server.stats();
    Running { addresses, stats, stop, ended: tokio::spawn(server.run(dispatch, limits, stopped)) }
}

/// Requests are one byte: `e`cho, `p`anic, `h`ang.
#[derive(Default)]
struct Bytewise {
    hanging: AtomicUsize,
}

impl Dispatch for Bytewise {
    fn mode(&self, _frame: &[u8]) -> Mode {
        Mode::Serial
    }

    fn start(&self, _peer: &Arc<Peer>, frame: Bytes) -> Result<Started, Fatal> {
        let pending: Pending = match frame[0] {
            b'p' => panic!("as asked"),
            b'h' => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                Box::pin(std::future::pending())
            }
            _ => Box::pin(std::future::ready(Answer::Send(Bytes::from_static(b"!").into()))),
        };
        Ok(pending.into())
    }
}

async fn send(client: &mut TcpStream, request: u8) {
    client.write_all(&[0, 0, 0, 1, request]).await.unwrap();
}

async fn is_answered(client: &mut TcpStream) -> bool {
    send(client, b'e').await;
    within(client.read_u8()).await.is_ok_and(|answer| answer == b'!')
}

#[tokio::test]
async fn localhost_is_one_port_on_both_loopback_addresses() {
    let running = run("localhost", Arc::new(Api::new(Broker::in_memory(&[]))), ServerLimits::default());
    let port = running.addresses[0].port();
    assert!(running.addresses.iter().all(|address| address.ip().is_loopback() && address.port() == port));
    let has_v6 = StdListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    assert_eq!(running.addresses.len(), if has_v6 { 2 } else { 1 });
    for address in &running.addresses {
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut request = BytesMut::new();
        request.put_slice(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 5, 0xff, 0xff]);
        client.write_all(&request).await.unwrap();
        let mut reply = [0; 10];
        within(client.read_exact(&mut reply)).await.unwrap();
        assert_eq!(reply[4..], [0, 0, 0, 5, 0, 0]);
    }
    running.stop.send(true).unwrap();
    within(running.ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.addresses[0]).await.is_err());
    assert_eq!(running.stats.ended.load(Ordering::SeqCst), running.addresses.len() as u64);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", ""] {
        let error = Server::bind(vec![spec("127.0.0.1", 0), spec(host, port)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.contains(&format!("listeners=PLAINTEXT://{host}:{port}")), "{text}");
        assert!(text.contains("another process has this port"), "{text}");
    }
    let error = Server::bind(vec![spec("192.0.2.1", 0)]).unwrap_err();
    assert!(error.to_string().contains("does not have that address"), "{error}");
    assert!(Server::bind(vec![spec("no such host", 0)]).is_err());
}

#[test]
fn a_port_that_is_taken_on_one_family_only_is_taken() {
    let Ok(taken) = StdListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let port = taken.local_addr().unwrap().port();
    assert!(Server::bind(vec![spec("localhost", port)]).is_err());
}

#[test]
fn brackets_and_both_families() {
    if StdListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    for host in ["[::1]", "::1", "[::]", "::"] {
        assert_eq!(Server::bind(vec![spec(host, 0)]).unwrap().local_addrs().len(), 1);
    }
    let everywhere = Server::bind(vec![spec("", 0)]).unwrap().local_addrs();
    assert_eq!(everywhere.len(), 2);
    assert_eq!(everywhere[0].1.port(), everywhere[1].1.port());
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let running = run("127.0.0.1", Arc::new(Bytewise::default()), ServerLimits::default());
    let mut other = TcpStream::connect(running.addresses[0]).await.unwrap();
    assert!(is_answered(&mut other).await);
    let mut client = TcpStream::connect(running.addresses[0]).await.unwrap();
    send(&mut client, b'p').await;
    assert!(!matches!(within(client.read(&mut [0])).await, Ok(1..)));
    until(|| running.stats.panics.load(Ordering::SeqCst) == 1).await;
    assert!(is_answered(&mut other).await);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let limits = ServerLimits { max_connections: 2, ..Default::default() };
    let running = run("localhost", Arc::new(Bytewise::default()), limits);
    let connect = || TcpStream::connect(running.addresses[0]);
    let (mut first, mut second) = (connect().await.unwrap(), connect().await.unwrap());
    assert!(is_answered(&mut first).await && is_answered(&mut second).await);
    let (mut third, mut fourth) = (connect().await.unwrap(), connect().await.unwrap());
    send(&mut third, b'e').await;
    assert!(is_answered(&mut first).await);
    assert_eq!(running.stats.accepted.load(Ordering::SeqCst), 2);
    drop(first);
    assert_eq!(within(third.read_u8()).await.unwrap(), b'!');
    drop((second, third));
    assert!(is_answered(&mut fourth).await);
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_does_not_wait_for_ever() {
    let dispatch = Arc::new(Bytewise::default());
    let limits = ServerLimits { shutdown_ms: 10, ..Default::default() };
    let running = run("127.0.0.1", dispatch.clone(), limits);
    let mut idle = TcpStream::connect(running.addresses[0]).await.unwrap();
    assert!(is_answered(&mut idle).await);
    let mut stuck = TcpStream::connect(running.addresses[0]).await.unwrap();
    send(&mut stuck, b'h').await;
    until(|| dispatch.hanging.load(Ordering::SeqCst) == 1).await;
    running.stop.send(true).unwrap();
    within(running.ended).await.unwrap().unwrap();
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
    assert!(!matches!(within(stuck.read(&mut [0])).await, Ok(1..)));
}

#[test]
fn a_shortage_of_descriptors_is_told_from_a_client_that_left() {
    for shortage in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        assert!(is_shortage(&shortage.into()));
    }
    for other in [Errno::CONNABORTED, Errno::NETDOWN, Errno::PERM] {
        assert!(!is_shortage(&other.into()));
    }
}
