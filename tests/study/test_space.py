"""What `space` samples: numbers in rates and hypers, shares of resets, numbers of an average; all else is refused."""

import pytest
from study_cases import arm_text, finished, planned, read

from tapered import rules
from tapered.report import render
from tapered.study import forest_of, open_store, verify
from tapered.study.file.space import Range
from tapered.study.file.study import Study, to_toml
from tapered.study.plan.trials import batches
from tapered.study.summary import searched_lines, summary
from tapered.training.averages import Average
from tapered.workloads.own import StudyFileError

HEAD = """
name = "searched"
workload = "quadratic"
steps = 24
seeds = 2
evaluations = 3
mode = "MODE"
fresh = 0
baseline = "constant"
peaks = { low = 0.01, high = 0.1, count = 2 }
tune = { trials = 4, batch = 2, sampler = "random" }
"""
EMA = 'average = { kind = "ema", decay = "{1-short}", ramp = "(1+t)/({late}+t)", start = "{share}" }'
ARMS = {
    "constant": "",
    "ema": EMA + "\nspace = { short = { low = 1e-3, high = 0.5, log = true }, late = { low = 2, high = 20 }, "
    "share = { low = 0.1, high = 0.9 } }",
    "lawa": 'average = { kind = "lawa", latest = "{n}", every = "{every}" }\n'
    "space = { n = { low = 2, high = 4, whole = true }, every = { low = 1, high = 6, log = true, whole = true } }",
    "reset": 'resets = ["{at}"]\nspace = { at = { low = 0.2, high = 0.8 } }',
}

WRITTEN = {
    "ema": 'average = {{ kind = "ema", decay = {decay}, ramp = "(1+t)/({late}+t)", start = {share} }}',
    "lawa": 'average = {{ kind = "lawa", latest = {n:.0f}, every = {every:.0f} }}',
    "reset": "resets = [{at}]",
}


def text(mode: str = "loop", arms: dict[str, str] = ARMS) -> str:
    return HEAD.replace("MODE", mode) + "".join(arm_text(name, more=more) for name, more in arms.items())


def asked(found):
    """The study with all trials that a sampler asks for, whatever is found."""
    for study, _ in batches(found, []):
        last = study
    return last.study


@pytest.mark.parametrize("mode", ["loop", "rows"])
def test_every_trial_is_the_arm_with_its_numbers_written_out(tmp_path, mode: str) -> None:
    found = read(tmp_path, text(mode))
    runs, result = finished(found, tmp_path / "store")
    with open_store(found, tmp_path / "store") as store:
        assert verify(found, store, runs).same
    for arm in (arm for arm in result.asked.study.arms if arm.space):
        name, trial = arm.name, max(arm.trials, key=lambda trial: trial["peak"])
        written = WRITTEN[name].format(
            **{"n": 0, "every": 0, "late": 0, "share": 0, "at": 0, **trial}, decay=f"{1 - trial.get('short', 0):.6g}"
        )
        plain = text(mode, {"constant": "", name: written}).replace("tune =", "# tune =")
        plain = plain.replace(
            "low = 0.01, high = 0.1, count = 2", f"low = {trial['peak']}, high = {trial['peak']}, count = 1"
        )
        again, _ = finished(read(tmp_path, plain), tmp_path / f"store {name}")
        mine = {run.seed: run.curve for run in runs if (run.arm, run.peak) == (name, trial["peak"])}
        assert mine == {run.seed: run.curve for run in again if run.arm == name}
        assert len({run.peak for run in runs if run.arm == name}) == 4


def test_a_searched_average_is_torchs_at_the_decay_that_was_asked(tmp_path) -> None:
    found = read(tmp_path, text(arms={"constant": "", "ema": ARMS["ema"]}))
    study = asked(found)
    arm = study.arms[1]
    for trial in arm.trials:
        path, table = arm.path(24, trial["peak"]), []
        start, decay = round(trial["share"] * 24), float(f"{1 - trial['short']:.6g}")
        for t in range(24):
            n = t + 1 - start + 1  # weights taken with this update
            ramp = (1 + n) / (float(f"{trial['late']:.6g}") + n)
            table.append(1.0 if n <= 1 else 1 - min(decay, ramp))
        assert path.hypers["newest"].tolist() == pytest.approx(table, rel=1e-12)


