"""The same requests to Redis and to a ring: the same bytes come back.

What differs on purpose is left out here and tested where it is described. Error texts of commands that the
ring refuses, for one, and of course times.
"""

import random
import time

import pytest

from redis_server import redis_server
from resp import Client, encode

# Requests whose replies must be the same, byte for byte, whether or not they make sense. In their order.
REQUESTS = """
PING | PING hello | ECHO x | GET k | SET k v | GET k | SET k w NX | SET k w XX | GET k | SET k x GET | SET n 1 NX GET
SET k v EX | SET k v EX 0 | SET k v EX -1 | SET k v EX 1.5 | SET k v PX 10 EX 10 | SET k v NX XX | SET k v KEEPTTL EX 1
SET k v EX 9223372036854775807 | SET k v PX 9223372036854775807 | SET k v PXAT 0 | SET k v EXAT -5 | SET k | SET
GETSET k new | GETSET fresh 1 | SETNX k 1 | SETNX fresh2 1 | SETEX k 10 v | SETEX k 0 v | SETEX k x v | PSETEX k -1 v
PSETEX k 100000 v | GETEX k PERSIST | TTL k | GETEX k EX x | GETEX k NONSENSE | GETEX none | GETDEL fresh | GETDEL fresh
APPEND a abc | APPEND a def | STRLEN a | STRLEN none | GETRANGE a 0 -1 | GETRANGE a -3 -2 | GETRANGE a 4 1
GETRANGE a 100 200 | GETRANGE a -100 2 | GETRANGE none 0 -1 | SUBSTR a 1 2 | GETRANGE a x 1 | SETRANGE a 2 ZZ | GET a
SETRANGE a 10 end | GET a | SETRANGE a -1 x | SETRANGE none 5 "" | EXISTS none | SETRANGE a 0 ""
INCR i | INCRBY i 41 | DECR i | DECRBY i 50 | GET i | INCRBY i x | INCRBY i 9223372036854775808 | INCR a
DECRBY i -9223372036854775808 | SET m 9223372036854775807 | INCR m | SET m -9223372036854775808 | DECR m
SET s " 1" | INCR s | SET s 1.5 | INCR s | INCRBYFLOAT s 1 | INCRBYFLOAT s -2.5 | INCRBYFLOAT s abc | INCRBYFLOAT a 1
INCRBYFLOAT f 3.0e3 | INCRBYFLOAT f 0.25 | INCRBYFLOAT f inf | INCRBYFLOAT f nan | GET f | SET s 01 | INCR s | SET s -0 | INCR s
MSET x 1 y 2 | MGET x y none x | MSET x | MSET x 1 y | MGET | DEL x y none | DEL x | DEL | UNLINK k | EXISTS a a none
TYPE a | TYPE none | TOUCH a none | OBJECT ENCODING i | OBJECT ENCODING m | OBJECT ENCODING none | OBJECT REFCOUNT a
EXPIRE a 100 | TTL a | EXPIRE a 50 GT | EXPIRE a 200 GT | EXPIRE a 300 LT | EXPIRE a 100 NX | EXPIRE a 100 XX
EXPIRE a x | EXPIRE a 100 NX XX | EXPIRE a 100 GT LT | EXPIRE a 100 NONSENSE | EXPIRE none 100 | PERSIST a | PERSIST a
PEXPIRE a 100000 | EXPIREAT a 4102444800 | EXPIRETIME a | PEXPIRETIME a | PEXPIREAT a 4102444800123 | PEXPIRETIME a
EXPIRE a 9223372036854775807 | EXPIRE a -9223372036854775808 | TTL none | PTTL none | EXPIRETIME none | EXPIRE a -1 | GET a
SELECT 0 | SELECT 1000 | SELECT x | SELECT -1 | DBSIZE extra | READONLY x | WAIT x 0 | WAIT 0 x | WAIT 0 -1 | AUTH
HELLO 1 | HELLO 4 | HELLO x | HELLO 3 NONSENSE | CLIENT GETNAME | CLIENT SETNAME me | CLIENT GETNAME | CLIENT SETNAME "a b"
CLIENT | CLIENT NONSENSE | CLIENT REPLY | CLIENT REPLY NONSENSE | CLIENT SETNAME | CLIENT NO-EVICT on | CLIENT NO-EVICT x
CLIENT KILL | CLIENT KILL ID 0 | CLIENT KILL ID x | CLIENT KILL 1.2.3.4:5 | CLIENT LIST TYPE nonsense | CLIENT LIST ID x
COMMAND COUNT x | COMMAND GETKEYS SET a b | COMMAND GETKEYS MSET a 1 b 2 | COMMAND GETKEYS GET x
COMMAND NONSENSE | OBJECT NONSENSE k | OBJECT | MEMORY USAGE none | EXEC | DISCARD
NONSENSE | NONSENSE a b | "" | get | gEt i | SCAN | SCAN x | SCAN 0 COUNT 0 | SCAN 0 COUNT x | SCAN 0 NONSENSE
SCAN 0 MATCH | KEYS | RANDOMKEY x | FLUSHALL NONSENSE | CLUSTER INFO | TIME x | CONFIG GET nonsense | CONFIG SET | CONFIG
CONFIG GET databasesx | ECHO | QUIT
"""


