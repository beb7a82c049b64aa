"""A node whose data folder was lost, put back from an old copy, or belongs to somebody else."""

import shutil

import pytest

from harness import NAMES, eventually, key_for
from workload import Writers, agree, settle

LOSER = "5556"
OTHERS = [name for name in NAMES if name != LOSER]

OLD_COPY = "the data folder is an old copy"


def data_of(node):
    """The node's data folder."""
    return node.folder / "data"


@pytest.mark.parametrize("loser", ["5554", "5562"])
def test_an_empty_folder_is_filled_by_the_others(own_ring, loser):
    others = [name for name in NAMES if name != loser]
    with own_ring[loser].client() as client:
        client.ok("MSET", *(part for i in range(200) for part in (f"old{i}", "kept")))
        client.ok("SET", "lasting", "kept", "EX", 1000)
    with Writers(own_ring, nodes=others) as writers:
        writers.wait_for_progress(50)
        own_ring[loser].kill()
        shutil.rmtree(data_of(own_ring[loser]))
        own_ring[loser].start()
        own_ring.wait()
        writers.wait_for_progress(50)
    writers.assert_none_failed()
    settle(own_ring, writers)
    with own_ring[loser].client() as client:
        assert client.ok("MGET", *(f"old{i}" for i in range(200))) == [b"kept"] * 200
        assert 900 < client.ok("TTL", "lasting") <= 1000


def test_all_folders_may_be_lost_one_after_the_other(own_ring):
    """Nothing of a ring is left of what it began with: what it holds was handed on, and who votes as well."""
    with own_ring["5554"].client() as client:
        client.ok("MSET", *(part for i in range(200) for part in (f"old{i}", "kept")))
    for node in own_ring:
        node.kill()
        shutil.rmtree(data_of(node))
        node.start()
        own_ring.wait()
    assert len(agree(own_ring)) == 200
    own_ring.kill_all()
    own_ring.start()
    assert agree(own_ring) == {b"old%d" % i: b"kept" for i in range(200)}


def test_an_old_copy_of_a_folder_is_noticed_emptied_and_filled(own_ring):
    loser = own_ring[LOSER]
    key = key_for(lambda nodes: LOSER in nodes)
    with own_ring["5554"].client() as client:
        client.ok("MSET", key, "old", "deleted", "old")
    loser.kill()
    shutil.copytree(data_of(loser), loser.folder / "old")
    own_ring.start()
    with loser.client() as client:
        client.ok("SET", key, "kept")
        client.ok("DEL", "deleted")
    with Writers(own_ring, nodes=OTHERS) as writers:
        loser.kill()
        shutil.rmtree(data_of(loser))
        shutil.move(loser.folder / "old", data_of(loser))
        loser.start()
        eventually(lambda: OLD_COPY in loser.log(), 20, "the node says that its folder is an old copy")
        own_ring.wait()
    writers.assert_none_failed()
    settle(own_ring, writers)
    with loser.client() as client:
        assert client.ok("MGET", key, "deleted") == [b"kept", None]


def test_an_old_copy_does_not_start_a_ring_that_was_killed(own_ring):
    """Of the nodes that return it is the one with the least right to say what was acknowledged last."""
    loser = own_ring[LOSER]
    key = key_for(lambda nodes: nodes[0] == LOSER)
    loser.kill()
    shutil.copytree(data_of(loser), loser.folder / "old")
    own_ring.start()
    with loser.client() as client:
        client.ok("SET", key, "kept")
    own_ring.kill_all()
    shutil.rmtree(data_of(loser))
    shutil.move(loser.folder / "old", data_of(loser))
    loser.start()
    own_ring.start()
    assert OLD_COPY in loser.log()
    assert agree(own_ring) == {key: b"kept"}
    # It is whole from now on, and no old copy any more.
    loser.log_path.unlink()
    loser.kill()
    own_ring.start()
    assert OLD_COPY not in loser.log()
    assert agree(own_ring) == {key: b"kept"}


@pytest.mark.parametrize(
    ("line", "named"),
    [('data = "../5554/data"', ["5554", "5556"]), (None, ["other", "test"])],
    ids=["of another node", "of another cluster"],
)
def test_a_foreign_folder_is_refused(own_ring, line, named):
    """It is named and not touched, however often the node is started."""
    with own_ring["5554"].client() as client:
        client.ok("SET", "k", "v")
    own_ring.kill_all()
    thief = own_ring["5556"]
    before = thief.config.read_text()
    thief.config.write_text(f"{before}{line}\n" if line else before.replace('id = "test"', 'id = "other"'))
    for _ in range(2):
        thief.start()
        assert thief.wait_for_end() not in (0, None)
        last = thief.log().strip().splitlines()[-1]
        for name in named:
            assert name in last, last
    thief.config.write_text(before)
    own_ring.start()
    assert agree(own_ring) == {b"k": b"v"}
