"""Clients that break the rules: each is told so or cut off, and nobody else notices."""

import os
import resource
import socket
import time

import pytest

from harness import eventually
from resp import Client, encode

# Limits that the documentation names.
KEY_MAX = 65_000
VALUE_MAX = 8 << 20
ARGUMENTS_MAX = 65_536

MIB = 1 << 20


@pytest.fixture
def bystander(ring):
    """Another client of the same node, which must be served before, during and after."""
    with ring["5554"].client() as client:
        assert client.ok("SET", "bystander", "here") == "OK"
        yield client
        assert client.ok("GET", "bystander") == b"here"


def refused(ring, data):
    """What a node says to these bytes before it closes the connection."""
    with ring["5554"].client(timeout=10) as client:
        try:
            client.send_raw(data)
        except ConnectionError:
            pass  # It need not listen to the end of what it refuses.
        return client.read_to_end()


PROTOCOL_ERRORS = {
    "too many arguments": (b"*65537\r\n", "invalid multibulk length"),
    "absurdly many arguments": (b"*99999999999999999999\r\n", "invalid multibulk length"),
    "count is no number": (b"*two\r\n", "invalid multibulk length"),
    "argument too long": (b"*1\r\n$9000000000\r\n", "invalid bulk length"),
    "argument longer than any value": (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16777216\r\n", "invalid bulk length"),
    "negative length": (b"*1\r\n$-1\r\n", "invalid bulk length"),
    "length is no number": (b"*1\r\n$abc\r\n", "invalid bulk length"),
    "argument longer than announced": (b"*1\r\n$4\r\nPINGPONG\r\n", "invalid bulk length"),
    "no argument where one belongs": (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    "nested": (b"*1\r\n*1\r\n*1\r\n" * 1000, "expected '$', got '*'"),
    "endless count": (b"*" + b"1" * 70_000, "too big mbulk count string"),
    "endless length": (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
    "endless line": (b"x" * 70_000, "too big inline request"),
    "unbalanced quotes": (b'SET k "v\r\n', "unbalanced quotes in request"),
}


@pytest.mark.parametrize("case", PROTOCOL_ERRORS)
def test_what_is_no_request_is_told_in_redis_words_and_cut_off(ring, bystander, case):
    data, reason = PROTOCOL_ERRORS[case]
    assert refused(ring, data) == f"-ERR Protocol error: {reason}\r\n".encode()


def test_requests_before_the_bad_bytes_are_still_answered(ring, bystander):
    sent = encode("SET", "before", "v") + encode("GET", "before") + b"*1\r\n!"
    assert refused(ring, sent + b"\r\n") == b"+OK\r\n$1\r\nv\r\n-ERR Protocol error: expected '$', got '!'\r\n"


@pytest.mark.parametrize("seed", range(20))
def test_noise_ends_in_an_error_or_in_commands_that_do_not_exist(ring, bystander, seed):
    noise = os.urandom(5000) + b"\r\n"
    with ring["5554"].client(timeout=10) as client:
        try:
            client.send_raw(noise)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = client.read_to_end()
    for line in answer.split(b"\r\n")[:-1]:
        assert line.startswith(b"-"), (noise, answer)
    assert ring["5554"].is_running()


def test_an_http_request_is_no_command(ring, bystander):
    """A browser that is led to the port must not be able to run commands by the lines of its request."""
    answer = refused(ring, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET browser was-here\r\n")
    assert b"+OK" not in answer
    assert bystander.ok("EXISTS", "browser") == 0


def test_keys_and_values_up_to_the_limit_and_not_beyond(ring, bystander):
    with ring["5560"].client() as client:
        assert client.ok("SET", b"k" * KEY_MAX, "v") == "OK"
        assert client.ok("GET", b"k" * KEY_MAX) == b"v"
        assert client.ok("DEL", b"k" * KEY_MAX) == 1
        for command in [("SET", b"k" * (KEY_MAX + 1), "v"), ("GET", b"k" * (KEY_MAX + 1)), ("INCR", b"k" * 100_000)]:
            assert client.call(*command).startswith("ERR key is too long"), command[0]
        largest = os.urandom(VALUE_MAX)
        assert client.ok("SET", "large", largest) == "OK"
        assert client.ok("GET", "large") == largest
        too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        assert client.call("SET", "large", largest + b"x") == too_long
        assert client.call("APPEND", "large", "x") == too_long
        assert client.call("SETRANGE", "large", VALUE_MAX, "x") == too_long
        assert client.call("SETRANGE", "sparse", 2**40, "x") == too_long
        assert client.ok("STRLEN", "large") == VALUE_MAX
        assert client.ok("DEL", "large") == 1


def test_the_most_arguments_are_taken(ring, bystander):
    with ring["5560"].client() as client:
        assert client.ok("EXISTS", *["bystander"] * (ARGUMENTS_MAX - 1)) == ARGUMENTS_MAX - 1


def test_announced_but_unsent_bytes_cost_no_memory(ring, bystander):
    """A length is checked before anything is allocated for it, and room is made only as bytes arrive."""
    node = ring["5562"]
    before = node.resident()
    clients = [node.client() for _ in range(200)]
    for client in clients:
        client.send_raw(b"*65536\r\n$3\r\nDEL\r\n$%d\r\nx" % VALUE_MAX)
    time.sleep(0.5)
    assert node.resident() - before < 64 * MIB
    for client in clients:
        client.close()


def test_half_a_request_and_silence_is_cut_off_and_silence_between_requests_is_not(make_ring):
    ring = make_ring(node={"idle_timeout_s": 1}).start()
    with ring["5554"].client() as idle, ring["5554"].client() as busy:
        assert idle.ok("PING") == "PONG"
        halves = [b"*2\r\n$3\r\nGET\r\n$1", b"*1\r\n$4\r\nPI", b"PIN", b"*", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\nv"]
        clients = []
        for half in halves:
            clients.append(ring["5554"].client(timeout=10))
            clients[-1].send_raw(half)
        begin = time.monotonic()
        for half, client in zip(halves, clients, strict=True):
            # A byte now and then is no silence, but a request must not take for ever either.
            assert not client.read_to_end().startswith(b"+"), half
        assert 0.5 < time.monotonic() - begin < 5.0
        assert busy.ok("SET", "k", "v") == "OK"
        assert idle.ok("PING") == "PONG", "it was silent, but not in the middle of a request"


def test_a_client_that_never_reads_is_held_back(ring, bystander):
    """What it asked for waits in its own connection; its node does not gather replies without end."""
    node = ring["5554"]
    bystander.ok("SET", "mebibyte", "x" * MIB)
    bystander.ok("GET", "mebibyte")
    time.sleep(0.2)
    before = node.resident()
    greedy = []
    for _ in range(4):
        client = node.client(timeout=0.5)
        client.send_raw(encode("GET", "mebibyte") * 2000)
        greedy.append(client)
    peak = 0
    for _ in range(20):
        time.sleep(0.05)
        peak = max(peak, node.resident() - before)
        assert bystander.ok("GET", "bystander") == b"here"
    assert peak < 200 * MIB, f"grew by {peak / MIB:.0f} MiB for 8,000 MiB of unread replies"
    # One of them thinks better of it, and gets its replies.
    greedy[0].socket.settimeout(20)
    for _ in range(50):
        assert len(greedy[0].read()) == MIB
    for client in greedy:
        client.close()
    eventually(lambda: node.resident() - before < 100 * MIB, 10, "memory is given back")


def test_a_client_that_only_writes_is_held_back(ring, bystander):
    """A pipeline of writes without end, whose replies nobody reads."""
    node = ring["5556"]
    before = node.resident()
    with node.client(timeout=1.0) as client:
        data = b"".join(encode("SET", f"flood{i}", "x" * 2000) for i in range(500))
        sent, deadline = 0, time.monotonic() + 3.0
        try:
            while time.monotonic() < deadline:
                sent += client.socket.send(data)
        except TimeoutError:
            pass
        assert node.resident() - before < 200 * MIB, f"{sent} bytes were taken"
        assert bystander.ok("GET", "bystander") == b"here"


def test_clients_beyond_the_limit_are_turned_away_with_a_reason(make_ring):
    ring = make_ring(node={"max_clients": 50}).start()
    node = ring["5554"]
    eventually(lambda: _connected(node) == 1, 5, "the harness's own connections are gone")
    clients = [node.client() for _ in range(50)]
    assert all(client.ok("PING") == "PONG" for client in clients)
    for _ in range(3):
        with node.client() as client:
            assert client.read_to_end() == b"-ERR max number of clients reached\r\n"
    assert all(client.ok("PING") == "PONG" for client in clients)
    clients.pop().close()

    eventually(lambda: _takes_clients(node), 5, "a place that was given up is free again")


def _takes_clients(node):
    with node.client() as client:
        try:
            return client.call("PING") == "PONG"
        except OSError:
            return False


def _connected(node):
    with node.client() as client:
        info = client.ok("INFO", "clients").decode()
    return int(info.split("connected_clients:")[1].split("\r\n")[0])


def test_ten_thousand_connections(own_ring):
    """The default limit. Each end of a connection takes a descriptor, of which the system gives so many."""
    count = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 1500:
        pytest.skip(f"the system allows a process {hard} open files, and this needs {count + 1500}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    node = own_ring["5554"]
    clients = []
    try:
        while len(clients) < count:
            clients.append(Client(node.address))
        assert all(client.ok("PING") == "PONG" for client in clients[::97])
        assert clients[-1].ok("SET", "k", "v") == "OK"
        assert clients[0].ok("GET", "k") == b"v"
        with node.client() as beyond:
            assert beyond.read_to_end() == b"-ERR max number of clients reached\r\n"
        assert node.resident() < 300 * MIB
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: _takes_clients(node), 10, "clients are taken again")


def test_too_few_descriptors_lower_the_limit_and_the_log_says_so(make_ring):
    node = make_ring()["5554"]
    # The limit of this process could not be raised again, so a shell sets it for the node alone.
    node.start(prefix=["bash", "-c", 'ulimit -n 2000; exec "$0" "$@"'])
    with node.connect() as client:
        limit = int(client.ok("CONFIG", "GET", "maxclients")[1])
    assert limit < 2000
    assert f"max_clients is {limit} instead of 10000" in node.log()
