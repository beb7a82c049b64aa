"""Rings for tests: real processes of the real binary, each ring on a loopback address of its own.

A ring takes the classic ports on an address 127.x.y.z that no other test uses, so that any number of tests run
side by side. Processes are ended by their numbers when the test is over, whatever became of it; should the
tests themselves be killed, the kernel ends the nodes (`serve --die-with-parent`).
"""

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from resp import Client, Error

ROOT = Path(__file__).resolve().parent.parent

# In the order of their ports.
NAMES = ["5554", "5556", "5558", "5560", "5562"]

# How long a ring may take until it serves: far more than it needs, as the machine may be busy with other tests.
START_TIMEOUT = 30.0

# Ends of logs that are shown with a failure, in bytes.
LOG_TAIL = 6000

_counter = itertools.count()


def binary():
    """The program under test."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("SIMPLEDYNAMO_BIN", target / "debug" / "simpledynamo"))
    assert path.exists(), f"{path} is not there: build it first (cargo build), or run everything with: make test"
    return str(path)


def fresh_host():
    """A loopback address on which nothing of ours listens: all of 127.0.0.0/8 is this machine."""
    for number in _counter:
        low = os.getpid() % 65_025
        host = f"127.{100 + number % 100}.{1 + low // 255}.{1 + low % 255}"
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, 11_108))
            except OSError:
                continue
        return host
    raise AssertionError("the counter never ends")


def client_port(name, base_port=11_108):
    """The client port of a classic node: twice its name, unless all ports are moved."""
    return base_port + 2 * (int(name) - 5554)


# --- Placement, computed here in the most obvious way, for comparison -------------------------------------------


def sha1(data):
    """The hash of a key or a name as a number."""
    return int.from_bytes(hashlib.sha1(data).digest(), "big")


def preference_list(key, names=None, replicas=3):
    """The nodes that keep a key: the first whose id is not below the key's hash, and the next two."""
    ring = sorted(names or NAMES, key=lambda name: sha1(name.encode()))
    owner = next((i for i, name in enumerate(ring) if sha1(name.encode()) >= sha1(key)), 0)
    return [ring[(owner + step) % len(ring)] for step in range(replicas)]


def key_for(wanted, prefix="k"):
    """A key whose preference list satisfies a condition."""
    return next(keys_for(wanted, prefix))


def keys_for(wanted, prefix="k"):
    """Keys without end whose preference lists satisfy a condition."""
    return (key for i in itertools.count() if wanted(preference_list(key := f"{prefix}{i}".encode())))


# --- Waiting ------------------------------------------------------------------------------------------------------


def eventually(check, seconds=10.0, what=None):
    """Waits until `check` returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        if result := check():
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or check}"
        time.sleep(0.02)


# --- Processes ----------------------------------------------------------------------------------------------------


def run(*arguments, timeout=30.0, **options):
    """Runs the program to its end."""
    return subprocess.run([binary(), *arguments], capture_output=True, timeout=timeout, **options)


def end_process(process):
    """Ends a process that was started here, stopped ones too, and waits until it has."""
    if process.poll() is None:
        process.kill()
    process.wait(timeout=20)


def config_text(hosts, name, cluster, node, base_port):
    """A node's configuration file; `hosts` is the address of each node by name, or one for all of them."""
    if isinstance(hosts, str):
        hosts = dict.fromkeys(NAMES, hosts)
    entries = "".join(
        f'  {{ name = "{other}", client = "{hosts[other]}:{client_port(other, base_port)}", '
        f'peer = "{hosts[other]}:{client_port(other, base_port) + 10_000}" }},\n'
        for other in NAMES
    )
    cluster = {"id": "test", **cluster}
    node = {"name": name, **node}
    lines = ["[cluster]", *(f"{key} = {toml(value)}" for key, value in cluster.items())]
    lines += [f"nodes = [\n{entries}]", "[node]", *(f"{key} = {toml(value)}" for key, value in node.items())]
    return "\n".join(lines) + "\n"


def toml(value):
    """A truth, a number or a text as TOML."""
    return json.dumps(value)


