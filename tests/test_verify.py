"""`simpledynamo verify`: that it passes what is right, finds what is wrong, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import binary, eventually, run
from redis_server import redis_server
from resp import Client

# Exit codes.
HOLDS, USAGE, UNAVAILABLE, OTHER, BROKEN = 0, 2, 3, 5, 8

# A run on a ring of its own takes longer than other tests.
PATIENCE = 240
pytestmark = pytest.mark.timeout(PATIENCE)


def verify(*arguments, program=None, timeout=PATIENCE - 20, **options):
    """Runs it to its end; the result, and the report if there is one."""
    command = [program or binary(), "verify", *map(str, arguments), "-o", "json"]
    done = subprocess.run(command, capture_output=True, timeout=timeout, **options)
    print(done.stderr.decode()[-3000:])
    return done, json.loads(done.stdout) if done.stdout else None


def leftovers(process):
    """Folders of a run that has ended."""
    return list(Path(os.environ.get("TMPDIR", "/tmp")).glob(f"simpledynamo-verify-{process}-*"))


def records(folder):
    """The operations of a history."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


class Page(HTMLParser):
    """A page whose elements are closed as they were opened, and which asks nothing of any network."""

    VOID = {"meta", "line", "rect", "path", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], []
        self.feed(text)
        self.close()
        assert self.open == [], "all elements are closed"

    def handle_starttag(self, tag, attributes):
        assert tag != "script"
        for name, value in attributes:
            assert name not in ("src", "srcset", "action") and (name != "href" or value.startswith("#")), value
        if tag not in self.VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A short run of phases that differ."""
    out = tmp_path_factory.mktemp("verify") / "out"
    phases = "basics,apart,one-by-one,crashes,hang,whole-ring,cut-off,disk"
    done, report = verify("--phase", phases, "--seconds", 3, "--seed", 11, "--out", out)
    assert done.returncode == HOLDS, (done, report and [phase["problems"] for phase in report["phases"]])
    return out, report


def test_a_right_ring_passes_and_every_fault_was_real(a_run):
    out, report = a_run
    assert report["holds"] and report["seed"] == 11 and not (out / "logs").exists()
    assert [phase["number"] for phase in report["phases"]] == [1, 2, 4, 6, 7, 10, 13, 17]
    for phase in report["phases"]:
        if phase["skipped"]:
            assert phase["name"] == "disk" and "no small disk can be mounted" in phase["skipped"]
            continue
        assert phase["findings"]["operations"] > 50 and phase["problems"] == [] and phase["findings"]["gave_up"] == []
        assert phase["availability"]["reads"]["answered"] > 0 and phase["availability"]["writes"]["answered"] > 0
        has_faults = phase["name"] not in ("basics", "apart")
        assert bool(phase["faults"]) == has_faults, phase["name"]
        # A fault that nobody noticed has tested nothing: chains went on without the nodes that failed.
        assert bool(phase["changes"]) == has_faults, phase["name"]
        assert len(phase["availability"]["pieces"]) == 150


def test_histories_have_every_operation_in_both_formats(a_run):
    out, report = a_run
    operations = records(out)
    assert len(operations) == report["finally"]["findings"]["operations"]
    assert {one["op"] for one in operations} >= {"get", "set", "set-nx", "set-xx", "set-ifeq", "del", "getdel", "delifeq", "incr"}
    assert {one.get("via") for one in operations} == {None, "@", "*"}
    edn = (out / "history.edn").read_text().splitlines()
    assert edn[0] == "[" and edn[-1] == "]" and len(edn) == 2 * len(operations) + 2
    busy = set()
    for line in edn[1:-1]:
        process = line.split(":process ")[1].split(",")[0] + line.split(":value [")[1].split('" ')[0]
        if ":type :invoke" in line:
            assert process not in busy, f"a process does one thing at a time with a key: {line}"
            busy.add(process)
        else:
            busy.remove(process)


def test_the_page_needs_nothing_else(a_run):
    out, report = a_run
    page = Page((out / "report.html").read_text())
    text = " ".join(page.text)
    assert "Everything holds" in text and "http" not in text
    for phase in report["phases"]:
        assert phase["name"] in text


def test_a_history_is_checked_again_and_a_false_one_is_found(a_run, tmp_path):
    out, _ = a_run
    assert run("verify", "--history", str(out / "history.jsonl")).returncode == HOLDS
    operations = records(out)
    # What a client was told last of a register becomes a value that nobody wrote.
    last = max((one for one in operations if one["op"] == "get" and one["outcome"] == "ok"), key=lambda one: one["ended"])
    last["reply"] = "never written"
    false = tmp_path / "false.jsonl"
    false.write_text("".join(json.dumps(one) + "\n" for one in operations))
    done = run("verify", "--history", str(false))
    assert done.returncode == BROKEN and b"never written" in done.stdout and last["key"].encode() in done.stdout
    false.write_text('{"client":1}\n')
    done = run("verify", "--history", str(false))
    assert done.returncode == OTHER and b"line 1 of the history: missing field" in done.stderr


def test_a_seed_fixes_faults_and_operations(tmp_path):
    runs = []
    for number in range(2):
        out = tmp_path / str(number)
        done, report = verify("--phase", "6,14", "--seconds", 5, "--seed", 99, "--clients", 4, "--out", out)
        assert done.returncode == HOLDS, done
        faults = [[fault["words"] for fault in phase["faults"]] for phase in report["phases"]]
        # A second look depends on which nodes can be reached: the sequence is that of the others.
        asked = {}
        for one in records(out):
            if one["client"] < 100 and one["phase"] == 6 and one["op"] != "get":
                asked.setdefault(one["client"], []).append((one["op"], one["key"]))
        runs.append((faults, asked))
    (faults, asked), (same_faults, same_asked) = runs
    assert faults == same_faults and all(faults)
    for client, operations in asked.items():
        length = min(len(operations), len(same_asked[client]))
        assert length > 20 and operations[:length] == same_asked[client][:length]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
def test_links_of_a_real_network_are_cut(tmp_path):
    done, report = verify("--netns", "--phase", "cut-off,one-way", "--seconds", 4, "--out", tmp_path / "out")
    if done.returncode == OTHER and b"cannot make network namespaces" in done.stderr:
        pytest.skip(done.stderr.decode())
    assert done.returncode == HOLDS, (done, report)
    assert [bool(phase["faults"]) for phase in report["phases"]] == [True, True]
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert f"sdverify.{os.getpid()}" not in listed


# Which phases show what is wrong, and how it shows. The nodes run the same program as verify does.
SABOTAGES = {
    # More clients than usual, and fewer keys, where only who meets a write in a short moment can notice.
    "dirty-reads": (("together", "--seconds", 15, "--clients", 32, "--keys", 12), ["not-linearizable"]),
    "stale-reads": (("cut-off", "--seconds", 8), ["not-linearizable"]),
    "early-durability": (("whole-ring", "--seconds", 12), ["not-linearizable", "lost-or-undone"]),
    "double-writes": (("crashes", "--seconds", 12, "--clients", 32), ["not-linearizable", "lost-or-undone"]),
    "forgetful-recovery": (("crashes", "--seconds", 9), ["not-linearizable", "lost-or-undone"]),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_safeguard_that_is_left_out_is_noticed(sabotage, tmp_path):
    program = os.environ.get("SIMPLEDYNAMO_SABOTAGED")
    if program is None:
        pytest.skip("SIMPLEDYNAMO_SABOTAGED names no build without safeguards: run make e2e")
    phase, kinds = SABOTAGES[sabotage]
    out = tmp_path / "out"
    environment = {**os.environ, "SIMPLEDYNAMO_SABOTAGE": sabotage}
    done, report = verify("--phase", *phase, "--out", out, program=program, env=environment)
    assert done.returncode == BROKEN, done
    violations = report["finally"]["findings"]["violations"]
    assert violations and {violation["kind"] for violation in violations} <= set(kinds)
    assert all(violation["words"] and violation["intervals"] for violation in violations)
    # The page draws the offending operations, and the nodes' logs are kept.
    assert violations[0]["key"] in "".join(Page((out / "report.html").read_text()).text)
    assert len(list((out / "logs").iterdir())) == 5


def test_a_build_without_sabotage_passes_the_same(tmp_path):
    program = os.environ.get("SIMPLEDYNAMO_SABOTAGED")
    if program is None:
        pytest.skip("SIMPLEDYNAMO_SABOTAGED names no build without safeguards: run make e2e")
    environment = {name: value for name, value in os.environ.items() if name != "SIMPLEDYNAMO_SABOTAGE"}
    done, _ = verify("--phase", "together,crashes", "--seconds", 3, "--out", tmp_path / "out", program=program, env=environment)
    assert done.returncode == HOLDS


def attach(addresses, out, seconds=5, **options):
    listed = ",".join(f"{host}:{port}" for host, port in addresses)
    return verify("--attach", listed, "--seconds", seconds, "--out", out, **options)


def test_a_single_redis_passes_and_is_left_as_it_was(tmp_path):
    with redis_server(tmp_path) as address, Client(address) as client:
        client.ok("SET", "mine", "1")
        done, report = attach([address], tmp_path / "out")
        assert done.returncode == HOLDS, done
        assert report["finally"]["findings"]["operations"] > 1000 and report["phases"][0]["problems"] == []
        assert client.ok("KEYS", "*") == [b"mine"]


def commands(client):
    """How many reads and writes of single keys the server has carried out."""
    statistics = client.ok("INFO", "commandstats").decode()
    return sum(int(calls) for calls in re.findall(r"cmdstat_[gs]et:calls=(\d+)", statistics))


def test_an_interrupted_load_is_judged_and_removed(tmp_path):
    with redis_server(tmp_path) as (host, port), Client((host, port)) as client:
        command = [binary(), "verify", "--attach", f"{host}:{port}", "--seconds", "600", "--out", str(tmp_path / "out"), "-o", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            eventually(lambda: client.ok("DBSIZE") > 5 and commands(client) > 200, 20, "clients work")
            process.send_signal(signal.SIGINT)
            report = json.loads(process.communicate(timeout=60)[0])
        assert process.returncode == HOLDS and report["finally"]["findings"]["operations"] > 100
        assert client.ok("DBSIZE") == 0


def test_stale_reads_of_an_asynchronous_replica_are_found(tmp_path):
    (tmp_path / "primary").mkdir()
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "primary") as primary, Client(primary) as client:
        host, port = primary
        with redis_server(tmp_path / "replica", "--replicaof", f"{host} {port}") as replica:
            eventually(lambda: b"state=online" in client.ok("INFO", "replication"), 30, "the replica follows")
            done, report = attach([primary, replica], tmp_path / "out", seconds=15)
            assert done.returncode == BROKEN, done
            violations = report["finally"]["findings"]["violations"]
            assert {violation["kind"] for violation in violations} == {"not-linearizable"}
            # A write at the primary, and a look at the replica that is older.
            nodes = {interval["node"] for violation in violations for interval in violation["intervals"]}
            assert nodes == {f"{host}:{port}" for host, port in (primary, replica)}
            assert client.ok("DBSIZE") == 0


def test_a_running_ring_is_checked_while_a_node_dies(own_ring, tmp_path):
    ring = own_ring
    with ring["5554"].client() as client:
        client.ok("SET", "mine", "1")
    listed = ",".join(f"{host}:{port}" for host, port in (node.address for node in ring))
    command = [binary(), "verify", "--attach", listed, "--seconds", "6", "--out", str(tmp_path / "out"), "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        history = tmp_path / "out" / "history.jsonl"
        eventually(lambda: history.exists() and history.stat().st_size > 0, 20, "clients work")
        ring["5558"].kill()
        ring.wait_without("5558")
        ring["5558"].start()
        report = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == HOLDS, report["phases"][0]["problems"]
    assert any("epoch" in change["words"] for change in report["phases"][0]["changes"])
    with ring["5554"].client() as client:
        assert client.ok("KEYS", "*") == [b"mine"]


def test_what_cannot_be_checked_is_said(tmp_path):
    done, report = verify("--attach", "127.0.0.1:1", "--out", tmp_path)
    assert done.returncode == UNAVAILABLE and report is None and b"cannot check 127.0.0.1:1" in done.stderr
    for wrong in (["--phase", "nonsense"], ["--faults", "fire"], ["--attach", "a:1", "--phase", "1"], ["--seconds", "0"]):
        assert run("verify", *wrong).returncode == USAGE, wrong
    # Every phase that was asked for needs faults that were not.
    done, report = verify("--phase", "hang", "--faults", "kill", "--out", tmp_path)
    assert done.returncode == BROKEN and report["phases"][0]["skipped"]
    assert report["finally"]["problems"] == ["every phase was left out: nothing was tested"]


def test_a_node_that_ends_by_itself_is_a_finding(tmp_path):
    command = [binary(), "verify", "--phase", "hang", "--seconds", "12", "--out", str(tmp_path / "out"), "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        history = tmp_path / "out" / "history.jsonl"
        eventually(lambda: history.exists() and history.stat().st_size > 0, 60, "clients work")
        (folder,) = leftovers(process.pid)
        os.kill(int((folder / "5562" / "node.pid").read_text()), signal.SIGKILL)
        report = json.loads(process.communicate(timeout=120)[0])
    assert process.returncode == BROKEN
    (phase,) = report["phases"]
    assert any("5562 was ended by signal 9 by itself" in problem for problem in phase["problems"]), phase["problems"]
    # It was started again, and nothing is lost.
    assert report["finally"] == {"findings": {**report["finally"]["findings"], "violations": [], "gave_up": []}, "problems": []}


def test_phases_are_listed():
    done = run("verify", "--list")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and len(lines) == 2 + 18
    assert "hang" in done.stdout.decode() and "SIGSTOP" in done.stdout.decode()


def test_an_interrupted_run_leaves_no_process_and_no_folder(tmp_path):
    command = [binary(), "verify", "--phase", "crashes", "--seconds", "60", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    history = tmp_path / "out" / "history.jsonl"
    eventually(lambda: history.exists() and history.stat().st_size > 0, 60, "clients work")
    (folder,) = leftovers(process.pid)
    pids = [int(file.read_text()) for file in folder.glob("*/node.pid")]
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == OTHER and b"interrupted: there is no verdict" in stderr
    assert leftovers(process.pid) == []
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)
