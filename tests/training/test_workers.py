# ruff: noqa: NPY002 - numpy's shared generator is one of those that items draw from
"""Workers: items fetched ahead by other processes are those that a plain loop makes, bit for bit, however many."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from study_cases import finished, read
from torch import nn
from torch.utils.data import Dataset, TensorDataset, default_collate

from tapered import Workload, rules
from tapered.draws import generator_seed
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.crew import WorkerError, crew
from tapered.training.items import ItemError, Minibatch
from tapered.training.living import UnsteadyError
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate
from tapered.training.trees import TreeError

ROWS = Mode("rows", 8, "")
RULE, STEPS = rules.SGD(), 7
PATH = tabulate(RULE, STEPS, lr=0.05)
X = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))


class Drawn(Dataset):
    """Items that draw from all three generators, and take differently long."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        time.sleep(0.0002 * (i % 3))
        return X[i] + float(np.random.normal()) + 0.1 * torch.randn(4), X[i].sum(0, keepdim=True) * random.random()


def noisy(items):
    """A collation that draws, as the masking of tokens does."""
    inputs, targets = default_collate(items)
    return inputs * (torch.rand(len(inputs), 1) > 0.2), targets


def problem(workers=0, train=None, **fields):
    recipe = Recipe(workers=workers, accumulate=fields.pop("accumulate", 1))
    return Workload(
        "fetched", lambda: nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1)), nn.functional.mse_loss,
        train or Drawn(), fields.pop("valid", None) or Drawn(), batch_size=8, recipe=recipe, **fields,
    )  # fmt: skip


def results(workload, mode, seeds=(3, 1, 3)):
    rows = advance(workload, start(workload, RULE, seeds), [PATH] * len(seeds), STEPS, mode=mode)
    return (
        [p.numpy().tobytes() for p in rows.params.values()],
        rows.losses,
        evaluate(workload, rows, "valid", mode=mode),
    )


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_any_number_of_workers_gives_the_same_bits(mode):
    fields = {"accumulate": 2, "collate": noisy, "order": "drawn"}
    torch.manual_seed(0)
    alone = results(problem(**fields), mode)
    for workers in (1, 2, 3):
        torch.manual_seed(workers)
        assert results(problem(workers, **fields), mode) == alone
    assert multiprocessing.active_children() == []


