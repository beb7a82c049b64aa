"""A node is dead or hung: whatever needs it waits for the failover, and then goes on without it."""

import itertools
import signal

import pytest

from harness import NAMES, eventually, key_for, keys_for
from resp import Client, Error
from workload import Writers, agree, settle

DOWN = "5558"
OTHERS = [name for name in NAMES if name != DOWN]

KEYS = [b"k%d" % i for i in range(60)]


@pytest.fixture(params=["killed", "hung"])
def crippled(request, own_ring):
    """A ring with some keys, one node of which is dead or hung only just now; and what brings it back."""
    with own_ring["5554"].client() as client:
        client.ok("MSET", *(part for key in KEYS for part in (key, b"before")))
    hung = request.param == "hung"
    own_ring[DOWN].kill(signal.SIGSTOP if hung else signal.SIGKILL)

    def bring_back():
        if hung:
            own_ring[DOWN].wake()
            own_ring.wait()
        else:
            own_ring.start()

    return own_ring, bring_back


def all_at_once(ring, requests):
    """Sends each request through each node that is well, all at the same time, and returns all replies."""
    pending = []
    for name, request in itertools.product(OTHERS, requests):
        client = Client(ring[name].address)
        client.send(*request)
        pending.append(client)
    replies = [client.read() for client in pending]
    for client in pending:
        client.close()
    return replies


def test_nothing_through_the_other_nodes_fails(crippled):
    ring, bring_back = crippled
    # Keys with the node at each place of the chain, and keys that do not concern it.
    wanted = [key_for(lambda nodes, place=place: nodes[place] == DOWN, prefix="new") for place in range(3)]
    wanted.append(key_for(lambda nodes: DOWN not in nodes, prefix="new"))
    requests = [("SET", key, "during") for key in wanted] + [("GET", key) for key in KEYS]
    requests += [("MGET", *KEYS), ("DBSIZE",)]
    replies = all_at_once(ring, requests)
    assert len(replies) == len(OTHERS) * len(requests)
    assert not [reply for reply in replies if isinstance(reply, Error)]
    for start in range(0, len(replies), len(requests)):
        assert replies[start : start + len(wanted)] == ["OK"] * len(wanted)
        assert replies[start + len(wanted) : start + len(requests) - 2] == [b"before"] * len(KEYS)
        assert replies[start + len(requests) - 2] == [b"before"] * len(KEYS)

    bring_back()
    assert agree(ring) == {key: b"before" for key in KEYS} | {key: b"during" for key in wanted}
    for node in ring:
        with node.client() as client:
            assert client.ok("MSET", *(part for key in [*KEYS, *wanted] for part in (key, "after"))) == "OK"
            assert set(client.ok("MGET", *KEYS, *wanted)) == {b"after"}


def test_a_write_that_waits_takes_effect_once(crippled):
    ring, bring_back = crippled
    keys = [key_for(lambda nodes, place=place: nodes[place] == DOWN, prefix="once") for place in range(3)]
    replies = all_at_once(ring, [("INCR", key) for key in keys])
    for number in range(len(keys)):
        assert sorted(replies[number :: len(keys)]) == [1, 2, 3, 4], "each once"
    bring_back()
    assert {agree(ring)[key] for key in keys} == {b"4"}


def test_listings_are_complete_while_a_node_is_away(crippled):
    ring, _ = crippled
    for name in OTHERS:
        with ring[name].client() as client:
            found, cursor = [], b"0"
            while True:
                cursor, page = client.ok("SCAN", cursor, "COUNT", 20)
                found += page
                if cursor == b"0":
                    break
            assert sorted(found) == sorted(KEYS), name
            assert client.ok("DBSIZE") == len(KEYS)
            assert b"keys=%d," % len(KEYS) in client.ok("INFO", "keyspace")


def test_what_is_missing_is_told(crippled):
    ring, bring_back = crippled
    ring.wait_without(DOWN)
    for name in OTHERS:
        info = ring[name].ring_info()
        assert info["whole"] == "no" and info["down_nodes"] == DOWN and info["partitions_short"] == "3", info
        assert info["lease"] == "yes" and info["controller"] in OTHERS, info
    bring_back()
    for node in ring:
        info = node.ring_info()
        assert info["whole"] == "yes" and info["down_nodes"] == "" and info["partitions_short"] == "0", info


