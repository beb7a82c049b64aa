"""Where keys live: the same by the program, by its nodes, and by a computation of our own."""

import json

from harness import NAMES, preference_list, run, sha1

KEYS = [b"", b"hello", b"5562", b"5554", "Grüße".encode(), b"a" * 300, *(b"key%d" % i for i in range(60))]


def selection(node, which):
    """All pairs of a selection, by SD.QUERY in small pages."""
    pairs, cursor = [], b"0"
    with node.client() as client:
        while True:
            cursor, page = client.ok("SD.QUERY", which, "CURSOR", cursor, "COUNT", 7)
            pairs += zip(page[::2], page[1::2], strict=True)
            if cursor == b"0":
                return pairs


def test_ring_order_and_ids_are_those_of_sha1():
    nodes = json.loads(run("ring", "-o", "json").stdout)["nodes"]
    assert [node["name"] for node in nodes] == ["5562", "5556", "5554", "5558", "5560"]
    assert [int(node["id"], 16) for node in nodes] == sorted(sha1(name.encode()) for name in NAMES)
    assert nodes[0]["client"] == "127.0.0.1:11124"
    assert nodes[0]["partition"]["preference_list"] == ["5562", "5556", "5554"]
    assert abs(sum(node["partition"]["share"] for node in nodes) - 1) < 1e-9


def test_locate_agrees_with_a_computation_of_our_own(ring):
    keys = [key for key in KEYS if len(key) < 100]
    found = run("locate", "-o", "json", "--node", "%s:%d" % ring["5560"].address, "--", *keys)
    assert found.returncode == 0, found.stderr
    for key, place in zip(keys, json.loads(found.stdout), strict=True):
        assert int(place["sha1"], 16) == sha1(key)
        assert place["preference_list"] == preference_list(key)
        assert place["partition"] == preference_list(key)[0]
        assert place["chain"]["members"] == preference_list(key), "all nodes run, so the chain is complete"


def test_ring_asked_of_a_node_names_its_chains(ring):
    told = json.loads(run("ring", "-o", "json", "--node", "%s:%d" % ring["5556"].address).stdout)
    assert told["replicas"] == 3
    for node in told["nodes"]:
        assert node["client"] == "%s:%d" % ring[node["name"]].address
        assert node["partition"]["chain"]["members"] == node["partition"]["preference_list"]
    picture = run("ring", "--node", "%s:%d" % ring["5556"].address).stdout.decode()
    assert all(name in picture for name in NAMES)


def test_keys_written_through_one_node_are_read_through_all(ring, client):
    for key in KEYS:
        assert client.ok("SET", key, b"value of " + key) == "OK"
    for node in ring:
        with node.client() as other:
            assert other.ok("MGET", *KEYS) == [b"value of " + key for key in KEYS]


def test_each_key_is_stored_on_exactly_its_three_nodes(ring, client):
    assert client.ok("MSET", *(part for key in KEYS for part in (key, b"=" + key))) == "OK"
    stored = {node.name: selection(node, "@") for node in ring}
    for name, pairs in stored.items():
        expected = sorted((key, b"=" + key) for key in KEYS if name in preference_list(key))
        assert sorted(pairs) == expected, f"what {name} stores"
    for node in ring:
        assert sorted(selection(node, "*")) == sorted((key, b"=" + key) for key in KEYS), "each key once"


def test_pages_come_in_ring_order(ring, client):
    client.ok("MSET", *(part for key in KEYS for part in (key, b"")))
    hashes = [sha1(key) for key, _ in selection(ring["5562"], "*")]
    assert hashes == sorted(hashes)


def test_any_node_can_continue_a_cursor(ring, client):
    client.ok("MSET", *(part for key in KEYS for part in (key, b"")))
    clients = list(ring.clients().values())
    found, cursor, pages = [], b"0", 0
    while True:
        cursor, keys = clients[pages % 5].ok("SCAN", cursor, "COUNT", 5)
        found, pages = found + keys, pages + 1
        if cursor == b"0":
            break
    assert sorted(found) == sorted(KEYS)
    assert pages > 5


def test_scan_filters(client):
    client.ok("MSET", "user:1", 1, "user:22", 2, "group:1", 3)

    def scan(*options):
        found, cursor = [], b"0"
        while True:
            cursor, keys = client.ok("SCAN", cursor, *options)
            found += keys
            if cursor == b"0":
                return sorted(found)

    assert scan("MATCH", "user:*") == [b"user:1", b"user:22"]
    assert scan("MATCH", "user:?") == [b"user:1"]
    assert scan("MATCH", "[gx]roup:1") == [b"group:1"]
    assert len(scan("TYPE", "string")) == 3
    assert scan("TYPE", "list") == []


def test_delete_at_deletes_everywhere_what_one_node_stores(ring, client):
    client.ok("MSET", *(part for key in KEYS for part in (key, b"")))
    mine = [key for key in KEYS if "5558" in preference_list(key)]
    with ring["5558"].client() as other:
        assert other.ok("SD.DELETE", "@") == len(mine)
        assert other.ok("DBSIZE") == len(KEYS) - len(mine)
    assert all(key not in mine for node in ring for key, _ in selection(node, "@"))
    assert client.ok("SD.DELETE", "*") == len(KEYS) - len(mine)
    assert selection(ring["5562"], "*") == []


def test_query_and_delete_of_a_key_that_is_spelled_like_a_selection(client):
    client.ok("MSET", "@", "at", "*", "star", "other", "x")
    assert client.ok("SD.QUERY", "KEY", "@") == [b"0", [b"@", b"at"]]
    assert client.ok("SD.QUERY", "KEY", "*") == [b"0", [b"*", b"star"]]
    assert client.ok("SD.QUERY", "other") == [b"0", [b"other", b"x"]]
    assert client.ok("SD.DELETE", "KEY", "*") == 1
    assert client.ok("SD.DELETE", "KEY", "*") == 0
    assert client.ok("DBSIZE") == 2


def test_a_walk_that_begins_after_a_write_finds_it(ring, client):
    """A key is found from the moment that its write was acknowledged, by SCAN and `*` as by GET."""
    clients = ring.clients()
    for number in range(100):
        key = b"fresh%d" % number
        writer, reader = clients[NAMES[number % 5]], clients[NAMES[number // 5 % 5]]
        assert writer.call("SET", key, "v") == "OK"
        assert key in reader.ok("SCAN", 0, "COUNT", 1000)[1], "SCAN misses an acknowledged key"
        assert key in reader.ok("SD.QUERY", "*", "COUNT", 1000)[1], "* misses an acknowledged key"
        assert reader.ok("DBSIZE") == number + 1
    for number in range(100):
        key = b"fresh%d" % number
        assert clients[NAMES[number % 5]].call("DEL", key) == 1
        assert key not in clients[NAMES[number // 5 % 5]].ok("KEYS", "*"), "KEYS finds a deleted key"