def test_a_minibatch_is_what_its_seeds_give_by_hand():
    workload, items = problem(2, collate=noisy, accumulate=2), []

    def reseed(purpose):
        number = generator_seed(3, purpose, 1)
        torch.manual_seed(number), np.random.seed(number % 2**32), random.seed(number)

    indices = workload.batch(3, 1).tolist()
    for place in range(8, 16):
        reseed(f"item/{place}")
        items.append(workload.train[indices[place]])
    reseed("collate/1")
    expected = noisy(items)
    for mine, theirs in zip(Minibatch(3, 1, 1).fetch(workload), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_items_that_do_not_draw_are_those_of_a_tensor_dataset():
    data = TensorDataset(X, X.sum(1, keepdim=True))
    expected = results(problem(train=data, valid=data), LOOP)
    pairs = list(zip(*data.tensors, strict=True))
    for workers in (0, 2):
        assert results(problem(workers, train=pairs, valid=pairs), LOOP) == expected


def test_one_crew_serves_several_calls_and_what_was_left_half_done_is_passed_over():
    whole, workload = results(problem(), LOOP, [0]), problem(2)
    with crew(workload):
        rows = start(workload, RULE, [0])
        asked = iter([False, False, True])
        rows = advance(workload, rows, [PATH], STEPS, on_step=lambda _: next(asked))
        children = set(multiprocessing.active_children())
        assert rows.steps == (3,)
        assert len(children) == 2
        rows = advance(workload, rows, [PATH], STEPS)
        assert set(multiprocessing.active_children()) == children
    assert [p.numpy().tobytes() for p in rows.params.values()] == whole[0]
    assert rows.losses == whole[1]
    assert multiprocessing.active_children() == []


class Failing(Drawn):
    def __init__(self, fail):
        self.fail = fail

    def __getitem__(self, i):
        if i == 17:
            self.fail()
        return super().__getitem__(i)


class PickyError(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def picky():
    raise PickyError(1, 2)


def unfit():
    raise MemoryError


@pytest.mark.parametrize("workers", [0, 2])
def test_an_item_that_raises_is_named_with_its_place(workers):
    workload = problem(workers, train=Failing(picky), order="given")
    message = r"'fetched': item 17 of the train split, fetched for step 2 of seed 5, raised PickyError: \(1, 2\)$"
    with pytest.raises(ItemError, match=message):
        results(workload, LOOP, [5])
    with pytest.raises(ItemError, match="item 17 of the valid split, fetched in evaluation, raised PickyError"):
        evaluate(problem(workers, valid=Failing(picky)), start(workload, RULE, [5]), "valid")
    with pytest.raises(ItemError, match="the collation of 8 items, for step 0 of seed 5, raised ZeroDivisionError"):
        results(problem(workers, collate=lambda _: 1 // 0), LOOP, [5])
    with pytest.raises(MemoryError):
        results(problem(workers, train=Failing(unfit)), LOOP, [5])
    assert multiprocessing.active_children() == []


def test_a_killed_worker_is_an_error_in_words_and_what_cannot_be_handed_over_too():
    gone = problem(2, train=Failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), order="given")
    with pytest.raises(WorkerError, match=r"ended by SIGKILL, as where memory is short .* workers=0$"):
        results(gone, LOOP, [0])
    left = problem(2, train=Failing(lambda: os._exit(3)), order="given")
    with pytest.raises(WorkerError, match="ended with exit code 3"):
        results(left, LOOP, [0])
    with pytest.raises(WorkerError, match="cannot be handed over"):
        results(problem(1, collate=lambda items: (lambda: items, 1)), LOOP, [0])
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_generator_of_the_datasets_own_is_refused(workers):
    class Own(Drawn):
        def __init__(self):
            self.generator = torch.Generator()

        def __getitem__(self, i):
            return X[i] + torch.randn(4, generator=self.generator), X[i, :1]

    with pytest.raises(UnsteadyError, match="'generator', a generator of its own"):
        results(problem(workers, train=Own()), LOOP, [0])


def test_rows_refuse_minibatches_of_several_lengths():
    def padded(items):
        inputs, targets = default_collate(items)
        return inputs.repeat(1, 1 + int(targets.sum() > 0)), targets

    pairs = [(x, x.sum(0, keepdim=True)) for x in X]
    with pytest.raises(TreeError, match=r'shape \(8, \d\) and \(8, \d\), and rows .* mode = "loop"$'):
        results(problem(train=pairs, valid=pairs, collate=padded), ROWS, list(range(8)))


@pytest.mark.parametrize("value", [-1, 1.0, True, 1000])
def test_workers_are_a_small_number(value):
    with pytest.raises(ValueError, match=f"workers={value}; expected how many processes"):
        Recipe(workers=value)


def test_workers_are_nothing_that_numbers_depend_on():
    assert problem(2).fingerprint() == problem(0).fingerprint()


FILE = """
import random, torch
from torch import nn
from torch.utils.data import Dataset
from tapered import Workload
from tapered.training.recipe import Recipe

class Mine(Dataset):
    def __len__(self): return 32
    def __getitem__(self, i): return torch.full((4,), i / 32) + random.random(), torch.ones(1)

def problem(workers=0):
    return Workload("mine", lambda: nn.Linear(4, 1), nn.functional.mse_loss, Mine(), Mine(), batch_size=8,
                    recipe=Recipe(workers=workers))
"""
STUDY = """
name = "fetched"
workload = "mine.py:problem"
workload_options = { workers = WORKERS }
steps = 6
seeds = 2
evaluations = 2
mode = "loop"
baseline = "constant"
peaks = { low = 1e-2, high = 1e-1, count = 2 }
extend = 0
[[arms]]
name = "constant"
rule = "SGD"
lr = "constant(1.0)"
"""


def test_a_study_on_a_file_of_ones_own_is_the_same_with_workers(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    curves = []
    for workers in (0, 2):
        runs, _ = finished(read(tmp_path, STUDY.replace("WORKERS", str(workers))), tmp_path / f"{workers}")
        curves.append([(run.seed, run.peak, run.curve, run.losses) for run in runs])
    assert curves[0] == curves[1]
    assert multiprocessing.active_children() == []


ALONE = """
import multiprocessing, time, torch
from torch import nn
from tapered import Workload, rules
from tapered.training.advance import advance
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate

class Slow(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, i): return torch.ones(4), torch.ones(1)

made = Workload("slow", lambda: nn.Linear(4, 1), nn.functional.mse_loss, Slow(), Slow(), batch_size=4,
                recipe=Recipe(workers=2))
path = tabulate(rules.SGD(), 10**6, lr=0.1)

def told(_):
    global said
    if not said:
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        said = True

said = False
advance(made, start(made, rules.SGD(), [0]), [path], 10**6, on_step=told)
"""


def test_no_worker_outlives_a_killed_process():
    process = subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(workers) == 2
    until = time.monotonic() + 10
    while (alive := [pid for pid in workers if _is_there(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert alive == []


def _is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - a zombie is none
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