class Node:
    """One node: its folder, and its process while it runs."""

    def __init__(self, name, host, folder, base_port, prefix=()):
        self.name = name
        self.prefix = prefix
        self.address = (host, client_port(name, base_port))
        self.peer_address = (host, client_port(name, base_port) + 10_000)
        self.folder = folder
        self.config = folder / "config.toml"
        self.log_path = folder / "node.log"
        self.process = None

    def start(self, prefix=None):
        """Starts the process, and does not wait until it serves. `prefix` is a command that replaces itself by it."""
        # The kernel ends a child when the thread that started it ends.
        assert threading.current_thread() is threading.main_thread(), "nodes are started by the main thread"
        assert not self.is_running(), f"{self.name} runs already"
        command = [*(self.prefix if prefix is None else prefix), binary(), "serve", "--config", str(self.config)]
        command += ["--die-with-parent", str(os.getpid())]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        """Sends a signal; after one that ends a process at once, waits for the end."""
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait(timeout=20)

    def hang(self):
        """Stops the process as it is: it keeps its connections and answers nothing."""
        self.kill(signal.SIGSTOP)

    def wake(self):
        self.kill(signal.SIGCONT)

    def stop(self):
        """Stops the node in order."""
        self.kill(signal.SIGTERM)
        code = self.wait_for_end()
        assert code == 0, f"{self.name} ended with exit code {code}"

    def wait_for_end(self, seconds=30.0):
        """The exit code of a process that is about to end."""
        return self.process.wait(timeout=seconds)

    def end(self):
        if self.process is not None:
            end_process(self.process)

    def client(self, timeout=20.0):
        return Client(self.address, timeout)

    def connect(self, seconds=10.0):
        """A connection to a node that has only just been started."""

        def attempt():
            assert self.is_running(), f"{self.name} has ended"
            try:
                return self.client()
            except ConnectionRefusedError:
                return None

        return eventually(attempt, seconds, f"{self.name} takes clients")

    def ring_info(self):
        """The fields of INFO ring; none if the node does not answer."""
        try:
            with self.client(timeout=2.0) as client:
                info = client.call("INFO", "ring")
        except OSError:
            return {}
        if isinstance(info, Error):
            return {}
        lines = info.decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def syncing(self):
        """The partitions that this node lacks something of, by name, and how far it has come with each."""
        prefix = "syncing_"
        found = {}
        for field, value in self.ring_info().items():
            if field.startswith(prefix):
                numbers = (pair.split("=") for pair in value.split(","))
                found[field.removeprefix(prefix)] = {name: int(number) for name, number in numbers}
        return found

    def chain(self, partition):
        """The members of a partition's chain, head first, as this node knows them."""
        with self.client() as client:
            ring = json.loads(client.ok("SD.RING"))
        index = [node["name"] for node in ring["nodes"]].index(partition)
        return next(chain["members"] for chain in ring["chains"] if chain["partition"] == index)

    def serves(self):
        """Whether the node says that every node serves all that it keeps, and that it may answer itself."""
        info = self.ring_info()
        return info.get("whole") == "yes" and info.get("lease") == "yes"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def resident(self):
        """Memory of the process, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


class Ring:
    """Five nodes. `cluster` and `node` are lines of the configuration beyond the defaults."""

    def __init__(self, folder, cluster=None, node=None, host=None, base_port=11_108, hosts=None, prefixes=None):
        """`hosts` and `prefixes` are for nodes with addresses, and commands in front, of their own."""
        self.host = host or (hosts and hosts[NAMES[0]]) or fresh_host()
        self.folder = Path(folder)
        self.nodes = {}
        hosts = hosts or dict.fromkeys(NAMES, self.host)
        for name in NAMES:
            home = self.folder / name
            home.mkdir(parents=True, exist_ok=True)
            self.nodes[name] = Node(name, hosts[name], home, base_port, (prefixes or {}).get(name, ()))
            self.nodes[name].config.write_text(config_text(hosts, name, cluster or {}, node or {}, base_port))

    def __getitem__(self, name):
        return self.nodes[name]

    def __iter__(self):
        return iter(self.nodes.values())

    def start(self):
        """Starts the nodes that do not run, and waits until all serve."""
        for node in self:
            if not node.is_running():
                node.start()
        self.wait()
        return self

    def wait(self, seconds=START_TIMEOUT):
        """Waits until all nodes serve, and know the same of the ring."""
        deadline = time.monotonic() + seconds
        while True:
            known = {node.name: node.ring_info() for node in self}
            versions = {info.get("topology_version") for info in known.values()}
            if len(versions) == 1 and all(
                info.get("whole") == "yes" and info.get("lease") == "yes" for info in known.values()
            ):
                return
            for node in self:
                code = node.process.poll()
                assert code is None, f"node {node.name} ended with exit code {code} while it was waited for"
            assert time.monotonic() < deadline, f"the ring is not whole after {seconds} s: {known}"
            time.sleep(0.02)

    def wait_without(self, *names, seconds=START_TIMEOUT):
        """Waits until the nodes that are left serve everything without these."""
        left = [node for node in self if node.name not in names]

        def is_known_to(info):
            return set(names) <= set(info.get("down_nodes", "").split(",")) and info["partitions_unserved"] == "0"

        eventually(
            lambda: all(is_known_to(info) if (info := node.ring_info()) else False for node in left),
            seconds,
            f"all others serve without {names}",
        )

    def controller(self):
        """The name of the node that leads the control group, once all that run agree about it."""

        def agreed():
            named = {node.ring_info().get("controller") for node in self if node.is_running()}
            return next(iter(named)) if len(named) == 1 else None

        return eventually(agreed, START_TIMEOUT, "the nodes agree who leads")

    def kill_all(self):
        """Kills all processes at once, as a loss of power would, but for the system's cache."""
        for node in self:
            node.process.send_signal(signal.SIGKILL)
        for node in self:
            node.process.wait(timeout=20)

    def end(self):
        """Ends all processes, whatever state they are in."""
        for node in self:
            node.end()

    def clients(self):
        """A connection to each node, by name."""
        return {node.name: node.client() for node in self}

    def addresses(self):
        """All client addresses as the command line wants them."""
        return ",".join(f"{host}:{port}" for host, port in (node.address for node in self))

    def logs(self):
        """The ends of all logs, for people who look at a failure."""
        return "\n".join(f"--- {node.name}\n{node.log()[-LOG_TAIL:]}" for node in self)
