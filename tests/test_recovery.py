"""A node that was away gets what it missed: from the log of the others, or all of it where that does not reach back."""

import itertools
import shutil
import time

import pytest

from harness import NAMES, eventually, key_for, keys_for
from workload import Writers, agree, settle

AWAY = "5556"
OTHERS = [name for name in NAMES if name != AWAY]

# The least that a node may be told to keep of its log for others, in bytes.
RETENTION_MIN = 64 << 20


def fill(ring, prefix, count, size, through=("5554", "5558", "5560", "5562")):
    """Writes pairs of this size through some nodes in turn."""
    clients = [ring[name].client() for name in through]
    for start in range(0, count, 4 * len(clients)):
        asked = []
        for number in range(start, min(count, start + 4 * len(clients))):
            client = clients[number % len(clients)]
            client.send("SET", b"%b%d" % (prefix, number), b"%07d" % number * (size // 7))
            asked.append(client)
        assert all(client.read() == "OK" for client in asked)
    for client in clients:
        client.close()


class Watched:
    """What INFO told about the recovery of a node that was just started, until the ring was whole."""

    def __init__(self, ring, name):
        self.seen = []
        deadline = time.monotonic() + 60
        while not ring[name].serves():
            assert ring[name].is_running(), f"{name} has ended"
            assert time.monotonic() < deadline, f"{name} is not filled: {ring[name].ring_info()}"
            if syncing := ring[name].syncing():
                self.seen.append(syncing)
        ring.wait()

    def numbers(self, partition, field):
        return [syncing[partition][field] for syncing in self.seen if field in syncing.get(partition, {})]

    def had_pages(self):
        return any("pages" in progress for syncing in self.seen for progress in syncing.values())

    def assert_progress(self):
        """Some partition was seen on its way, more than once, and never going back."""
        moving = 0
        for partition in {name for syncing in self.seen for name in syncing}:
            held = self.numbers(partition, "pages") or self.numbers(partition, "held")
            assert held == sorted(held), (partition, held)
            moving += len(set(held)) > 1
        assert moving, f"INFO showed no progress: {self.seen}"


def prepare(ring, count):
    """Pairs that are there before the node is lost: some stay, some are deleted, some replaced, some expire."""
    with ring["5554"].client() as client:
        for state in (b"stays", b"goes", b"changes", b"expires"):
            client.ok("MSET", *(part for i in range(count) for part in (b"%b%d" % (state, i), b"before")))


def change(ring, count):
    with ring["5554"].client() as client:
        client.ok("DEL", *(b"goes%d" % i for i in range(count)))
        client.ok("MSET", *(part for i in range(count) for part in (b"changes%d" % i, b"after")))
        for i in range(count):
            assert client.ok("PEXPIRE", b"expires%d" % i, 300) == 1


def compare(ring, count):
    pairs = agree(ring)
    for i in range(count):
        assert pairs.get(b"stays%d" % i) == b"before"
        assert pairs.get(b"changes%d" % i) == b"after"
        assert b"goes%d" % i not in pairs and b"expires%d" % i not in pairs
    return pairs


def test_what_was_missed_is_shipped_from_the_log(own_ring):
    prepare(own_ring, 100)
    own_ring[AWAY].kill()
    own_ring.wait_without(AWAY)
    change(own_ring, 100)
    fill(own_ring, b"big", 400, 100_000)
    with Writers(own_ring, nodes=OTHERS) as writers:
        own_ring[AWAY].start()
        watched = Watched(own_ring, AWAY)
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    assert not watched.had_pages(), "the log reaches back: nothing is copied that the node has"
    watched.assert_progress()
    settle(own_ring, writers)
    assert len([key for key in compare(own_ring, 100) if key.startswith(b"big")]) == 400


def test_a_node_that_was_away_too_long_gets_a_full_copy(make_ring):
    ring = make_ring(node={"log_retention_bytes": RETENTION_MIN}).start()
    prepare(ring, 100)
    ring[AWAY].kill()
    ring.wait_without(AWAY)
    change(ring, 100)
    # Three of five nodes keep each of them, and logs are trimmed by whole files.
    fill(ring, b"big", 400, 1_000_000)
    with Writers(ring, nodes=OTHERS) as writers:
        ring[AWAY].start()
        watched = Watched(ring, AWAY)
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    assert watched.had_pages(), f"nothing was copied: {watched.seen[-3:]}"
    watched.assert_progress()
    settle(ring, writers)
    assert len([key for key in compare(ring, 100) if key.startswith(b"big")]) == 400
    # What was copied is on its disk.
    ring.kill_all()
    ring.start()
    compare(ring, 100)


def await_syncing(ring, name):
    """Waits until the node is being filled, and returns a partition that it lacks something of."""

    def one():
        assert ring[name].is_running()
        return next(iter(ring[name].syncing()), None)

    return eventually(one, 30, f"{name} is being filled")


@pytest.mark.parametrize("way", ["log", "copy"])
def test_the_node_that_is_filled_dies_again_and_again(own_ring, way):
    prepare(own_ring, 100)
    own_ring[AWAY].kill()
    own_ring.wait_without(AWAY)
    change(own_ring, 100)
    fill(own_ring, b"big", 300, 100_000)
    if way == "copy":
        forget_data(own_ring[AWAY])
    with Writers(own_ring, nodes=OTHERS) as writers:
        for pause in (0, 0.02, 0.1):
            own_ring[AWAY].start()
            await_syncing(own_ring, AWAY)
            time.sleep(pause)
            own_ring[AWAY].kill()
        own_ring.start()
    writers.assert_none_failed()
    settle(own_ring, writers)
    assert len([key for key in compare(own_ring, 100) if key.startswith(b"big")]) == 300


def forget_data(node):
    shutil.rmtree(node.folder / "data")


@pytest.mark.parametrize("way", ["log", "copy"])
@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_the_tail_that_fills_it_fails(own_ring, way, fault):
    prepare(own_ring, 100)
    own_ring[AWAY].kill()
    own_ring.wait_without(AWAY)
    change(own_ring, 100)
    fill(own_ring, b"big", 300, 100_000)
    if way == "copy":
        forget_data(own_ring[AWAY])
    own_ring[AWAY].start()
    partition = await_syncing(own_ring, AWAY)
    tail = own_ring["5554"].chain(partition)[-1]
    print("the tail of", partition, "is", tail)
    with Writers(own_ring, nodes=[name for name in OTHERS if name != tail]) as writers:
        if fault == "killed":
            own_ring[tail].kill()
        else:
            own_ring[tail].hang()
        writers.wait_for_progress(100)
        if fault == "hung":
            own_ring[tail].wake()
        own_ring.start()
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(own_ring, writers)
    assert len([key for key in compare(own_ring, 100) if key.startswith(b"big")]) == 300


def test_keys_expire_while_the_head_of_their_chain_is_away(own_ring):
    """Whoever is head then deletes them; a node that was away when it happened does not bring them back."""
    keys = list(itertools.islice(keys_for(lambda nodes: nodes[0] == AWAY), 30))
    with own_ring["5554"].client() as client:
        for key in keys:
            client.ok("SET", key, "v", "PX", 1500)
        client.ok("SET", "stays", "v", "EX", 1000)
    own_ring[AWAY].kill()
    own_ring.wait_without(AWAY)
    for name in OTHERS:
        with own_ring[name].client() as client:
            eventually(lambda client=client: client.ok("MGET", *keys) == [None] * len(keys), 20, "they expire")
            eventually(lambda client=client: client.ok("DBSIZE") == 1, 20, "they are deleted")
    own_ring.start()
    assert agree(own_ring) == {b"stays": b"v"}
    with own_ring[AWAY].client() as client:
        assert client.ok("MGET", *keys) == [None] * len(keys)
        assert 900 < client.ok("TTL", "stays") <= 1000


def test_keys_that_expire_while_all_are_down_are_gone(own_ring):
    key = key_for(lambda nodes: AWAY in nodes)
    with own_ring["5554"].client() as client:
        client.ok("SET", key, "v", "PX", 400)
        client.ok("SET", "stays", "v")
    own_ring.kill_all()
    time.sleep(0.5)
    own_ring.start()
    for node in own_ring:
        with node.client() as client:
            assert client.ok("MGET", key, "stays") == [None, b"v"]
    with own_ring["5560"].client() as client:
        eventually(lambda: client.ok("DBSIZE") == 1, 20, "it is deleted")
    assert agree(own_ring) == {b"stays": b"v"}
