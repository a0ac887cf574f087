"""Claims: all of them there, judged by what studies say; kept results, quick studies, states that start anew."""

import json
import tomllib
from importlib import resources
from pathlib import Path

import pytest
import torch
from study_cases import arm_text, planned

from tapered import rules
from tapered.claims import CLAIMS, Answer, Claim, q01, q02, q03, q04, q05, q06, q11, theory
from tapered.claims.golden import golden
from tapered.claims.kept import keep, kept, shown
from tapered.claims.reading import gain, values
from tapered.cli.main import main
from tapered.study.file.read import BUILT_IN
from tapered.training.advance import advance
from tapered.training.rows import start, tabulate
from tapered.training.workload import quadratic
from tapered.workloads import counterexample
from tapered.workloads.own import StudyFileError

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "tensorflow_optimizers.json").read_text())
QUESTIONS = [claim.question for claim in CLAIMS]


def test_every_claim_is_there_and_its_studies_too() -> None:
    assert QUESTIONS[:13] == [f"Q{i}" for i in range(1, 14)]
    assert {name for claim in CLAIMS for name in claim.studies} <= set(BUILT_IN)
    assert all(claim.judge.__doc__ for claim in CLAIMS)  # the criterion stands there


def test_a_study_of_a_claim_says_what_it_is_of() -> None:
    for claim in CLAIMS:
        for name in claim.studies:
            study = planned(name).study
            assert study.claim == claim.said
            assert study.question
            assert study.criterion


def test_the_ladder_compares_cooldowns_and_cosines_of_one_length() -> None:
    assert planned("cooldown-ladder").study.pairs == tuple(
        (f"cooldown {length}", f"cosine {length}") for length in ("40%", "60%", "80%", "100%")
    )


# quick studies


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_study_can_give_a_verdict(name, quick) -> None:
    """The seeds that decide could show each of its comparisons: 2 / 2^n times their number is below alpha."""
    study = planned(name, quick=quick).study
    seeds = len(study.fresh_seeds) or study.seeds
    assert seeds >= 8
    assert study.pairs
    assert 2 / 2**seeds * len(study.pairs) < study.alpha
    assert study.lacks is None


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_study_has_a_quick_form(name) -> None:
    text = (resources.files("tapered.study") / "studies" / f"{name}.toml").read_text()
    small = tomllib.loads(text)["quick"]
    try:
        found, whole = planned(name, quick=True), planned(name)
    except StudyFileError as error:  # data that this machine lacks
        assert "install" in str(error)  # noqa: PT017 - which of two outcomes it is depends on the machine
        return
    assert found.study.name == f"{whole.study.name} quick"
    for field, value in small.items():
        got = getattr(found.study, field)
        assert (
            got.model_dump(exclude_defaults=True) if isinstance(value, dict) and field != "workload_options" else got
        ) == value
    assert found.steps * found.study.seeds < whole.steps * whole.study.seeds


FILE = """
name = "mine"
workload = "quadratic"
epochs = 2
baseline = "constant"
peaks = { low = 0.1, high = 0.1, count = 1 }
QUICK
""" + arm_text("constant")


def written(folder, quick):
    (folder / "my.toml").write_text(FILE.replace("QUICK", quick))
    return str(folder / "my.toml")


def test_quick_replaces_fields_and_is_another_study(tmp_path) -> None:
    path = written(tmp_path, "[quick]\nsteps = 5\nseeds = 2")
    quick, whole = planned(path, quick=True), planned(path)
    assert (quick.steps, quick.study.seeds, quick.study.epochs, quick.study.name) == (5, 2, None, "mine quick")
    assert (whole.steps, whole.study.seeds, whole.study.name) == (256, 8, "mine")


@pytest.mark.parametrize(
    ("quick", "asked", "message"),
    [
        ("", True, "has no quick form; try without --quick"),
        ("[quick]\nstepps = 5", False, 'quick.stepps is no field that may be smaller; try "steps"'),
        ("[quick]\nmetric = 'distance'", False, "quick.metric is no field that may be smaller"),
        ("quick = 3", False, r"quick=3 is no table; try \[quick\]"),
        ("[quick]\nsteps = 0", True, "steps"),
    ],
)
def test_what_cannot_be_quick_is_refused(tmp_path, quick, asked, message) -> None:
    with pytest.raises(StudyFileError, match=message):
        planned(written(tmp_path, quick), quick=asked)


# a state that starts anew


