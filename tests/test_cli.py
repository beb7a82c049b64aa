"""`simpledynamo insert`, `query`, `delete`: exit codes, formats, any bytes."""

import base64
import json
import os
import re
import subprocess
import time

import pytest

from harness import NAMES, binary, fresh_host, preference_list, run

NOT_FOUND, USAGE, UNAVAILABLE, UNKNOWN, OTHER = 1, 2, 3, 4, 5

# Arguments of a process cannot hold NUL; pairs written by a Redis client can.
AWKWARD = [b"new\nline", b"tab\tand\\slash", b"quote\"'", b"\xff\xfe\x80", b"\r\n", b" "]
AWKWARD += ["é漢🙂".encode(), b"-dash"]


@pytest.fixture
def cli(ring, client):
    """Runs a subcommand against a node of the shared ring, which is empty."""
    assert client

    def call(subcommand, *arguments, node="5554", output="tsv"):
        options = ["--node", "%s:%d" % ring[node].address, "-o", output]
        return run(subcommand, *options, "--", *arguments)

    return call


def from_tsv(text):
    """Reads the tab-separated format back."""
    names = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}

    def field(data):
        return re.sub(rb"\\(.)", lambda match: names[match[1]], data)

    return [tuple(map(field, line.split(b"\t"))) for line in text.split(b"\n")[:-1]]


def from_json(text):
    """Reads the JSON format back."""

    def data(value):
        return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)

    return [(data(pair["key"]), data(pair["value"])) for pair in json.loads(text)]


def test_insert_query_delete(cli):
    assert cli("insert", "k", "v").returncode == 0
    for name in NAMES:
        found = cli("query", "k", node=name)
        assert (found.returncode, found.stdout) == (0, b"k\tv\n")
    gone = cli("delete", "k", node="5560")
    assert (gone.returncode, gone.stdout) == (0, b"1\n")
    assert cli("delete", "k").returncode == NOT_FOUND
    missing = cli("query", "k")
    assert (missing.returncode, missing.stdout) == (NOT_FOUND, b"")


def test_a_later_insert_replaces(cli):
    cli("insert", "k", "first")
    cli("insert", "k", "second", node="5562")
    assert cli("query", "k", node="5558").stdout == b"k\tsecond\n"


@pytest.mark.parametrize("awkward", AWKWARD, ids=repr)
def test_any_bytes_pass_as_arguments_and_come_back(cli, awkward):
    assert cli("insert", awkward, awkward[::-1]).returncode == 0
    expected = [(awkward, awkward[::-1])]
    assert from_tsv(cli("query", awkward).stdout) == expected
    assert from_json(cli("query", awkward, output="json").stdout) == expected
    table = cli("query", awkward, output="table")
    assert len(table.stdout.splitlines()) == 4, "a header, a rule, one line, the count"
    assert cli("delete", awkward).returncode == 0


def test_empty_keys_and_values(cli):
    assert cli("insert", "", "").returncode == 0
    assert from_tsv(cli("query", "").stdout) == [(b"", b"")]
    assert from_json(cli("query", "*", output="json").stdout) == [(b"", b"")]
    assert cli("delete", "").returncode == 0


def test_bytes_that_are_no_argument_come_back_from_selections(cli, client):
    pairs = {b"nul\0": b"\0\0", bytes(range(256)): bytes(reversed(range(256))), b"plain": b"text"}
    for key, value in pairs.items():
        client.ok("SET", key, value)
    assert dict(from_tsv(cli("query", "*").stdout)) == pairs
    assert dict(from_json(cli("query", "*", output="json").stdout)) == pairs
    # A terminal must not be told to do anything.
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]", cli("query", "*", output="table").stdout)


