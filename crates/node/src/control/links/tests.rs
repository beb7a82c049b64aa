use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use simpledynamo_topology::StoreId;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::*;
use crate::peers::handshake::welcome;
use crate::peers::switch::Switch;
use crate::socket::LINK_TIMEOUT;

const NEAR: NodeId = NodeId(0);
const FAR: NodeId = NodeId(1);

/// Long enough for an answer that is not held, too short for a cut to stall what it does not cut.
const SOON: Duration = Duration::from_millis(100);

fn identity(me: NodeId, far: SocketAddr) -> Arc<Identity> {
    Arc::new(Identity {
        cluster: "test".to_owned(),
        table: [0; 20],
        me,
        store: StoreId(u128::from(me.0)),
        names: vec!["near".to_owned(), "far".to_owned()],
        addresses: vec![far, far],
        switch: Switch::new(true),
    })
}

/// Echoes what is asked, and counts connections.
async fn echo(listener: TcpListener, identity: Arc<Identity>, connections: Arc<AtomicU32>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let identity = Arc::clone(&identity);
        connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let (node, _, buffer) = welcome(&identity, &mut stream).await?;
            serve(stream, buffer, &identity.switch.gate(node), |body| async move { Some(body.into()) }).await
        });
    }
}

/// Two nodes, and the first one's links, which the second answers.
struct Pair {
    near: Arc<Identity>,
    far: Arc<Identity>,
    links: ControlLinks,
    connections: Arc<AtomicU32>,
}

impl Pair {
    async fn linked() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = (identity(NEAR, address), identity(FAR, address));
        let connections = Arc::new(AtomicU32::new(0));
        tokio::spawn(echo(listener, Arc::clone(&far), Arc::clone(&connections)));
        let links = ControlLinks::start(&near, mpsc::channel(1).0);
        let pair = Self { near, far, links, connections };
        pair.wait().await;
        pair
    }

    async fn ask(&self, limit: Duration) -> Result<Bytes, CallError> {
        self.links.call(FAR, b"question".to_vec(), limit).await
    }

    /// Waits until the link works.
    async fn wait(&self) {
        while self.ask(SOON).await.is_err() {
            sleep(REDIAL_PAUSE).await;
        }
    }

    fn heal(&self) {
        self.near.switch.heal();
        self.far.switch.heal();
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

#[test]
fn no_request_or_reply_passes_a_cut_and_the_link_goes_on_after_it() {
    let cuts: [fn(&Pair); 4] = [
        |pair| pair.near.switch.cut_to(FAR),
        |pair| pair.near.switch.cut_from(FAR),
        |pair| pair.far.switch.cut_to(NEAR),
        |pair| pair.far.switch.cut_from(NEAR),
    ];
    for cut in cuts {
        run(async {
            let pair = Pair::linked().await;
            cut(&pair);
            assert_eq!(pair.ask(SOON).await, Err(CallError::NoReply));
            pair.heal();
            assert_eq!(pair.ask(10 * SOON).await.as_deref(), Ok(&b"question"[..]));
            assert_eq!(pair.connections(), 1, "it is the same link");
        });
    }
}

#[test]
fn a_link_breaks_in_a_long_cut_and_none_is_dialled_before_it_is_over() {
    run(async {
        let pair = Pair::linked().await;
        pair.near.switch.cut_from(FAR);
        sleep(LINK_TIMEOUT + 5 * REDIAL_PAUSE).await;
        assert_eq!(pair.connections(), 1, "nobody dials");
        pair.heal();
        pair.wait().await;
        assert_eq!(pair.connections(), 2, "the link is a new one");
    });
}
