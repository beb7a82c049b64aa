"""Redis's own programs against a node, unmodified."""

import re
import shutil
import subprocess

import pytest

from resp import encode

def need(program):
    """The program, or the reason to skip."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (Debian: redis-tools)")
    return path


def redis_cli(ring, *arguments, name="5554", **options):
    host, port = ring[name].address
    command = [need("redis-cli"), "-h", host, "-p", str(port), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=30, **options)
    assert done.returncode == 0, done
    return done.stdout


def test_redis_cli_sets_and_gets_through_different_nodes(ring, client):
    assert redis_cli(ring, "SET", "k", "v") == b"OK\n"
    assert redis_cli(ring, "GET", "k", name="5562") == b"v\n"
    assert redis_cli(ring, "-3", "CONFIG", "GET", "databases", name="5558") == b"databases 1\n"
    assert redis_cli(ring, "INCR", "n", name="5560") == b"1\n"
    assert redis_cli(ring, "LPUSH", "k", "v").startswith(b"ERR unknown command 'LPUSH'")


def test_redis_cli_reads_commands_from_a_pipe(ring, client):
    commands = b"".join(b'SET key%d "value %d"\n' % (i, i) for i in range(200))
    assert redis_cli(ring, input=commands).splitlines() == [b"OK"] * 200
    assert client.ok("GET", "key199") == b"value 199"


def test_redis_cli_loads_in_bulk(ring, client):
    """`--pipe` sends the protocol as it is and counts replies; it ends by an ECHO of its own."""
    data = b"".join(encode("SET", f"bulk{i}", b"\0\r\n" * 10) for i in range(5000))
    said = redis_cli(ring, "--pipe", input=data)
    assert b"errors: 0, replies: 5000" in said
    assert client.ok("DBSIZE") == 5000


def test_redis_cli_scans_and_finds_big_keys(ring, client):
    client.ok("MSET", *(part for i in range(100) for part in (f"user:{i}", "x" * i)))
    client.ok("SET", "large", "x" * 100_000)
    found = redis_cli(ring, "--scan", "--pattern", "user:1?").splitlines()
    assert sorted(found) == [b"user:%d" % i for i in range(10, 20)]
    assert re.search(rb'Biggest +string +found .*"large".* has 100000 bytes', redis_cli(ring, "--bigkeys"))
    assert re.search(rb'Biggest +string +found .*"large".* has 1\d+ bytes', redis_cli(ring, "--memkeys"))


def test_redis_cli_measures(ring):
    assert re.search(r"redis_version:\d+\.\d+\.\d+", redis_cli(ring, "INFO").decode())
    # Without a terminal: least, greatest and average, in milliseconds, and the number of samples.
    assert re.fullmatch(rb"[\d.]+ [\d.]+ [\d.]+ \d+", redis_cli(ring, "--latency").strip())


def test_redis_benchmark_runs_its_tests(ring):
    host, port = ring["5556"].address
    command = [need("redis-benchmark"), "-h", host, "-p", str(port), "-q", "-n", "2000", "-c", "20", "-P", "4"]
    done = subprocess.run([*command, "-t", "ping,set,get,incr,mset"], capture_output=True, timeout=80)
    assert done.returncode == 0, done
    said = (done.stdout + done.stderr).replace(b"\r", b"\n")
    for name in (b"PING_INLINE", b"PING_MBULK", b"SET", b"GET", b"INCR", b"MSET (10 keys)"):
        assert re.search(re.escape(name) + rb": [\d.]+ requests per second", said), (name, said)
    assert b"rror" not in said, said


def test_redis_benchmark_counts_every_increment(ring, client):
    host, port = ring["5562"].address
    client.ok("DEL", "benchmarked")
    command = [need("redis-benchmark"), "-h", host, "-p", str(port), "-q", "-n", "3000", "-c", "30", "-P", "10"]
    done = subprocess.run([*command, "INCR", "benchmarked"], capture_output=True, timeout=60)
    assert done.returncode == 0, done
    # Clients with a pipeline finish the batch that they have begun.
    assert 3000 <= int(client.ok("GET", "benchmarked")) <= 3300
