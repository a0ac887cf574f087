"""An average of the weights as an arm's field: read, checked, trained, shared, verified, shown."""

import json

import pytest
from study_cases import finished, planned, read

from tapered import rules
from tapered.cli.main import main
from tapered.report import render
from tapered.study import forest_of, open_store, verify
from tapered.study.file.arms import Arm
from tapered.study.file.study import Study, to_toml
from tapered.study.file.typed import arm_of
from tapered.study.summary import summary
from tapered.training.averages import Average
from tapered.workloads.own import StudyFileError

HEAD = """
name = "averaged"
workload = "quadratic"
steps = 24
seeds = 2
evaluations = 3
mode = "MODE"
baseline = "none"
peaks = { low = 0.01, high = 0.1, count = 2 }
"""
AVERAGES = {
    "none": '{ kind = "none" }',
    "swa": '{ kind = "swa", start = 0.75 }',
    "ema": '{ kind = "ema", decay = 0.9, ramp = "(1+t)/(10+t)" }',
    "lawa": '{ kind = "lawa", latest = 3, every = 4 }',
}


def text(mode: str = "loop", averages: dict[str, str] = AVERAGES) -> str:
    arm = '[[arms]]\nname = "{}"\nrule = "SGD"\nlr = "constant(1.0)"\naverage = {}\n'
    return HEAD.replace("MODE", mode) + "".join(arm.format(*pair) for pair in averages.items())


def test_an_arms_average_is_read_and_written_back(tmp_path) -> None:
    study = read(tmp_path, text()).study
    assert [arm.average for arm in study.arms] == [
        Average("none"),
        Average("swa", start=0.75),
        Average("ema", decay=0.9, ramp="(1+t)/(10+t)"),
        Average("lawa", latest=3, every=4),
    ]
    (tmp_path / "again.toml").write_text(to_toml(study))
    assert planned(str(tmp_path / "again.toml")).study == study
    assert Study.model_validate(json.loads(study.model_dump_json(exclude_none=True))) == study
    assert study.arms[3].build() == rules.Latest(rules.SGD(), latest=3)


@pytest.mark.parametrize("mode", ["loop", "rows"])
def test_a_study_of_averages_trains_and_verifies(tmp_path, mode: str) -> None:
    found = read(tmp_path, text(mode))
    runs, result = finished(found, tmp_path / "store")
    with open_store(found, tmp_path / "store") as store:
        assert verify(found, store, runs).same
    ends = {(run.arm, run.seed): run.curve[-1][1]["loss"] for run in runs if run.peak == 0.1}
    for seed in (0, 1):
        assert len({ends[name, seed] for name in AVERAGES}) == len(AVERAGES)
    firsts = {(run.arm, run.seed): run.curve[1][1] for run in runs if run.peak == 0.1}
    assert firsts["none", 0] == firsts["swa", 0]  # before the mean begins
    shown = {arm["name"]: arm["average"] for arm in summary(result)["arms"]}
    assert shown == {
        "none": "none", "swa": "swa (start=0.75)", "ema": "ema (decay=0.9, ramp=(1+t)/(10+t))",
        "lawa": "lawa (every=4, latest=3)",
    }  # fmt: skip
    page = render(result, "tapered study my.toml")
    assert "evaluated at its average, swa (start=0.75)" in page
    assert "average, none" not in page


def test_arms_share_their_steps_until_a_mean_begins(tmp_path) -> None:
    some = {name: AVERAGES[name] for name in ("none", "swa")}
    plan = forest_of(read(tmp_path, text(averages=some))).plan
    # steps 0 to 18 once for both, the first weights that are taken being a copy, and then 6 for each
    assert (plan.asked, plan.to_run) == (8 * 24, 4 * (18 + 2 * 6))


WRONG = [
    ('{ kind = "ema" }', "arms.0.average: ema needs decay; try decay = 0.999"),
    ('{ kind = "swa", start = 25 }', "after update 25, and the run makes 24"),
    ('{ kind = "ema", decay = 0.9, dacay = 1 }', "'dacay' is no field of an average; try \"decay\""),
    ('{ kind = "ema", decay = 0.9, ramp = "13.5-t" }', 'ramp="13.5-t" is -0.5 at t=14'),
    ('"ema"', "arms.0.average: 'ema' is no average; try"),
]  # fmt: skip


@pytest.mark.parametrize(("average", "message"), WRONG)
def test_a_wrong_average_is_refused_with_the_field(tmp_path, average: str, message: str) -> None:
    with pytest.raises(StudyFileError) as error:
        read(tmp_path, text(averages={"none": average}))
    assert message in str(error.value)


def test_schedule_free_takes_no_average() -> None:
    with pytest.raises(StudyFileError, match="ScheduleFreeAdamW keeps an average of its own"):
        arm_of("ScheduleFreeAdamW", "0.1", {}, {}, {"kind": "swa", "start": 0.5})


def test_what_an_average_takes_is_no_hyper_of_an_arm() -> None:
    with pytest.raises(StudyFileError, match="hypers has 'newest', unknown to SGD"):
        arm_of("SGD", "0.1", {}, {"newest": 0.5}, {"kind": "swa", "start": 0.5})


def test_check_names_what_is_wrong(tmp_path, capsys) -> None:
    (tmp_path / "my.toml").write_text(text(averages={"none": '{ kind = "ema", decay = 1.5 }'}))
    assert main(["study", str(tmp_path / "my.toml"), "--plan"]) == 2
    assert "decay=1.5 is no number in [0, 1)" in " ".join(capsys.readouterr().err.split())


def test_adamw_is_adam_whose_decay_is_decoupled():
    found = Arm.model_validate({"name": "a", "rule": "AdamW", "lr": "constant(0.1)"})
    path = found.path(3, 1.0)
    assert found.build() == rules.Adam(decay="decoupled")
    assert path.hypers["weight_decay"].tolist() == [0.01] * 3
    other = Arm.model_validate({"name": "a", "rule": "AdamW", "lr": "constant(0.1)", "hypers": {"weight_decay": 0.2}})
    assert other.hypers == {"weight_decay": 0.2}
    with pytest.raises(ValueError, match='rule = "AdamW" is Adam with decay = "decoupled", got \'l2\''):
        Arm.model_validate({"name": "a", "rule": "AdamW", "lr": "constant(0.1)", "options": {"decay": "l2"}})
