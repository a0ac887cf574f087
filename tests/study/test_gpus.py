"""A study on several GPUs: a worker each, by the names that its driver has; here they are names alone."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_executors import asking, stated
from test_pool import ROWS, World

from tapered import gpus, kind, machines, rules
from tapered.study.train import choose
from tapered.study.train.processes import _settings
from tapered.training import capacity, devices
from tapered.workloads.own import StudyFileError

LISTS = """#!/bin/sh
echo "GPU 0: NVIDIA A100 (UUID: GPU-abc-1)"
echo "  MIG 3g.20gb     Device  0: (UUID: MIG-b0)"
echo "  MIG 3g.20gb     Device  1: (UUID: MIG-b1)"
echo "GPU 1: NVIDIA A100 (UUID: GPU-abc-2)"
"""
LISTED = ["MIG-b0", "MIG-b1", "GPU-abc-2"]
CUDA = torch.device("cuda", 0)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A machine with these GPUs, which says them once in a process."""
    found = tmp_path / "bin" / "nvidia-smi"
    found.parent.mkdir()
    found.write_text(LISTS)
    found.chmod(0o755)
    monkeypatch.setenv("PATH", f"{found.parent}:{os.environ['PATH']}")
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    return found


def on(found, word, place):
    """A study whose device is a word, as if it were there."""
    recipe = replace(found.workload.recipe, device=word)
    vars(recipe)["place"] = torch.device(place)
    return replace(found, stated=replace(found.stated, subject=replace(found.workload, recipe=recipe)))


def given(slots, place=CUDA):
    settings = _settings(3, place)
    return [settings(slot).get(gpus.VISIBLE) for slot in range(slots)]


@pytest.mark.parametrize(
    ("said", "each"),
    [
        ("GPU-abc, GPU-def", ["GPU-abc", "GPU-def"]),
        ("MIG-b1,MIG-b0", ["MIG-b1", "MIG-b0"]),
        ("3,1,-1,2", ["3", "1"]),
        ("2", ["2"]),
    ],
)
def test_each_worker_has_a_gpu_by_the_name_that_was_given(monkeypatch, said, each):
    monkeypatch.setenv(gpus.VISIBLE, said)
    assert given(4) == (each * 4)[:4]  # in turn, where there are fewer


@pytest.mark.usefixtures("program")
def test_without_a_name_it_is_the_drivers_own():
    assert given(3) == LISTED


@pytest.mark.parametrize("text", ["exit 9", "echo No devices were found"])
def test_what_the_driver_does_not_say_is_counted_by_torch(program, monkeypatch, text):
    program.write_text(f"#!/bin/sh\n{text}\n")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert given(3) == ["0", "1", "0"]


@pytest.mark.parametrize("place", ["cpu", "mps", "cuda:1"])
def test_what_is_seen_elsewhere_is_left_as_it_is(monkeypatch, place):
    monkeypatch.setenv(gpus.VISIBLE, "4,5")
    assert given(2, torch.device(place)) == [None, None]


def test_the_gpu_of_a_lost_worker_is_its_replacements_and_nobody_elses(tmp_path):
    world, living = World(tmp_path, ROWS, rows=2, count=3), []

    def hire(slot, inbox):
        living.append([slot, *(hand.slot for hand in world.hands if not hand.closed)])
        return world.hire(slot, inbox)

    def act(hand, bundle):
        dies = hand.slot == 1 and sum(slot == 1 for slot, *_ in world.given) < 3
        world.due.append(hand.die if dies else lambda: hand.finish(bundle))

    world.act, world.pool._hire = act, hire
    with world.store:
        world.train()
    assert [slots[0] for slots in living] == [0, 1, 2, 1, 1]
    assert all(len(slots) == len(set(slots)) for slots in living)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("said", "workers"),
    [
        ({"workers": "gpus"}, 3),
        ({"kind": "processes", "workers": "gpus"}, 3),
        ({"kind": "processes"}, 3),
        ({"kind": "processes", "workers": 5}, 5),
    ],
)
def test_as_many_workers_as_there_are_gpus(tmp_path, said, workers):
    assert choose.executor_of(asking(on(stated(tmp_path), "auto", CUDA), **said)).workers == workers


@pytest.mark.parametrize("workers", ["gpus", "cores"])
def test_a_cluster_gives_as_many_as_it_has_whatever_its_driver_sees(tmp_path, monkeypatch, workers):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    found = asking(on(stated(tmp_path), "cuda", CUDA), kind="ray", workers=workers)
    there = SimpleNamespace(cluster_resources=lambda: {"CPU": 64.0, "GPU": 8.0})
    monkeypatch.setattr(machines, "ray", lambda: there)
    monkeypatch.setattr(machines, "join", lambda _: False)
    chosen = choose.executor_of(found)
    chosen._hire(found, tmp_path)
    assert chosen.workers == 8


@pytest.mark.parametrize(
    ("word", "place", "said", "error"),
    [
        ("auto", "cpu", {"workers": "gpus"}, 'device = "auto" is no GPU here; try device = "cuda"'),
        ("cpu", "cpu", {"kind": "ray", "workers": "gpus"}, 'device = "cpu" is no GPU here'),
        ("cuda:1", "cuda:1", {"workers": "gpus"}, 'device = "cuda:1" where each worker has a GPU of its own'),
        ("cuda:1", "cuda:1", {"kind": "ray"}, 'try device = "cuda", the first that it sees'),
    ],
)
def test_gpus_that_a_study_cannot_be_given_are_said(tmp_path, word, place, said, error):
    with pytest.raises(StudyFileError, match=error):
        choose.executor_of(asking(on(stated(tmp_path), word, place), **said))


@pytest.mark.parametrize(
    ("place", "workers", "share"), [("cuda:0", 3, 1), ("cuda:0", 4, 2), ("cuda:0", 7, 3), ("cuda:1", 4, 4)]
)
@pytest.mark.usefixtures("program")
def test_a_worker_has_the_memory_of_its_gpu(tmp_path, monkeypatch, place, workers, share):
    found = on(stated(tmp_path), "cuda", place)
    monkeypatch.setattr(devices, "free_memory", lambda _: 2**20)
    monkeypatch.setattr(capacity, "row_bytes", lambda *_: 64)
    assert capacity.most_rows(found.workload, rules.SGD(), workers) == 2**20 // 4 // 64 // share // 8 * 8


def test_a_gpu_that_trains_nothing_is_no_part_of_the_kind(monkeypatch):
    """A worker sees its own GPU, where its driver sees those of other kinds beside it."""
    names = ["A100", "T4"]
    for name, found in {"is_available": True, "is_initialized": True, "device_count": 2}.items():
        monkeypatch.setattr(torch.cuda, name, lambda found=found: found)
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    monkeypatch.setattr(kind, "USED", [])
    assert kind.here(gpus=True)["GPU"] == "A100, T4"
    kind.use("cuda:0, A100")
    assert kind.here()["GPU"] == "A100"
