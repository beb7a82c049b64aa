"""A node whose data folder was lost or put back from an old copy is turned away: what it would say is not true."""

import re
import shutil

from harness import eventually, key_for
from resp import Error

LOSER = "5556"
OTHERS = ["5554", "5558", "5560", "5562"]


def data_of(node):
    """The node's data folder."""
    return node.folder / "data"


def assert_turned_away(ring, words):
    """Both sides say why, the partitions that need the node stay closed, and the others serve."""
    loser = ring[LOSER]
    eventually(lambda: re.search(words, loser.log()), what="the node to say why it is turned away")
    eventually(lambda: re.search(words, ring["5554"].log()), what="another node to say so")
    with ring["5560"].client() as client:
        client.ok("SET", key_for(lambda nodes: LOSER not in nodes), "fine")
        reply = client.call("SET", key_for(lambda nodes: LOSER in nodes), "lost")
        assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply


def test_an_empty_data_folder_does_not_pass_for_the_one_it_was(own_ring):
    key = key_for(lambda nodes: LOSER in nodes)
    with own_ring[LOSER].client() as client:
        client.ok("SET", key, "kept")
    own_ring[LOSER].kill()
    shutil.move(data_of(own_ring[LOSER]), own_ring[LOSER].folder / "aside")
    own_ring[LOSER].start()
    # The first write of a new store would have the number of the first write of the old one, and be told done.
    with own_ring[LOSER].connect() as client:
        reply = client.call("SET", key, "lost")
        assert isinstance(reply, Error) and reply.code == "UNAVAILABLE", reply
    assert_turned_away(own_ring, "its data folder is not the one that it had")
    own_ring[LOSER].kill()
    shutil.rmtree(data_of(own_ring[LOSER]))
    shutil.move(own_ring[LOSER].folder / "aside", data_of(own_ring[LOSER]))
    own_ring.start()
    with own_ring["5554"].client() as client:
        assert client.ok("GET", key) == b"kept"
        client.ok("SET", key, "again")


def test_an_old_copy_of_a_data_folder_does_not_pass_for_the_last_one(own_ring):
    key = key_for(lambda nodes: LOSER in nodes)
    own_ring[LOSER].kill()
    shutil.copytree(data_of(own_ring[LOSER]), own_ring[LOSER].folder / "old")
    own_ring.start()
    with own_ring[LOSER].client() as client:
        client.ok("SET", key, "kept")
    own_ring.kill_all()
    shutil.move(data_of(own_ring[LOSER]), own_ring[LOSER].folder / "last")
    shutil.move(own_ring[LOSER].folder / "old", data_of(own_ring[LOSER]))
    for node in own_ring:
        node.start()
    assert_turned_away(own_ring, "its data folder is an old copy")
    # Each start takes a higher number for its session; that does not make the copy any newer.
    for _ in range(3):
        own_ring[LOSER].kill()
        own_ring[LOSER].log_path.unlink()
        own_ring[LOSER].start()
        eventually(lambda: "its data folder is an old copy" in own_ring[LOSER].log(), what="another refusal")
    own_ring[LOSER].kill()
    shutil.rmtree(data_of(own_ring[LOSER]))
    shutil.move(own_ring[LOSER].folder / "last", data_of(own_ring[LOSER]))
    own_ring.start()
    with own_ring["5554"].client() as client:
        assert client.ok("GET", key) == b"kept"
