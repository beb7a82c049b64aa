"""`read_from = "tail"`: textbook chain replication, in which the tail alone answers reads."""

from harness import NAMES, key_for
from workload import Writers, settle


def test_reads_go_to_the_tail_alone_and_to_the_next_tail_once_it_is_lost(make_ring):
    ring = make_ring(node={"read_from": "tail"}).start()
    keys = [b"k%d" % i for i in range(30)]
    with ring["5554"].client() as client:
        for key in keys:
            client.ok("SET", key, b"value of " + key)
    for name in NAMES:
        with ring[name].client() as client:
            assert [client.ok("GET", key) for key in keys] == [b"value of " + key for key in keys]
    # With the tail of a key hung nobody answers for it, though two others hold it, until one of them is the tail.
    tail = "5558"
    key = key_for(lambda nodes: nodes[2] == tail)
    with Writers(ring, nodes=[name for name in NAMES if name != tail]) as writers, ring["5554"].client() as client:
        client.ok("SET", key, "there")
        ring[tail].hang()
        assert client.ok("GET", key) == b"there"
        assert ring["5554"].ring_info()["down_nodes"] == tail, "it was answered before there was another tail"
        writers.wait_for_progress(50)
        ring[tail].wake()
        ring.wait()
    writers.assert_none_failed()
    settle(ring, writers)