@pytest.mark.parametrize("rule", [rules.Adam(), rules.Adagrad(start=0.1), rules.SGD(momentum=True)], ids=repr)
def test_restarted_is_a_new_state_with_the_old_weights(rule) -> None:
    """Against the same done by hand: train, throw the state away, go on with new counts."""
    workload, hyper = quadratic(), {"momentum": 0.9} if isinstance(rule, rules.SGD) else {}
    again = rules.Restarted(rule)
    begun = torch.cat([torch.zeros(30), torch.full((20,), 30.0)]).double().numpy()
    path = tabulate(again, 50, lr=0.05, **hyper)
    path = type(path)(again, {**path.hypers, "begun": begun})
    ours = advance(workload, start(workload, again, [0]), [path], 50)
    plain = tabulate(rule, 50, lr=0.05, **hyper)
    half = advance(workload, start(workload, rule, [0]), [plain], 30)
    new = start(workload, rule, [0])
    fresh = type(half)(**{**vars(half), "state": new.state, "counts": new.counts})
    theirs = advance(workload, fresh, [plain], 50)
    torch.testing.assert_close(ours.params["w"], theirs.params["w"], rtol=1e-6, atol=1e-7)
    kept_on = advance(workload, half, [plain], 50)
    assert (ours.params["w"] - kept_on.params["w"]).abs().max() > 1e-4


ARMS = (
    "\n"
    + arm_text("kept", "constant(1.0)", rule="Adam", more="resets = []")
    + arm_text("reset", "constant(1.0)", rule="Adam", more="resets = [0.5, 0.75]")
)


def test_arms_that_reset_share_their_steps_until_then(tmp_path) -> None:
    text = FILE.split("QUICK", maxsplit=1)[0].replace("epochs = 2", "steps = 8").replace("constant", "kept")
    (tmp_path / "my.toml").write_text(text + ARMS)
    kept_arm, reset = planned(str(tmp_path / "my.toml")).study.arms
    assert kept_arm.path(8, 0.1).hypers["begun"].tolist() == [0] * 8
    assert reset.path(8, 0.1).hypers["begun"].tolist() == [0, 0, 0, 0, 4, 4, 6, 6]
    assert kept_arm.build() == reset.build() == rules.Restarted(rules.Adam())
    (tmp_path / "my.toml").write_text((tmp_path / "my.toml").read_text().replace("[0.5, 0.75]", "[0.75, 0.5]"))
    with pytest.raises(StudyFileError, match=r"resets=\[0.75, 0.5\] do not ascend; try \[0.5, 0.75\]"):
        planned(str(tmp_path / "my.toml"))


# judges


def test_the_golden_values_are_the_oracles() -> None:
    found = golden()
    assert found.version == ORACLE["tensorflow"]
    assert found.start.tolist() == ORACLE["start"]
    assert found.gradients.tolist() == ORACLE["gradients"][:10]
    for rate in ("constant", "decaying"):
        case = next(
            c for c in ORACLE["cases"] if (c["optimizer"], c["arguments"], c["rate"]) == ("AdamOptimizer", {}, rate)
        )
        assert getattr(found, rate).tolist() == case["parameters"]["10"]


def test_q1_sees_another_epsilon(monkeypatch) -> None:
    assert q01.judge({}).word == "confirmed"
    monkeypatch.setattr(q01.tensorflow1, "AdamOptimizer", torch.optim.Adam)
    assert q01.judge({}).word == "depends"


