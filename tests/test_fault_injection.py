"""Faults that nodes bring about themselves when they are told to, which they are only with `fault_injection`."""

import contextlib
import itertools
import time

import pytest

from harness import NAMES, eventually, key_for
from resp import Error

# With cuts that nodes make themselves all must go as with cuts in the network: these tests take the `net` of this file.
from test_network import (  # noqa: F401
    test_a_long_cut_heals_soon,
    test_a_node_of_which_one_direction_is_lost,
    test_a_node_that_is_cut_off_answers_nothing_wrong_and_the_others_go_on,
    test_links_that_come_and_go,
    test_one_link_is_cut,
    test_two_are_cut_off_from_three,
)
from workload import Writers, settle

# After this long without a sign of life a link breaks.
LINK_TIMEOUT = 2.0

# Head, middle and tail of one partition.
CHAIN = ["5554", "5558", "5560"]


def fault(node, *words):
    """Has a node bring a fault about."""
    with node.client() as client:
        client.ok("SD.FAULT", *words)


class Switches:
    """What `network.Network` does to links, done by the nodes at one end of them."""

    def __init__(self, ring, end):
        self._ring = ring
        self._end = end

    @contextlib.contextmanager
    def cut(self, *pairs):
        try:
            for source, target in pairs:
                if self._end == "sender":
                    fault(self._ring[source], "CUT", "TO", target)
                else:
                    fault(self._ring[target], "CUT", "FROM", source)
            yield
        finally:
            for node in self._ring:
                fault(node, "HEAL")


@pytest.fixture
def faulty_ring(make_ring):
    return make_ring(node={"fault_injection": True}).start()


@pytest.fixture(params=["sender", "receiver"])
def net(faulty_ring, request):
    """Links that one of their ends can cut, and the ring that they belong to."""
    return Switches(faulty_ring, request.param), faulty_ring


# --- The command --------------------------------------------------------------------------------------------------


def test_without_the_setting_there_is_no_such_command(ring, client):
    assert client.call("SD.FAULT", "HEAL") == Error(
        "ERR unknown command 'SD.FAULT', with args beginning with: 'HEAL' "
    )
    assert b"sd.fault" not in client.ok("COMMAND", "LIST")
    assert "fault_injection" not in ring["5554"].log()


def test_the_setting_is_mentioned_and_mistakes_are_told(faulty_ring):
    node = faulty_ring["5554"]
    assert "WARN" in next(line for line in node.log().splitlines() if "fault_injection is on" in line)
    with node.client() as client:
        assert b"sd.fault" in client.ok("COMMAND", "LIST")
        for name in ["5554", "5555", ""]:
            for way in ["TO", "FROM"]:
                assert client.call("SD.FAULT", "CUT", way, name) == Error(f"ERR there is no other node '{name}'")
        for words in [("CUT",), ("CUT", "5556"), ("HEAL", "5556"), ("CLOCK",), ("BREAK",)]:
            assert str(client.call("SD.FAULT", *words)).startswith("ERR SD.FAULT takes "), words
        assert "at most 2000 ppm" in str(client.call("SD.FAULT", "CLOCK", 2001))


# --- Cuts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [LINK_TIMEOUT / 4, LINK_TIMEOUT * 2])
@pytest.mark.parametrize("pair", list(itertools.pairwise(CHAIN)), ids="-".join)
def test_links_survive_a_short_cut_between_neighbours_and_break_in_a_long_one(net, pair, seconds):
    switches, ring = net
    # One of the two loses its place in the ring if the cut lasts, and with it the outcome of what it coordinated.
    with Writers(ring, nodes=[name for name in NAMES if name not in pair]) as writers:
        writers.wait_for_progress(50)
        with switches.cut(pair):
            time.sleep(seconds)
        writers.wait_for_progress(50)
        ring.wait()
    writers.assert_none_failed()
    settle(ring, writers)
    lost = f"lost the link to node {pair[1]} "
    ends = [line for line in ring[pair[0]].log().splitlines() if lost in line]
    if seconds < LINK_TIMEOUT:
        assert not ends
    else:
        assert ends, f"{pair[0]} did not notice"


