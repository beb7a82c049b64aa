//! Clients against servers that answer, refuse and hang up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use simpledynamo_load::{Clients, Loading, Mix, Mixed, Payload, Resp, Tally, Workload};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does with a request, by its text: a reply, or none to hang up.
type Behaviour = fn(request: &str) -> Option<&'static str>;

/// A server, its address, and how many requests it has got.
async fn server(behaviour: Behaviour) -> (String, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let requests = Rc::new(Cell::new(0));
    let counter = requests.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            tokio::task::spawn_local(serve(stream, behaviour, counter.clone()));
        }
    });
    (address, requests)
}

/// Requests are told apart by how they begin, since no value here contains an asterisk.
async fn serve(mut stream: TcpStream, behaviour: Behaviour, requests: Rc<Cell<usize>>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Clients write a round at once, and rounds here are far smaller than what loopback carries whole.
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        for request in text.split('*').skip(1) {
            requests.set(requests.get() + 1);
            let Some(reply) = behaviour(request) else { return };
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn clients(servers: Vec<String>, count: u32, pipeline: usize, password: Option<&[u8]>) -> Clients<Resp> {
    Clients { servers, protocol: Resp::new(Payload::new(10, 1), 1, password), count, pipeline }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let within = async { tokio::time::timeout(PATIENCE, test).await.expect("it ends") };
    runtime.block_on(LocalSet::new().run_until(within))
}

fn tally() -> Rc<RefCell<Tally>> {
    Rc::new(RefCell::new(Tally::new(Instant::now())))
}

#[test]
fn clients_are_spread_over_the_servers_and_write_each_key() {
    run(async {
        let (one, one_requests) = server(|_| Some("+OK\r\n")).await;
        let (other, other_requests) = server(|_| Some("+OK\r\n")).await;
        let (tally, loading) = (tally(), Loading::new(1000));
        clients(vec![one, other], 4, 8, None).run(&tally, |_| loading.clone()).await;
        let tally = tally.borrow();
        assert_eq!((tally.writes.len(), tally.errors_total(), tally.replies), (1000, 0, 1000));
        assert_eq!(one_requests.get() + other_requests.get(), 1000);
        assert!(one_requests.get() > 0 && other_requests.get() > 0);
    });
}

#[test]
fn answers_are_counted_by_their_kind() {
    run(async {
        let (address, _) = server(|request| {
            Some(if request.contains("GET") { "$-1\r\n" } else { "-UNAVAILABLE no lease\r\n" })
        })
        .await;
        let tally = tally();
        let workload = Workload {
            keys: 10,
            mix: Mix::of_reads(50),
            distribution: simpledynamo_load::Distribution::Uniform,
        };
        let mixed = Mixed::new(&workload, 1, Instant::now() + Duration::from_millis(200));
        clients(vec![address], 2, 4, None).run(&tally, |client| mixed.for_client(client)).await;
        let tally = tally.borrow();
        assert!(!tally.reads.is_empty() && tally.misses == tally.reads.len());
        assert_eq!(tally.writes.len(), 0, "refused");
        assert_eq!(tally.errors.keys().collect::<Vec<_>>(), ["UNAVAILABLE"]);
        assert_eq!(tally.replies, tally.reads.len() + tally.errors_total());
    });
}

#[test]
fn what_a_broken_connection_leaves_is_lost_and_another_server_tried() {
    run(async {
        let (broken, _) = server(|_| None).await;
        let (sound, requests) = server(|_| Some("+OK\r\n")).await;
        let tally = tally();
        let workload = Workload {
            keys: 10,
            mix: Mix::of_reads(0),
            distribution: simpledynamo_load::Distribution::Uniform,
        };
        let mixed = Mixed::new(&workload, 1, Instant::now() + Duration::from_secs(1));
        clients(vec![broken, sound], 1, 4, None).run(&tally, |client| mixed.for_client(client)).await;
        let tally = tally.borrow();
        assert_eq!(tally.errors.values().copied().collect::<Vec<_>>(), [4], "{:?}", tally.errors);
        assert!(tally.errors.keys().all(|kind| kind.starts_with("connection lost: ")));
        assert!(requests.get() > 0 && tally.writes.len() == requests.get() as u64);
    });
}

#[test]
fn password_is_given_first() {
    let behaviour: Behaviour = |request| {
        let refused = request.contains("AUTH") && !request.contains("\r\nsecret\r\n");
        Some(if refused { "-WRONGPASS invalid\r\n" } else { "+OK\r\n" })
    };
    run(async {
        let (address, requests) = server(behaviour).await;
        for (password, written) in [(b"secret".as_slice(), 5), (b"guess", 0)] {
            let (tally, loading) = (tally(), Loading::new(5));
            clients(vec![address.clone()], 1, 5, Some(password)).run(&tally, |_| loading.clone()).await;
            assert_eq!(tally.borrow().writes.len(), written);
            assert_eq!(tally.borrow().errors.contains_key("cannot connect: WRONGPASS invalid"), written == 0);
        }
        assert_eq!(requests.get(), 1 + 5 + 1);
    });
}
