"""How a step is made, as study files and `tapered run` state it."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from study_cases import planned

from tapered import checkpoint
from tapered.cli.main import main
from tapered.run import setting as settings
from tapered.run import single
from tapered.study import open_store, train_runs
from tapered.study.file.read import read
from tapered.study.file.recipe import group_of
from tapered.study.file.study import Study, to_toml
from tapered.study.file.typed import steps_of
from tapered.training.matched import Matched
from tapered.training.recipe import Group, Recipe
from tapered.training.threads import threads
from tapered.workloads.own import StudyFileError

TEXT = """
name = "small"
workload = "bmi"
steps = 6
seeds = 1
evaluations = 1
mode = "loop"
baseline = "constant"
peaks = {{ low = 0.01, high = 0.1, count = 2 }}
{0}
[[arms]]
name = "constant"
rule = "Adam"
lr = "constant(1.0)"
"""
SAID = """
clip_norm = 0.5
accumulate = 2
groups = [{ match = ["*.bias"], weight_decay = 0.5 }, { match = "4.weight", lr = 0.1 }]
layer_decay = 0.9
"""
NAMES = [f"{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")]
RECIPE = Recipe(
    clip_norm=0.5,
    accumulate=2,
    groups=(Group("*.bias", hypers={"weight_decay": 0.5}), Group("4.weight", lr=0.1)),
    layer_decay=0.9,
)


def plan(tmp_path, said="", name="s.toml", text=TEXT):
    (tmp_path / name).write_text(text.format(said))
    return planned(str(tmp_path / name))


def values(found, folder):
    with open_store(found, folder) as store:
        return {(run.arm, run.peak): run.value for run in train_runs(found, store)}


def test_a_study_file_trains_what_a_recipe_does(tmp_path):
    stated, plain = plan(tmp_path, SAID), plan(tmp_path, name="t.toml")
    assert stated.workload.recipe.text() == RECIPE.text()
    by_recipe = replace(plain, stated=replace(plain.stated, subject=replace(plain.workload, recipe=RECIPE)))
    found = values(stated, tmp_path / "a")
    assert found == values(by_recipe, tmp_path / "b")
    assert found != values(plain, tmp_path / "c")


def test_what_is_not_said_leaves_a_studys_facts_as_they_were(tmp_path):
    plain, said = plan(tmp_path), plan(tmp_path, SAID)
    assert not {name.rpartition(".")[2] for name in plain.facts} & {"clip_norm", "accumulate", "groups", "layer_decay"}
    changed = {name for name in said.facts if said.facts[name] != plain.facts.get(name)}
    fields = {f"study.{name}" for name in ("clip_norm", "accumulate", "groups", "layer_decay")}
    assert changed == {*fields, "workload.batches"}
    assert Study.model_validate(tomllib.loads(to_toml(said.study))) == said.study


def test_how_many_fetch_its_items_is_no_part_of_a_study(tmp_path):
    plain, two = plan(tmp_path), plan(tmp_path, "workers = 2")
    assert (two.workload.recipe.workers, plain.workload.recipe.workers) == (2, 0)
    assert two.facts == plain.facts
    assert values(plain, tmp_path / "a") == values(two, tmp_path / "a") == values(two, tmp_path / "b")


def test_a_horizon_in_epochs_counts_steps(tmp_path):
    text = TEXT.replace("steps = 6", "epochs = 2")
    one, four = (plan(tmp_path, said, text=text) for said in ("", "accumulate = 4"))
    assert (one.steps, four.steps) == (2 * 250, 2 * (250 // 4))  # whole steps of an epoch


OWN = """
import torch
from torch.utils.data import TensorDataset
from tapered import Recipe, Workload

def problem():
    x = torch.linspace(-1, 1, 64)[:, None]
    data = TensorDataset(x, x.sin())
    return Workload("own", lambda: torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, data, data, batch_size=8,
                    recipe=Recipe(clip_norm=3.0, accumulate=2))
