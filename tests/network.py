"""A ring whose nodes have network namespaces of their own, and links that can be cut.

Five namespaces, one for each node, are linked to a sixth, the *router*: each packet from one node to another goes
through it, and vanishes there without a word where a rule says so, as in a network that is cut. Links are cut
one way at a time. The tests' own clients are in the router, and reach each node whatever is cut.

Only root may do this, and only Linux has it. All that is made is removed again; should the tests themselves be
killed, the next run removes what is left of them.
"""

import contextlib
import ctypes
import itertools
import os
import subprocess

import pytest

from harness import NAMES

PREFIX = "sdtest"

# Where a rule that cuts a link stands: before all others.
CUT_PRIORITY = "100"

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_counter = itertools.count()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def enter(file):
    """Moves this thread, and all that it starts from now on, to a network namespace."""
    if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def remove_leftovers():
    """Removes what runs have left that were killed: their process's number is in the names."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(PREFIX) and not os.path.exists(f"/proc/{name.split('.')[1]}"):
            # Links go with the namespace that they end in.
            run("ip", "netns", "delete", name)


class Network:
    """Namespaces for the nodes of a ring; a context manager that removes them."""

    def __init__(self):
        self._run = f"{PREFIX}.{os.getpid()}.{next(_counter)}"
        # Addresses are seen by nobody outside: each run may have the same.
        self.hosts = {name: f"10.77.{number}.2" for number, name in enumerate(NAMES)}
        self.prefixes = {name: ("nsenter", f"--net=/run/netns/{self._namespace(name)}") for name in NAMES}
        self._home = None

    def _namespace(self, name):
        return f"{self._run}.{name}"

    def __enter__(self):
        try:
            self._make()
            self._home = open("/proc/thread-self/ns/net", "rb")
            with open(f"/run/netns/{self._namespace('router')}", "rb") as router:
                enter(router)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        router = self._namespace("router")
        run("ip", "netns", "add", router)
        run("ip", "-n", router, "link", "set", "lo", "up")
        run("ip", "netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for number, name in enumerate(NAMES):
            space = self._namespace(name)
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", name, "netns", router)
            run("ip", "-n", space, "address", "add", f"{self.hosts[name]}/24", "dev", "eth0")
            run("ip", "-n", router, "address", "add", f"10.77.{number}.1/24", "dev", name)
            for where, device in ((space, "eth0"), (router, name)):
                run("ip", "-n", where, "link", "set", device, "up")
            run("ip", "-n", space, "route", "add", "default", "via", f"10.77.{number}.1")

    def __exit__(self, *_):
        if self._home is not None:
            enter(self._home)
            self._home.close()
            self._home = None
        for name in ["router", *NAMES]:
            # Some are missing if making them failed.
            with contextlib.suppress(OSError):
                run("ip", "netns", "delete", self._namespace(name))

    def _rule(self, what, sender, receiver):
        rule = ("from", self.hosts[sender], "to", self.hosts[receiver], "priority", CUT_PRIORITY, "blackhole")
        run("ip", "-n", self._namespace("router"), "rule", what, *rule)

    def cut_one_way(self, sender, receiver):
        """From now on nothing arrives at one node that the other one sends."""
        self._rule("add", sender, receiver)

    def heal_one_way(self, sender, receiver):
        self._rule("delete", sender, receiver)

    @contextlib.contextmanager
    def cut(self, *pairs):
        """Nothing arrives of what the first of each pair sends to the second, for as long as this lasts."""
        with contextlib.ExitStack() as stack:
            for sender, receiver in pairs:
                self.cut_one_way(sender, receiver)
                stack.callback(self.heal_one_way, sender, receiver)
            yield


def both_ways(*pairs):
    return [pair for one, other in pairs for pair in ((one, other), (other, one))]


def around(name):
    """All links of a node."""
    return both_ways(*((name, other) for other in NAMES if other != name))


def network_or_skip():
    """A network, or the reason why there is none."""
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    try:
        remove_leftovers()
        with Network() as network, network.cut(*around(NAMES[0])):
            pass
    except (OSError, FileNotFoundError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    return Network()
