"""Faults 1 to 50, those that concern arguments, state and files, by injection: refused by name, or survived.

Those that other files test are named in `fault_rows.py`; `benchmarks/faults/scorecard.py` has torch's answers beside.
"""

import ast
import functools
import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from crash_save import begun, failing, parts, whole
from fault_rows import ADAMW, ROWS, SCHEDULES
from inputs import adamw, damage, schedules
from inputs.judge import Bad, judged
from saving import forked
from torch import nn

import tapered
from tapered import checkpoint
from tapered.checkpoint import CheckpointError, resume, save

SURVIVED = {
    "a cosine past its end", "one cycle past its end", "a group added late",
    "optimizer loaded before its scheduler is built", "no state of the schedule", "a value named like a method",
    "a parameter of integers", "a parameter without grad",
}  # fmt: skip
WARNED = {"Lr=0.1 in a group", "weight_deacy=0.1 in a group"}  # torch's groups keep any key, and so do ours
# a message ends in what to do
FIX = re.compile(
    r"try |did you mean |expected |write for example |leave (it|one|them) out|load an earlier one|return a float|"
    r"say which holds|keep one of the two|give the parameters in|optimize those|load it into|build it with"
)


@functools.cache
def functions_of(name: str) -> set[str]:
    (path,) = Path(__file__).parents[1].rglob(f"{name}.py")
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", range(1, 51), ids=lambda row: f"{row} {ROWS[row][0]}")
def test_each_row_has_a_test(row: int) -> None:
    _, names = ROWS[row]
    for name in names:
        file, function = name.split("::")
        assert function in functions_of(file)
    tried = {case.row for case in (*adamw.CASES, *schedules.CASES)}
    assert row in tried or not {ADAMW, SCHEDULES} & set(names)
    assert any(name not in (ADAMW, SCHEDULES) for name in names)


def named(case: Bad) -> str:
    return f"row {case.row}: {case.words:.60}"


@pytest.mark.parametrize("case", adamw.CASES, ids=named)
def test_bad_inputs_to_adamw(case: Bad) -> None:
    verdict = judged(case, tapered.AdamW)
    assert verdict.word == ("survived" if case.words in SURVIVED else "warning" if case.words in WARNED else "clear")
    if verdict.word == "survived":
        return
    assert case.row in (11, 12) or re.search(r"in group \d", verdict.message)  # there the groups are not known yet
    assert FIX.search(verdict.message)
    if isinstance(case.value, (int, float, str, complex)) and case.row != 10:  # 10: the key is what is wrong
        assert repr(case.value)[:60] in verdict.message


@pytest.mark.parametrize("case", schedules.CASES, ids=named)
def test_bad_inputs_to_schedules(case: Bad) -> None:
    verdict = judged(case, "ours")
    assert verdict.word == ("survived" if case.words in SURVIVED else "clear"), verdict
    assert case.words in SURVIVED or FIX.search(verdict.message)


def test_the_scorecard_counts_100() -> None:
    assert (len(adamw.CASES), len(schedules.CASES)) == (58, 42)
    assert {case.words for case in (*schedules.CASES, *adamw.CASES)} >= SURVIVED | WARNED


def test_the_judge_tells_good_answers_from_bad() -> None:
    known = {case.words: case for case in adamw.CASES}
    said = {words: judged(known[words], torch.optim.AdamW).word for words in ("lr=-1", "lr=inf", "lr='0.1'")}
    assert said == {"lr=-1": "clear", "lr=inf": "silent", "lr='0.1'": "obscure"}


GRADIENTS = {"row 16: NaN once": (NAN := float("nan"), 1), "row 16: inf once": (float("inf"), 1),
             "row 17: 1e30 once": (1e30, 1), "row 18: NaN every step": (NAN, 9)}  # fmt: skip


