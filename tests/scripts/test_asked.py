"""What a run is asked is read as it was written, and believed only once it was checked."""

import json
import math

import numpy as np
import pytest

from tapered.scripts.asked import Asked, Parent
from tapered.scripts.errors import ScriptError

RATES = [0.1, 0.05, 1e-300, 0.0]
ASKED = Asked("cosine", 3, 4, 2, 0.1, "set", "AdamW", (1, 2), Parent("kk", 1))


def test_what_is_written_is_read(tmp_path) -> None:
    ASKED.write(tmp_path, RATES)
    asked, rates = Asked.read(tmp_path)
    assert asked == ASKED
    assert rates.dtype == np.float64
    assert rates.tolist() == RATES
    assert (tmp_path / "rates.f64").read_bytes() == np.array(RATES, "<f8").tobytes()
    assert json.loads((tmp_path / "run.json").read_text())["schema"] == 1
    Asked("linear", 3, 4, 4).write(tmp_path, np.array(RATES))  # goes on later
    assert Asked.read(tmp_path)[0].until == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arm", ""), ("arm", 3), ("seed", -1), ("seed", True), ("seed", 1.0), ("steps", 0), ("until", 5), ("until", 0),
        ("peak", math.nan), ("peak", "0.1"), ("peak", True), ("rate", "sets"), ("rate", None), ("optimizer", -1),
        ("optimizer", ""), ("optimizer", 1.5), ("save_at", [1]), ("save_at", (0,)), ("save_at", (5,)),
        ("parent", {"key": "a", "step": 1}),
    ],
)  # fmt: skip
def test_what_nobody_can_ask_is_refused_by_name(field, value) -> None:
    with pytest.raises(ScriptError, match=f"`{field}`; expected"):
        Asked(**{"arm": "a", "seed": 0, "steps": 4, "until": 4, field: value})


@pytest.mark.parametrize("rates", [[0.1], [0.1] * 5, [0.1, math.nan, 0.1, 0.1], [0.1, 0.1, 0.1, math.inf]])
def test_rates_that_are_none_change_nothing(rates, tmp_path) -> None:
    ASKED.write(tmp_path, RATES)
    with pytest.raises(ScriptError, match="rates"):
        ASKED.write(tmp_path, rates)
    assert Asked.read(tmp_path)[1].tolist() == RATES


def put(name, change):
    def damage(folder) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def fields(**changed):
    def change(data):
        found = json.loads(data)
        found.update(changed)
        return json.dumps({name: value for name, value in found.items() if value != "gone"}).encode()

    return put("run.json", change)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "run.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "rates.f64").unlink(), "cannot be read"),
        (put("rates.f64", lambda data: data[:-1]), "31 bytes; expected 32"),
        (put("rates.f64", lambda data: data + b"0"), "33 bytes; expected 32"),
        (put("rates.f64", lambda data: data[:-8] + b"\xff" * 8), "nan for update 3"),
        (put("run.json", lambda data: data[:-4]), "is no JSON"),
        (put("run.json", lambda _: b"[" * 100_000), "is no JSON"),
        (put("run.json", lambda _: b"\xff\xfe"), "is no JSON"),
        (put("run.json", lambda _: b"[1]"), "a table of fields"),
        (fields(schema=2), "got 2 for `schema`; expected 1"),
        (fields(schema=True), "`schema`"),
        (fields(seed="3"), "`seed`"),
        (fields(until=9), "`until`"),
        (fields(save_at=3), "`save_at`"),
        (fields(save_at=[True]), "`save_at`"),
        (fields(parent={"key": "a"}), "`parent`"),
        (fields(parent={"key": "a", "step": -1}), "parent.step"),
        (fields(more=1), "has the fields"),
        (fields(seed="gone"), "has the fields"),
    ],
)
def test_a_folder_that_is_damaged_is_refused(damage, said, tmp_path) -> None:
    ASKED.write(tmp_path, RATES)
    damage(tmp_path)
    with pytest.raises(ScriptError, match=said):
        Asked.read(tmp_path)
