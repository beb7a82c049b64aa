"""Clients that write and read while nodes fail, and what must be found afterwards.

Each writer works on keys of its own, one operation at a time, each through any of the nodes, so that it knows what
each key may hold: the outcome of the last operation that was acknowledged, or of one whose outcome it was never
told. A key whose operation came back unanswered is left alone from then on, since that operation may still take
effect as long as a node lives that knows of it. What is read meanwhile must be what was acknowledged last.

Counters are shared by all writers. Of a counter, the sum of acknowledged increments and the sum of attempted
ones are known; what it holds must lie between the two.

A test that promises more than that asks for `Writers.assert_none_failed`: each operation through each node was
answered, and by no error, but for nodes that were excused.
"""

import contextlib
import itertools
import random
import threading
import time
from dataclasses import dataclass, field

from harness import NAMES, preference_list
from resp import Client, Error

COUNTERS = [b"counter%d" % number for number in range(6)]

# Errors that say that nothing was done.
HARMLESS = ("UNAVAILABLE",)

# What stands for a reply that never came.
BROKEN = "BROKEN"

# Longer than any operation may take: its deadline is 5 s.
CLIENT_TIMEOUT = 20.0

# Rest before a node is tried again to which no connection can be made.
RECONNECT_PAUSE = 0.02

_runs = itertools.count()


@dataclass
class Known:
    """What a key may hold; None is absence."""

    acknowledged: bytes | None = None
    possible: list = field(default_factory=list)


class Writers:
    """Writer threads over some nodes of a ring; a context manager that stops them at its end."""

    def __init__(self, ring, count=6, seed=1, nodes=NAMES, pause=0.0):
        self._addresses = {name: ring[name].address for name in nodes}
        self._pause = pause
        # Several runs over one ring have keys of their own.
        self._prefix = b"w%d." % next(_runs)
        self._counters = [self._prefix + counter for counter in COUNTERS]
        self._stop = threading.Event()
        self.keys = {}
        self.acknowledged = dict.fromkeys(self._counters, 0)
        self.attempted = dict.fromkeys(self._counters, 0)
        self._excused = set()
        # A connection of an earlier generation of its node is not used again.
        self._generations = dict.fromkeys(nodes, 0)
        self._failed = []
        self._problems = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._guarded, args=(number, random.Random(seed * 1000 + number)), daemon=True)
            for number in range(count)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in self._threads), "a writer hangs"
        assert not self._problems, self._problems

    @contextlib.contextmanager
    def excused(self, name):
        """Operations through this node may fail meanwhile."""
        self._move(name, self._excused.add)
        try:
            yield
        finally:
            self._move(name, self._excused.discard)

    def _move(self, name, change):
        with self._lock:
            if name in self._generations:
                self._generations[name] += 1
                change(name)

    def assert_none_failed(self):
        """Each operation was answered, and by no error."""
        assert not self._failed, f"{len(self._failed)} operations failed: {self._failed[:20]}"

    def acknowledged_operations(self):
        with self._lock:
            return sum(self.acknowledged.values())

    def wait_for_progress(self, operations=100, seconds=30.0):
        """Waits until that many more increments were acknowledged."""
        goal = self.acknowledged_operations() + operations
        deadline = time.monotonic() + seconds
        while self.acknowledged_operations() < goal:
            assert not self._problems, self._problems
            assert time.monotonic() < deadline, f"no {operations} acknowledged writes within {seconds} s"
            time.sleep(0.01)

    def _guarded(self, number, choose):
        try:
            _Writer(self, number, choose).run()
        except Exception as problem:
            self._problems.append(repr(problem))

    def check(self, ring):
        """Compares all that was written with what each node answers, once the writers have stopped."""
        keys = sorted(self.keys)
        for node in ring:
            with node.client() as client:
                found = {}
                for start in range(0, len(keys), 1000):
                    part = keys[start : start + 1000]
                    found.update(zip(part, client.ok("MGET", *part), strict=True))
                for key, value in found.items():
                    self._check_key(node.name, key, value)
                self._check_counters(node.name, client.ok("MGET", *self._counters))

    def _check_key(self, name, key, value):
        known = self.keys.get(key, Known())
        if value == known.acknowledged or value in known.possible:
            return
        undone = "a deleted key came back" if known.acknowledged is None else "an acknowledged write is lost"
        raise AssertionError(f"{undone}: {name} has {key} = {value}, expected {known}")

    def _check_counters(self, name, found):
        for counter, value in zip(self._counters, found, strict=True):
            low, high = self.acknowledged[counter], self.attempted[counter]
            assert low <= int(value or 0) <= high, f"{name}: {counter} is {value}, not in {low}..={high}"


