"""One node is dead or hung: what needs it says so within its time, everything else goes on; then all is well."""

import signal
import time

import pytest

from harness import NAMES, eventually, key_for, keys_for, preference_list
from resp import Client, Error

DOWN = "5558"
OTHERS = [name for name in NAMES if name != DOWN]

# The configured time of an operation, and what a busy machine may add.
OPERATION_TIMEOUT, SLACK = 5.0, 3.0


@pytest.fixture(params=[signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def crippled(request, own_ring):
    """A ring with some keys, one node of which is dead or hung; and what brings it back."""
    keys = [b"k%d" % i for i in range(60)]
    with own_ring["5554"].client() as client:
        client.ok("MSET", *(part for key in keys for part in (key, b"before")))
    # Let every replica hear that all of this is clean.
    time.sleep(0.3)
    own_ring[DOWN].kill(request.param)

    def bring_back():
        if request.param == signal.SIGSTOP:
            own_ring[DOWN].kill(signal.SIGCONT)
            own_ring.wait()
        else:
            own_ring.start()

    return own_ring, keys, bring_back


def timed(client, *arguments):
    begin = time.monotonic()
    return client.call(*arguments), time.monotonic() - begin


def test_reads_and_the_writes_of_others_go_on_and_writes_that_need_it_fail_clearly(crippled):
    ring, keys, bring_back = crippled
    untouched = [key for key in keys if DOWN not in preference_list(key)]
    assert 10 < len(untouched) < 50

    # Reads of every key, through every other node.
    for name in OTHERS:
        with ring[name].client() as client:
            for key in keys:
                reply, took = timed(client, "GET", key)
                assert reply == b"before", (name, key, preference_list(key))
                assert took < 2.0, (name, key, took)

    # Writes of the partitions that do not need it.
    for name in OTHERS:
        with ring[name].client() as client:
            for key in untouched:
                reply, took = timed(client, "SET", key, name)
                assert reply == "OK" and took < 2.0, (name, key, reply, took)

    # Writes that do, with the node as head, middle and tail, through all other nodes at once.
    wanted = [key_for(lambda nodes, place=place: nodes[place] == DOWN, prefix="new") for place in range(3)]
    pending = []
    begin = time.monotonic()
    for name in OTHERS:
        for key in wanted:
            client = Client(ring[name].address)
            client.send("SET", key, name)
            pending.append((name, key, client))
    replies = [(name, key, client.read()) for name, key, client in pending]
    took = time.monotonic() - begin
    assert OPERATION_TIMEOUT - 1.0 < took < OPERATION_TIMEOUT + SLACK, took
    for name, key, reply in replies:
        assert isinstance(reply, Error) and reply.code in ("UNAVAILABLE", "UNKNOWN"), (name, key, reply)

    # A command on several keys says what became of them.
    mixed = [key_for(lambda nodes: DOWN in nodes, prefix="m"), key_for(lambda nodes: DOWN not in nodes, prefix="m")]
    with ring["5554"].client() as client:
        reply = client.call("MSET", mixed[0], 1, mixed[1], 2)
        assert isinstance(reply, Error) and reply.code == "PARTIAL", reply
        assert client.call("GET", mixed[1]) == b"2"

    bring_back()
    for node in ring:
        with node.client() as client:
            for key in [*keys, *wanted, *mixed]:
                assert client.ok("SET", key, "after") == "OK"
    for node in ring:
        with node.client() as client:
            assert set(client.ok("MGET", *keys, *wanted, *mixed)) == {b"after"}


def test_a_write_that_waits_succeeds_when_the_node_returns_in_time(crippled):
    ring, _, bring_back = crippled
    waiting = []
    for name in OTHERS:
        for place in range(3):
            key = key_for(lambda nodes, place=place: nodes[place] == DOWN, prefix=f"wait{name}")
            client = ring[name].client()
            client.send("INCR", key)
            waiting.append((key, client))
    time.sleep(1.0)
    bring_back()
    assert [client.read() for _, client in waiting] == [1] * len(waiting)
    with ring["5560"].client() as client:
        assert {client.ok("GET", key) for key, _ in waiting} == {b"1"}, "each took effect once"


def test_listings_are_complete_while_a_node_is_away(crippled):
    ring, keys, _ = crippled
    for name in OTHERS:
        with ring[name].client() as client:
            found, cursor = [], b"0"
            while True:
                cursor, page = client.ok("SCAN", cursor, "COUNT", 20)
                found += page
                if cursor == b"0":
                    break
            assert sorted(found) == sorted(keys), name
            assert client.ok("DBSIZE") == len(keys)


def test_a_short_operation_timeout_is_kept(make_ring):
    ring = make_ring(cluster={"operation_timeout_ms": 600, "read_timeout_ms": 100}).start()
    ring["5562"].kill()
    keys = keys_for(lambda nodes: nodes[1] == "5562")
    with ring["5554"].client() as client:
        for _, key in zip(range(3), keys):
            reply, took = timed(client, "SET", key, "v")
            assert isinstance(reply, Error) and reply.code in ("UNAVAILABLE", "UNKNOWN")
            assert 0.3 < took < 0.6 + SLACK, took


def test_two_nodes_away_leave_what_a_third_keeps_readable(own_ring):
    keys = [b"k%d" % i for i in range(40)]
    with own_ring["5554"].client() as client:
        client.ok("MSET", *(part for key in keys for part in (key, b"v")))
    time.sleep(0.3)
    own_ring["5558"].kill()
    own_ring["5560"].kill()
    with own_ring["5556"].client() as client:
        for key in keys:
            reply, took = timed(client, "GET", key)
            assert reply == b"v" and took < 3.0, (key, reply, took)
    # All three of one preference list: its keys cannot be read, and the error says so in time.
    own_ring["5562"].kill()
    lost = key_for(lambda nodes: set(nodes) == {"5558", "5560", "5562"})
    with own_ring["5556"].client() as client:
        reply, took = timed(client, "GET", lost)
        assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply
        assert took < OPERATION_TIMEOUT + SLACK
    own_ring.start()
    with own_ring["5556"].client() as client:
        assert client.ok("MGET", *keys) == [b"v"] * len(keys)


def test_clients_of_a_hung_node_are_served_once_it_wakes(own_ring):
    with own_ring[DOWN].client() as client:
        assert client.ok("SET", "k", "v") == "OK"
        own_ring[DOWN].kill(signal.SIGSTOP)
        client.send("GET", "k")
        time.sleep(0.5)
        own_ring[DOWN].kill(signal.SIGCONT)
        assert client.read() == b"v"
    eventually(lambda: own_ring[DOWN].serves(), 10)
