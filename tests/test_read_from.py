"""`read_from = "tail"`: textbook chain replication, in which the tail alone answers reads."""

import signal

from harness import NAMES, key_for, preference_list
from resp import Error


def test_reads_go_to_the_tail_alone(make_ring):
    ring = make_ring(node={"read_from": "tail"}).start()
    keys = [b"k%d" % i for i in range(30)]
    with ring["5554"].client() as client:
        for key in keys:
            client.ok("SET", key, b"value of " + key)
    for name in NAMES:
        with ring[name].client() as client:
            assert [client.ok("GET", key) for key in keys] == [b"value of " + key for key in keys]
    # With the tail of a key gone nobody answers for it, though two others hold it.
    key = key_for(lambda nodes: nodes[2] == "5558")
    assert preference_list(key)[2] == "5558"
    with ring["5554"].client() as client:
        client.ok("SET", key, "there")
        ring["5558"].kill(signal.SIGKILL)
        reply = client.call("GET", key)
        assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply
