use std::future::pending;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::*;

/// Long enough for anything that is not held.
const SOON: Duration = Duration::from_millis(50);

const OTHER: NodeId = NodeId(1);
const THIRD: NodeId = NodeId(2);

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test);
}

/// What a read on a stream to the node brings, if it brings something soon.
async fn heard(gate: &Gate) -> Option<u8> {
    let heard = timeout(SOON, gate.hear(ready(Ok(7)))).await;
    heard.ok().map(|heard| heard.expect("the connection lives"))
}

async fn can_send(gate: &Gate) -> bool {
    let sent = timeout(SOON, gate.way_out()).await;
    sent.is_ok_and(|sent| sent.is_ok())
}

async fn can_connect(gate: &Gate) -> bool {
    timeout(SOON, gate.both_ways()).await.is_ok()
}

#[test]
fn without_fault_injection_nothing_is_ever_cut() {
    run(async {
        let switch = Switch::new(false);
        assert!(!switch.is_there());
        switch.cut_to(OTHER);
        switch.cut_from(OTHER);
        for gate in [switch.gate(OTHER), Gate::default()] {
            assert!(can_send(&gate).await && can_connect(&gate).await);
            assert_eq!(heard(&gate).await, Some(7));
        }
    });
}

#[test]
fn each_way_is_cut_for_itself_and_for_one_node() {
    run(async {
        let switch = Switch::new(true);
        assert!(switch.is_there());
        let (gate, third) = (switch.gate(OTHER), switch.gate(THIRD));
        switch.cut_to(OTHER);
        assert!(!can_send(&gate).await && !can_connect(&gate).await);
        assert_eq!(heard(&gate).await, Some(7));
        switch.heal();
        assert!(can_send(&gate).await && can_connect(&gate).await);
        switch.cut_from(OTHER);
        assert!(can_send(&gate).await && !can_connect(&gate).await);
        assert_eq!(heard(&gate).await, None);
        assert!(can_send(&third).await && can_connect(&third).await);
        assert_eq!(heard(&third).await, Some(7));
    });
}

#[test]
fn the_other_way_stalls_soon_for_want_of_acknowledgements() {
    run(async {
        let switch = Switch::new(true);
        let gate = switch.gate(OTHER);
        switch.cut_to(OTHER);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut read = pin!(gate.hear(async { Ok(receiver.await.expect("it is sent")) }));
        assert!(timeout(STALL_AFTER + SOON, &mut read).await.is_err(), "nothing has come");
        sender.send(7).expect("it is waited for");
        assert!(timeout(SOON, &mut read).await.is_err(), "it is too late");
        switch.heal();
        assert_eq!(read.await.expect("it lives"), 7);
        switch.cut_from(OTHER);
        assert!(can_send(&gate).await);
        sleep(STALL_AFTER).await;
        assert!(!can_send(&gate).await);
    });
}

#[test]
fn a_read_that_waits_already_is_held_and_goes_on_after() {
    run(async {
        let switch = Switch::new(true);
        let gate = switch.gate(OTHER);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut read = pin!(gate.hear(async { Ok(receiver.await.expect("it is sent")) }));
        assert!(timeout(SOON, &mut read).await.is_err(), "nothing has come");
        switch.cut_from(OTHER);
        sender.send(7).expect("it is waited for");
        assert!(timeout(SOON, &mut read).await.is_err(), "what came is held");
        switch.heal();
        assert_eq!(timeout(SOON, read).await.expect("no longer").expect("it lives"), 7);
    });
}

#[test]
fn a_connection_breaks_when_it_was_cut_for_long_though_nothing_was_to_be_said() {
    run(async {
        let switch = Switch::new(true);
        let gate = switch.gate(OTHER);
        for way in [Switch::cut_to, Switch::cut_from] {
            let mut idle = pin!(gate.hear(pending::<io::Result<()>>()));
            way(&switch, OTHER);
            assert!(timeout(LINK_TIMEOUT - 2 * SOON, &mut idle).await.is_err(), "not yet");
            // A second cut does not make the first any younger, nor does a look at it from a new wait.
            switch.cut_to(OTHER);
            let broken = timeout(4 * SOON, gate.hear(pending::<io::Result<()>>())).await;
            assert_eq!(broken.expect("now").expect_err("it breaks").kind(), io::ErrorKind::TimedOut);
            assert_eq!(idle.await.expect_err("it breaks").kind(), io::ErrorKind::TimedOut);
            assert_eq!(gate.way_out().await.expect_err("so do writes").kind(), io::ErrorKind::TimedOut);
            assert!(!can_connect(&gate).await, "what was never connected does not break");
            switch.heal();
        }
    });
}

#[test]
fn cuts_with_a_pause_between_them_break_nothing() {
    run(async {
        let switch = Switch::new(true);
        let gate = switch.gate(OTHER);
        let mut idle = pin!(gate.hear(pending::<io::Result<()>>()));
        for _ in 0..2 {
            switch.cut_from(OTHER);
            assert!(timeout(LINK_TIMEOUT * 3 / 4, &mut idle).await.is_err(), "it holds");
            switch.heal();
            assert!(timeout(SOON, &mut idle).await.is_err(), "it waits");
        }
    });
}
