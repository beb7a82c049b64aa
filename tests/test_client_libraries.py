"""Client libraries that know nothing of this server, in the ways that programs use them."""

import asyncio
import threading

import coredis
import glide_sync
import pytest
import redis

from harness import NAMES


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def redis_py(request, ring, client):
    """A redis-py client of one node, by either protocol."""
    assert client
    host, port = ring["5558"].address
    with redis.Redis(host, port, protocol=request.param, decode_responses=True) as connected:
        yield connected


# --- redis-py -----------------------------------------------------------------------------------------------------


def test_redis_py_by_its_defaults(ring, client):
    host, port = ring["5556"].address
    with redis.Redis(host, port) as connected:
        assert connected.ping() is True
        assert connected.set("k", "v") is True
        assert connected.get("k") == b"v"
        assert connected.info()["redis_mode"] == "standalone"
        assert connected.client_setname("tester") and connected.client_getname() in ("tester", b"tester")
        assert any(entry["name"] == "tester" for entry in connected.client_list())


def test_redis_py_strings(redis_py):
    assert redis_py.set("k", "grün") is True
    assert redis_py.get("k") == "grün"
    assert redis_py.set("k", "x", nx=True) is None
    assert redis_py.set("k", "x", xx=True, get=True) == "grün"
    assert redis_py.mset({"a": 1, "b": 2}) is True
    assert redis_py.mget("a", "none", "b") == ["1", None, "2"]
    assert (redis_py.incr("a"), redis_py.decrby("a", 5), redis_py.incrbyfloat("b", 0.5)) == (2, -3, 2.5)
    assert redis_py.append("k", "yz") == 3
    assert redis_py.getrange("k", 1, -1) == "yz"
    assert redis_py.setrange("k", 5, "!") == 6
    assert redis_py.strlen("k") == 6
    assert redis_py.getdel("k") == "xyz\0\0!"
    assert redis_py.delete("a", "b", "none") == 2
    with pytest.raises(redis.ResponseError, match="not an integer"):
        redis_py.set("t", "text") and redis_py.incr("t")


def test_redis_py_keys_and_times(redis_py):
    redis_py.set("k", "v", ex=100)
    assert 90 < redis_py.ttl("k") <= 100
    # Newer releases answer 1 where older ones answer True; the two are equal.
    assert redis_py.expire("k", 200, gt=True) == 1
    assert redis_py.persist("k") == 1
    assert redis_py.ttl("k") == -1
    assert redis_py.pexpire("k", 100_000) == 1
    assert redis_py.getex("k", persist=True) == "v"
    assert redis_py.type("k") == "string"
    assert redis_py.exists("k", "none", "k") == 2
    assert redis_py.object("encoding", "k") in ("embstr", "raw")
    redis_py.mset({f"user:{i}": i for i in range(300)})
    assert sorted(redis_py.scan_iter("user:*", count=20)) == sorted(f"user:{i}" for i in range(300))
    assert redis_py.dbsize() == 301
    assert redis_py.randomkey() in redis_py.keys()
    assert redis_py.flushall() is True
    assert redis_py.dbsize() == 0


def test_redis_py_pipelines(redis_py):
    with redis_py.pipeline(transaction=False) as pipeline:
        pipeline.set("a", 1).incr("a").get("a").mget("a", "b").delete("a")
        assert pipeline.execute() == [True, 2, "2", ["2", None], 1]
    with redis_py.pipeline() as transaction:
        transaction.set("a", 1).incr("a")
        with pytest.raises(redis.ResponseError, match=r"pipeline\(transaction=False\)") as refused:
            transaction.execute()
    assert "MULTI" in str(refused.value)
    assert redis_py.exists("a") == 0, "nothing of the block took effect"
    assert redis_py.ping() is True


def test_redis_py_lock_without_scripts(redis_py, ring):
    """The lock of the README: SET NX PX to take it, DELIFEQ to give back only what is still one's own."""

    def take(connected, token):
        return connected.set("lock", token, nx=True, px=30_000)

    def give_back(connected, token):
        return connected.execute_command("DELIFEQ", "lock", token)

    host, port = ring["5562"].address
    with redis.Redis(host, port) as other:
        assert take(redis_py, "mine") is True
        assert take(other, "theirs") is None
        assert give_back(other, "theirs") == 0
        assert give_back(redis_py, "mine") == 1
        assert take(other, "theirs") is True
        assert give_back(other, "theirs") == 1


def test_redis_py_connections_survive_a_restart_of_their_node(own_ring):
    host, port = own_ring["5554"].address
    with redis.Redis(host, port) as connected:
        connected.set("k", "v")
        own_ring["5554"].kill()
        own_ring.start()
        # The pool finds its connection dead and makes another.
        assert connected.get("k") == b"v"


def test_redis_py_pool_shared_by_threads(ring, client):
    host, port = ring["5560"].address
    with redis.Redis(host, port, max_connections=20) as connected:
        threads = [
            threading.Thread(target=lambda: [connected.incr("shared") for _ in range(50)]) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert int(connected.get("shared")) == 500


# --- coredis ------------------------------------------------------------------------------------------------------


def test_coredis(ring, client):
    async def session():
        host, port = ring["5554"].address
        async with coredis.Redis(host=host, port=port, decode_responses=True) as connected:
            assert await connected.ping() == "PONG"
            assert await connected.set("k", "v", ex=100) is True
            assert await connected.get("k") == "v"
            assert 90 < await connected.ttl("k") <= 100
            assert await connected.mset({"a": "1", "b": "2"}) is True
            assert await connected.mget(["a", "b", "none"]) == ("1", "2", None)
            assert await connected.incrby("a", 41) == 42
            found = [key async for key in connected.scan_iter(count=2)]
            assert sorted(found) == ["a", "b", "k"]
            replies = await asyncio.gather(*(connected.incr("n") for _ in range(100)))
            assert sorted(replies) == list(range(1, 101))
            with pytest.raises(coredis.exceptions.ResponseError):
                await connected.incr("k")
            assert await connected.delete(["a", "b", "k", "n"]) == 4

    asyncio.run(session())


# --- valkey-glide -------------------------------------------------------------------------------------------------


def test_valkey_glide(ring, client):
    addresses = [glide_sync.NodeAddress(*ring[name].address) for name in NAMES[:1]]
    connected = glide_sync.GlideClient.create(glide_sync.GlideClientConfiguration(addresses, request_timeout=5000))
    try:
        assert connected.set("k", "v") == "OK"
        assert connected.get("k") == b"v"
        assert connected.incr("n") == 1
        assert connected.mget(["k", "n", "none"]) == [b"v", b"1", None]
        assert connected.expire("k", 100) is True
        assert 90 < connected.ttl("k") <= 100
        cursor, found = b"0", []
        while True:
            cursor, keys = connected.scan(cursor, count=1)
            found += keys
            if cursor == b"0":
                break
        assert sorted(found) == [b"k", b"n"]
        assert connected.delete(["k", "n", "none"]) == 2
    finally:
        connected.close()
