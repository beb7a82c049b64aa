"""What was acknowledged stays: through kill -9 of all processes, of some, and through ordinary stops."""

import random
import signal
import time

import pytest

from harness import NAMES, eventually
from workload import Writers, settle


def test_all_killed_amid_writes_again_and_again(own_ring):
    with Writers(own_ring) as writers:
        for _ in range(5):
            writers.wait_for_progress(150)
            own_ring.kill_all()
            own_ring.start()
        writers.wait_for_progress(150)
    settle(own_ring, writers)


def test_killed_again_while_starting(own_ring):
    """A start that is cut short leaves nothing half done, whatever order the nodes come back in."""
    choose = random.Random(7)
    with Writers(own_ring) as writers:
        for _ in range(6):
            writers.wait_for_progress(80)
            own_ring.kill_all()
            for _ in range(2):
                for node in choose.sample(list(own_ring), 5):
                    node.start()
                    time.sleep(choose.random() * 0.04)
                own_ring.kill_all()
            own_ring.start()
        writers.wait_for_progress(50)
    settle(own_ring, writers)


@pytest.mark.parametrize("name", NAMES)
def test_one_killed_and_restarted_amid_writes(own_ring, name):
    with Writers(own_ring, seed=int(name)) as writers:
        for _ in range(3):
            writers.wait_for_progress(80)
            own_ring[name].kill()
            own_ring.start()
        writers.wait_for_progress(80)
    settle(own_ring, writers)


def test_one_after_another_is_killed_and_comes_back(own_ring):
    choose = random.Random(3)
    with Writers(own_ring, seed=3) as writers:
        for _ in range(12):
            writers.wait_for_progress(30)
            node = own_ring[choose.choice(NAMES)]
            node.kill()
            time.sleep(choose.random() * 0.2)
            own_ring.start()
    settle(own_ring, writers)


def test_any_of_three_killed_together(own_ring):
    choose = random.Random(5)
    with Writers(own_ring, seed=5) as writers:
        for _ in range(4):
            writers.wait_for_progress(60)
            for name in choose.sample(NAMES, 3):
                own_ring[name].kill()
            own_ring.start()
        writers.wait_for_progress(60)
    settle(own_ring, writers)


def test_an_orderly_stop_answers_what_was_taken(own_ring):
    """After SIGTERM a node answers what it has taken, says goodbye to its clients, and ends with code 0."""
    with Writers(own_ring, seed=9) as writers:
        writers.wait_for_progress(100)
        for node in own_ring:
            node.kill(signal.SIGTERM)
        for node in own_ring:
            assert node.process.wait(timeout=10) == 0, f"{node.name}: {node.log()[-500:]}"
        own_ring.start()
        writers.wait_for_progress(100)
    settle(own_ring, writers)


@pytest.mark.parametrize("durability", ["interval", "none"])
def test_a_killed_process_loses_nothing_in_the_weaker_modes_either(make_ring, durability):
    ring = make_ring(cluster={"durability": durability}).start()
    with Writers(ring, seed=11) as writers:
        for _ in range(2):
            writers.wait_for_progress(300)
            ring.kill_all()
            ring.start()
        writers.wait_for_progress(100)
    settle(ring, writers)


def test_expiry_times_and_deletions_survive(own_ring):
    with own_ring["5554"].client() as client:
        client.ok("MSET", "stays", 1, "goes", 2, "big", "x" * 1_000_000)
        client.ok("DEL", "goes")
        client.ok("SET", "later", 1, "EX", 1000)
        client.ok("SET", "soon", 1, "PX", 300)
    own_ring.kill_all()
    time.sleep(0.4)
    own_ring.start()
    for node in own_ring:
        with node.client() as client:
            assert client.ok("MGET", "stays", "goes", "soon") == [b"1", None, None]
            assert client.ok("STRLEN", "big") == 1_000_000
            assert 900 < client.ok("TTL", "later") <= 1000
    with own_ring["5562"].client() as client:
        eventually(lambda: client.ok("DBSIZE") == 3, 10, "only three keys are counted")
