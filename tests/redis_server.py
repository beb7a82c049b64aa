"""A Redis server for a test to compare with."""

import contextlib
import shutil
import subprocess

import pytest

from harness import end_process, eventually, fresh_host
from resp import Client


@contextlib.contextmanager
def redis_server(folder, *arguments):
    """The address of a Redis server that keeps nothing, with these arguments besides."""
    # Debian's redis-tools has the server too: it is one program that goes by its name.
    path = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if path is None:
        pytest.skip("there is no Redis here (Debian: redis-tools)")
    host = fresh_host()
    command = ["redis-server", "--bind", host, "--port", "6379", "--save", "", "--databases", "1", *arguments]
    process = subprocess.Popen(command, executable=path, cwd=folder, stdout=subprocess.DEVNULL)

    def answers():
        if process.poll() is not None:
            pytest.skip(f"{path} does not run as a server")
        try:
            with Client((host, 6379)) as client:
                return client.call("PING") == "PONG"
        except OSError:
            return False

    try:
        eventually(answers, 10, "Redis answers")
        yield host, 6379
    finally:
        end_process(process)