def test_a_node_that_is_cut_off_learns_nothing_and_returns_by_itself(net):
    """The times are those of a cut in the network: given up after a lease, refused after its deadline."""
    switches, ring = net
    name, others = "5558", [other for other in NAMES if other != "5558"]
    key = key_for(lambda nodes: nodes == CHAIN)
    with ring[name].client() as inside, ring["5554"].client() as outside:
        outside.ok("SET", key, "before")
        assert inside.ok("GET", key) == b"before"
        began = time.monotonic()
        with switches.cut(*((name, other) for other in others), *((other, name) for other in others)):
            outside.ok("SET", key, "after")
            assert 0.3 < time.monotonic() - began < 5, "the write waits until the node is given up"
            refused = inside.call("GET", key)
            assert isinstance(refused, Error) and refused.code == "UNAVAILABLE", refused
            time.sleep(max(0.0, LINK_TIMEOUT * 2 - (time.monotonic() - began)))
        eventually(ring[name].serves, 10, "it is back")
        assert inside.ok("GET", key) == b"after"


@pytest.mark.parametrize("way", ["TO", "FROM"])
def test_no_link_is_made_through_a_cut(faulty_ring, way):
    """Neither by those who are cut off from a node, nor by the node, which has just started and knows of no cut."""
    name, others = "5560", [node for node in faulty_ring if node.name != "5560"]
    faulty_ring[name].stop()
    for other in others:
        fault(other, "CUT", way, name)
    faulty_ring[name].start()
    with faulty_ring[name].connect() as client:
        for _ in range(3):
            time.sleep(1)
            assert faulty_ring[name].ring_info()["lease"] == "no"
            assert all(name in other.ring_info()["down_nodes"] for other in others)
        assert "linked to node" not in faulty_ring[name].log().rpartition(" starts: clients at")[2]
        for other in others:
            fault(other, "HEAL")
        faulty_ring.wait(10)
        client.ok("SET", "k", "v")


# --- Clocks -------------------------------------------------------------------------------------------------------


def test_clocks_within_the_bound_change_nothing(faulty_ring):
    ring = faulty_ring
    with Writers(ring) as writers:
        for turn in range(4):
            for number, node in enumerate(ring):
                fault(node, "CLOCK", 2000 if (number + turn) % 2 else -2000)
            time.sleep(1.5)
            writers.wait_for_progress(50)
            assert all(node.ring_info()["lease"] == "yes" for node in ring)
            assert all(node.ring_info()["down_nodes"] == "" for node in ring)
        for node in ring:
            fault(node, "CLOCK", 0, 0)
    writers.assert_none_failed()
    settle(ring, writers)
    assert not any("has ended" in node.log() for node in ring)


def test_a_wrong_wall_clock_shifts_expiry(faulty_ring):
    """The clock of the head decides: the one that is first on the key's preference list."""
    hour = 3_600_000
    early, late = key_for(lambda nodes: nodes[0] == "5554"), key_for(lambda nodes: nodes[0] == "5556")
    with faulty_ring["5562"].client() as client:
        now = int(time.time() * 1000)
        client.ok("SET", early, "v", "PXAT", now + hour // 2)
        client.ok("SET", late, "v", "PXAT", now + 500)
        fault(faulty_ring["5556"], "CLOCK", 0, -hour)
        with faulty_ring["5556"].client() as other:
            assert abs(int(other.ok("TIME")[0]) - (time.time() - 3600)) < 5
        assert client.ok("GET", early) == b"v"
        fault(faulty_ring["5554"], "CLOCK", 0, hour)
        eventually(lambda: client.ok("GET", early) is None, 5, "it has expired")
        time.sleep(max(0.0, (now + 1500) / 1000 - time.time()))
        assert client.ok("GET", late) == b"v"
        fault(faulty_ring["5556"], "CLOCK", 0, 0)
        eventually(lambda: client.ok("GET", late) is None, 5, "it has expired now")
