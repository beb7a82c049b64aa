"""Keys that expire: on every node at once, for readers and for counters, and in every command that sets a time."""

import time

import pytest

from harness import NAMES, eventually
from resp import Error


def now_ms():
    return int(time.time() * 1000)


@pytest.mark.parametrize("writer", NAMES)
def test_a_key_set_through_one_node_is_gone_through_all(ring, client, writer):
    with ring[writer].client() as other:
        for number in range(10):
            other.ok("SET", f"px{number}", "v", "PX", 400)
        other.ok("SET", "ex", "v", "EX", 1)
        other.ok("SET", "stays", "v")
    clients = ring.clients().values()
    assert all(c.ok("EXISTS", *(f"px{i}" for i in range(10)), "ex", "stays") == 12 for c in clients)
    time.sleep(0.45)
    for c in clients:
        assert c.ok("MGET", *(f"px{i}" for i in range(10)), "stays") == [None] * 10 + [b"v"]
        assert c.ok("TTL", "px0") == -2
        assert c.ok("SCAN", 0, "COUNT", 100, "MATCH", "px*")[1] == []
    time.sleep(0.6)
    assert [c.ok("GET", "ex") for c in clients] == [None] * 5


def test_expired_keys_are_deleted_without_being_asked_for(ring, client):
    client.ok("MSET", *(part for i in range(20) for part in (f"stays{i}", "v")))
    replies = client.pipeline(*(("SET", f"goes{i}", "v", "PX", 300 + i) for i in range(300)))
    assert replies == ["OK"] * 300
    assert client.ok("DBSIZE") == 320
    eventually(lambda: client.ok("DBSIZE") == 20, 15, "DBSIZE shrinks by itself")
    for node in ring:
        with node.client() as other:
            assert b"keys=20,expires=0" in eventually(lambda: other.ok("INFO", "keyspace"), 5)


def test_a_key_never_comes_back_once_it_was_seen_gone(ring, client):
    clients = list(ring.clients().values())
    for number in range(5):
        key = f"edge{number}"
        client.ok("SET", key, "v", "PX", 250)
        gone = False
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            for other in clients:
                value = other.ok("GET", key)
                assert not (gone and value), f"{key} came back"
                gone = gone or value is None
        assert gone


def test_a_new_value_is_not_taken_by_the_old_ones_time(client):
    client.ok("SET", "k", "old", "PX", 200)
    client.ok("SET", "k", "new")
    client.ok("SET", "n", "1", "PX", 200)
    client.ok("PERSIST", "n")
    client.ok("SET", "m", "1", "PX", 200)
    client.ok("PEXPIRE", "m", 60_000)
    time.sleep(0.5)
    assert client.ok("MGET", "k", "n", "m") == [b"new", b"1", b"1"]


def test_arithmetic_starts_anew_after_the_time(ring, client):
    client.ok("SET", "n", 41, "PX", 150)
    assert client.ok("INCR", "n") == 42
    assert 0 < client.ok("PTTL", "n") <= 150, "INCR keeps the time"
    time.sleep(0.3)
    with ring["5562"].client() as other:
        assert other.ok("INCR", "n") == 1
        assert other.ok("TTL", "n") == -1
        assert other.call("SET", "nx", 1, "NX", "PX", 100) == "OK"
        time.sleep(0.2)
        assert other.call("SET", "nx", 2, "NX") == "OK"


def test_times_as_every_command_sets_and_tells_them(client):
    later = now_ms() + 100_000
    for command in [
        ("SET", "k", "v", "EX", 100), ("SET", "k", "v", "PX", 100_000), ("SET", "k", "v", "EXAT", later // 1000),
        ("SET", "k", "v", "PXAT", later), ("SETEX", "k", 100, "v"), ("PSETEX", "k", 100_000, "v"),
    ]:  # fmt: skip
        client.ok("SET", "k", "v")
        assert client.ok(*command) == "OK"
        assert 95 <= client.ok("TTL", "k") <= 100, command
        assert 95_000 <= client.ok("PTTL", "k") <= 100_000, command
        assert abs(client.ok("PEXPIRETIME", "k") - later) < 5000
        assert abs(client.ok("EXPIRETIME", "k") - later // 1000) <= 5
    client.ok("SET", "k", "w", "KEEPTTL")
    assert client.ok("TTL", "k") > 90
    client.ok("APPEND", "k", "x")
    client.ok("SETRANGE", "k", 0, "y")
    assert client.ok("TTL", "k") > 90
    assert client.ok("GETEX", "k", "PERSIST") == b"yx"
    assert client.ok("TTL", "k") == -1
    assert client.ok("GETEX", "k", "EX", 50) == b"yx"
    assert 45 <= client.ok("TTL", "k") <= 50
    client.ok("GETSET", "k", "z")
    assert client.ok("TTL", "k") == -1


def test_conditions_of_expire(client):
    client.ok("SET", "k", "v")
    assert client.ok("EXPIRE", "k", 100, "XX") == 0
    assert client.ok("EXPIRE", "k", 100, "GT") == 0
    assert client.ok("EXPIRE", "k", 100, "NX") == 1
    assert client.ok("EXPIRE", "k", 200, "NX") == 0
    assert client.ok("EXPIRE", "k", 50, "GT") == 0
    assert client.ok("EXPIRE", "k", 200, "GT") == 1
    assert client.ok("EXPIRE", "k", 300, "LT") == 0
    assert client.ok("PEXPIRE", "k", 100_000, "LT") == 1
    assert 95 <= client.ok("TTL", "k") <= 100
    assert client.ok("EXPIREAT", "k", 1) == 1, "a time in the past deletes"
    assert client.ok("EXISTS", "k") == 0
    assert client.ok("EXPIRE", "k", 100) == 0
    assert isinstance(client.call("EXPIRE", "k", 100, "NX", "XX"), Error)