def test_what_is_not_answered_in_time_fails_clearly(make_ring):
    """A failover that takes longer than an operation may: the lease is longer."""
    ring = make_ring(
        cluster={"operation_timeout_ms": 600, "read_timeout_ms": 100, "lease_ms": 5000, "heartbeat_ms": 100}
    ).start()
    keys = list(itertools.islice(keys_for(lambda nodes: nodes[1] == DOWN), 5))
    ring[DOWN].kill()
    replies = all_at_once(ring, [("SET", key, "v") for key in keys])
    for reply in replies:
        assert isinstance(reply, Error) and reply.code in ("UNAVAILABLE", "UNKNOWN"), reply
    # A command on several keys says what became of them, and the rest is served.
    elsewhere = key_for(lambda nodes: DOWN not in nodes)
    with ring["5554"].client() as client:
        reply = client.call("MSET", keys[0], 1, elsewhere, 2)
        assert isinstance(reply, Error) and reply.code == "PARTIAL", reply
        assert client.call("GET", elsewhere) == b"2"
    ring.wait_without(DOWN)
    assert set(all_at_once(ring, [("SET", key, "v") for key in keys])) == {"OK"}


def test_two_of_a_chain_lost_one_after_the_other_leave_the_third_to_carry_on(own_ring):
    key = key_for(lambda nodes: set(nodes) == {"5558", "5560", "5562"})
    left = ["5554", "5556", "5558"]
    with Writers(own_ring, nodes=left) as writers:
        writers.wait_for_progress(50)
        own_ring["5562"].kill()
        own_ring.wait_without("5562")
        writers.wait_for_progress(50)
        own_ring["5560"].hang()
        own_ring.wait_without("5560", "5562")
        writers.wait_for_progress(50)
        for name in left:
            with own_ring[name].client() as client:
                assert client.ok("INCR", key) > 0
                assert client.ok("GET", key) is not None
        own_ring["5560"].wake()
        own_ring.start()
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(own_ring, writers)
    assert agree(own_ring)[key] == b"3"


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_without_a_majority_everything_stops_clearly_and_goes_on_by_itself(own_ring, how):
    # A member of each chain is left, so that only the missing majority is what stops the ring.
    lost, left = ["5554", "5558", "5562"], ["5556", "5560"]
    local = {name: key_for(lambda nodes, name=name: name in nodes) for name in left}
    with own_ring["5554"].client() as client:
        client.ok("MSET", *(part for key in KEYS for part in (key, b"before")))
        client.ok("MSET", *(part for key in local.values() for part in (key, b"before")))
    for name in lost:
        own_ring[name].kill(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    for name in left:
        with own_ring[name].client() as client:
            # What the node itself holds is answered as long as its lease lasts, and then no more.
            def is_refused(client=client, key=local[name]):
                reply = client.call("GET", key)
                assert reply == b"before" or isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply
                return reply != b"before"

            eventually(is_refused, 20, f"{name} answers no read without a majority")
            for key in KEYS[:2]:
                for request in (("GET", key), ("SET", key, "x"), ("INCR", b"n"), ("DEL", key)):
                    reply = client.call(*request)
                    assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", (request, reply)
            assert own_ring[name].ring_info()["lease"] == "no"
    # One more voter makes three of five.
    if how == "killed":
        own_ring["5554"].start()
    else:
        own_ring["5554"].wake()

    def all_goes_on():
        replies = []
        for name in [*left, "5554"]:
            with own_ring[name].connect() as client:
                replies += [client.call("INCR", b"n"), client.call("SET", KEYS[0], "after"), client.call("MGET", *KEYS)]
        return not any(isinstance(reply, Error) for reply in replies)

    eventually(all_goes_on, 30, "three of five serve everything")
    for name in ("5558", "5562"):
        if how == "hung":
            own_ring[name].wake()
    own_ring.start()
    pairs = agree(own_ring)
    assert all(pairs[key] == b"before" for key in KEYS[1:]), "what was refused did not happen"
    assert pairs[KEYS[0]] == b"after"


def test_clients_of_a_hung_node_are_served_once_it_wakes(own_ring):
    key = key_for(lambda nodes: DOWN in nodes)
    with own_ring[DOWN].client() as client, own_ring["5554"].client() as other:
        assert client.ok("SET", key, "old") == "OK"
        own_ring[DOWN].hang()
        client.send("GET", key)
        own_ring.wait_without(DOWN)
        assert other.ok("SET", key, "new") == "OK"
        own_ring[DOWN].wake()
        # It must not answer from what it held when it was stopped.
        assert client.read() == b"new"
    own_ring.wait()
