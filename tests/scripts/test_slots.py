"""Scripts of several runs at a time, here and on Ray: each in its own slot, and none outlives who started it."""

import json
import os
import subprocess
import sys
import types
from dataclasses import replace
from functools import partial

import pytest
from script_starts import PYTHON, QUICK, alive, judged, made, until

from tapered import kind, machines
from tapered.gpus import visible
from tapered.scripts import slots as module
from tapered.scripts.errors import ScriptError
from tapered.scripts.nodes import kinds_of
from tapered.scripts.on_ray import RaySlots, _supervised
from tapered.scripts.slots import Slots, Start

# from when until when it runs, and what it is given; while there are others it waits for one to be beside it
BESIDE = """
import json, os, pathlib, sys, time
run = pathlib.Path(os.environ["TAPERED_RUN"])
began, here, gone = time.monotonic(), run.parent.parent / "here", run.parent.parent / "gone"
here.mkdir(exist_ok=True), gone.mkdir(exist_ok=True)
(here / run.parent.name).touch()
while len(list(here.iterdir())) < min(2, int(sys.argv[1]) - len(list(gone.iterdir()))): time.sleep(0.005)
given = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]
(gone / run.parent.name).touch()
(here / run.parent.name).unlink()
print(json.dumps([began, time.monotonic(), *given]))
(run / "reports.jsonl").write_text('{"step": 6, "loss": 1}' + chr(10))
"""


def start(folder, text="", **more):
    run, command = made(folder, text, **more)
    return Start(run, command, QUICK, judged)


def beside(folder, count, **more):
    """Starts of so many that run beside each other."""
    return [start(folder / f"s{i}", BESIDE, line=f"{{python}} script.py {count}", **more) for i in range(count)]


def printed(folder):
    return [json.loads((path / "run" / "1.out").read_text()) for path in sorted(folder.glob("s*"))]


def most(spans):
    """How many ran at a time, at most."""
    return max(sum(began <= at < ended for began, ended in spans) for at, _ in spans)


def test_so_many_at_a_time_each_with_its_own_gpus_and_its_share_of_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,GPU-a,7,9")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "cores", lambda: 13)
    wanted = beside(tmp_path, 5)
    found = list(Slots(2, gpus=2, processes=2).run(wanted))
    assert {id(one) for one, _ in found} == {id(one) for one in wanted}
    assert [end.word for _, end in found] == ["finished"] * 5
    said = printed(tmp_path)
    assert most([(began, ended) for began, ended, *_ in said]) == 2
    assert {gpus for *_, gpus, _ in said} == {"4,5", "GPU-a,7"}
    for gpus in ("4,5", "GPU-a,7"):
        assert most([(began, ended) for began, ended, own, _ in said if own == gpus]) == 1
    assert {threads for *_, threads in said} == {"3"}


def test_without_gpus_what_is_seen_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    list(Slots(1).run(beside(tmp_path, 1)))
    assert printed(tmp_path)[0][2] == "5"