@pytest.mark.parametrize(("value", "times"), GRADIENTS.values(), ids=GRADIENTS)
def test_the_last_good_checkpoint_outlives_bad_gradients(value: float, times: int, tmp_path: Path) -> None:
    """A bad gradient spoils weights or moments for ever; what was saved before it is kept, and named on resume."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = tapered.Adam([weight], lr=0.1)
    run = {"weight": weight, "optimizer": optimizer}
    for step in range(1, 10):
        weight.grad = torch.full_like(weight, value if 4 < step <= 4 + times else 1.0)
        optimizer.step()
        if step == 4:
            good = weight.detach().clone()
        save(tmp_path, step, keep=2, **run)
    assert sorted(int(path.name.split("step")[1]) for path in tmp_path.glob("*-step*")) == [4, 8, 9]
    with pytest.raises(CheckpointError, match=r"not finite; try resume\(..., step=4\)"):
        resume(tmp_path, **run)
    assert resume(tmp_path, step=4, **run).step == optimizer.steps == 4
    assert torch.equal(weight, good)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_moments_of_another_type(dtype: torch.dtype) -> None:
    """Row 40: cast to what the rule keeps; the file's own tensors stay as they are."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = tapered.Adam([weight], lr=0.1)
    optimizer.minimize((weight**2).sum())
    state = optimizer.state_dict()
    moments = state["state"][0]
    moments |= {name: moments[name].to(dtype) for name in ("exp_avg", "exp_avg_sq")}
    other = tapered.Adam([nn.Parameter(torch.ones(3))], lr=0.1)
    other.load_state_dict(state)
    (taken,) = other.state.values()
    for name in ("exp_avg", "exp_avg_sq"):
        assert (taken[name].dtype, moments[name].dtype) == (torch.float32, dtype)
        assert torch.equal(taken[name], moments[name].float())


@pytest.mark.parametrize("kind", damage.DAMAGE)
def test_damage_is_noticed_and_survived(kind: str, tmp_path: Path) -> None:
    """Rows 41 and 42: in any file of the newest checkpoint; the one before is used, and it is said."""
    for step in (1, 2):
        newest = save(tmp_path, step, weight=step * damage.WEIGHT)
    files = [path for path in newest.iterdir() if path.is_file()]
    assert len(files) == 3
    for path in files:
        data = path.read_bytes()
        changed = damage.DAMAGE[kind](data)
        assert changed != data
        path.write_bytes(changed)
        assert damage.fell_back(str(tmp_path)), path.name
        path.write_bytes(data)
    weight = torch.zeros_like(damage.WEIGHT)
    assert resume(tmp_path, weight=weight, partial=True).step == 2


def test_interrupted_at_every_call(tmp_path: Path) -> None:
    """Row 44: Ctrl-C at any call of a save leaves the last checkpoint or this one, and nothing half-written."""
    save(tmp_path, 1, keep=1, **parts(1.0), value=1)
    place, calls = 0, 1
    while calls > place:
        place, step = place + 1, whole(tmp_path) + 1
        resume(tmp_path, **parts())
        with failing(place, KeyboardInterrupt()) as count, suppress(KeyboardInterrupt):
            save(tmp_path, step, keep=1, **parts(float(step)), value=step)
            calls = 0
        assert not list(tmp_path.glob(".tmp-*"))
        assert whole(tmp_path) in (step - 1, step)
        calls = calls and max(count[0], place + 1)
    assert place > 30


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_signals_in_a_save(number: int, call: str, tmp_path: Path) -> None:
    """Row 44: a process that a signal ends in the middle of a save."""
    begun(tmp_path)

    def saved() -> None:
        signal.signal(number, signal.SIG_DFL)
        resume(tmp_path, **parts())
        real = getattr(os, call)
        setattr(os, call, lambda *given, **named: (os.kill(os.getpid(), number), real(*given, **named))[1])
        save(tmp_path, 3, keep=1, **parts(3.0), value=3)

    assert forked(saved) == -number
    assert whole(tmp_path) == 2


@pytest.mark.parametrize("guard", ["on", "off"])
def test_hostile_files_run_nothing(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 48: with torch's own guard on, and turned off by the environment."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "01"[guard == "off"])
    assert damage.attempts("ours") == (0, 7, 7)


def test_a_bomb_is_one(tmp_path: Path) -> None:
    """That the hostile files of the test above would do harm where they are unpickled."""
    import pickle

    pickle.loads(pickle.dumps(damage.Bomb(str(tmp_path / "ran")))).close()
    assert (tmp_path / "ran").exists()


def test_another_versions_checkpoint(tmp_path: Path) -> None:
    """Row 50: refused with both versions; it is whole, so the one before does not stand in for it."""
    save(tmp_path, 1, value=1)
    path = save(tmp_path, 2, value=2)
    fields = json.loads((path / "manifest.json").read_text())
    del fields["digest"]
    text = checkpoint.files.manifest_text({**fields, "format": 2, "tapered": "9.9.9"})
    (path / "manifest.json").write_bytes(text)
    said = (
        f"was written by tapered 9.9.9 in format 2; this is tapered {fields['tapered']}, which reads format 1; install"
    )
    with pytest.raises(CheckpointError, match=re.escape(said)):
        resume(tmp_path)