"""


def test_what_a_study_leaves_out_is_the_workloads_own(tmp_path):
    (tmp_path / "w.py").write_text(OWN)
    text = TEXT.replace('"bmi"', '"w.py:problem"')
    assert plan(tmp_path, text=text).workload.recipe.differing() == {"clip_norm": 3.0, "accumulate": 2}
    assert plan(tmp_path, "accumulate = 1", text=text).workload.recipe.differing() == {"clip_norm": 3.0}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("clip_norm = 0.0", r"clip_norm: got 0\.0; expected a number above 0; try clip_norm = 1\.0"),
        ("clip_norm = true", "clip_norm: got true; expected a number; try clip_norm = 1.0"),
        ("accumulate = 0", "accumulate: got 0; expected a number of at least 1; try accumulate = 4"),
        ("accumulate = 1000000", "accumulate=1000000, less than one minibatch; try accumulate=250"),
        (
            "clip_norm = 1.0\nclip_value = 1.0",
            r"got clip_norm=1\.0 and clip_value=1\.0; expected one of them; leave one out",
        ),
        (
            'groups = [{ match = "x*", lr = 0.1 }]',
            r"no parameter is in the group 'x\*'; expected patterns of 0\.weight, .*; try match = '0\.weight'",
        ),
        ('groups = [{ match = "*", momentum = 0.1 }]', "a group sets 'momentum', which the rule does not have"),
        ('groups = [{ match = "*", lr = "a" }]', r"groups\.0\.lr: got 'a'; expected a number; try lr = 0\.1"),
        (
            'groups = [{ match = "*", weight_decay = "a" }]',
            r"groups\.0\.weight_decay: got 'a'; .*try weight_decay = 0\.1",
        ),
        ('groups = [{ match = "4.*", beta1 = 1.5 }]', r"the group of '4\.weight': got beta1=1\.5 .*; try beta1=0\.9"),
        ('groups = [{ match = "*", weight_dekay = 0.0 }]', "a group sets 'weight_dekay', .*; try \"weight_decay\""),
        (
            'groups = [{ match = "*", foo = "a" }]',
            r"groups\.0\.foo: .*; a group has match, lr and hypers of the rule: alpha",
        ),
        (
            "groups = [{ match = 3, lr = 0.1 }]",
            r"^[^\n]*groups\.0\.match: got 3; expected a list; try match = \S+ \S+$",
        ),
        ('groups = "*.bias"', r"groups: got '\*\.bias'; expected a list; try groups = \[\{ match"),
        (
            'precision = "bf16"',
            r'precision: got \'bf16\'; expected "float32", "bfloat16" or "float16"; try precision = "bf',
        ),
        ("compile = 1", "compile: got 1; expected true or false; try compile = true"),
        ("workers = 1000", "workers: got 1000; expected a number of at most 256; try workers = 2"),
        ("device = 0", 'device: got 0; expected a text; try device = "auto"'),
        ("max_grad_norm = 1.0", "max_grad_norm: it is written clip_norm = 1.0"),
        ("ema = 0.9", r"ema: it is a field of an arm; state it below \[\[arms\]\], average = \{ kind"),
        (
            "batch_size = 4",
            r"batch_size: it is a field of the workload; state it there, Workload\(\.\.\., batch_size=\.\.\.\)",
        ),
        ("groups = [{ lr = 0.1 }]", r"groups\.0\.match is missing; try match = \[.\*\.bias"),
        ("groups = [{ match = [], lr = 0.1 }]", r"groups\.0\.match"),
        ('groups = [{ match = "*.bias", lr = 0.1 }, { match = "4.*", lr = 0.1 }]', r"'4\.bias' is in the groups"),
        ('stop = "no better for 5 evaluations"', "stop would end runs early, .* cannot be compared; leave it out"),
        ("patience = 3", "patience would end runs early"),
        ("clipnorm = 1.0", 'clipnorm is no field of a study; try "clip_norm"'),
    ],
)
def test_fields_that_are_none_are_refused_by_name(tmp_path, said, message):
    with pytest.raises(StudyFileError, match=message):
        plan(tmp_path, said)


IN_AN_ARM = {
    "clip_norm = 1.0": r"arms\.0\.clip_norm: how a step is made is the same for all arms, .*; state clip_norm once",
    "seeds = 3": r"arms\.0\.seeds: it is a field of the study; state seeds above the arms",
    "weight_decay = 0.1": r"arms\.0\.weight_decay: it is one of the rule's hypers; try hypers = \{ weight_decay",
    "patience = 3": r"arms\.0\.patience would end runs early",
    'average = "ema"': r"""arms\.0\.average: 'ema' is no average; try \{ kind = "ema", decay = 0\.999 \}""",
    'average = { kind = "swa", start = 100 }': "arm 'constant': the first weights of the average would be taken after",
    "hypers = { beta1 = [1] }": r"arms\.0\.hypers\.beta1: got \[1\]; expected a number or a text",
    "resets = 0.5": r"arms\.0\.resets: got 0\.5; expected a list; try resets = \[0\.5\]",
}


@pytest.mark.parametrize(("said", "message"), IN_AN_ARM.items())
def test_of_an_arm_one_sentence_says_what_is_wrong(tmp_path, said, message):
    with pytest.raises(StudyFileError, match=message) as caught:
        plan(tmp_path, text=TEXT + said.replace("{", "{{").replace("}", "}}"))
    assert "\n" not in str(caught.value)


RUN = ("run", "bmi", "--lr", "linear(0.01, steps=steps)", "--steps", "8", "--save-every", "3", "--json")
OPTIONS = ("--clip-norm", "0.5", "--accumulate", "2", "--group", "*.bias: weight_decay=0.5", "--layer-decay", "0.9")


def test_a_run_is_made_so_resumed_so_and_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def ran(*words):
        assert main(list(words)) == 0
        return json.loads(capsys.readouterr().out)["valid"]

    whole, plain = ran(*RUN, *OPTIONS, "--store", "a"), ran(*RUN, "--store", "b")
    assert whole != plain
    setting = settings.setting_in(Path("a"))[0]
    with threads(1):
        begun = single.Single(setting)
        begun.train(5)
        single.save(begun, Path("c"))
    checkpoint.release(Path("c").resolve())
    assert ran("resume", "c", "--json") == whole
    assert main([*RUN, "--clip-norm", "0.7", "--store", "a"]) == 3
    assert "clip_norm 0.5 there, 0.7 now; accumulate 2 there, None now" in capsys.readouterr().err
    assert len(set(Path("runs").iterdir()) if Path("runs").exists() else ()) == 0


def test_a_run_that_was_saved_before_there_was_such_a_field_goes_on(tmp_path):
    run = single.Single(settings.setting_of("quadratic", "SGD", "0.1", 4, 0))
    fields = {name: value for name, value in vars(run.setting).items() if name not in ("steps_as", "average")}
    checkpoint.save(tmp_path / "r", 0, generators=False, run=run, setting=fields)
    checkpoint.release(tmp_path / "r")
    assert settings.setting_in(tmp_path / "r")[0] == run.setting


def test_a_plan_and_a_run_say_which_parameters_are_in_which_group(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan(tmp_path, SAID)
    assert main(["study", "s.toml", "--plan"]) == 0
    out = capsys.readouterr().out
    said = [
        "- Group *.bias (3 tensors, 34 parameters: 0.bias, 2.bias, 4.bias): rate x 0.656 to 1, weight_decay = 0.5.",
        "- Group 4.weight (1 tensor, 32 parameters: 4.weight): rate x 0.1.",
        "- Group the rest (2 tensors, 288 parameters: 0.weight, 2.weight): rate x 0.656 to 0.81.",
    ]
    assert " ".join(said) in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert main(["study", "s.toml", "--plan", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [(group["group"], group["hypers"], group["parameters"]) for group in groups] == [
        ("*.bias", {"weight_decay": 0.5}, 34),
        ("4.weight", {}, 32),
        ("the rest", {}, 288),
    ]
    decays = {"0": 0.9**4, "2": 0.9**2, "4": 1.0}  # 0, 2 and 4 are layers, 1 and 3 have no parameters
    rates = {name: decays[name[0]] * (0.1 if name == "4.weight" else 1) for name in NAMES}
    assert {name: rate for group in groups for name, rate in group["rates"].items()} == pytest.approx(rates)
    assert main([*RUN, *OPTIONS, "--store", "a"]) == 0
    assert [group["group"] for group in json.loads(capsys.readouterr().out)["groups"]] == ["*.bias", "the rest"]
    assert main([*RUN[:-1], *OPTIONS, "--store", "a"]) == 0
    assert "- Group the rest (3 tensors, 320 parameters: 0.weight, " in capsys.readouterr().out
    assert main([*RUN, "--store", "b"]) == 0
    assert "groups" not in json.loads(capsys.readouterr().out)


def test_of_many_names_the_first_and_the_last_are_shown():
    assert "(6 tensors, 1,234 parameters: a, b, c, ..., f)" in str(Matched("*", {}, dict.fromkeys("abcdef", 1.0), 1234))


@pytest.mark.parametrize("text", ["*", ":lr=1", "*.bias:", "*:lr", "*:lr=a", ""])
def test_a_group_that_is_none_is_refused_with_what_to_write(text):
    with pytest.raises(StudyFileError, match=r"got .*--group"):
        steps_of([text])


def test_a_group_may_hold_a_colon():
    assert group_of("a:b*: lr=0.5, eps=1e-6") == {"match": ("a:b*",), "lr": 0.5, "eps": 1e-6}


def test_built_in_studies_say_nothing_of_it():
    assert read("bmi").workload.recipe.text() == ""