class _Writer:
    """One thread of `Writers`."""

    def __init__(self, writers, number, choose):
        self._all = writers
        self._number = number
        self._choose = choose
        self._clients = {}

    def run(self):
        mine, made = [], 0
        choose = self._choose
        while not self._all._stop.is_set():
            self._increment(choose.choice(self._all._counters))
            if not mine or choose.random() < 0.5:
                mine.append(b"%bk%d:%d" % (self._all._prefix, self._number, made))
                made += 1
            key = choose.choice(mine[-20:])
            value = None if choose.random() < 0.25 else b"%d/%d" % (made, choose.randrange(10**9))
            if self._write(key, value):
                mine.remove(key)
            if mine:
                self._read(choose.choice(mine[-20:]))
            time.sleep(self._all._pause)
        for _, client in self._clients.values():
            client.close()

    def _increment(self, counter):
        every = self._all
        with every._lock:
            every.attempted[counter] += 1
        reply = self._call("INCR", counter)
        with every._lock:
            if isinstance(reply, int):
                every.acknowledged[counter] += 1
            elif reply.code in HARMLESS:
                every.attempted[counter] -= 1

    def _write(self, key, value):
        """Sets or deletes a key; whether it is to be left alone."""
        reply = self._call("DEL", key) if value is None else self._call("SET", key, value)
        known = self._all.keys.setdefault(key, Known())
        if isinstance(reply, Error) and reply.code not in HARMLESS:
            known.possible.append(value)
            return True
        if not isinstance(reply, Error):
            known.acknowledged = value
        return False

    def _read(self, key):
        value = self._call("GET", key)
        if not isinstance(value, Error):
            self._all._check_key("a node asked meanwhile", key, value)

    def _call(self, *arguments):
        """The reply through any of the nodes; an error of this module's own if there came none."""
        every = self._all
        while True:
            name = self._choose.choice(list(every._addresses))
            with every._lock:
                generation = every._generations[name]
            client = self._client(name, generation)
            if client is not None:
                break
            self._note(name, generation, arguments, "no connection")
            if every._stop.is_set():
                return Error("UNAVAILABLE nothing was sent")
            time.sleep(RECONNECT_PAUSE)
        try:
            reply = client.call(*arguments)
        except OSError as error:
            client.close()
            del self._clients[name]
            self._note(name, generation, arguments, repr(error))
            return Error(f"{BROKEN} {error!r}")
        if isinstance(reply, Error):
            assert reply.code in ("UNAVAILABLE", "UNKNOWN"), reply
            self._note(name, generation, arguments, reply)
        return reply

    def _client(self, name, generation):
        """A connection to a node that was made since it was last excused, if one can be made."""
        known = self._clients.get(name)
        if known is not None and known[0] == generation:
            return known[1]
        if known is not None:
            known[1].close()
        try:
            client = Client(self._all._addresses[name], CLIENT_TIMEOUT)
        except OSError:
            self._clients.pop(name, None)
            return None
        self._clients[name] = (generation, client)
        return client

    def _note(self, name, generation, arguments, what):
        """Notes that an operation failed, unless its node is or was excused meanwhile."""
        every = self._all
        with every._lock:
            if name not in every._excused and every._generations[name] == generation:
                every._failed.append((name, preference_list(arguments[1]), arguments, what))


def settle(ring, *writers):
    """All nodes serve; what they hold is what was promised, and all replicas of a key agree."""
    ring.wait()
    for each in writers:
        each.check(ring)
    agree(ring)


def agree(ring):
    """Each pair is stored by the nodes that keep it, alike, and by no other. Returns all pairs."""
    stored = {node.name: dict(pairs_at(node)) for node in ring}
    pairs = {}
    for found in stored.values():
        pairs.update(found)
    for name, found in stored.items():
        expected = {key: value for key, value in pairs.items() if name in preference_list(key)}
        assert found.keys() == expected.keys(), (
            f"{name} lacks {sorted(expected.keys() - found.keys())[:5]}, "
            f"and has {sorted(found.keys() - expected.keys())[:5]} that no other has or that it does not keep"
        )
        differing = [key for key in found if found[key] != expected[key]]
        assert not differing, f"replicas differ: {name} has {[(key, found[key][:50]) for key in differing[:5]]}"
    return pairs


def pairs_at(node):
    """All pairs that a node says it stores."""
    cursor = b"0"
    with node.client() as client:
        while True:
            cursor, page = client.ok("SD.QUERY", "@", "CURSOR", cursor, "COUNT", 1000)
            yield from zip(page[::2], page[1::2], strict=True)
            if cursor == b"0":
                return