def test_a_searched_file_reads_back_and_names_what_won(tmp_path) -> None:
    found = read(tmp_path, text())
    assert Study.model_validate(found.study.model_dump(exclude_none=True)) == found.study
    (tmp_path / "again.toml").write_text(to_toml(found.study))
    assert planned(str(tmp_path / "again.toml")).study == found.study
    runs, result = finished(found, tmp_path / "store")
    arms = {arm.name: arm for arm in result.asked.study.arms}
    best = {arm.name: arm for arm in result.arms}["lawa"]
    trial = next(trial for trial in arms["lawa"].trials if trial["peak"] == best.best.peak)
    assert best.average == f"lawa (every={trial['every']:.0f}, latest={trial['n']:.0f})"
    assert best.searched == {"n": trial["n"], "every": trial["every"]}
    assert searched_lines(result)[1] == f"Best of lawa: every = {trial['every']:g}, n = {trial['n']:g}."
    assert f"(found: {best.written})" in render(result, "tapered tune my.toml")
    reset = {arm["name"]: arm["searched"] for arm in summary(result)["arms"]}
    assert reset["constant"] == {}
    assert 0.2 <= reset["reset"]["at"] <= 0.8
    assert all(trial["n"] in (2, 3, 4) and trial["every"] in range(1, 7) for trial in arms["lawa"].trials)
    assert arms["lawa"].at(best.best.peak).build() == rules.Latest(rules.SGD(), latest=int(trial["n"]))
    assert isinstance(arms["ema"].at(arms["ema"].trials[0]["peak"]).averaged, Average)
    (tmp_path / "after.toml").write_text(to_toml(result.asked.study))  # a search that was made
    after = planned(str(tmp_path / "after.toml"))
    assert {task.run.key for task in forest_of(after).tasks} >= {run.key for run in runs if run.arm == "lawa"}


def test_whole_numbers_on_a_grid_are_each_there_once() -> None:
    assert Range(low=1, high=5, count=9, log=True, whole=True).values == (1, 2, 3, 4, 5)
    assert Range(low=-2, high=8, count=3, whole=True).values == (-2, 3, 8)


REFUSED = {
    'average = { kind = "{a}" }': r"average.kind = '\{a\}' is a word, and a space has numbers; try an arm for each",
    'average = { kind = "swa", start = 0.5, batch_norm = "{a}" }': "average.batch_norm = .* is a word",
    'average = { kind = "lawa", every = 2, latest = "{a}" }': "not every number is one of updates; try whole = true",
    'average = { kind = "ema", decay = "{a}*2" }': r"decay='\{a\}\*2' is no number in \[0, 1\)",
    'resets = ["{a}", 0.4]': r"resets=\['\{a\}', 0.4\] do not ascend; try ranges that do not overlap",
    'resets = ["{a}", "{1-a}"]': "do not ascend; try ranges that do not overlap",
    'resets = ["a"]': "space has 'a', which stands in no text; try {a} in lr, hypers, resets or average",
    'options = { start = "{a}" }': "options = .* has a number that is searched, and says which rule the arm is",
    'resets = ["{b}"]': r"\{b\} in resets has no range; try space = \{ b = ",
    'layer_decay = "{a}"': "arms.1.layer_decay: how a step is made is the same for all arms",
    'peaks = { low = "{a}", high = 1.0, count = 2 }': "and average of an arm are, not arms.1.peaks.low; try",
}
OUT_OF_RANGE = [
    ('average = { kind = "swa", start = "{a}" }', "low = 0.5, high = 12", "from 0.5 to 12, .*, or a range of shares"),
    ('average = { kind = "swa", start = "{a}" }', "low = 10, high = 40, whole = true", "after update 40, and the run"),
    ('average = { kind = "ema", decay = "{a}" }', "low = 0.5, high = 1.5", "decay=1.5 is no number in"),
    ('resets = ["{a}"]', "low = 0.5, high = 1.5", r"resets has '\{a\}'; expected shares of the run"),
    ('resets = ["{a}"]', "low = 1.5, high = 3, whole = true", "low=1.5 is no whole number below a million"),
]
PEAK = text(arms={"constant": "", "mine": 'resets = ["{peak}"]\nspace = { peak = { low = 0.1, high = 0.5 } }'})
SHARED = {
    'clip_norm = "{a}"': r"clip_norm = '\{a\}' stands for a number that is searched, .*, which all arms share",
    'accumulate = "{a}"': "not accumulate, which all arms share; try a number, and a study for each",
    'groups = [{ match = "*", weight_decay = "{a}" }]': r"groups.0.weight_decay = '\{a\}' stands for a number",
    'delta = "{a}"': r"delta = '\{a\}' stands for a number .*, not delta; try a number",
}


def searched(fields: str, a: str = "low = 0.1, high = 0.5") -> str:
    return text(arms={"constant": "", "mine": f"{fields}\nspace = {{ a = {{ {a} }} }}"})


@pytest.mark.parametrize(
    ("given", "message"),
    [(searched(fields), message) for fields, message in REFUSED.items()]
    + [(searched(fields, a), message) for fields, a, message in OUT_OF_RANGE]
    + [(PEAK, "space has 'peak', which each trial has from the grid of peaks; try another name")]
    + [(f"{field}\n{text()}", message) for field, message in SHARED.items()],
)
def test_what_is_not_searched_is_refused_with_the_reason(tmp_path, given: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        read(tmp_path, given)
