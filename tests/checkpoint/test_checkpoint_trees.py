"""What `save` writes, `resume` reads; what could not be read is refused before anything is written."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import tapered
from tapered.checkpoint import CheckpointError, describe, release, resume, save
from tapered.files.tree import DEPTH, same


def nested(depth: int, make=lambda inner: (inner,)):
    found = 1
    for _ in range(depth):
        found = make(found)
    return found


KEPT = {
    "keys with slashes": {"a/b": torch.ones(2), "a": {"b": torch.zeros(2)}},
    "keys of one text": {1: torch.ones(2), "1": torch.zeros(2), 1.0 + 1e-9: torch.full((2,), 3.0)},
    "an empty name": {"": {"": torch.ones(1)}},
    "safetensors' own key": {"__metadata__": torch.ones(1)},
    "keys that begin like ours": {"~tuple": torch.ones(1), "~": 1},
    "half a letter": {"\ud800": torch.ones(1), "t": "\udfff"},
    "letters of case": {"Weight": torch.ones(1), "weight": torch.zeros(1)},
    "a long name": {"n" * 100_000: torch.ones(1)},
    "odd floats": [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324],
    "complex ones": [complex(-0.0, math.nan), complex(math.inf, -0.0)],
    "long numbers": [2**63, 2**64 + 1, 1 - 2**14280],
    "sets": [{1, "a", (2, 3)}, frozenset({frozenset({1}), None}), set()],
    "numpy's scalars": [np.float64(-0.0), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.complex64(1j)],
    "numpy's arrays": [np.zeros((0, 3), np.int16), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3, ">i4")],
    "as deep as may be": nested(DEPTH - 2),
    "lists as deep": nested(DEPTH - 2, lambda inner: [inner]),
    "dicts as deep": nested(DEPTH - 2, lambda inner: {"k": inner}),
}  # fmt: skip
REFUSED = {
    "tuples nested 340 deep": (nested(340), r"`value[/0]+` is nested more than 100 levels deep"),
    "a list in itself": ([], r"holds itself"),
    "a number of 5,000 digits": ({"n": 10**5000}, r"`value/n` is a number of more than 14280 bits"),
    "numpy's long double": (np.longdouble(1), r"`value` holds a longdouble"),
    "bytes": ([b"x"], r"`value/0` holds a bytes"),
}
REFUSED["a list in itself"][0].append(REFUSED["a list in itself"][0])


def bits(value):  # noqa: PLR0911 - one a kind
    """A leaf as bits, with its type; trees as their types and leaves."""
    if isinstance(value, torch.Tensor):
        return ("tensor", value.dtype, tuple(value.shape), value.tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return (
            type(value),
            value.dtype.newbyteorder("="),
            value.tobytes() if value.dtype.byteorder != ">" else value.tolist(),
        )
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, complex):
        return ("complex", bits(value.real), bits(value.imag))
    if isinstance(value, dict):
        return ("dict", [(bits(key), bits(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value), [bits(item) for item in value])
    return (type(value), value)


@pytest.mark.parametrize("words", KEPT)
def test_what_is_written_is_read(words, tmp_path) -> None:
    save(tmp_path, 1, value=KEPT[words])
    found = resume(tmp_path).values["value"]
    if words == "numpy's arrays":
        assert all(
            same(one, np.ascontiguousarray(other)) for one, other in zip(found[:2], KEPT[words][:2], strict=True)
        )
        assert found[2] == 3
    else:
        assert bits(found) == bits(KEPT[words])


def test_parts_may_have_any_name(tmp_path) -> None:
    parts = {name: torch.full((2,), float(i)) for i, name in enumerate(["__metadata__", "a/b", "", "\ud800", "A", "a"])}
    save(tmp_path, 1, **parts)
    again = {name: torch.zeros(2) for name in parts}
    resume(tmp_path, **again)
    assert [value.tolist() for value in again.values()] == [[float(i)] * 2 for i in range(6)]


@pytest.mark.parametrize("words", REFUSED)
def test_what_could_not_be_read_is_not_written(words, tmp_path) -> None:
    save(tmp_path, 1, value=1)
    value, message = REFUSED[words]
    with pytest.raises(CheckpointError, match=message):
        save(tmp_path, 2, value=value)
    assert resume(tmp_path).step == 1
    save(tmp_path, 2, value=2)


@pytest.mark.parametrize("step", [10**18, 1795747004025345759, 2**63 - 1])
def test_a_step_of_19_digits_is_found(step, tmp_path) -> None:
    save(tmp_path, step - 1, keep=1, weight=torch.zeros(2))
    save(tmp_path, step, keep=1, weight=torch.ones(2))
    release(tmp_path)
    weight = torch.zeros(2)
    assert resume(tmp_path, weight=weight).step == step
    assert weight.tolist() == [1, 1]
    assert [found.step for found in describe(tmp_path)] == [step]


@pytest.mark.parametrize("step", [2**63, 10**300, 10**5000], ids=["64 bits", "300", "5000"])
def test_a_longer_step_is_refused(step, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"got a `step` above 9223372036854775807; expected completed updates"):
        save(tmp_path, step, value=1)
    assert not list(tmp_path.iterdir())


def test_a_forged_folder_of_the_last_sequence_hides_nothing(tmp_path) -> None:
    save(tmp_path, 1, value=1)
    (tmp_path / f"{10**18 - 1}-step5").mkdir()
    with pytest.warns(tapered.checkpoint.CheckpointWarning, match="newer ones are damaged"):
        assert resume(tmp_path).step == 1
    save(tmp_path, 2, keep=1, value=2)
    assert resume(tmp_path).values == {"value": 2}


class Sampler:
    """Takes no state, as one of another version."""

    def state_dict(self):
        return {"epoch": 3}

    def load_state_dict(self, state):
        raise RuntimeError(f"no {state}")


class Other(Sampler):
    """Takes a state once, and not again."""

    def __init__(self):
        self.state = {"epoch": 3}

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        if self.state.get("taken"):
            raise KeyboardInterrupt
        self.state = {**state, "taken": True}


def parts(*others):
    torch.manual_seed(1)
    model = nn.Linear(2, 1)
    return {
        "model": model,
        "optimizer": tapered.AdamW(model.parameters(), lr=1e-3),
        **{type(other).__name__.lower(): other for other in others},
    }


@pytest.mark.parametrize(
    ("kinds", "named"),
    [
        (
            [Sampler],
            r"`sampler` did not take its state \(RuntimeError: no .*\); could not be put back: `sampler` \(Run",
        ),
        (
            [Other, Sampler],
            r"`sampler` did not take its .*; could not be put back: `sampler` \(RuntimeError: .*\), `other` \(Keyb",
        ),
    ],
)
def test_a_part_that_cannot_be_put_back_is_named_and_the_others_are(kinds, named, tmp_path) -> None:
    begun = parts(*(kind() for kind in kinds))
    begun["optimizer"].minimize(begun["model"](torch.ones(4, 2)).square().mean())
    save(tmp_path, 1, **begun)
    again = parts(*(kind() for kind in kinds))
    before, generator = again["model"].weight.clone(), torch.get_rng_state()
    with pytest.raises(CheckpointError, match=named):
        resume(tmp_path, **again)
    assert torch.equal(before, again["model"].weight)
    assert again["optimizer"].steps == 0
    assert not again["optimizer"].state
    assert torch.equal(generator, torch.get_rng_state())
