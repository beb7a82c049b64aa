#!/usr/bin/env python3
"""Measures a throw-away ring of five nodes on this machine and prints what docs/performance.md records.

    benches/marks.py [--binary target/release/simpledynamo] [--seconds 8] [--runs 3]

The load shares the processors with the nodes, so compare figures of one run with each other, not with those of
another machine. Where redis-server is installed, one of it (appendfsync always) is measured in between, by the same
load, as a yardstick. Nothing here passes or fails.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("5554", "5556", "5558", "5560", "5562")

# What is measured: a name, and the options of `simpledynamo bench`.
MARKS = (
    ("writes, 64 clients", ["--reads", "0"]),
    ("reads, 64 clients", ["--reads", "100", "--load"]),
    ("half and half, 64 clients", ["--reads", "50", "--load"]),
    ("writes, 1 client", ["--reads", "0", "--clients", "1"]),
    ("reads, 1 client", ["--reads", "100", "--clients", "1", "--load"]),
    ("writes, 64 clients, 16 deep", ["--reads", "0", "--pipeline", "16"]),
    ("reads, 64 clients, 16 deep", ["--reads", "100", "--pipeline", "16", "--load"]),
    ("writes of 4 KiB, 64 clients", ["--reads", "0", "--value-size", "4096"]),
)


def own_address():
    """A loopback address that other runs on this machine are unlikely to use."""
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.9"


@contextlib.contextmanager
def ring(binary, folder, host):
    """A demo ring; yields its client addresses."""
    log = open(folder / "demo.out", "w")
    demo = subprocess.Popen([binary, "demo", "--dir", folder / "ring", "--host", host], stdout=log, stderr=log)
    try:
        addresses = [(host, 2 * int(name)) for name in NAMES]
        wait_until(lambda: all(serves(address) for address in addresses), "the ring to serve")
        yield addresses
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(timeout=30)
        log.close()


@contextlib.contextmanager
def redis(folder, host):
    """One redis-server that syncs every write; yields its address."""
    (folder / "redis").mkdir()
    server = subprocess.Popen(
        ["redis-server", "--bind", host, "--port", "6379", "--dir", folder / "redis", "--save", "",
         "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers((host, 6379), b"PING\r\n", b"+PONG"), "redis-server to answer")
        yield [(host, 6379)]
    finally:
        server.terminate()
        server.wait(timeout=30)


def serves(address):
    return answers(address, b"INFO simpledynamo\r\n", b"simpledynamo_serving:1")


def answers(address, request, expected):
    try:
        with socket.create_connection(address, timeout=1) as client:
            client.sendall(request)
            return expected in client.recv(65536)
    except OSError:
        return False


def wait_until(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up waiting for {what}")
        time.sleep(0.1)


def measure(binary, addresses, options, seconds):
    nodes = ",".join(f"{host}:{port}" for host, port in addresses)
    command = [binary, "bench", "--nodes", nodes, "--seconds", str(seconds), "-o", "json", *options]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def rate(result):
    """Operations per second, median and 99th percentile of latency in ms."""
    return tuple(result["all"][key] for key in ("per_second", "p50_ms", "p99_ms"))


def resident(folder):
    """MiB resident of each node."""
    sizes = []
    for name in NAMES:
        pid = (folder / "ring" / name / "node.pid").read_text().strip()
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        sizes.append(int(line.split()[1]) / 1024)
    return sizes


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", default=str(HERE.parent / "target/release/simpledynamo"))
    options.add_argument("--seconds", type=int, default=8, help="how long each measurement takes")
    options.add_argument("--runs", type=int, default=3, help="how often each is repeated; medians are shown")
    options.add_argument("--pairs", type=int, default=1_000_000, help="pairs stored for the figures of memory")
    args = options.parse_args()

    folder, host = Path(tempfile.mkdtemp(prefix="simpledynamo-marks-")), own_address()
    try:
        with contextlib.ExitStack() as stack:
            targets = {"five nodes": stack.enter_context(ring(args.binary, folder, host))}
            fresh = resident(folder)
            if shutil.which("redis-server"):
                targets["redis-server, always"] = stack.enter_context(redis(folder, host))
            print(f"load of the machine before: {os.getloadavg()[0]:.2f}, processors: {os.cpu_count()}\n")
            print("| | " + " | ".join(f"{name}: per second, p50, p99 ms" for name in targets) + " |")
            print("|---|" + "---|" * len(targets))
            for name, mark in MARKS:
                runs = {target: [] for target in targets}
                # Alternating, so that what else the machine does meets all alike.
                for _ in range(args.runs):
                    for target, addresses in targets.items():
                        runs[target].append(rate(measure(args.binary, addresses, mark, args.seconds)))
                cells = []
                for figures in runs.values():
                    per_second, p50, p99 = (statistics.median(column) for column in zip(*figures))
                    cells.append(f"{per_second:,.0f}, {p50:.2f}, {p99:.2f}")
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
            fill = ["--reads", "0", "--keys", str(args.pairs), "--load", "--pipeline", "16", "--warmup", "0"]
            measure(args.binary, targets["five nodes"], fill, 1)
            full = resident(folder)
            print(f"\nMiB resident, fresh: {min(fresh):.0f} to {max(fresh):.0f}; "
                  f"with {args.pairs:,} pairs in the ring: {min(full):.0f} to {max(full):.0f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
