"""`tapered bound`, and the line of `tapered schedule`."""

import json

import pytest

from tapered.cli.main import main
from tapered.schedules import cosine_decay, parse
from tapered.theory import quadratic, worst_case

TEXTS = ["linear(steps=steps)", "cosine_decay(decay_steps=steps)", "constant(1.0)", "0.0"]


def test_a_row_for_each_schedule(capsys):
    assert main(["bound", *TEXTS, "--steps", "200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], [row["schedule"] for row in found["schedules"]]) == (200, TEXTS)
    for row in found["schedules"]:
        schedule = parse(row["schedule"], {"steps": 200})
        case = worst_case(schedule, 200)
        assert (row["ratio"], row["bound"], row["average_ratio"]) == (case.ratio, case.bound, case.average_ratio)
        assert row["tolerance"] == case.tolerance(10.0)
        best = quadratic(schedule, 200, rule="Adam").best()
        assert row["quadratic"]["Adam"] == {"peak": best.peak, "loss": best.loss}
    assert found["schedules"][3]["peak"] is None


def test_the_table_reads_as_the_numbers(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["bound", *TEXTS, "--steps", "1000"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert max(map(len, out.splitlines())) <= 80
    assert ["constant(1.0)", "1.608", "1.000", "0.00981", "4.39"] in [line[:5] for line in lines]
    assert "docs/theory.md" in out


def test_long_runs_have_no_quadratic(capsys):
    assert main(["bound", "linear(steps=steps)", "--steps", "10001"]) == 0
    out = capsys.readouterr().out
    assert "SGD" not in out
    assert "up to 10,000 steps" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "10"], "got no schedule; try tapered bound"),
        (["constant(1.0)"], ""),
        (["constant(1.0)", "--steps", "0"], "got --steps=0"),
        (["constant(1.0)", "constant(-1.0)", "--steps", "9"], "constant(-1.0): schedule is -1 at step 0"),
        (["linea(steps=steps)", "--steps", "9"], "did you mean linear?"),
    ],
)
def test_wrong_words_are_refused(words, message, capsys):
    assert main(["bound", *words]) == 2
    assert message in capsys.readouterr().err


def said(capsys, *words):
    assert main(["schedule", *words]) == 0
    found = " ".join(capsys.readouterr().out.split())
    return found[found.index("Worst case") :] if "Worst case" in found else None


def test_a_schedule_s_line(capsys):
    ratio = worst_case(cosine_decay(decay_steps=300), 300).ratio
    text = "3e-4 * cosine_decay(decay_steps=300)"
    assert said(capsys, text).startswith(f"Worst case over 300 steps: {ratio:.3f} times the least of all")
    assert f"{worst_case(cosine_decay(decay_steps=300), 200).ratio:.3f}" in said(capsys, text, "--steps", "200")
    assert main(["schedule", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["worst_case"] == pytest.approx(ratio)
    for none in ("0.0", "linear(-1.0, steps=10)", "linear(steps=1000001)"):
        assert said(capsys, none) is None
