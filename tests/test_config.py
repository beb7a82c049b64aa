"""A node that cannot start says why in one line that names the culprit, ends with an error, and leaves nothing."""

import os
import socket
import sys
from pathlib import Path

import pytest

from harness import run

MISTAKES = {
    "unknown key": ('max_clients = 5\nmax_cleints = 5', "max_cleints"),
    "unknown table": ("\n[nodes]\nx = 1", "nodes"),
    "wrong type": ('max_clients = "many"', "max_clients"),
    "out of range": ("max_clients = 0", "max_clients"),
    "cache too small": ("cache_bytes = 5", "cache_bytes"),
    "unknown choice": ('read_from = "head"', "head"),
    "no TOML": ("max_clients = = 5", "config.toml"),
    "given twice": ("max_clients = 5\nmax_clients = 5", "max_clients"),
    "missing password file": ('password_file = "nowhere"', "nowhere"),
}


def start(node):
    """Starts a node that must refuse to start; its one line of explanation."""
    refused = run("serve", "--config", str(node.config), timeout=15)
    assert refused.returncode not in (0, 2) and refused.returncode > 0, refused
    assert refused.stdout == b""
    lines = [line for line in refused.stderr.decode().splitlines() if " INFO " not in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_is_named(make_ring, mistake):
    text, named = MISTAKES[mistake]
    node = make_ring()["5554"]
    node.config.write_text(node.config.read_text() + text + "\n")
    line = start(node)
    assert named in line
    # The file that is to be corrected; which of the two, the password file or its mention, is all the same.
    assert str(node.folder) in line


def test_mistakes_in_the_cluster_table_are_named(make_ring):
    node = make_ring()["5554"]
    good = node.config.read_text()
    host = node.address[0]
    for right, wrong, named in [
        ('id = "test"', 'id = "a b"', "a b"),
        ('id = "test"', 'id = "test"\nreplicas = 6', "replicas"),
        ('[node]\nname = "5554"', '[node]\nname = "5555"', "5555"),
        (f'peer = "{host}:21108"', 'peer = "nowhere"', "nowhere"),
        (f'client = "{host}:11108"', f'client = "{host}:11112"', "11112"),
    ]:
        assert right in good
        node.config.write_text(good.replace(right, wrong))
        line = start(node)
        assert named in line and str(node.config) in line, wrong


def test_a_missing_file_is_named():
    refused = run("serve", "--config", "/nowhere/config.toml")
    assert refused.returncode not in (0, 2)
    assert b"/nowhere/config.toml" in refused.stderr and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("which", ["address", "peer_address"], ids=["clients", "peers"])
def test_a_port_in_use_is_named(make_ring, which):
    node = make_ring()["5554"]
    taken = getattr(node, which)
    with socket.create_server(taken):
        assert "%s:%d" % taken in start(node)
    # Nothing of that start is in the way of the next.
    node.start()
    node.connect().close()


def test_a_data_folder_that_cannot_be_made_is_named(make_ring):
    node = make_ring(node={"data": "file/data"})["5554"]
    (node.folder / "file").write_text("in the way")
    assert "file/data" in start(node)


def test_a_second_process_on_the_same_data_is_refused(make_ring):
    """Other ports do not help: two processes that share one store would destroy it."""
    ring, other = make_ring(node={"pid_file": "node.pid"}), make_ring()
    node = ring["5554"]
    node.start()
    node.connect().close()
    assert (node.folder / "node.pid").read_text() == f"{node.process.pid}\n"
    assert str(node.process.pid) in start(node), "its pid file names the process that runs"
    thief = other["5554"]
    thief.config.write_text(thief.config.read_text() + f'data = "{node.folder}/data"\n')
    assert f"{node.folder}/data" in start(thief)
    node.kill()
    thief.start()
    thief.connect().close()


def test_only_the_configured_addresses_are_listened_at(own_ring):
    for node in own_ring:
        assert sorted(listening(node.process.pid)) == sorted([node.address, node.peer_address])


def listening(pid):
    """The addresses that a process listens at (proc_net(5))."""
    fds = Path(f"/proc/{pid}/fd")
    sockets = {os.readlink(fd) for fd in fds.iterdir() if os.path.islink(fd)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    for row in rows:
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets:
            host, port = row[1].split(":")
            yield socket.inet_ntoa(int(host, 16).to_bytes(4, sys.byteorder)), int(port, 16)


def test_help_tells_of_every_subcommand():
    text = run("--help").stdout.decode()
    for subcommand in ["serve", "demo", "insert", "query", "delete", "ring", "locate", "bench"]:
        assert subcommand in text
        assert run(subcommand, "--help").returncode == 0
