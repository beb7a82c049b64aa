"""The protocol, byte by byte: both versions, inline commands, pipelines, refused transactions, silent modes."""

import random

import pytest

from harness import NAMES
from resp import Error, encode


def exchange(client, sent, expected):
    """Sends bytes, and expects exactly these back."""
    client.send_raw(sent)
    assert client.read_exactly(len(expected)) == expected
    # Whatever came too much would stand before the answer to this.
    client.send_raw(b"PING\r\n")
    assert client.read_exactly(7) == b"+PONG\r\n"


# --- Versions -----------------------------------------------------------------------------------------------------


def test_resp2_replies(client):
    exchange(client, encode("SET", "k", "v"), b"+OK\r\n")
    exchange(client, encode("GET", "k"), b"$1\r\nv\r\n")
    exchange(client, encode("GET", "none"), b"$-1\r\n")
    exchange(client, encode("MGET", "k", "none"), b"*2\r\n$1\r\nv\r\n$-1\r\n")
    exchange(client, encode("DEL", "k", "none"), b":1\r\n")
    exchange(client, encode("SET", "k", "", "XX"), b"$-1\r\n")
    exchange(client, encode("GET"), b"-ERR wrong number of arguments for 'get' command\r\n")
    exchange(client, encode("CONFIG", "GET", "save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n")


def test_resp3_replies(client):
    hello = client.ok("HELLO", 3)
    told = (hello[b"server"], hello[b"proto"], hello[b"mode"], hello[b"role"])
    assert told == (b"redis", 3, b"standalone", b"master")
    exchange(client, encode("GET", "none"), b"_\r\n")
    exchange(client, encode("MGET", "none"), b"*1\r\n_\r\n")
    exchange(client, encode("CONFIG", "GET", "save"), b"%1\r\n$4\r\nsave\r\n$0\r\n\r\n")
    refused = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    exchange(client, encode("HELLO", "2", "SETNAME", "x y"), refused)
    assert isinstance(client.ok("HELLO", 2), list)
    exchange(client, encode("GET", "none"), b"$-1\r\n")


def test_hello_refuses_what_redis_refuses(client):
    assert client.call("HELLO", 4) == "NOPROTO unsupported protocol version"
    assert client.call("HELLO", "three") == "ERR Protocol version is not an integer or out of range"
    assert client.call("HELLO", 3, "NONSENSE").startswith("ERR Syntax error in HELLO option")
    assert isinstance(client.ok("HELLO"), list), "none of these changed the version"
    assert client.ok("HELLO", 3, "SETNAME", "me")[b"proto"] == 3
    assert client.ok("CLIENT", "GETNAME") == b"me"
    assert client.ok("RESET") == "RESET"
    assert client.ok("CLIENT", "GETNAME") in (b"", None)
    assert isinstance(client.ok("HELLO"), list), "RESET goes back to version 2"


def test_inline_commands(client):
    exchange(client, b"SET greeting \"hello \\x77orld\\n\"\r\n", b"+OK\r\n")
    exchange(client, b"get greeting\n", b"$12\r\nhello world\n\r\n")
    exchange(client, b"\r\n\r\n*0\r\n*-1\r\nECHO ''\r\n", b"$0\r\n\r\n")
    exchange(client, b"ECHO 'it\\'s'\r\n", b"$4\r\nit's\r\n")


def test_a_request_may_arrive_in_any_pieces(client):
    request = encode("SET", "pieces", "\r\n*3\r\n") + encode("GET", "pieces")
    for byte in request:
        client.send_raw(bytes([byte]))
    assert [client.read(), client.read()] == ["OK", b"\r\n*3\r\n"]


# --- Pipelines ----------------------------------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_requests(client):
    assert client.pipeline(
        ("SET", "a", 1), ("PING",), ("INCR", "a"), ("NONSENSE",), ("GET", "a"), ("INCRBY", "a", "x"),
        ("MGET", "a", "b"), ("DEL", "a"), ("GET", "a"), ("DBSIZE",), ("ECHO", "end"),
    ) == [
        "OK", "PONG", 2, "ERR unknown command 'NONSENSE', with args beginning with: ", b"2",
        "ERR value is not an integer or out of range", [b"2", None], 1, None, 0, b"end",
    ]  # fmt: skip


def test_commands_on_many_keys_stay_in_their_place(client):
    replies = client.pipeline(
        ("MSET", *(part for i in range(50) for part in (f"k{i}", i))),
        ("DBSIZE",),
        ("DEL", *(f"k{i}" for i in range(10))),
        ("DBSIZE",),
        ("SET", "k0", "again"),
        ("EXISTS", "k0", "k1", "k49"),
        ("FLUSHALL",),
        ("GET", "k0"),
        ("SET", "k0", "new"),
        ("KEYS", "*"),
    )
    assert replies == ["OK", 50, 10, 40, "OK", 2, "OK", None, "OK", [b"k0"]]


@pytest.mark.parametrize("seed", range(4))
def test_a_long_pipeline_looks_as_if_done_one_by_one(ring, client, seed):
    """Reads see the writes before them in the pipeline and none after, over many keys and through every node."""
    choose = random.Random(seed)
    requests, expected, state = [], [], {}
    for number in range(3000):
        key = choose.choice([b"hot", b"k%d" % choose.randrange(30)])
        match choose.randrange(7):
            case 0 | 1:
                requests.append(("SET", key, number))
                expected.append("OK")
                state[key] = number
            case 2 | 3:
                requests.append(("GET", key))
                expected.append(b"%d" % state[key] if key in state else None)
            case 4:
                requests.append(("INCR", key))
                state[key] = state.get(key, 0) + 1
                expected.append(state[key])
            case 5:
                requests.append(("DEL", key))
                expected.append(int(state.pop(key, None) is not None))
            case 6:
                keys = [key, b"hot"]
                requests.append(("MGET", *keys))
                expected.append([b"%d" % state[k] if k in state else None for k in keys])
    with ring[NAMES[seed]].client() as other:
        assert other.pipeline(*requests) == expected


def test_what_one_connection_was_told_all_others_see(ring, client):
    readers = list(ring.clients().values())
    for number in range(200):
        assert client.call("SET", "seen", number) == "OK"
        assert readers[number % 5].call("GET", "seen") == b"%d" % number


# --- Errors -------------------------------------------------------------------------------------------------------


def test_errors_are_worded_as_redis_words_them(client):
    client.ok("MSET", "text", "abc", "max", 2**63 - 1)
    expected = {
        ("SET", "k", "v", "NX", "XX"): "ERR syntax error",
        ("SET", "k", "v", "EX", "x"): "ERR value is not an integer or out of range",
        ("SET", "k", "v", "EX", "0"): "ERR invalid expire time in 'set' command",
        ("INCR", "text"): "ERR value is not an integer or out of range",
        ("INCR", "max"): "ERR increment or decrement would overflow",
        ("INCRBYFLOAT", "text", "1"): "ERR value is not a valid float",
        ("SETRANGE", "k", "-1", "x"): "ERR offset is out of range",
        ("MSET", "a"): "ERR wrong number of arguments for 'mset' command",
        ("SELECT", "1"): "ERR DB index is out of range",
        ("SCAN", "x"): "ERR invalid cursor",
        ("LPUSH", "k", "v"): "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' ",
        ("CLUSTER", "INFO"): "ERR This instance has cluster support disabled",
        ("CONFIG", "NONSENSE"): "ERR unknown subcommand 'NONSENSE'. Try CONFIG HELP.",
    }
    for request, text in expected.items():
        reply = client.call(*request)
        assert isinstance(reply, Error) and reply == text, request
    for request in [("EVAL", "return 1", "0"), ("MSETNX", "a", "1"), ("SUBSCRIBE", "c"), ("RENAME", "a", "b")]:
        reply = client.call(*request)
        assert reply.startswith(f"ERR unsupported command '{request[0].lower()}': "), reply
    assert client.ok("DBSIZE") == 2, "nothing was written on the way"


def test_a_name_full_of_line_ends_makes_no_reply_of_its_own(client):
    reply = client.call(b"X\r\n+OK\r\n", b"\r\n$-1\r\n")
    assert reply.startswith("ERR unknown command 'X")
    assert client.call("PING") == "PONG"


# --- Transactions -------------------------------------------------------------------------------------------------


def test_nothing_of_a_refused_block_takes_effect(client):
    client.ok("SET", "k", "before")
    replies = client.pipeline(
        ("MULTI",), ("SET", "k", "in the block"), ("DEL", "k"), ("INCR", "n"), ("FLUSHALL",), ("EXEC",), ("GET", "k")
    )
    assert all(isinstance(reply, Error) for reply in replies[:-1])
    assert "pipeline(transaction=False)" in replies[0]
    assert replies[5].code == "EXECABORT" and "pipeline(transaction=False)" in replies[5]
    assert replies[6] == b"before"
    assert client.ok("EXISTS", "n") == 0


def test_discard_ends_a_refused_block(client):
    replies = client.pipeline(("MULTI",), ("SET", "k", "v"), ("DISCARD",), ("SET", "k", "after"))
    assert [isinstance(reply, Error) for reply in replies] == [True, True, False, False]
    assert client.ok("GET", "k") == b"after"


def test_a_connection_that_ends_in_a_block_leaves_nothing(ring, client):
    with ring["5554"].client() as other:
        other.pipeline(("MULTI",), ("SET", "k", "v"))
    assert client.ok("GET", "k") is None
    assert client.call("EXEC") == "ERR EXEC without MULTI"
    assert client.call("DISCARD") == "ERR DISCARD without MULTI"


# --- Silence ------------------------------------------------------------------------------------------------------


def test_client_reply_off_and_on(client):
    requests = [("CLIENT", "REPLY", "OFF"), ("SET", "k", "v"), ("GET", "k"), ("NONSENSE",)]
    client.send_raw(b"".join(encode(*request) for request in requests))
    assert client.is_silent(0.3)
    assert client.call("CLIENT", "REPLY", "ON") == "OK"
    assert client.call("GET", "k") == b"v"


def test_client_reply_skip(client):
    requests = [("SET", "a", 1), ("CLIENT", "REPLY", "SKIP"), ("INCR", "a"), ("INCR", "a"), ("GET", "a")]
    client.send_raw(b"".join(encode(*request) for request in requests))
    assert [client.read() for _ in range(3)] == ["OK", 3, b"3"]
    assert client.call("PING") == "PONG"


def test_quit_answers_what_came_before_and_closes(ring, client):
    with ring["5556"].client() as other:
        other.send_raw(encode("SET", "k", "v") + encode("GET", "k") + encode("QUIT") + encode("DEL", "k"))
        assert other.read_to_end() == b"+OK\r\n$1\r\nv\r\n+OK\r\n"
    assert client.ok("GET", "k") == b"v"


def test_half_closed_connection_still_gets_its_answers(ring):
    with ring["5558"].client() as other:
        other.send_raw(encode("SET", "half", "v") + encode("GET", "half"))
        other.socket.shutdown(1)
        assert other.read_to_end() == b"+OK\r\n$1\r\nv\r\n"


# --- The server itself --------------------------------------------------------------------------------------------


def test_info_has_the_fields_that_clients_read(ring, client):
    client.ok("SET", "k", "v")
    fields = dict(
        line.split(":", 1) for line in client.ok("INFO", "everything").decode().splitlines() if ":" in line
    )
    assert fields["redis_version"].count(".") == 2
    assert int(fields["process_id"]) == ring["5554"].process.pid
    assert fields["tcp_port"] == "11108"
    assert (fields["loading"], fields["role"], fields["cluster_enabled"]) == ("0", "master", "0")
    assert int(fields["connected_clients"]) >= 1
    assert int(fields["used_memory"]) > 1 << 20
    assert fields["db0"].startswith("keys=1,")
    assert int(fields["cmdstat_set"].split(",")[0].removeprefix("calls=")) >= 1


def test_wait_tells_that_the_other_replicas_have_it(client):
    client.ok("SET", "k", "v")
    assert client.ok("WAIT", 2, 1000) == 2
    assert client.ok("ROLE")[0] == b"master"


def test_a_fresh_node_is_small(own_ring):
    sizes = {node.name: node.resident() >> 20 for node in own_ring}
    assert max(sizes.values()) < 40, f"MiB resident: {sizes}"


# --- Passwords ----------------------------------------------------------------------------------------------------


def test_a_password_is_asked_for_before_anything_else(make_ring, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    ring = make_ring(node={"password_file": str(secret)})
    node = ring["5554"]
    node.start()
    client = node.connect()
    assert client.call("GET", "k") == "NOAUTH Authentication required."
    assert client.call("SD.DELETE", "*") == "NOAUTH Authentication required."
    assert client.call("HELLO", 3).code == "NOAUTH"
    assert client.call("AUTH", "wrong").code == "WRONGPASS"
    assert client.call("AUTH", "other", "s3cret").code == "WRONGPASS"
    client.send_raw(b"*11\r\n")
    assert client.read() == "ERR Protocol error: unauthenticated multibulk length"
    client = node.connect()
    assert client.call("AUTH", "s3cret") == "OK"
    assert client.call("PING") == "PONG"
    assert node.connect().call("HELLO", 3, "AUTH", "default", "s3cret")[b"proto"] == 3
