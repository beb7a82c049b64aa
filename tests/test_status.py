"""`simpledynamo status`: what it says, and its exit codes, while nodes come and go."""

import json
import signal

from harness import NAMES, eventually, fresh_host, run

WHOLE, UNAVAILABLE, SHORT, UNSERVED = 0, 3, 6, 7

# The partitions that node 5558 keeps.
OF_5558 = {"5556", "5554", "5558"}


def status(ring, *options, ask="5554"):
    """The exit code, and the document."""
    done = run("status", "-o", "json", "--node", "%s:%d" % ring[ask].address, *options)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def nodes_in(document, state):
    return {node["name"] for node in document["nodes"] if node["state"] == state}


def partitions_in(document, state):
    return {partition["name"] for partition in document["partitions"] if partition["state"] == state}


def until(ring, code, condition=lambda document: True, seconds=20.0, ask="5554"):
    """Asks until the exit code is this one and the condition holds."""

    def look():
        found, document = status(ring, ask=ask)
        return document if found == code and condition(document) else None

    return eventually(look, seconds, f"status ends with {code}")


def page(ring, ask="5554"):
    return run("status", "--node", "%s:%d" % ring[ask].address).stdout.decode()


def test_a_whole_ring(ring):
    for name in NAMES:
        document = until(ring, WHOLE, ask=name)
        assert document["state"] == "whole"
        assert nodes_in(document, "up") == set(NAMES) == partitions_in(document, "whole")
        assert document["control"]["controller"] in NAMES and document["control"]["majority"] == 3
    text = page(ring)
    assert text.startswith("Whole: all 5 nodes are up, and each pair is on 3 nodes.\n")
    assert "\x1b" not in text, "no colours in a pipe"


def test_addresses_come_from_a_configuration_too(ring):
    """All nodes of the file are asked, whichever of them are there."""
    until(ring, WHOLE)
    done = run("status", "-o", "json", "--config", str(ring["5556"].config))
    assert {node["name"] for node in json.loads(done.stdout)["nodes"] if node["lease"] is not None} == set(NAMES)


def test_a_node_is_killed_and_comes_back(own_ring):
    own_ring["5558"].kill()
    code, document = status(own_ring)
    assert code in (SHORT, UNSERVED), "it is missed at once, whether or not the others have given it up"

    def is_missed(document):
        """Its partitions are short of nobody else: those that form them anew without it are not there for a moment."""
        short = [partition["missing"] for partition in document["partitions"] if partition["state"] == "short"]
        return nodes_in(document, "down") == {"5558"} and all(missing == ["5558"] for missing in short)

    document = until(own_ring, SHORT, is_missed)
    assert partitions_in(document, "short") == OF_5558
    text = page(own_ring)
    assert text.startswith("Not whole, but all is served: 3 of 5 partitions on fewer than 3 nodes. Down: 5558.\n")
    assert "Connection refused" in text and "short: without 5558" in text
    by_config = run("status", "--config", str(own_ring["5558"].config))
    assert by_config.returncode == SHORT, "a configuration names nodes besides the one that is down"
    for command in (["ring"], ["locate", "hello"]):
        told = run(*command, "--node", "%s:%d" % own_ring["5554"].address).stdout.decode()
        assert "; without 5558)" in told

    own_ring["5558"].start()
    document = until(own_ring, WHOLE)
    assert next(node for node in document["nodes"] if node["name"] == "5558")["session"] == 2


def test_a_node_that_hangs_is_given_up_and_catches_up(own_ring):
    own_ring["5560"].kill(signal.SIGSTOP)
    document = until(own_ring, SHORT, lambda document: nodes_in(document, "down") == {"5560"})
    trouble = next(node["trouble"] for node in document["nodes"] if node["name"] == "5560")
    assert trouble == "did not answer within 1 s"
    own_ring["5560"].kill(signal.SIGCONT)
    until(own_ring, WHOLE)


def test_a_node_that_missed_much_shows_how_far_it_has_come(own_ring):
    own_ring["5558"].kill()
    until(own_ring, SHORT, lambda document: nodes_in(document, "down") == {"5558"})
    value = b"x" * 100_000
    with own_ring["5554"].client(timeout=60.0) as client:
        for some in range(10):
            client.ok("MSET", *(part for i in range(100) for part in (f"k{some}:{i}", value)))
    own_ring["5558"].start()

    def progress():
        code, document = status(own_ring)
        if code == WHOLE:
            return ["too quick to be seen"]
        found = [sync for node in document["nodes"] for sync in node["syncing"] or []]
        return [sync for sync in found if sync["committed"]]

    for sync in eventually(progress, 20, "a node is syncing"):
        if not isinstance(sync, str):
            assert sync["partition"] in OF_5558 and sync["held"] <= sync["committed"]
    until(own_ring, WHOLE, seconds=60)


def test_no_majority_is_named(own_ring):
    for name in ("5558", "5560", "5562"):
        own_ring[name].kill()
    document = until(own_ring, UNSERVED, lambda document: len(partitions_in(document, "unserved")) == 5)
    assert document["control"]["voters_up"] == 2
    assert page(own_ring).startswith("Nothing is served: 3 of 5 voters must reach each other, and 2 answer here.")


def test_a_new_ring_names_who_is_missing(make_ring):
    ring = make_ring()
    for name in NAMES[:4]:
        ring[name].start()
    ring["5554"].connect().close()
    document = until(ring, UNSERVED, lambda document: document["control"]["missing"] == ["5562"])
    assert not document["control"]["formed"]
    assert "Missing: 5562." in page(ring).splitlines()[0]
    ring["5562"].start()
    until(ring, WHOLE)


def test_nobody_there():
    host = fresh_host()
    done = run("status", "--node", f"{host}:11108")
    assert done.returncode == UNAVAILABLE and not done.stdout
    assert f"{host}:11108" in done.stderr.decode() and len(done.stderr.splitlines()) == 1


def test_nobody_of_a_configuration_there(make_ring):
    ring = make_ring()
    done = run("status", "-o", "json", "--config", str(ring["5554"].config))
    assert done.returncode == UNAVAILABLE
    message = done.stderr.decode()
    assert all("%s:%d" % node.address in message for node in ring) and len(message.splitlines()) == 1
