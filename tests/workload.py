"""Clients that write while nodes die, and what must be found afterwards.

Each writer works on keys of its own, one operation at a time, so that it knows what each key may hold: the
outcome of the last operation that was acknowledged, or of one whose outcome it was never told. A key whose
operation came back unanswered is left alone from then on, since that operation may still take effect as long
as a node lives that knows of it.

Counters are shared by all writers. Of a counter, the sum of acknowledged increments and the sum of attempted
ones are known; what it holds must lie between the two.
"""

import random
import threading
import time
from dataclasses import dataclass, field

from harness import NAMES
from resp import Client, Error

COUNTERS = [b"counter%d" % number for number in range(6)]

# Errors that say that nothing was done.
HARMLESS = ("UNAVAILABLE",)


@dataclass
class Known:
    """What a key may hold; None is absence."""

    acknowledged: bytes | None = None
    possible: list = field(default_factory=list)


class Writers:
    """Writer threads over all nodes of a ring; a context manager that stops them at its end."""

    def __init__(self, ring, count=6, seed=1, nodes=NAMES):
        self._addresses = [ring[name].address for name in nodes]
        self._stop = threading.Event()
        self.keys = {}
        self.acknowledged = dict.fromkeys(COUNTERS, 0)
        self.attempted = dict.fromkeys(COUNTERS, 0)
        self.refused = []
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
            self._write(number, choose)
        except Exception as problem:
            self._problems.append(repr(problem))

    def _write(self, number, choose):
        client, made = None, 0
        mine = []
        while not self._stop.is_set():
            if client is None:
                client = self._connect(choose)
                continue
            counter = choose.choice(COUNTERS)
            with self._lock:
                self.attempted[counter] += 1
            reply = self._call(client, "INCR", counter)
            if isinstance(reply, int):
                with self._lock:
                    self.acknowledged[counter] += 1
            elif reply is not None and reply.code in HARMLESS:
                with self._lock:
                    self.attempted[counter] -= 1
            client = self._keep(client, reply)
            if client is None:
                continue
            if not mine or choose.random() < 0.5:
                mine.append(b"w%d:%d" % (number, made))
                made += 1
            key = choose.choice(mine[-20:])
            value = None if choose.random() < 0.25 else b"%d/%d" % (made, choose.randrange(10**9))
            reply = self._call(client, "DEL", key) if value is None else self._call(client, "SET", key, value)
            if self._note(key, value, reply):
                mine.remove(key)
            client = self._keep(client, reply)

    def _note(self, key, value, reply):
        """Notes what a key may hold now; whether it is to be left alone."""
        known = self.keys.setdefault(key, Known())
        if reply is None or isinstance(reply, Error) and reply.code not in HARMLESS:
            known.possible.append(value)
            return True
        if not isinstance(reply, Error):
            known.acknowledged = value
        return False

    def _connect(self, choose):
        try:
            return Client(choose.choice(self._addresses), timeout=20)
        except OSError:
            time.sleep(0.02)
            return None

    def _call(self, client, *arguments):
        """The reply, or None if there came none."""
        try:
            return client.call(*arguments)
        except OSError:
            return None

    def _keep(self, client, reply):
        """The connection to go on with, if any."""
        if reply is None:
            client.close()
            return None
        if isinstance(reply, Error):
            assert reply.code in ("UNAVAILABLE", "UNKNOWN"), reply
            self.refused.append(reply)
        return client

    def check(self, ring):
        """Compares all that was written with what each node answers, once the writers have stopped."""
        keys = sorted(self.keys)
        for node in ring:
            with node.client() as client:
                found = {}
                for start in range(0, len(keys), 1000):
                    part = keys[start : start + 1000]
                    found.update(zip(part, client.ok("MGET", *part), strict=True))
                self._check_keys(node.name, found)
                self._check_counters(node.name, client.ok("MGET", *COUNTERS))

    def _check_keys(self, name, found):
        for key, value in found.items():
            known = self.keys[key]
            if value == known.acknowledged or value in known.possible:
                continue
            undone = "a deleted key came back" if known.acknowledged is None else "an acknowledged write is lost"
            raise AssertionError(f"{undone}: {name} has {key} = {value}, expected {known}")

    def _check_counters(self, name, found):
        for counter, value in zip(COUNTERS, found, strict=True):
            low, high = self.acknowledged[counter], self.attempted[counter]
            assert low <= int(value or 0) <= high, f"{name}: {counter} is {value}, not in {low}..={high}"
