"""Scripts of several runs at a time, here and on Ray: each in its own slot, and none outlives who started it."""

import os
import subprocess
import sys

import pytest
from script_starts import PYTHON, QUICK, SCRIPT, alive, judged, made, until

from tapered import machines
from tapered.scripts import slots as module
from tapered.scripts.errors import ScriptError
from tapered.scripts.on_ray import RaySlots, _supervised
from tapered.scripts.slots import Slots, Start

# how many run at the same time, as each of them sees it
COUNTS = """
import os, pathlib, sys, time
run = pathlib.Path(os.environ["TAPERED_RUN"])
here = run.parent.parent / "here"
here.mkdir(exist_ok=True)
(here / run.parent.name).touch()
time.sleep(0.15)
print(len(list(here.iterdir())), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"])
(here / run.parent.name).unlink()
(run / "reports.jsonl").write_text('{"step": 6, "loss": 1}' + chr(10))
"""


def start(folder, text="", **more):
    run, command = made(folder, text, **more)
    return Start(run, command, QUICK, judged)


def printed(folder):
    return [(path / "run" / "1.out").read_text().split() for path in sorted(folder.glob("s*"))]


def test_so_many_at_a_time_each_with_its_own_gpus_and_its_share_of_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,GPU-a,7,9")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "cores", lambda: 13)
    wanted = [start(tmp_path / f"s{i}", COUNTS) for i in range(5)]
    found = list(Slots(2, gpus=2, processes=2).run(wanted))
    assert {id(one) for one, _ in found} == {id(one) for one in wanted}
    assert [end.word for _, end in found] == ["finished"] * 5
    counts, gpus, threads = zip(*printed(tmp_path), strict=True)
    assert max(map(int, counts)) == 2
    assert set(gpus) == {"4,5", "GPU-a,7"}
    assert set(threads) == {"3"}


def test_without_gpus_what_is_seen_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    list(Slots(1).run([start(tmp_path / "s", COUNTS)]))
    assert printed(tmp_path)[0][1] == "5"


@pytest.mark.parametrize(("seen", "there"), [("0,1,2", 3), ("", 0), ("-1", 0)])
def test_fewer_gpus_than_asked_are_said(seen, there, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    with pytest.raises(ScriptError, match=f"2 scripts at a time with 2 GPUs each need 4, and {there} are seen"):
        Slots(2, gpus=2)


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
    wanted = [start(tmp_path / name, SCRIPT.replace("FAULT", "time.sleep(0.4)")) for name in names]
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
print([end.word for _, end in place.run(starts)])
place.close()
"""


def test_on_ray_scripts_end_with_their_driver_and_go_on_with_the_next(tmp_path):
    pytest.importorskip("ray", reason="needs ray; try: pip install 'tapered[ray]'")
    paths = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])  # noqa: PTH120
    settings = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64, "PYTHONPATH": paths}
    line = [PYTHON, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(line, env=settings, stderr=subprocess.PIPE, text=True) as first:
        until(lambda: len(owns(tmp_path)) == 2 or first.poll() is not None, 120)
        assert first.poll() is None, first.stderr.read()
        first.kill()
        until(lambda: not any(map(alive, owns(tmp_path))), 5)
        first.stderr.close()
    for i in range(3):
        (tmp_path / f"s{i}").mkdir(exist_ok=True)
        (tmp_path / f"s{i}" / "go").touch()
    done = subprocess.run(line, check=False, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['finished', 'finished', 'finished']"


def test_a_node_without_the_folder_says_so(tmp_path):
    with pytest.raises(ScriptError, match="a folder that all nodes share"):
        _supervised(start(tmp_path), 1)


def test_a_cluster_without_room_is_said(monkeypatch):
    monkeypatch.setattr(machines, "join", lambda _: False)
    monkeypatch.setattr(machines, "ray", lambda: type("Ray", (), {"cluster_resources": lambda: {"CPU": 8.0}}))
    assert RaySlots("auto", cpus=3).count == 2
    with pytest.raises(machines.MachineError, match="needs"):
        RaySlots("auto", gpus=1)
