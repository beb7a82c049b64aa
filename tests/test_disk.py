"""A disk that is full, or gives back something else than was written: the node stops and says why, the ring goes on."""

import contextlib
import os
import subprocess

import pytest

from harness import NAMES, eventually
from test_recovery import fill
from workload import Writers, agree, pairs_at, settle

VICTIM = "5556"
OTHERS = [name for name in NAMES if name != VICTIM]

# The exit code of a node that stopped itself.
STOPPED_ITSELF = 70


@contextlib.contextmanager
def small_disk(folder, size):
    """Mounts a filesystem of this size at a folder, and removes it again."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small filesystem that is to be filled")
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "simpledynamo-test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small filesystem can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        # Whatever may still have a file open there.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(ring, number):
    """Writes large values until the victim stops; the number of the next ones."""
    last = number + 40
    while ring[VICTIM].is_running():
        assert number < last, "the disk is never full"
        fill(ring, b"big%d." % number, 50, 100_000, OTHERS)
        number += 1
    return number


def test_a_full_disk_stops_its_node_which_returns_when_there_is_room(make_ring):
    ring = make_ring()
    victim = ring[VICTIM]
    data = victim.folder / "data"
    with small_disk(data, "80m"):
        try:
            ring.start()
            with Writers(ring, nodes=OTHERS, pause=0.005) as writers:
                number = fill_disk(ring, 0)
                assert victim.process.wait(timeout=10) == STOPPED_ITSELF
                assert "No space left on device" in victim.log() and str(data) in victim.log()
                # As long as there is no room it says so again, and the others serve. What it had begun to write when it
                # stopped may be gone: then there is a little.
                complaints = victim.log().count("No space left on device")
                victim.start()
                number = fill_disk(ring, number)
                assert victim.wait_for_end() not in (0, None)
                assert victim.log().count("No space left on device") > complaints
                ring.wait_without(VICTIM)
                writers.wait_for_progress(50)
                subprocess.run(["mount", "-o", "remount,size=2g", str(data)], check=True)
                ring.start()
                writers.wait_for_progress(50)
            writers.assert_none_failed()
            settle(ring, writers)
            assert len([key for key in agree(ring) if key.startswith(b"big")]) == 50 * number
        finally:
            ring.end()


def flip(path, at, bits=0x55):
    """Flips some bits of the byte at this offset."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bits]))
    print("flipped bits of", path, "at", at)


def newest(folder, pattern):
    """The file that was written last."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def content_end(path):
    """Where the zeros begin with which a file was filled in advance."""
    return len(path.read_bytes().rstrip(b"\0"))


def assert_stops_and_is_refilled(ring, named):
    """The node says which file is damaged and stops; when it is started again it begins with nothing."""
    victim = ring[VICTIM]
    victim.log_path.unlink()
    victim.start()
    assert victim.wait_for_end() not in (0, None)
    print(victim.log()[-1500:])
    assert str(named) in victim.log(), "what is damaged is named"
    assert "begins with an empty store" in victim.log(), "and what happens next"
    ring.start()
    assert "it is emptied" in victim.log()


@pytest.fixture
def filled(own_ring):
    """A ring with pairs, of which a node was killed amid writes; and the pairs."""
    fill(own_ring, b"big", 300, 100_000)
    with Writers(own_ring, nodes=OTHERS, seed=2) as writers:
        writers.wait_for_progress(300)
        own_ring[VICTIM].kill()
        own_ring.wait_without(VICTIM)
    writers.assert_none_failed()
    return own_ring, writers


def finish(ring, writers):
    settle(ring, writers)
    pairs = agree(ring)
    assert len([key for key in pairs if key.startswith(b"big")]) == 300
    # It is as good as any other now: it may be the only one left that knows.
    for name in ("5562", "5554"):
        ring[name].kill()
        ring.wait_without(*("5562", "5554")[: ("5562", "5554").index(name) + 1])
    with ring[VICTIM].client() as client:
        for key, value in pairs.items():
            assert client.ok("GET", key) == value
    ring.start()


@pytest.mark.parametrize("place", ["in the middle", "at the end"])
def test_a_flipped_bit_in_the_log(filled, place):
    ring, writers = filled
    segment = newest(ring[VICTIM].folder / "data/log", "*.log")
    end = content_end(segment)
    # The last frame may be a few bytes long, and the one before it is not the end any more.
    flip(segment, end // 2 if place == "in the middle" else end - 1)
    with Writers(ring, nodes=OTHERS, seed=3) as more:
        if place == "in the middle":
            assert_stops_and_is_refilled(ring, segment)
        else:
            # What was not durable when a node was killed looks alike: that is cut off, and sent by the others again.
            ring.start()
        more.wait_for_progress(50)
    more.assert_none_failed()
    more.check(ring)
    finish(ring, writers)


@pytest.mark.parametrize("file", ["identity", "lives", "control/control.log"])
def test_a_flipped_bit_in_a_small_file(filled, file):
    ring, writers = filled
    path = ring[VICTIM].folder / "data" / file
    # No byte of a text is this one.
    flip(path, content_end(path) // 2, 0x80)
    with Writers(ring, nodes=OTHERS, seed=3) as more:
        assert_stops_and_is_refilled(ring, path)
        more.wait_for_progress(50)
    more.assert_none_failed()
    more.check(ring)
    finish(ring, writers)


def test_a_flipped_bit_in_a_table_of_the_data(filled):
    """It is noticed at the latest when what is there is read, and never passed on."""
    ring, writers = filled
    victim = ring[VICTIM]
    tables = (victim.folder / "data/data/keyspaces").glob("*/tables/*")
    path = max(tables, key=lambda path: path.stat().st_size)
    flip(path, content_end(path) // 2)
    with Writers(ring, nodes=OTHERS, seed=3) as more:
        victim.log_path.unlink()
        victim.start()
        eventually(lambda: victim.process.poll() is not None or victim.serves(), 30, "it serves, or has ended")
        if victim.is_running():
            with contextlib.suppress(OSError):
                list(pairs_at(victim))
        assert victim.wait_for_end() not in (0, None)
        print(victim.log()[-1500:])
        assert str(victim.folder / "data/data") in victim.log(), "where the damage is, is told"
        assert "begins with an empty store" in victim.log()
        ring.start()
        more.wait_for_progress(50)
    more.assert_none_failed()
    more.check(ring)
    finish(ring, writers)


def test_a_flipped_bit_in_the_journal_of_the_data(filled):
    """The engine may cut its journal off there: what it lacks then is in the log."""
    ring, writers = filled
    victim = ring[VICTIM]
    path = newest(victim.folder / "data/data", "*.jnl")
    flip(path, content_end(path) // 2)
    victim.log_path.unlink()
    victim.start()
    eventually(lambda: victim.process.poll() is not None or victim.serves(), 30, "it serves, or has ended")
    if not victim.is_running():
        assert "begins with an empty store" in victim.log()
    print(victim.log()[-1500:])
    ring.start()
    finish(ring, writers)