def test_q3_and_q4_hold_and_a_counter_of_epochs_would_not(monkeypatch) -> None:
    assert (q03.judge({}).word, q04.judge({}).word) == ("confirmed", "confirmed")
    monkeypatch.setattr(q03.Adam, "steps", property(lambda self: self.param_groups[0]["step"] // 250))
    with pytest.raises(
        ValueError, match=r"was set to .* from outside at step 0"
    ):  # the rates move, the counter does not
        q03.judge({})


def test_q6_a_factor_that_falls_is_a_decay(monkeypatch) -> None:
    monkeypatch.setattr(q06, "STEPS", 1500)
    monkeypatch.setattr(q06, "LOOKS", 10)
    honest = q06.decays({})
    assert honest.word == "depends"  # 0.88 after 1,500 steps is not yet within 1% of 1
    assert honest.figures["factor_at_1499"] == pytest.approx((1 - 0.999**1500) ** 0.5, rel=1e-4)
    monkeypatch.setattr(q06.rules.Adam, "scalars", falling(q06.rules.Adam.scalars))
    assert q06.decays({}).word == "confirmed"


def falling(scalars):
    def wrong(self, hyper, t):
        of = dict(scalars(self, hyper, t))
        return {**of, "factor": of["factor"] / t}

    return wrong


def summary(curves, verdicts=None, direction="minimize"):
    """A study's summary: arm -> a curve for each of two seeds."""
    return {
        "file": f'direction = "{direction}"',
        "arms": [{"name": name, "best_peak": 0.5} for name in curves],
        "comparisons": [
            {"arm": name, "verdict": word, "mean": 0.1, "low": 0.0, "high": 0.2}
            for name, word in (verdicts or {}).items()
        ],
        "every_run": [
            {
                "arm": name, "peak": peak, "seed": seed, "fresh": False, "steps": curve[-1][0],
                "value": curve[-1][1], "outcome": "finished", "curve": curve,
            }
            for name, found in curves.items()
            for peak in (0.5, 0.7)
            for seed, curve in enumerate(found)
        ],
    }  # fmt: skip


def test_reading_takes_the_best_peak_and_pairs_seeds() -> None:
    found = summary({"a": [[[1, 2.0]], [[1, 3.0]]], "b": [[[1, 5.0]], [[1, 4.0]]]})
    assert values(found, "a") == {0: 2.0, 1: 3.0}
    assert gain(found, "a", "b").mean == 2.0
    assert gain({**found, "file": 'direction = "maximize"'}, "a", "b").mean == -2.0
    assert gain(found, "a", "b", fresh=True).n == 0


@pytest.mark.parametrize(
    ("tuned", "better", "word"),
    [("helps", True, "confirmed"), ("helps", False, "depends"), ("no evidence", False, "refuted")],
)
def test_q2(tuned, better, word) -> None:
    spread = [0.1, 0.12, 0.09, 0.11, 0.1, 0.13, 0.08, 0.1]
    at = {True: -1.0, False: 1.0}[better]
    found = summary(
        {
            "as asked: 0.15 decaying": [[[1, 2 + at + extra]] for extra in spread],
            "as asked: 1e-4": [[[1, 2.0]]] * 8,
        },
        {"exponential decay": tuned},
    )
    assert q02.judge({"bmi": found}).word == word


def powers(exponent, scale=1.0):
    return [[[t, scale * t**exponent] for t in (25, 50, 100)]] * 2


@pytest.mark.parametrize(
    ("exponent", "counter", "word"),
    [(-0.5, 0.01, "confirmed"), (-0.5, 0.6, "depends"), (-0.2, 0.01, "depends"), (-0.2, 0.6, "refuted")],
)
def test_q5(exponent, counter, word) -> None:
    names = ["Adam constant", q05.ADAM, "descent constant", q05.DESCENT]
    regret = summary({name: powers(exponent) for name in names}, {q05.ADAM: "helps"})
    more = [*names[:2], "AMSGrad alpha/sqrt(t)", q05.DESCENT, "Adam exponential decay"]
    found = q05.judge(
        {"regret": regret, "amsgrad-counterexample": summary({name: powers(0, counter) for name in more})}
    )
    assert found.word == word
    assert found.figures[f"slope: {q05.ADAM}"] == pytest.approx(exponent)
    # Zinkevich's bound with D = G = 2 sqrt(10) and alpha = 0.5: (40 + 20) / sqrt(t)
    share = max(t**exponent * t**0.5 / 60 for t in (25, 100))
    assert found.figures["descent_of_bound"] == pytest.approx(share)
    assert found.figures["counter-example: Adam's theorem"] == q05.theorem(100)
    assert ("as stated it is false" in found.why) == (counter > q05.theorem(100))


def test_q5_what_adams_theorem_allows_on_reddis_example() -> None:
    """Kingma and Ba's Theorem 4.1 with the gradients of the built-in problem, whose second moment is torch's."""
    slopes = counterexample().train.tensors[0].flatten().double()
    weight, T = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)), 1000
    optimizer = torch.optim.Adam([weight], betas=(0.0, 0.1))
    for t in range(T):
        weight.grad = slopes[t % 3].reshape(1)
        optimizer.step()
    v = float(optimizer.state[weight]["exp_avg_sq"])
    squares = sum(float(slopes[t % 3]) ** 2 for t in range(T))
    first, second = 2**2 / (2 * 0.5) * (T * v) ** 0.5, 0.5 * 3 / 0.9**0.5 * squares**0.5
    assert q05.theorem(T) == pytest.approx((first + second + 2**2 * 3 * 0.9**0.5 / (2 * 0.5)) / T, rel=1e-12)