def test_selections_of_a_node_and_of_the_ring(cli, client):
    keys = [b"s%d" % i for i in range(40)]
    client.ok("MSET", *(part for key in keys for part in (key, b"v")))
    for name in NAMES:
        stored = [key for key, _ in from_tsv(cli("query", "@", node=name).stdout)]
        assert sorted(stored) == sorted(key for key in keys if name in preference_list(key))
        assert sorted(key for key, _ in from_tsv(cli("query", "*", node=name).stdout)) == sorted(keys)
    at_5556 = sum("5556" in preference_list(key) for key in keys)
    assert cli("delete", "@", node="5556").stdout == b"%d\n" % at_5556
    assert json.loads(cli("delete", "*", output="json").stdout) == {"deleted": 40 - at_5556}
    empty = cli("query", "*")
    assert (empty.returncode, empty.stdout) == (0, b"")
    assert json.loads(cli("query", "*", output="json").stdout) == []
    assert cli("delete", "*").stdout == b"0\n", "deleting nothing from a selection is no failure"


def test_twenty_thousand_pairs_pass_through_a_small_process(ring, client):
    items = [(b"many%d" % i, os.urandom(8).hex().encode() * 64) for i in range(20_000)]
    for start in range(0, len(items), 2000):
        client.ok("MSET", *(part for pair in items[start : start + 2000] for part in pair))
    memory = {}
    for node in ring:
        before = node.resident()
        command = [binary(), "query", "--node", "%s:%d" % node.address, "-o", "tsv", "*"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            first = process.stdout.readline()
            # The reader rests: what the process holds now is what it holds on the way.
            time.sleep(0.3)
            status = open(f"/proc/{process.pid}/status").read()
            found = process.stdout.read()
        assert process.returncode == 0
        memory[node.name] = (int(re.search(r"VmRSS:\s*(\d+)", status)[1]) * 1024, node.resident() - before)
        assert sorted(from_tsv(first + found)) == sorted(items)
    # All pairs are 20 MB; a page of a thousand is 1 MB.
    assert max(process for process, _ in memory.values()) < 16 << 20, memory
    assert max(growth for _, growth in memory.values()) < 64 << 20, memory


def test_a_reader_that_stops_ends_the_query_quietly(ring, client):
    client.ok("MSET", *(part for i in range(3000) for part in (f"q{i}", "x" * 100)))
    command = f"'{binary()}' query --node %s:%d -o tsv '*' | head -n 3" % ring["5554"].address
    found = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, timeout=20)
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) == 3
    assert found.stderr == b""


def test_command_lines_that_make_no_sense():
    for line in (["insert", "k"], ["query"], ["frobnicate"], ["query", "k", "-o", "xml"], []):
        assert run(*line).returncode == USAGE, line


def test_no_node_there_is_told_in_one_line_and_by_the_exit_code():
    nowhere = f"{fresh_host()}:11108"
    for line in (["insert", "k", "v"], ["query", "k"], ["delete", "k"], ["query", "*"], ["ring"]):
        failed = run(*line, "--node", nowhere)
        assert failed.returncode == UNAVAILABLE, line
        assert nowhere.encode() in failed.stderr
        assert len(failed.stderr.splitlines()) == 1, failed.stderr
    assert run("query", "k", "--node", "11108").returncode == OTHER


def test_bench_measures_and_reports_as_json(ring):
    options = ["--clients", "8", "--keys", "200", "--seconds", "1", "--warmup", "0", "--reads", "50", "-o", "json"]
    measured = run("bench", "--nodes", ring.addresses(), *options)
    assert measured.returncode == 0, measured.stderr
    report = json.loads(measured.stdout)
    assert "p99" in json.dumps(report)
    nowhere = run("bench", "--nodes", f"{fresh_host()}:11108", "--seconds", "1", "--warmup", "0")
    assert nowhere.returncode == UNAVAILABLE


# The environment may name a node; tests must not talk to somebody's real ring.
@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("SIMPLEDYNAMO_NODE", "SIMPLEDYNAMO_CONFIG", "SIMPLEDYNAMO_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)

