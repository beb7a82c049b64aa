"""Faults under load: clients of the other nodes notice a delay at most, and nothing that was acknowledged is lost."""

import itertools
import random
import signal
import time

import pytest

from harness import NAMES, eventually, key_for
from resp import Error
from workload import Writers, settle

FAULTS = ["killed", "hung", "stopped"]


def cripple(node, fault):
    match fault:
        case "killed":
            node.kill()
        case "hung":
            node.hang()
        case "stopped":
            node.stop()


def bring_back(node, fault):
    if fault == "hung":
        node.wake()
    else:
        node.start()


def others(*names):
    return [name for name in NAMES if name not in names]


def fail_and_return(ring, name, fault, writers):
    """One node fails under load and comes back; the others go on without it meanwhile."""
    writers.wait_for_progress(50)
    with writers.excused(name):
        cripple(ring[name], fault)
        ring.wait_without(name)
        writers.wait_for_progress(100)
        bring_back(ring[name], fault)
        ring.wait()
    writers.wait_for_progress(50)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_clients_of_other_nodes_see_no_failure(own_ring, name, fault):
    with Writers(own_ring, nodes=others(name), seed=int(name)) as writers:
        fail_and_return(own_ring, name, fault, writers)
    writers.assert_none_failed()
    settle(own_ring, writers)


@pytest.mark.parametrize("fault", FAULTS)
def test_whoever_leads_the_control_group_may_fail(own_ring, fault):
    """Again and again: so each of these elects another, whose leases must not clash with those of the one before."""
    for turn in range(3):
        leader = own_ring.controller()
        with Writers(own_ring, nodes=others(leader), seed=turn) as writers:
            fail_and_return(own_ring, leader, fault, writers)
            assert own_ring.controller(), "somebody leads"
        writers.assert_none_failed()
        settle(own_ring, writers)


def test_a_rolling_restart_costs_no_client_of_other_nodes_an_operation(own_ring):
    with Writers(own_ring) as writers:
        for node in own_ring:
            fail_and_return(own_ring, node.name, "stopped", writers)
    writers.assert_none_failed()
    settle(own_ring, writers)


def test_pauses_that_are_shorter_than_a_lease_cost_nothing(own_ring):
    """A node that hangs for a moment, as a machine does that is moved to another, stays in its chains."""
    choose = random.Random(1)
    with Writers(own_ring) as writers:
        sessions = [node.ring_info()["session"] for node in own_ring]
        for _ in range(12):
            node = own_ring[choose.choice(NAMES)]
            node.hang()
            time.sleep(choose.uniform(0.05, 0.25))
            node.wake()
            writers.wait_for_progress(20)
    writers.assert_none_failed()
    settle(own_ring, writers)
    print("sessions before and after:", sessions, [node.ring_info()["session"] for node in own_ring])


def test_two_killed_one_after_the_other_and_back_again(own_ring):
    for first, second in (("5556", "5554"), ("5554", "5556"), ("5560", "5558")):
        with Writers(own_ring, nodes=others(first, second), seed=int(first)) as writers:
            own_ring[first].kill()
            own_ring.wait_without(first)
            writers.wait_for_progress(50)
            own_ring[second].kill()
            own_ring.wait_without(first, second)
            writers.wait_for_progress(50)
            for name in (first, second):
                own_ring[name].start()
                writers.wait_for_progress(50)
            own_ring.wait()
        writers.assert_none_failed()
        settle(own_ring, writers)


def test_all_hang_and_wake(own_ring):
    """Every lease runs out while nobody runs, and nothing that waits gets a wrong answer from then on."""
    with Writers(own_ring) as writers:
        for seconds in (0.5, 2.5):
            writers.wait_for_progress(50)
            for node in own_ring:
                node.hang()
            time.sleep(seconds)
            for node in own_ring:
                node.wake()
            writers.wait_for_progress(50)
            own_ring.wait()
    settle(own_ring, writers)


def killed_and_started_in_order(ring, order, pause, writers):
    writers.wait_for_progress(60)
    for node in ring:
        node.process.send_signal(signal.SIGKILL)
    for name in order:
        ring[name].process.wait(timeout=20)
        ring[name].start()
        time.sleep(pause)
    ring.wait()


ORDERS = list(itertools.permutations(NAMES))


def test_all_killed_and_started_in_some_orders(own_ring):
    choose = random.Random(4)
    with Writers(own_ring) as writers:
        for order in choose.sample(ORDERS, 6):
            killed_and_started_in_order(own_ring, order, choose.choice([0, 0.1, 0.6, 1.5]), writers)
        writers.wait_for_progress(60)
    settle(own_ring, writers)


def test_all_killed_one_after_the_other_and_started_in_another_order(own_ring):
    """Chains shrink to their last members, and only those may start them again."""
    choose = random.Random(6)
    with Writers(own_ring) as writers:
        for _ in range(3):
            writers.wait_for_progress(60)
            for number, name in enumerate(choose.sample(NAMES, 5)):
                own_ring[name].kill()
                if number < 2:
                    own_ring.wait_without(name) if number == 0 else time.sleep(choose.uniform(0, 2))
            for name in choose.sample(NAMES, 5):
                own_ring[name].start()
                time.sleep(choose.uniform(0, 0.5))
            own_ring.wait()
        writers.wait_for_progress(60)
    settle(own_ring, writers)


def test_a_form_of_the_chain_that_shrank_is_started_by_who_was_last(own_ring):
    """A, B, C shrinks to C, which dies; A and B return and wait for it, since only C has what came last."""
    # The one chain of which both other voters are left, so that the ring can decide without it.
    first, second, last = "5558", "5560", "5562"
    key = key_for(lambda nodes: nodes == [first, second, last])
    with own_ring["5554"].client() as client:
        client.ok("INCR", key)
        own_ring[first].kill()
        own_ring.wait_without(first)
        client.ok("INCR", key)
        own_ring[second].kill()
        own_ring.wait_without(first, second)
        assert client.ok("INCR", key) == 3
        own_ring[last].kill()
        own_ring[first].start()
        own_ring[second].start()
        eventually(lambda: own_ring["5554"].ring_info().get("down_nodes") == last, 30, "all but the last are back")
        reply = client.call("GET", key)
        assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", "what is left cannot know the last value"
        own_ring.start()
        assert client.ok("INCR", key) == 4
    settle(own_ring)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_all_killed_and_started_in_every_order(own_ring):
    choose = random.Random(8)
    choose.shuffle(ORDERS)
    with Writers(own_ring) as writers:
        for order in ORDERS:
            killed_and_started_in_order(own_ring, order, choose.choice([0, 0.1, 0.6]), writers)
    settle(own_ring, writers)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_long_time_of_one_fault_at_a_time(own_ring):
    choose = random.Random()
    seed = choose.randrange(10**9)
    print("seed", seed)
    choose.seed(seed)
    end = time.monotonic() + 600
    with Writers(own_ring, seed=seed) as writers:
        while time.monotonic() < end:
            fail_and_return(own_ring, choose.choice(NAMES), choose.choice(FAULTS), writers)
    writers.assert_none_failed()
    settle(own_ring, writers)
