"""`simpledynamo demo`: five processes, a table, one Ctrl-C; and what happens when things go wrong."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness import NAMES, binary, client_port, end_process, eventually, fresh_host, run
from resp import Client


class Demo:
    """A running demo, and all that it has said so far."""

    def __init__(self, folder, *options, host=None):
        self.host = host or fresh_host()
        self.folder = Path(folder)
        command = [binary(), "demo", "--dir", str(folder), "--host", self.host, *options]
        # A group of its own, so that a test can press Ctrl-C for it.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
        )
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while data := self.process.stdout.read1():
            self._said += data

    def said(self):
        return self._said.decode()

    def wait_until_it_says(self, text, seconds=30.0):
        def check():
            assert text in self.said() or self.process.poll() is None, f"the demo ended: {self.said()}"
            return text in self.said()

        eventually(check, seconds, f"the demo says {text!r}")

    def pids(self):
        """The processes of its nodes by name, from the files that name them."""
        files = ((name, self.folder / name / "node.pid") for name in NAMES)
        return {name: int(path.read_text()) for name, path in files if path.exists()}

    def client(self, name, base_port=11_108):
        return Client((self.host, client_port(name, base_port)))

    def wait(self, seconds=15.0):
        """Its exit code, once it has ended and all was read."""
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=10)
        return code


@pytest.fixture
def start_demo():
    """Starts demos, and ends them with all that they started."""
    demos = []

    def start(*arguments, **options):
        demos.append(Demo(*arguments, **options))
        return demos[-1]

    yield start
    for demo in demos:
        # Killing the demo ends its nodes: that they do is the subject of one of the tests.
        end_process(demo.process)


def is_running(pid):
    """Whether a thread of it is: each holds the ports open, also where the first one has ended already."""

    def state(thread):
        try:
            return (thread / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "X"

    try:
        return any(state(thread) not in "ZX" for thread in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


def serving(demo):
    demo.wait_until_it_says("The ring serves")
    eventually(lambda: len(demo.pids()) == 5, 5)
    return demo


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_serves_stops_cleanly_and_keeps_its_data(start_demo, tmp_path, number):
    demo = serving(start_demo(tmp_path / "data"))
    pids = demo.pids()
    for name in NAMES:
        row = next(line for line in demo.said().splitlines() if f" {name} " in line and f"{demo.host}:" in line)
        assert f"{demo.host}:{client_port(name)}" in row and str(pids[name]) in row and "%" in row
        with demo.client(name) as client:
            assert client.ok("SET", f"from {name}", name) == "OK"
    if number == signal.SIGINT:
        # A terminal sends it to the whole group of processes.
        os.killpg(demo.process.pid, number)
    else:
        demo.process.send_signal(number)
    assert demo.wait() == 0, demo.said()
    assert not any(is_running(pid) for pid in pids.values())
    assert demo.pids() == {}, "the files with the numbers are gone"

    again = serving(start_demo(tmp_path / "data", host=demo.host))
    with again.client("5560") as client:
        assert client.ok("MGET", *(f"from {name}" for name in NAMES)) == [name.encode() for name in NAMES]


def test_killing_the_demo_ends_its_nodes(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data"))
    pids = demo.pids()
    with demo.client("5554") as client:
        assert client.ok("SET", "k", "v") == "OK"
    demo.process.kill()
    demo.wait()
    eventually(lambda: not any(is_running(pid) for pid in pids.values()), 5, "all nodes have ended")
    again = serving(start_demo(tmp_path / "data", host=demo.host))
    with again.client("5562") as client:
        assert client.ok("GET", "k") == b"v"


def test_a_second_demo_on_the_folder_is_told_who_runs_there(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data"))
    second = run("demo", "--dir", str(tmp_path / "data"), "--host", fresh_host())
    assert second.returncode not in (0, 2)
    text = second.stderr.decode()
    assert f"process {demo.process.pid}" in text and len(text.splitlines()) == 1
    # The way out that it names leads out.
    options = re.search(r"demo (--dir \S+) (--base-port \d+)$", text.strip())
    folder, port = options[1].split()[1], options[2].split()[1]
    beside = serving(start_demo(folder, "--base-port", port, host=demo.host))
    with beside.client("5554", int(port)) as client, demo.client("5554") as first:
        assert client.ok("SET", "k", "beside") == "OK"
        assert first.ok("EXISTS", "k") == 0


def test_a_node_that_dies_is_reported_with_the_line_that_starts_it_again(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "my data"))
    with demo.client("5554") as client:
        client.ok("MSET", *(part for i in range(20) for part in (f"k{i}", i)))
    victim = demo.pids()["5558"]
    os.kill(victim, signal.SIGKILL)
    demo.wait_until_it_says(f"node 5558 (process {victim})", 10)
    line = next(line for line in demo.said().splitlines() if f"(process {victim})" in line)
    command = line.split("to start it again: ")[1]
    # What it says works when it is copied into a shell.
    by_hand = subprocess.Popen(["sh", "-c", f"exec {command}"], stderr=subprocess.DEVNULL)
    try:
        for name in NAMES:
            with demo.client(name) if name != "5558" else _when_there(demo) as client:
                assert all(client.ok("SET", f"k{i}", f"{name}{i}") == "OK" for i in range(20))
        # It is not the demo's to stop, and the demo says so.
        demo.process.send_signal(signal.SIGTERM)
        assert demo.wait() == 0
        assert f"node 5558 was started by hand and still runs, as process {by_hand.pid}" in demo.said()
        assert by_hand.poll() is None
    finally:
        end_process(by_hand)


def _when_there(demo):
    def attempt():
        try:
            return demo.client("5558")
        except ConnectionRefusedError:
            return None

    return eventually(attempt, 10, "the node that was started by hand takes clients")


def test_base_port_moves_all_ports(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data", "--base-port", "30000"))
    for name in NAMES:
        with demo.client(name, 30_000) as client:
            assert client.ok("PING") == "PONG"
    for wrong in ("55520", "0", "x"):
        assert run("demo", "--dir", str(tmp_path / "none"), "--base-port", wrong).returncode == 2


def test_moving_a_ring_keeps_its_data_and_the_users_lines(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data"))
    with demo.client("5554") as client:
        client.ok("SET", "k", "v")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.wait() == 0
    config = tmp_path / "data/5556/config.toml"
    config.write_text(config.read_text().replace("max_clients = 10000", "max_clients = 77"))
    moved = serving(start_demo(tmp_path / "data", "--base-port", "30000", "--durability", "none"))
    assert "config.toml.old" in moved.said()
    with moved.client("5556", 30_000) as client:
        assert client.ok("GET", "k") == b"v"
        assert client.ok("CONFIG", "GET", "maxclients") == [b"maxclients", b"77"]


def test_a_port_in_use_is_named_and_nothing_is_left_running(start_demo, tmp_path):
    host = fresh_host()
    with socket.create_server((host, 21_116)):
        demo = start_demo(tmp_path / "data", host=host)
        assert demo.wait() not in (0, 2)
    assert f"{host}:21116" in demo.said() and f"process {os.getpid()}" in demo.said()
    assert demo.pids() == {}


def test_a_folder_that_cannot_be_used_is_named(start_demo, tmp_path):
    (tmp_path / "file").write_text("in the way")
    demo = start_demo(tmp_path / "file/data")
    assert demo.wait() not in (0, 2)
    assert str(tmp_path / "file/data") in demo.said() and len(demo.said().splitlines()) == 1


def test_a_damaged_configuration_is_named_and_nothing_is_left_running(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data"))
    demo.process.send_signal(signal.SIGTERM)
    demo.wait()
    config = tmp_path / "data/5560/config.toml"
    config.write_text(config.read_text() + "max_cleints = 5\n")
    broken = start_demo(tmp_path / "data", host=demo.host)
    assert broken.wait() not in (0, 2)
    assert str(config) in broken.said() and "max_cleints" in broken.said()
    assert broken.pids() == {}


def test_a_node_that_cannot_start_ends_the_demo_with_its_reason(start_demo, tmp_path):
    demo = serving(start_demo(tmp_path / "data"))
    demo.process.send_signal(signal.SIGTERM)
    demo.wait()
    data = tmp_path / "data/5562/data"
    data.rename(tmp_path / "elsewhere")
    data.write_text("in the way")
    broken = start_demo(tmp_path / "data", host=demo.host)
    assert broken.wait(30) not in (0, 2), broken.said()
    assert "5562" in broken.said()
    assert broken.pids() == {}