@pytest.mark.parametrize(
    ("verdict", "top", "word"),
    [
        ("helps", 0.6, "confirmed"),
        ("helps", 0.9, "depends"),
        ("equivalent", 0.9, "refuted"),
        ("no evidence", 0.9, "depends"),
    ],
)
def test_q11(verdict, top, word) -> None:
    def curve(end):
        return [[[25 * epoch, end - 1 / (epoch + 10)] for epoch in range(121)]] * 2

    arms = {name: curve(0.9) for name in ("more epochs", *q11.PARTS)} | {"reload": curve(0.95)}
    study = summary({**arms, **{name: curve(top) for name in q11.OTHERS}}, {"reload": verdict}, "maximize")
    found = q11.judge(dict.fromkeys(("bmi-reload", "bmi-reload-mse", "bmi-reload-standardised"), study))
    assert found.word == word
    assert found.figures["gain after 103 epochs: reload"] == pytest.approx(0.05)
    assert found.figures["accuracy after 100 epochs"] == pytest.approx(0.95 - 1 / 110)
    assert found.figures["highest: AdaGrad 0.01"] == pytest.approx(top - 1 / 130)


def test_theory(monkeypatch) -> None:
    found = theory.CLAIM.judge({})
    assert found.word == "confirmed"
    assert found.figures["linear to zero at 1000"] == pytest.approx(1.0, rel=1e-9)
    assert found.figures["exponential to 1%, quadratic"] < found.figures["linear to zero, quadratic"]
    assert len(theory.TABLE) == 12
    monkeypatch.setitem(theory.TABLE, "cosine to zero", "constant(1.0)")  # no better than the other
    assert theory.CLAIM.judge({}).word == "depends"


# what is kept, and the command


def test_kept_results_are_of_full_studies_and_of_these_claims() -> None:
    for question, entry in kept().items():
        claim = next(claim for claim in CLAIMS if claim.question == question)
        assert entry["said"] == claim.said
        assert not entry["quick"]
        assert [study["name"] for study in entry["studies"]] == list(claim.studies)
        assert {"date", "environment", "figures", "seconds"} <= entry.keys()


def test_the_command_shows_what_is_kept(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["claims", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["claims"]
    assert [entry["question"] for entry in found] == QUESTIONS
    assert main(["claims"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("not run") == sum(entry["word"] is None for entry in found)


def test_the_page_shows_what_the_command_shows(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    main(["claims"])
    shown_now = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    stands = page.split("```console\n")[1].split("\n```", maxsplit=1)[0]
    assert stands == shown_now, "the page is old; run: python benchmarks/evidence/claims_page.py"


def test_one_that_was_not_run_says_so() -> None:
    claim = Claim("Q5", "it is so", (), lambda _: Answer("confirmed", "", {}))
    assert shown([claim], {}) == [{"question": "Q5", "said": "it is so", "word": None}]


def test_a_claim_is_measured_and_kept_beside_others(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results.json"
    keep(path, [{"question": "Q9", "word": "depends"}, {"question": "Q1", "word": "refuted"}], QUESTIONS)
    assert main(["claims", "Q1", "--run", "--keep", str(path), "--json"]) == 0
    shown_now = json.loads(capsys.readouterr().out)["claims"]
    first, other = json.loads(path.read_text())["claims"]
    assert [first] == shown_now
    assert (first["question"], first["word"], first["quick"], first["studies"]) == ("Q1", "confirmed", False, [])
    assert other == {"question": "Q9", "word": "depends"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Q99"], "got 'Q99'; expected one of Q1, Q2"),
        (["--quick"], "got --quick without --run"),
        (["--run", "--quick", "--keep", "x.json"], "got --keep with --quick"),
    ],
)
def test_wrong_words_are_refused(words, message, capsys) -> None:
    assert main(["claims", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_claims_studies_are_run_in_folders_of_their_own(tmp_path, monkeypatch, capsys) -> None:
    """With a small study in the place of a built-in one."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "[quick]\nsteps = 6\nseeds = 2")
    claim = Claim("Q1", "it is so", (path,), lambda found: Answer("depends", found[path]["study"], {"x": 1.0}))
    monkeypatch.setattr("tapered.claims.CLAIMS", (claim,))
    assert main(["claims", "--run", "--quick", "--store", "all", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["claims"]
    assert (found["word"], found["why"], found["figures"], found["quick"]) == (
        "depends",
        "mine quick",
        {"x": 1.0},
        True,
    )
    folder = Path(found["studies"][0]["folder"])
    assert folder.parent == Path("all")
    assert "mine quick" in (folder / "report.html").read_text()
