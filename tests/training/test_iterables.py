"""Iterable datasets: the place of an item is its count, and training equals that on the same items in a list."""

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from tapered import Workload, rules
from tapered.draws import Standing
from tapered.training import steady, stream
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate
from tapered.training.stream import Streamed

RULE, STEPS = rules.SGD(), 9
PATH = tabulate(RULE, STEPS, lr=0.05)
X = torch.randn(22, 4, generator=torch.Generator().manual_seed(0))
PAIRS = [(x, x.sum(0, keepdim=True)) for x in X]


class Stream(IterableDataset):
    """Items one after another, and how many were read."""

    read = 0

    def __init__(self, pairs=PAIRS, length=None):
        self.pairs = pairs
        if length is not None:
            self.__class__ = type("Long", (type(self),), {"__len__": lambda _: length})

    def __iter__(self):
        for pair in self.pairs:
            Stream.read += 1
            yield pair


class Drawing(Stream):
    """Shuffled at the start of a pass, and noise on the way."""

    def __iter__(self):
        order = torch.randperm(len(self.pairs)).tolist()
        for i in order:
            x, y = self.pairs[i]
            yield x + random.random(), y


def problem(train, valid=PAIRS, **fields):
    return Workload(
        "streamed", lambda: nn.Linear(4, 1), nn.functional.mse_loss, train, valid, batch_size=4, order="given", **fields
    )


def results(workload, mode=LOOP, stops=(STEPS,), seeds=(0, 1)):
    rows = start(workload, RULE, seeds)
    for stop in stops:
        rows = advance(workload, rows, [PATH] * len(seeds), stop, mode=mode)
    return (
        [p.numpy().tobytes() for p in rows.params.values()],
        rows.losses,
        evaluate(workload, rows, "valid", mode=mode),
    )


@pytest.mark.parametrize("mode", [LOOP, Mode("rows", 8, "")], ids=lambda mode: mode.kind)
def test_a_stream_is_its_items_in_a_list_bit_for_bit_however_it_is_stopped_and_fetched(mode):
    listed = results(problem(PAIRS), mode)
    for workers in (0, 2):
        streamed = problem(Stream(), Stream(), recipe=Recipe(workers=workers))
        assert results(streamed, mode) == listed
        assert results(streamed, mode, stops=(1, 4, 7, STEPS)) == listed


def test_its_minibatches_are_a_data_loaders():
    workload = problem(Stream(length=22))
    for step, (inputs, _) in enumerate(DataLoader(Stream(), batch_size=4, drop_last=True)):
        assert torch.equal(workload.fetch("train", workload.batch(3, step))[0], inputs)
    assert step + 1 == workload.steps_per_epoch == 5


def test_a_stream_that_draws_has_the_same_items_in_each_pass_whoever_drew_before():
    before = Standing.now()
    found = Streamed(Drawing())
    whole = [x for x, _ in found.at(range(22))]
    assert before.drawn() is None
    random.random(), torch.rand(3)
    again = Streamed(Drawing())
    some = [again[i][0] for i in (20, 3, 4, 21)]
    assert all(torch.equal(x, whole[i]) for x, i in zip(some, (20, 3, 4, 21), strict=True))
    assert not torch.equal(whole[0], X[0])
    streamed = problem(Drawing())
    assert results(streamed, stops=(3, STEPS)) == results(problem(found.at(range(22))))
    steady.check(streamed)


def test_it_is_counted_once_and_read_on_where_it_stands():
    Stream.read = 0
    found = Streamed(Stream())
    assert (len(found), Stream.read) == (22, 22)
    assert len(Streamed(Stream(length=7))) == 7
    assert Stream.read == 22
    found.at([0, 1]), found.at([2, 3]), found.at([3, 2])
    assert Stream.read == 26
    found.at([21, 0, 5])  # one pass, from the start
    assert Stream.read == 26 + 22


def test_rows_of_several_seeds_read_it_once():
    workload = problem(Stream())
    rows = start(workload, RULE, [0, 1, 2])
    Stream.read = 0
    advance(workload, rows, [PATH] * 3, 5, mode=Mode("rows", 8, ""))
    assert Stream.read == 1 + 19  # the check of its first item stands before


def test_what_is_not_as_it_says_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='Stream train, which is read from its start; expected order="given"'):
        Workload("streamed", lambda: nn.Linear(4, 1), nn.functional.mse_loss, Stream(), PAIRS, batch_size=4)
    with pytest.raises(ValueError, match="ended after 22 items; its length says 30"):
        Streamed(Stream(length=30))[29]
    with pytest.raises(IndexError, match="place 22 of 22 items"):
        Streamed(Stream())[22]
    with pytest.raises(ValueError, match="empty train split"):
        problem(Stream([]))
    monkeypatch.setattr(stream, "MOST", 20)
    with pytest.raises(ValueError, match="has no end after 20 items; give it a __len__"):
        Streamed(Stream())


def test_a_stream_that_follows_no_seed_is_refused():
    class Own(Stream):
        generator = random.Random(0)

        def __iter__(self):
            return ((x + self.generator.random(), y) for x, y in self.pairs)

    with pytest.raises(steady.UnsteadyError, match="two passes over the train split begin with other items"):
        steady.check(problem(Own()))


def test_an_error_amid_a_pass_is_none_of_the_next_ones():
    class Failing(Stream):
        fail = True

        def __iter__(self):
            for i, pair in enumerate(self.pairs):
                if i == 3 and self.fail:
                    raise KeyError("three")
                yield pair

    found = Streamed(Failing(length=22))
    with pytest.raises(KeyError):
        found.at([0, 5])
    Failing.fail = False
    found.dataset.fail = False
    assert found.at([5])[0] is PAIRS[5]