@pytest.mark.parametrize(("seen", "there"), [("0,1,2", 3), ("0,1,-1,2", 2), ("", 0), ("-1", 0)])
def test_fewer_gpus_than_asked_are_said(seen, there, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    with pytest.raises(ScriptError, match=f"2 scripts at a time with 2 GPUs each need 4, and {there} are seen"):
        Slots(2, gpus=2)


# as nvidia-smi lists them: one of them is parted in two
LISTS = """#!/bin/sh
[ "$1" = -L ] || exit 2
echo "GPU 0: NVIDIA A100 (UUID: GPU-aa)"
echo "GPU 1: NVIDIA A100 (UUID: GPU-bb)"
echo "  MIG 3g.20gb     Device  0: (UUID: MIG-b0)"
echo "  MIG 3g.20gb     Device  1: (UUID: MIG-b1)"
echo "GPU 2: NVIDIA A100 (UUID: GPU-cc)"
"""
DEVICES = ["GPU-aa", "MIG-b0", "MIG-b1", "GPU-cc"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """One with these GPUs."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(LISTS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


# when each start of it begins and ends; the first is killed, asked to end, or comes to its end
HOLDS = """
import os, pathlib, signal, sys, time
run = pathlib.Path(os.environ["TAPERED_RUN"])
spans, device, name = run.parent.parent / "spans", os.environ["CUDA_VISIBLE_DEVICES"], run.parent.name
first = not (run / "2.err").exists()
def note(what):
    with spans.open("a") as file: file.write(f"{time.monotonic()} {what} {device} {name}" + chr(10))
note("begins")
time.sleep(0.02)
if name == "s1" and first: note("ends"); os.kill(os.getpid(), signal.SIGKILL)
if name == "s2": note("ends"); sys.exit(1)
(run / "reports.jsonl").write_text('{"step": 6, "loss": 1}' + chr(10))
note("ends")
"""


@pytest.mark.usefixtures("machine")
def test_a_gpu_is_never_two_scripts_and_is_free_after_a_kill(tmp_path):
    assert visible() == DEVICES
    wanted = [start(tmp_path / f"s{i}", HOLDS) for i in range(9)]
    found = dict(Slots(4, gpus=1).run(wanted))
    assert [found[one].word for one in wanted] == ["finished", "finished", "crashed", *["finished"] * 6]
    assert [found[one].starts for one in wanted][:3] == [1, 2, 3]
    lines = [line.split() for line in (tmp_path / "spans").read_text().splitlines()]
    assert {device for _, _, device, _ in lines} == set(DEVICES)
    for device in DEVICES:
        own = sorted((float(at), what, name) for at, what, where, name in lines if where == device)
        assert [what for _, what, _ in own] == ["begins", "ends"] * (len(own) // 2)
        assert all(one[2] == other[2] for one, other in zip(own[::2], own[1::2], strict=True))
    for name in ("s1", "s2"):  # started again it has the GPU that it had
        assert len({device for *_, device, whose in lines if whose == name}) == 1


def test_gpus_where_a_driver_says_nothing(machine):
    machine.write_text("#!/bin/sh\nexit 9\n")
    assert visible() == []


def test_what_comes_next_may_wait_for_an_end(tmp_path):
    ended = []

    def starts():
        yield start(tmp_path / "s0")
        while len(ended) < 1:
            yield None
        yield start(tmp_path / "s1")

    for one, _ in Slots(2).run(starts()):
        ended.append(one.folder.parent.name)
    assert ended == ["s0", "s1"]


def test_what_cannot_be_started_lets_the_others_go_on(tmp_path):
    bad = start(tmp_path / "s0", line="no-such-program")
    found = dict(Slots(1).run([bad, good := start(tmp_path / "s1")]))
    assert isinstance(found[bad], ScriptError)
    assert found[good].word == "finished"


WAITS = "(run / 'own').write_text(str(os.getpid()))\n    while not (run.parent / 'go').exists(): time.sleep(0.05)"


def owns(folder):
    return [int(text) for path in folder.glob("s*/run/own") if (text := path.read_text())]


def test_whoever_waits_no_longer_leaves_no_script(tmp_path):
    first = start(tmp_path / "s0")
    runs = Slots(3).run([first, *(start(tmp_path / f"s{i}", fault=WAITS) for i in (1, 2))])
    assert next(runs)[0] == first
    until(lambda: len(owns(tmp_path)) == 2)
    runs.close()
    assert not any(map(alive, owns(tmp_path)))
    assert not list(tmp_path.glob("s*/run/stop"))  # at once, and not by being asked


def test_each_run_is_stopped_and_told_of_by_its_folder(tmp_path):
    told, names = set(), ("s0", "s1")
    waits = "while step == 2 and run.parent.name == 's0' and not (run / 'stop').exists(): time.sleep(0.005)"
    wanted = [start(tmp_path / name, fault=f"{waits}\n    if (run / 'stop').exists(): sys.exit(0)") for name in names]
    found = dict(Slots(2).run(wanted, lambda *said: told.add(said), lambda folder: folder == wanted[0].folder))
    assert [found[one].word for one in wanted] == ["stopped", "finished"]
    assert (wanted[1].folder, 6) in told


PROGRAM = """
import sys
from pathlib import Path
from script_starts import QUICK, judged, made
from tapered.scripts.on_ray import RaySlots
from tapered.scripts.slots import Start
from test_slots import WAITS, start
place = RaySlots("local", 2)
starts = [start(Path(sys.argv[1]) / f"s{i}", fault=WAITS) for i in range(3)]
for one in starts:
    (one.folder / "run.json").touch()
for one, end in place.run(starts):
    print(one.folder.parent.name, end.word, flush=True)
"""


def test_on_ray_scripts_end_with_their_driver_and_go_on_with_the_next(tmp_path):
    pytest.importorskip("ray", reason="needs ray; try: pip install 'tapered[ray]'")
    paths = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])  # noqa: PTH120
    settings = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64, "PYTHONPATH": paths}
    first, *others = folders = [tmp_path / f"s{i}" for i in range(3)]
    first.mkdir()
    (first / "go").touch()
    line = [PYTHON, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(line, env=settings, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "s0 finished\n"
        until(lambda: sum(map(alive, owns(tmp_path))) == 2 or driver.poll() is not None)
        assert driver.poll() is None
        driver.kill()
        until(lambda: not any(map(alive, owns(tmp_path))))
    for folder in others:
        (folder / "go").touch()
    found = [end for _, end in Slots(2).run([start(folder, fault=WAITS) for folder in folders])]
    assert sorted((end.word, end.starts) for end in found) == [("finished", 1), ("finished", 2), ("finished", 2)]


def test_a_node_without_the_folder_says_so(tmp_path):
    with pytest.raises(ScriptError, match="a folder that all nodes share"):
        _supervised(start(tmp_path), 1)


class AsRay:
    """Tasks of a cluster, each made at once, on a node of some kind."""

    class RayTaskError(Exception):
        """As Ray's."""

    def __init__(self, node):
        self.exceptions, self._node = self, node
        self.cancel = self.shutdown = lambda *_, **__: None

    def remote(self, task):
        made = types.SimpleNamespace(remote=partial(self._task, task))
        return types.SimpleNamespace(options=lambda **_: made)

    def _task(self, task, *given):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "here", lambda: self._node)
            try:
                return "done", task(*given)
            except ScriptError as error:
                return "failed", error

    def wait(self, running, **_):
        return running[:1], running[1:]

    def get(self, reference):
        how, found = reference
        if how == "failed":
            raise found
        return found


def test_the_kind_of_the_node_that_ran_a_script_is_noted_or_refused(tmp_path, monkeypatch):
    node = {"vectors": "AVX512", "bits": "1"}
    monkeypatch.setattr(machines, "join", lambda _: False)
    monkeypatch.setattr(machines, "ray", lambda: AsRay(node))
    starts = [start(tmp_path / name) for name in ("any", "same", "other")]
    for one in starts:
        (one.folder / "run.json").touch()
    asked = (None, kind.text(node), "bits: 2; vectors: AVX2")
    one, same, other = (replace(one, kind=text) for one, text in zip(starts, asked, strict=True))
    found = dict(RaySlots("auto", 1).run([one, same, other]))
    assert (found[one].word, found[same].word) == ("finished", "finished")
    assert kinds_of(one.folder) == kinds_of(same.folder) == ["bits: 1; vectors: AVX512"]
    assert "another kind of processor than the study's own: vectors AVX2 then, AVX512 now;" in str(found[other])
    assert not (other.folder / "1.out").exists()
    assert kinds_of(other.folder) == []


def test_a_cluster_without_room_is_said(monkeypatch):
    monkeypatch.setattr(machines, "join", lambda _: False)
    monkeypatch.setattr(machines, "ray", lambda: type("Ray", (), {"cluster_resources": lambda: {"CPU": 8.0}}))
    assert RaySlots("auto", cpus=3).count == 2
    with pytest.raises(machines.MachineError, match="needs"):
        RaySlots("auto", gpus=1)
