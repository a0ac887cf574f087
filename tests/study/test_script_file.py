"""A [script] table: what it takes, and what it refuses in a sentence."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from study_cases import read
from study_scripts import COMMAND, CONSTANT, LATE, SCRIPT, TABLE, planned, stated

import tapered
from tapered.scripts import on_ray
from tapered.study.file.read import StudyFileError
from tapered.study.script.places import slots_of


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "clip_norm = 1.0",
            "clip_norm is of a workload, and this study has a [script]: how a step is made is the script's",
        ),
        ('precision = "bfloat16"', "precision is of a workload"),
        ("groups = [{ match = '*', lr = 0.1 }]", "groups is of a workload"),
        ("accumulate = 2", "accumulate is of a workload"),
        ('device = "cuda"', "device is of a workload"),
        ("workers = 2", "workers is of a workload"),
        ('mode = "loop"', "mode is of a workload, and this study has a [script]: a script trains one run at a time"),
        (
            'workload = "bmi"',
            "workload is of a workload, and this study has a [script]: there is one subject of a study",
        ),
        ("workload_options = { a = 1 }", "a script's options are words of its command"),
        ("prune = { rungs = [0.25], probe = 0.1 }", "prune.probe forks a run in memory"),
    ],
)
def test_what_means_nothing_for_a_script_is_refused(tmp_path, more, said):
    with pytest.raises(StudyFileError) as error:
        planned(tmp_path, more=more)
    assert said in str(error.value)


def test_epochs_are_refused(tmp_path):
    with pytest.raises(StudyFileError, match=r"epochs is of a workload, .*; try steps"):
        planned(tmp_path, stated().replace("steps = 20", "epochs = 2"))


@pytest.mark.parametrize(
    "line",
    [
        'rule = "Adam"',
        "hypers = { weight_decay = 0.1 }",
        "resets = [0.5]",
        "options = { amsgrad = true }",
        'average = { kind = "ema", decay = 0.9 }',
    ],
)
def test_what_is_of_a_rule_is_refused(tmp_path, line):
    with pytest.raises(StudyFileError, match=rf"arms.1.{line.split()[0]} is of a workload's optimizer.*arm 'late'"):
        planned(tmp_path, arms=CONSTANT + LATE + line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('command = "python train.py --lr {rate}"', "unknown placeholder {rate}"),
        ('command = "python train.py | tee log"', "only a shell would understand"),
        ("command = []", "script.command: got []; expected at least 1 of them"),
        ('metrics = "tsv:log"', "script: got 'tsv:log' for metrics"),
        ('metrics = "regex:loss"', "expected a group that counts"),
        ('checkpoints = "/tmp/c-{step}"', "expected a path in {out}"),
        ('resume = "none"', "are of no use to a script that does not go on from them"),
        ('resume = "--resume {checkpoint}"\ncheckpoints = ""', "script.checkpoints"),
        ('startup = "soon"', 'expected a time, as "90s", "10m", "2h" or "3d"'),
        ('rate = "watch"', 'script.rate: got \'watch\'; expected "see", "set" or "off"'),
        ("silense = 3", 'script.silense is no field of a study; try "silence"'),
        ("retries = -1", "script.retries: got -1; expected a number of at least 0"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, line, said):
    fields = dict(part.split(" = ", 1) for part in TABLE.strip().splitlines()[1:])
    fields |= dict(part.split(" = ", 1) for part in line.splitlines())
    table = "[script]\n" + "\n".join(f"{name} = {value}" for name, value in fields.items()) + "\n"
    with pytest.raises(StudyFileError) as error:
        planned(tmp_path, table=table)
    assert said in str(error.value)


def test_a_workload_needs_what_a_script_has_not(tmp_path):
    text = 'name = "w"\nsteps = 4\nbaseline = "constant"\npeaks = { low = 0.1, high = 0.1, count = 1 }\n'
    for more, said in [
        ("", "workload is missing; try"),
        ('workload = "bmi"\n', "arms.0.rule is missing"),
    ]:
        with pytest.raises(StudyFileError, match=said):
            read(tmp_path, text + more + CONSTANT)
    with pytest.raises(StudyFileError, match=r"arms\.0\.args are words of a script's command"):
        read(tmp_path, text + 'workload = "bmi"\n' + CONSTANT + 'rule = "Adam"\nargs = "--a"\n')


def test_a_fixed_arm_has_no_peak_to_ask_for(tmp_path):
    fixed = '[[arms]]\nname = "as is"\nlr = "constant(0.1)"\nfixed = true\n'
    with pytest.raises(StudyFileError, match=r"arm 'as is' is fixed and has no peak.*try {lr}"):
        planned(tmp_path, arms=CONSTANT + fixed, table=TABLE.replace("--rates {rates}", "--lr {peak}"))
    planned(tmp_path, arms=CONSTANT + fixed, table=TABLE.replace("--rates {rates}", "--lr {lr}"))


def test_times_are_read_as_a_person_writes_them(tmp_path):
    table = TABLE + 'startup = "90s"\nsilence = "1.5h"\ntimeout = "2d"\n'
    script = planned(tmp_path, table=table).study.script
    assert (script.startup, script.silence, script.timeout, script.grace) == (90.0, 5400.0, 172800.0, 0.2)


def test_its_numbers_depend_on_its_files_and_versions(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("import numpy\n")
    (tmp_path / "config.yaml").write_text("a: 1\n")
    (tmp_path / "train.py").write_text("import json\nimport mine.model\n" + SCRIPT)
    found = read(tmp_path, stated(table=TABLE + 'files = ["*.yaml"]\n'))
    facts = found.facts
    assert {name for name in facts if name.startswith("code.")} == {
        "code.train.py", "code.mine/model.py", "code.config.yaml",
    }  # fmt: skip
    text = (tmp_path / "train.py").read_bytes()
    assert facts["code.train.py"] == hashlib.sha256(text).hexdigest()[:20]
    import numpy as np

    assert facts["script.versions"] == f"python {sys.version.split()[0]}, numpy {np.__version__}"
    assert facts["script.command"] == COMMAND
    (tmp_path / "config.yaml").write_text("a: 2\n")
    other = read(tmp_path, stated(table=TABLE + 'files = ["*.yaml"]\n'))
    assert {name for name in facts if facts[name] != other.facts[name]} == {"code.config.yaml"}
    with pytest.raises(StudyFileError, match=r"script\.files has 'none.yaml'"):
        read(tmp_path, stated(table=TABLE + 'files = ["none.yaml"]\n'))


def test_a_module_that_is_started_is_known_by_its_name_and_its_files(tmp_path):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    for name in ("train.py", "deep/model.py"):
        (tmp_path / "mine" / name).write_text("import json\n")
    found = planned(tmp_path, table=TABLE.replace("train.py --rates", "-m mine.train --rates"))
    assert found.asked.problem == "mine.train"
    assert {name for name in found.facts if name.startswith("code.")} == {
        "code.mine/train.py",
        "code.mine/deep/model.py",
    }


def test_how_long_it_may_take_and_how_it_resumes_changes_no_number(tmp_path):
    one = planned(tmp_path)
    other = planned(tmp_path, table=TABLE.replace("retries = 0", 'retries = 5\nsilence = "1h"\ncheck = 40\ngpus = 0'))
    assert one.identity == other.identity
    assert planned(tmp_path, table=TABLE.replace("--max-steps", "--max_steps")).identity != one.identity


def test_an_arms_words_stand_behind_the_command_and_make_it_another_run(tmp_path):
    from tapered.scripts.asked import Asked
    from tapered.study.plan import forest_of
    from tapered.study.script.asking import Asking

    found = planned(
        tmp_path, arms=CONSTANT + CONSTANT.replace('"constant"', '"own"', 1) + "args = \"--wd '0 1' {if:own}--on\"\n"
    )
    asking = Asking(found, found.subject)
    words = [
        asking.command(Asked(arm, 0, 20, 20, 0.1), tmp_path / "run", [0.1] * 20, "constant(0.1)").words()
        for arm in ("constant", "own")
    ]
    assert words[1][len(words[0]) :] == ["--wd", "0 1", "--on"]
    assert words[0][:2] == [sys.executable, "train.py"]
    keys = [task.run.key for task in forest_of(found).tasks]
    assert len(set(keys)) == len(keys)


def test_as_many_at_a_time_as_there_are_gpus_each_with_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    for line, count, own in (("", 5, "0"), ("gpus = 1\n", 5, "0"), ("gpus = 2\n", 2, "0,1")):
        study = planned(tmp_path, more='executor = { workers = "gpus" }', table=TABLE + line).study
        slots = slots_of(study, study.script)
        assert (slots.count, slots._settings[0]) == (count, {"CUDA_VISIBLE_DEVICES": own})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(StudyFileError, match=r"no GPU is seen here; try workers"):
        slots_of(study, study.script)


@pytest.mark.parametrize(("asked", "count"), [('"gpus"', None), ('"cores"', None), ("3", 3)])
def test_a_cluster_has_as_many_at_a_time_whatever_its_driver_sees(tmp_path, monkeypatch, asked, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(on_ray, "RaySlots", lambda *given, **needs: (*given, needs["gpus"]))
    study = planned(tmp_path, more=f'executor = {{ kind = "ray", workers = {asked} }}').study
    assert slots_of(study, study.script) == ("local", count, int(asked == '"gpus"'))


def test_studies_of_workloads_need_nothing_of_what_starts_scripts():
    code = "import sys, tapered.study, tapered.cli.study; print([n for n in sys.modules if 'supervise' in n])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert "supervise" not in found.stdout


def environment():
    return os.environ | {"PYTHONPATH": str(Path(tapered.__file__).parents[1])}
