"""The example scripts, started as a study starts them: the rate asked is the rate applied, and numbers are read."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from script_runs import around, ask, cosine, difference, start, started
from warm import TORCH, Warm

from tapered.scripts import metrics, notes

EXAMPLES = Path(__file__).parents[2] / "examples" / "scripts"
STEPS = 20
TRAINERS = "transformers.trainer", "accelerate", "lightning"
LIGHTNING = 'pip install "lightning!=2.6.2,!=2.6.3"'


@pytest.fixture(scope="module")
def warm():
    found = Warm(*TORCH, *(name for name in TRAINERS if find_spec(name.partition(".")[0])), around=around())
    yield found
    found.close()


def arguments(run, lr="0.01"):
    return "--lr", lr, "--seed", "0", "--steps", str(STEPS), "--out", str(run.folder / "out")


def right(run, done, source, name):
    assert done.returncode == 0, done.stderr
    assert difference(run) is None
    told = metrics.reader(source).read(run.folder)
    assert (max(told.points[name]), told.diverged) == (STEPS, None)
    return told


def test_a_plain_loop_whose_own_cosine_is_asked(tmp_path, warm) -> None:
    run = ask(tmp_path, cosine(0.01, STEPS))
    done = start(tmp_path, "see", EXAMPLES / "plain_loop.py", *arguments(run), warm=warm)
    right(run, done, "csv:{out}/log.csv", "valid_loss")
    assert notes.unseen(tmp_path) == []


def test_a_gan_one_of_whose_rates_is_set(tmp_path, warm) -> None:
    run = ask(tmp_path, cosine(0.01, STEPS), optimizer=0)
    right(
        run,
        start(tmp_path, "set", EXAMPLES / "gan.py", *arguments(run), warm=warm),
        "jsonl:{out}/log.jsonl",
        "distance",
    )
    assert notes.unseen(tmp_path)[0].startswith("only the rate of RMSprop was studied")


@pytest.mark.parametrize("script", ["trainer", "accelerate_loop", "lightning_module"])
def test_two_lines_in_a_trainer_which_stops_and_goes_on(script, tmp_path, warm) -> None:
    package = script.split("_")[0].replace("trainer", "transformers")
    how = LIGHTNING if package == "lightning" else f"pip install {package}"
    pytest.importorskip(package, reason=f"needs {package}: {how}")
    run = ask(tmp_path, cosine(0.01, STEPS), until=STEPS if script == "accelerate_loop" else 10, save_at=(6,))
    words = EXAMPLES / f"{script}.py", *arguments(run)
    name = {"trainer": "eval_loss"}.get(script, "valid_loss")
    done = start(tmp_path, "see", *words, warm=warm)
    if run.until < STEPS:
        assert done.returncode == 0, done.stderr
        assert difference(run, stop=10) is None
        assert metrics.reader("jsonl").read(tmp_path).last == 10
        assert any(path.name.startswith("checkpoint-6") for path in run.out.iterdir())
        run = ask(tmp_path, cosine(0.01, STEPS))
        done = start(tmp_path, "see", *words, warm=warm)
    told = right(run, done, "jsonl", name)
    assert max(gap for _, gap in [(0, 0.0), *told.apart.values()]) == 0
    assert notes.unseen(tmp_path) == notes.hints(tmp_path) == []


def test_two_processes_by_torchrun(tmp_path, warm) -> None:
    run = ask(tmp_path, cosine(0.01, STEPS))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    witness = ["-m", "tapered.scripts.witness", "see", str(EXAMPLES / "distributed.py")]
    right(run, started(tmp_path, [*torchrun, *witness, *arguments(run)], warm=warm), "jsonl", "valid_loss")
    assert notes.unseen(tmp_path) == []
    facts = notes.facts(tmp_path)
    assert sorted(fact["rank"] for fact in facts if "rank" in fact) == [0, 1]


def test_outside_a_study_an_example_runs_as_ever(tmp_path, warm) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate: pip install accelerate")
    words = [str(EXAMPLES / "accelerate_loop.py"), "--steps", "10", "--out", str(tmp_path)]
    done = started("", words, warm=warm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("step 10 loss ")