@pytest.fixture(scope="module")
def real_redis(tmp_path_factory):
    """The address of a Redis server that keeps nothing."""
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        yield address


def raw_reply(client, request):
    """The bytes of one reply."""
    before = len(client.seen)
    client.send_raw(request)
    client.read()
    return bytes(client.seen[before:])


class Recording(Client):
    """A client that keeps every byte that it took from the stream."""

    def __init__(self, address):
        super().__init__(address)
        self.seen = bytearray()

    def read_exactly(self, count):
        taken = super().read_exactly(count)
        self.seen += taken
        return taken

    def _line(self):
        line = super()._line()
        self.seen += line + b"\r\n"
        return line


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def both(request, ring, client, real_redis):
    """A connection to Redis and one to a node, both without any keys."""
    with Recording(real_redis) as theirs, Recording(ring["5556"].address) as ours:
        theirs.ok("FLUSHALL")
        for one in (theirs, ours):
            one.ok("HELLO", request.param)
        yield theirs, ours


def test_single_requests_are_answered_alike(both):
    theirs, ours = both
    different = []
    for line in REQUESTS.replace("\n", "|").split("|"):
        if not line.strip():
            continue
        request = line.strip().encode() + b"\r\n"
        expected, found = raw_reply(theirs, request), raw_reply(ours, request)
        if expected != found:
            different.append(f"{line.strip()}\n  Redis: {expected!r}\n  here:  {found!r}")
    assert not different, "\n" + "\n".join(different)


@pytest.mark.parametrize("seed", range(3))
def test_random_pipelines_are_answered_alike(both, seed):
    theirs, ours = both
    choose = random.Random(seed)
    keys = [b"a", b"b", b"c", b"\0", b""]
    values = [b"", b"1", b"-5", b"3.5", b"text", b"\xff\0", b"10", b"9223372036854775807"]
    # Times must not depend on when they are set: two servers never do so at the same millisecond.
    later = int(time.time()) + 2000
    numbers = [b"0", b"1", b"-1", b"3", b"100", b"x"]

    def request():
        key, value, number = choose.choice(keys), choose.choice(values), choose.choice(numbers)
        return choose.choice([
            ("SET", key, value), ("SET", key, value, choose.choice(["NX", "XX", "GET", "KEEPTTL"])),
            ("SET", key, value, "EX", "1000"), ("GET", key), ("GETSET", key, value), ("GETDEL", key),
            ("APPEND", key, value), ("STRLEN", key), ("GETRANGE", key, number, choose.choice(numbers)),
            ("SETRANGE", key, number, value), ("INCR", key), ("INCRBY", key, value), ("DECRBY", key, value),
            ("MGET", *keys), ("MSET", key, value, choose.choice(keys), value), ("DEL", key, choose.choice(keys)),
            ("EXISTS", *keys), ("TYPE", key), ("PERSIST", key), ("SETNX", key, value), ("DBSIZE",),
            ("EXPIREAT", key, later + choose.choice([0, 100, 200]), choose.choice(["NX", "XX", "GT", "LT"])),
        ])  # fmt: skip

    requests = [request() for _ in range(1500)]
    data = b"".join(encode(*one) for one in requests)
    for client in both:
        client.send_raw(data)
    for number, one in enumerate(requests):
        expected, found = theirs.read(), ours.read()
        assert (type(found), found) == (type(expected), expected), f"request {number}: {one}"


def test_replies_to_broken_requests_are_alike(ring, client, real_redis):
    def end(address, data):
        with Client(address) as one:
            one.send_raw(data)
            return one.read_to_end()

    broken = [
        b"*1\r\nPING\r\n", b"*abc\r\n", b"*1\r\n$abc\r\n", b"*1\r\n$-1\r\n", b"*1\r\n*1\r\n", b'GET "k\r\n',
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n:1\r\n", b"PING\r\n*1\r\n!\r\n", b"*" + b"1" * 70_000, b"x" * 70_000,
    ]  # fmt: skip
    for data in broken:
        assert end(ring["5554"].address, data) == end(real_redis, data), data[:50]
