"""Fixtures: a ring shared by the tests of a file, rings of a test's own, and their logs with every failure."""

import shutil

import pytest

import harness

_rings = []


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """A ring for all tests of a file, which keep to keys of their own and leave all nodes running."""
    yield from _serve(harness.Ring(tmp_path_factory.mktemp("ring")))


@pytest.fixture
def make_ring(tmp_path):
    """Makes rings of the test's own: `make_ring(cluster={...}, node={...})`. They are not started yet."""
    made = []

    def make(**options):
        made.append(harness.Ring(tmp_path / f"ring{len(made)}", **options))
        _rings.append(made[-1])
        return made[-1]

    yield make
    for ring in made:
        ring.end()
        _rings.remove(ring)


@pytest.fixture
def own_ring(make_ring):
    """A started ring of the test's own."""
    return make_ring().start()


@pytest.fixture
def client(ring):
    """A connection to one node of the shared ring, which is empty."""
    with ring["5554"].client() as client:
        client.ok("FLUSHALL")
        yield client


def _serve(ring):
    _rings.append(ring)
    try:
        yield ring.start()
    finally:
        ring.end()
        _rings.remove(ring)
        shutil.rmtree(ring.folder, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows with a failure what the nodes had to say."""
    report = (yield).get_result()
    if report.failed:
        for ring in _rings:
            report.sections.append((f"logs of the ring at {ring.host}", ring.logs()))
