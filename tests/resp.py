"""A client of Redis's protocol that hides nothing: what is sent and what comes back, byte by byte.

The client libraries that other tests use repair, retry and reorder; where the protocol itself is the subject,
the tests speak it with this.

Replies become Python values: simple strings `Simple`, errors `Error`, bulk strings `bytes`, and of RESP3 maps
`dict`, booleans `bool`, doubles `float`. An error is returned, not raised, so that a test can compare it.
"""

import socket


class Simple(str):
    """`+OK`"""


class Error(str):
    """`-ERR ...`, without the dash. Errors are compared as text."""

    @property
    def code(self):
        """The first word, by which clients tell errors apart."""
        return self.split(" ", 1)[0]


class Verbatim(bytes):
    """RESP3 text with a format: the format is dropped."""


def encode(*arguments):
    """A request as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        argument = to_bytes(argument)
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


def to_bytes(argument):
    """Text and numbers as a client would send them."""
    if isinstance(argument, (bytes, bytearray)):
        return bytes(argument)
    return str(argument).encode()


class Client:
    """One connection. `timeout` is for each reply, in seconds."""

    def __init__(self, address, timeout=20.0):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *arguments):
        """Sends one request."""
        self.socket.sendall(encode(*arguments))

    def send_raw(self, data):
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def call(self, *arguments):
        """Sends one request and returns its reply, which may be an `Error`."""
        self.send(*arguments)
        return self.read()

    def pipeline(self, *requests):
        """Sends all requests in one write, and returns all replies."""
        self.send_raw(b"".join(encode(*request) for request in requests))
        return [self.read() for _ in requests]

    def ok(self, *arguments):
        """As `call`, for a reply that must not be an error."""
        reply = self.call(*arguments)
        assert not isinstance(reply, Error), f"{arguments[:3]} was answered by {reply}"
        return reply

    def read(self):
        """The next reply."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Simple(rest.decode())
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind in b"$=":
            if rest == b"-1":
                return None
            body = self.read_exactly(int(rest) + 2)
            assert body[-2:] == b"\r\n", "a bulk string ends with a line end"
            return body[:-2] if kind == b"$" else Verbatim(body[4:-2])
        if kind in b"*~>":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b"#":
            return {b"t": True, b"f": False}[rest]
        if kind == b",":
            return float(rest)
        raise AssertionError(f"no reply begins with {line!r}")

    def read_exactly(self, count):
        """The next bytes, whatever they are."""
        while len(self._buffer) < count:
            self._receive()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def read_to_end(self):
        """All bytes until the server closes the connection."""
        try:
            while True:
                self._receive()
        except ConnectionError:
            pass
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def is_silent(self, seconds):
        """Whether nothing arrives for that long."""
        assert not self._buffer, f"unread: {bytes(self._buffer)!r}"
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self._receive()
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def _line(self):
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _receive(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += data
