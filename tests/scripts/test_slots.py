"""Scripts of several runs at a time, here and on Ray: each in its own slot, and none outlives who started it."""

import json
import os
import subprocess
import sys

import pytest
from script_starts import PYTHON, QUICK, alive, judged, made, until

from tapered import machines
from tapered.scripts import slots as module
from tapered.scripts.errors import ScriptError
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


def test_a_cluster_without_room_is_said(monkeypatch):
    monkeypatch.setattr(machines, "join", lambda _: False)
    monkeypatch.setattr(machines, "ray", lambda: type("Ray", (), {"cluster_resources": lambda: {"CPU": 8.0}}))
    assert RaySlots("auto", cpus=3).count == 2
    with pytest.raises(machines.MachineError, match="needs"):
        RaySlots("auto", gpus=1)
