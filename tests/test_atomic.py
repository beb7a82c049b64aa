"""Conditional and arithmetic commands from many clients through all nodes: each is one step."""

import threading
from concurrent.futures import ThreadPoolExecutor

from harness import NAMES
from resp import Error

CLIENTS = 15


def together(ring, work):
    """Runs `work(client, number)` in many threads, spread over all nodes, all started at the same moment."""
    gate = threading.Barrier(CLIENTS)

    def one(number):
        with ring[NAMES[number % 5]].client() as client:
            gate.wait(timeout=20)
            return work(client, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


def test_increments_add_up(ring, client):
    def work(other, number):
        for step in range(100):
            other.ok("INCR", "shared")
            other.ok("INCRBY", f"counter{step % 7}", number)

    together(ring, work)
    assert client.ok("GET", "shared") == b"%d" % (CLIENTS * 100)
    total = sum(int(client.ok("GET", f"counter{i}")) for i in range(7))
    assert total == 100 * sum(range(CLIENTS))


def test_every_increment_answers_a_number_of_its_own(ring, client):
    def work(other, _):
        return other.pipeline(*[("INCR", "ticket")] * 60)

    tickets = [ticket for replies in together(ring, work) for ticket in replies]
    assert sorted(tickets) == list(range(1, CLIENTS * 60 + 1))
    assert client.ok("GET", "ticket") == b"%d" % (CLIENTS * 60)


def test_of_many_set_nx_exactly_one_wins(ring, client):
    def work(other, number):
        return [other.call("SET", f"nx{i}", number, "NX") for i in range(40)]

    outcomes = together(ring, work)
    for i in range(40):
        winners = [number for number in range(CLIENTS) if outcomes[number][i] == "OK"]
        assert len(winners) == 1, f"nx{i} was won by {winners}"
        assert client.ok("GET", f"nx{i}") == b"%d" % winners[0]


def test_appends_lose_nothing(ring, client):
    def work(other, number):
        for _ in range(20):
            other.ok("APPEND", "appended", bytes([65 + number]))

    together(ring, work)
    assert sorted(client.ok("GET", "appended")) == sorted(bytes(range(65, 65 + CLIENTS)) * 20)


def test_compare_and_set_loops_lose_nothing(ring, client):
    client.ok("SET", "cas", 0)

    def work(other, _):
        done = 0
        while done < 10:
            old = other.ok("GET", "cas")
            done += other.call("SET", "cas", int(old) + 1, "IFEQ", old) == "OK"

    together(ring, work)
    assert client.ok("GET", "cas") == b"%d" % (CLIENTS * 10)


def test_a_lock_is_held_by_one_at_a_time(ring, client):
    inside, entered = [], []

    def work(other, number):
        for turn in range(3):
            token = f"{number}.{turn}"
            while other.call("SET", "lock", token, "NX", "PX", 30_000) != "OK":
                pass
            inside.append(number)
            entered.append(len(inside))
            inside.remove(number)
            assert other.call("DELIFEQ", "lock", "somebody else's") == 0
            assert other.call("DELIFEQ", "lock", token) == 1

    together(ring, work)
    assert entered == [1] * (CLIENTS * 3)
    assert client.ok("EXISTS", "lock") == 0


def test_ifeq_and_delifeq(client):
    assert client.call("SET", "k", "new", "IFEQ", "old") is None
    assert client.ok("EXISTS", "k") == 0
    client.ok("SET", "k", "old")
    assert client.call("SET", "k", "new", "IFEQ", "older") is None
    assert client.call("SET", "k", "new", "IFEQ", "old") == "OK"
    assert client.call("SET", "k", "newer", "IFEQ", "new", "GET") == b"new"
    assert client.call("DELIFEQ", "k", "new") == 0
    assert client.call("DELIFEQ", "k", "newer") == 1
    assert client.call("DELIFEQ", "k", "newer") == 0
    assert isinstance(client.call("SET", "k", "v", "IFEQ", "x", "NX"), Error)


def test_getdel_hands_a_value_to_one_taker(ring, client):
    for number in range(10):
        client.ok("SET", f"taken{number}", number)
    taken = together(ring, lambda other, _: [other.call("GETDEL", f"taken{i}") for i in range(10)])
    for number in range(10):
        takers = [replies[number] for replies in taken if replies[number] is not None]
        assert takers == [b"%d" % number]
