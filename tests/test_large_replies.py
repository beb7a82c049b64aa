"""Replies that are larger than what a connection holds at a time still come, all of them and in order."""

from harness import NAMES, preference_list
from resp import encode

KIB, MIB = 1 << 10, 1 << 20

# A few of the longest values wait per link, and replies of all clients: more than these bounds would be a leak.
RESIDENT_MAX = 500 * MIB


def test_a_pipeline_of_large_replies_is_answered_to_the_end(ring):
    value = b"x" * (64 * KIB)
    for name in NAMES:
        with ring[name].client() as client:
            client.ok("SET", "large", value)
            replies = client.pipeline(*[("GET", "large")] * 200, ("PING",))
            assert replies == [value] * 200 + ["PONG"], f"through {name}"


def test_many_reads_of_a_very_large_value_stay_bounded(own_ring):
    value = bytes(8 * MIB)
    keeper = preference_list(b"huge")[0]
    stranger = next(name for name in NAMES if name not in preference_list(b"huge"))
    with own_ring[keeper].client(timeout=60.0) as client:
        client.ok("SET", "huge", value)
    for name in (keeper, stranger):
        with own_ring[name].client(timeout=60.0) as client:
            # All asked for at once: a gigabyte of replies.
            client.send_raw(encode("GET", "huge") * 120)
            peak = 0
            for _ in range(120):
                assert client.read() == value, f"through {name}"
                peak = max(peak, *(node.resident() for node in own_ring))
            assert peak < RESIDENT_MAX, f"through {name}: {peak >> 20} MiB"
            reply = client.call("MGET", *["huge"] * 40)
            assert str(reply).startswith("ERR the reply would exceed 64 MiB"), f"through {name}: {str(reply)[:200]}"
