"""Whoever is no node of this ring and knocks at its nodes' ports: a clear line in the log, and nothing stuck."""

import re
import socket
import struct
import time

import pytest

from harness import config_text, eventually
from resp import encode

MAGIC = b"SDp\x01"


def text(value):
    """A short text with its length in front."""
    return bytes([len(value)]) + value.encode()


def hello(version=2, cluster="test", table=bytes(20), node=1, to=0, link=0):
    """The first frame of a connection between nodes: length, kind 1, who is who, and what the connection is for."""
    ends = bytes([node, to]) + bytes(16)
    body = b"\x01" + MAGIC + struct.pack("<H", version) + text(cluster) + table + ends + bytes([link])
    return struct.pack("<I", len(body)) + body


STRANGERS = {
    "another version": (hello(version=99), "version 99"),
    "another cluster": (hello(cluster="other"), '"other"'),
    "another table": (hello(), r"\[cluster\]"),
    "an unknown kind of link": (hello(link=9), "a link"),
    "a Redis client": (encode("SET", "k", "v"), "no frame|not a connection from a node"),
    "a browser": (b"GET / HTTP/1.1\r\n\r\n", "no frame|not a connection from a node"),
    "an endless frame": (b"\xff\xff\xff\xff" + b"x" * 100, "no frame"),
    "a frame that is cut off": (hello()[:-3], "introduce"),
    "nothing": (b"", "introduce"),
    "a message before any greeting": (struct.pack("<I", 3) + b"\x05\x00\x00", "no frame|introduce"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_logged_and_let_go(ring, client, stranger):
    sent, logged = STRANGERS[stranger]
    node = ring["5554"]
    before = len(node.log())
    with socket.create_connection(node.peer_address, timeout=10) as connection:
        connection.sendall(sent)
        answer = b""
        try:
            while data := connection.recv(4096):
                answer += data
        except ConnectionResetError:
            pass
        port = connection.getsockname()[1] if connection.fileno() >= 0 else 0
    line = eventually(lambda: re.search(f"WARN.*(?:{logged})", node.log()[before:]), 5, "a line in the log")
    assert f":{port} " in line.string or port == 0, "the line names who it was"
    assert client.ok("SET", "k", "v") == "OK", "writes pass through all nodes as before"


def test_a_crowd_of_silent_strangers_keeps_no_node_out(own_ring):
    crowd = [socket.create_connection(own_ring["5554"].peer_address) for _ in range(1500)]
    own_ring["5556"].kill()
    own_ring.start()
    with own_ring["5556"].client() as client:
        assert all(client.ok("SET", f"k{i}", "v") == "OK" for i in range(20))
    for connection in crowd:
        connection.close()


def test_a_node_of_another_cluster_finds_no_way_in(own_ring, make_ring):
    """A whole configuration that was copied, but for the cluster's id: each side logs why, data stays apart."""
    stranger = make_ring()["5554"]
    copied = config_text(own_ring.host, "5554", {"id": "other"}, {}, 11_108)
    for port in (11_108, 21_108):
        copied = copied.replace(f"{own_ring.host}:{port}", f"{stranger.address[0]}:{port}")
    stranger.config.write_text(copied)
    stranger.start()
    eventually(lambda: '"other"' in own_ring["5556"].log(), 10, "the ring's node logs the stranger")
    why = "no link to node 5556.*refused.*cluster"
    eventually(lambda: re.search(why, stranger.log()), 10, "the stranger logs why")
    with own_ring["5556"].client() as client:
        assert all(client.ok("SET", f"k{i}", "v") == "OK" for i in range(50))
        assert client.ok("DBSIZE") == 50
    # A cause that lasts must not fill a disk with the same line.
    size = len(own_ring["5556"].log())
    time.sleep(2.0)
    assert len(own_ring["5556"].log()) - size < 10_000


def test_a_node_whose_table_differs_finds_no_way_in(own_ring):
    """One file was changed and the others were forgotten."""
    node = own_ring["5560"]
    node.kill()
    node.config.write_text(node.config.read_text().replace('id = "test"', 'id = "test"\nmax_value = 1000'))
    node.start()
    eventually(lambda: "[cluster] table differs" in own_ring["5554"].log(), 10)
    eventually(lambda: "[cluster] table differs" in node.log(), 10)
    assert not node.serves()
    node.kill()
    node.config.write_text(node.config.read_text().replace("\nmax_value = 1000", ""))
    own_ring.start()
