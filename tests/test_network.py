"""The network between nodes is cut: whoever is with the majority goes on, whoever is not answers nothing wrong."""

import itertools
import threading
import time

import pytest

import network as networks
from harness import NAMES, eventually, key_for, keys_for
from network import around, both_ways
from resp import Error
from workload import Writers, agree, settle

CUT_OFF = "5558"
OTHERS = [name for name in NAMES if name != CUT_OFF]


@pytest.fixture
def net(make_ring):
    """A network, and a started ring in it."""
    with networks.network_or_skip() as network:
        ring = make_ring(hosts=network.hosts, prefixes=network.prefixes)
        try:
            yield network, ring.start()
        finally:
            ring.end()


class Cautious:
    """Clients of a node that is cut off: what it answers must be true, or an error that says that nothing was done."""

    def __init__(self, ring, name):
        self._node = ring[name]
        self._local = list(itertools.islice(keys_for(lambda nodes: name in nodes, "seen"), 20))
        self._elsewhere = ring[next(other for other in NAMES if other != name)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._problems = []
        self.refused = 0
        self.answered = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "a client hangs"
        assert not self._problems, self._problems

    def _run(self):
        try:
            with self._node.client() as client, self._elsewhere.client() as other:
                for number in itertools.count(1):
                    if self._stop.is_set():
                        return
                    for key in self._local:
                        reply = other.call("SET", key, number)
                        assert reply == "OK", f"through {self._elsewhere.name}: {reply}"
                        seen = client.call("GET", key)
                        if isinstance(seen, Error):
                            assert seen.code == "UNAVAILABLE", seen
                            self.refused += 1
                        else:
                            assert seen == b"%d" % number, f"stale: {key} is {seen}, {number} was acknowledged"
                            self.answered += 1
        except Exception as problem:
            self._problems.append(repr(problem))


@pytest.mark.parametrize("name", ["5558", "leader"])
def test_a_node_that_is_cut_off_answers_nothing_wrong_and_the_others_go_on(net, name):
    network, ring = net
    name = ring.controller() if name == "leader" else name
    others = [other for other in NAMES if other != name]
    with Writers(ring, nodes=others) as writers, Cautious(ring, name) as cautious:
        writers.wait_for_progress(50)
        with network.cut(*around(name)):
            for other in others:
                eventually(lambda other=other: ring[other].ring_info().get("down_nodes") == name, 30, "it is missed")
            writers.wait_for_progress(100)
            eventually(lambda: ring[name].ring_info().get("lease") == "no", 30, "it has no lease")
            before = cautious.refused
            eventually(lambda: cautious.refused > before, 30, "it answers UNAVAILABLE")
            with ring[name].client() as client:
                for request in (("GET", "k"), ("SET", "k", "v"), ("INCR", "n"), ("DEL", "k"), ("DBSIZE",)):
                    reply = client.call(*request)
                    assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", (request, reply)
                assert client.call("PING") == "PONG"
        ring.wait()
        before = cautious.answered
        eventually(lambda: cautious.answered > before, 30, "it answers again")
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(ring, writers)


@pytest.mark.parametrize("way", ["both ways", "one way", "the other way"])
@pytest.mark.parametrize("pair", [("5554", "5558"), ("5556", "5560"), ("5562", "5556")], ids="-".join)
def test_one_link_is_cut(net, pair, way):
    """Neighbours in chains, or not: those who can reach each other over others are not all served by each other."""
    network, ring = net
    cut = {"both ways": both_ways(pair), "one way": [pair], "the other way": [pair[::-1]]}[way]
    with Writers(ring, nodes=[name for name in NAMES if name not in pair]) as writers:
        writers.wait_for_progress(50)
        with network.cut(*cut):
            time.sleep(2)
            writers.wait_for_progress(200)
        ring.wait()
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(ring, writers)


@pytest.mark.parametrize("way", ["heard by nobody", "hears nobody"])
def test_a_node_of_which_one_direction_is_lost(net, way):
    network, ring = net
    pairs = [(CUT_OFF, other) if way == "heard by nobody" else (other, CUT_OFF) for other in OTHERS]
    with Writers(ring, nodes=OTHERS) as writers, Cautious(ring, CUT_OFF):
        writers.wait_for_progress(50)
        with network.cut(*pairs):
            for other in OTHERS:
                eventually(lambda other=other: ring[other].ring_info().get("down_nodes") == CUT_OFF, 30, "it is missed")
            writers.wait_for_progress(100)
        ring.wait()
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(ring, writers)


def test_two_are_cut_off_from_three(net):
    """Both sides have members of every chain of some partitions; only the three may answer for them."""
    network, ring = net
    minority, majority = ["5558", "5560"], ["5554", "5556", "5562"]
    pairs = both_ways(*itertools.product(minority, majority))
    key = key_for(lambda nodes: nodes == ["5554", "5558", "5560"])
    with Writers(ring, nodes=majority) as writers, ring["5554"].client() as client:
        writers.wait_for_progress(50)
        client.ok("SET", key, "before")
        with network.cut(*pairs):
            eventually(lambda: client.call("SET", key, "after") == "OK", 30, "the last member carries on")
            for name in minority:
                with ring[name].client() as other:
                    # The write was acknowledged: from now on the value before it would be wrong.
                    reply = other.call("GET", key)
                    assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply
            writers.wait_for_progress(50)
        ring.wait()
        writers.wait_for_progress(50)
    settle(ring, writers)
    assert agree(ring)[key] == b"after"


def test_links_that_come_and_go(net):
    network, ring = net
    with Writers(ring) as writers:
        for turn in range(3):
            for name in NAMES[turn % 2 :: 2]:
                with network.cut(*around(name)[:: 1 + turn % 2]):
                    time.sleep(0.4)
                writers.wait_for_progress(20)
        ring.wait()
    settle(ring, writers)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_long_cut_heals_soon(net):
    """What TCP does in a long silence must not keep nodes apart once it is over."""
    network, ring = net
    with Writers(ring, nodes=OTHERS) as writers:
        with network.cut(*around(CUT_OFF)):
            time.sleep(90)
        ring.wait(30)
    writers.assert_none_failed()
    settle(ring, writers)
