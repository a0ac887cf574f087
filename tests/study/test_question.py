"""What a study is asked: its words, which arms it compares, and what the answer says in the form of the question."""

import json
import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats as scipy_stats
from study_cases import LOOP, arm_text, finished, read, trained_as

from tapered.cli.main import main
from tapered.study import forest_of, open_store
from tapered.study.file.explained import explained
from tapered.study.file.study import Prune, Study, to_toml
from tapered.study.plan import pruning as prune
from tapered.study.result import Cost, analyse
from tapered.study.result.asked import Asked
from tapered.study.store.runs import Run
from tapered.study.summary import arm_rows, summary, verdict_rows

WORDS = '''question = "Does it help?"
claim = """
It
  helps."""
criterion = "linear helps"
'''
TOML = """
name = "asked"
workload = "quadratic"
steps = 12
seeds = 2
evaluations = 2
baseline = "constant"
peaks = { low = 0.01, high = 0.1, count = 2 }
""" + "".join([arm_text("constant"), arm_text("linear", "linear(steps=steps)")])
COST = Cost(10, 10, "a test says so", ())


@pytest.fixture(autouse=True)
def loop(monkeypatch):
    trained_as(monkeypatch, LOOP)


def stated(*arms, **fields):
    """A study of arms, each its fields beside rule and rate; the first is the baseline."""
    made = [{"rule": "Adam", "lr": "constant(1.0)"} | arm for arm in arms]
    grid = {"low": 1, "high": 2, "count": 2}
    whole = {"name": "n", "workload": "w", "steps": 4, "baseline": arms[0]["name"], "peaks": grid, "arms": made}
    return Study.model_validate(whole | fields)


def named(*names, **against):
    return [{"name": name} | ({"against": against[name]} if name in against else {}) for name in names]


def result_of(values, fresh=None, arms=None, **fields):
    """The result of an arm's values by seed at one peak; fresh seeds begin at 100."""
    grid = {"low": 0.5, "high": 0.5, "count": 1}
    study = stated(*(arms or named(*values)), peaks=grid, **fields)

    def runs(of, first):
        return [
            Run(f"{name}/{seed}", name, 0.5, seed, 10, step=10, value=value)
            for name, column in of.items()
            for seed, value in enumerate(column, first)
        ]

    return analyse(Asked(study, 4, "toy"), runs(values, 0), {}, {}, COST, runs(fresh or {}, 100))


# words


def test_the_words_are_one_paragraph_each_and_come_first(tmp_path):
    found = read(tmp_path, WORDS + TOML)
    assert found.study.texts == {"question": "Does it help?", "claim": "It helps.", "criterion": "linear helps"}
    assert Study.model_validate(tomllib.loads(to_toml(found.study))) == found.study
    assert found.study.known is None


def test_no_number_depends_on_the_words(tmp_path):
    plain, asked = read(tmp_path, TOML), read(tmp_path, WORDS + TOML)
    assert (plain.facts, plain.identity) == (asked.facts, asked.identity)
    assert not any("question" in name or "against" in name for name in plain.facts)  # as folders of before have them
    runs, result = finished(plain, tmp_path / "s")
    again, changed = finished(asked, tmp_path / "s", progress=lambda _: pytest.fail("nothing is trained again"))
    assert again == runs
    assert "Written after runs had been trained: question, claim, criterion." in changed.caveats
    assert not any("after runs" in caveat for caveat in result.caveats)


def test_words_that_change_after_the_first_run_are_told(tmp_path):
    finished(read(tmp_path, WORDS + TOML), tmp_path / "s")
    other = WORDS.replace("linear helps", "linear does not hurt") + TOML
    _, result = finished(read(tmp_path, other), tmp_path / "s")
    assert [caveat for caveat in result.caveats if "after runs" in caveat] == [
        "The criterion was changed after runs had been trained; it was: linear helps"
    ]
    assert (tmp_path / "s" / "study.toml").read_text() == WORDS + TOML  # what was stated first stays
    _, result = finished(read(tmp_path, WORDS + TOML), tmp_path / "s")
    assert not any("after runs" in caveat for caveat in result.caveats)


def test_words_may_be_corrected_before_anything_is_trained(tmp_path):
    for text in (TOML, WORDS + TOML):
        with open_store(read(tmp_path, text), tmp_path / "s"):
            assert (tmp_path / "s" / "study.toml").read_text() == text
    _, result = finished(read(tmp_path, WORDS + TOML), tmp_path / "s")
    assert not any("after runs" in caveat for caveat in result.caveats)


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"question = 3", b"question = [", b"", None])
def test_a_copy_that_cannot_be_read_is_no_reason_to_refuse(tmp_path, damage):
    runs, _ = finished(read(tmp_path, WORDS + TOML), tmp_path / "s")
    copy = tmp_path / "s" / "study.toml"
    copy.unlink() if damage is None else copy.write_bytes(damage)
    again, result = finished(read(tmp_path, WORDS + TOML), tmp_path / "s")
    assert again == runs
    assert not any("after runs" in caveat for caveat in result.caveats)


# who is compared with whom


def test_an_arm_is_compared_with_what_it_is_against():
    study = stated(*named("a", "b", "c", "d", "e", c="b", d=["a", "c"], e=[]))
    assert study.pairs == (("b", "a"), ("c", "b"), ("d", "a"), ("d", "c"))
    assert study.compared_with == {"a", "b", "c"}
    assert (study.comparisons, stated(*named("a", "b")).comparisons) == (4, 1)


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        (named("a", "b", b="b"), "arm 'b' is against itself; try against = 'a', or leave it out"),
        (named("constant", "b", b="constnat"), "'constnat', which is not a tuned arm; try \"constant\""),
        (
            [*named("a", "b", b="c"), {"name": "c", "fixed": True}],
            "'c', which is not a tuned arm; expected one of a, b",
        ),
        ([*named("a", "b"), {"name": "c", "fixed": True, "against": "a"}], "'c' has against = 'a' and fixed = true"),
        (named("a", "b", a="b"), "'a' and 'b' are compared twice"),
        (named("a", "b", "c", b="c", c="b"), "'b' and 'c' are compared twice"),
        (named("a", "b", b=["a", "a"]), "'a' and 'b' are compared twice"),
        (named("a", "b", b=3), "arms.1.against: got 3; expected a list; try against = "),
        (named("a", "b", b=""), "arms.1.against.0: got ''; expected a text that is not empty"),
    ],
)
def test_what_an_arm_cannot_be_against(arms, said):
    with pytest.raises(ValidationError) as error:
        stated(*arms)
    assert said in "\n".join(explained(error.value))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"question": ""}, "question: got ''; expected a text that is not empty; try question = "),
        ({"claim": ["x"]}, "claim: got ['x']; expected a text"),
        ({"known": "x" * 5000}, "expected a text of at most 4000 letters"),
        ({"against": "a"}, "against: it is a field of an arm; state it below [[arms]]"),
        ({"quesion": "x"}, 'quesion is no field of a study; try "question"'),
    ],
)
def test_words_that_are_none_are_refused(field, said):
    with pytest.raises(ValidationError) as error:
        stated(*named("a"), **field)
    assert said in "\n".join(explained(error.value))


def test_a_cycle_of_three_is_three_comparisons():
    assert len(stated(*named("a", "b", "c", a="c", b="a", c="b")).pairs) == 3


def test_seeds_follow_the_comparisons():
    """Eight arms against one take 9 seeds, four pairs of them 8."""
    names = "abcdefgh"
    against = {"b": "a", "d": "c", "f": "e", "h": "g"} | {name: [] for name in "ceg"}
    one, pairs = stated(*named(*names)), stated(*named(*names, **against))
    assert ((one.comparisons, one.needed), (pairs.comparisons, pairs.needed)) == ((7, 9), (4, 8))
    assert 7 * 2 / 2**8 > 0.05 > 4 * 2 / 2**8


def test_p_is_corrected_for_the_comparisons_that_there_are():
    names = "abcd"
    values = {name: [1.0 + 0.1 * i - 0.2 * k - 0.01 * i * k for i in range(8)] for k, name in enumerate(names)}
    for against, several in (({}, 3), ({"c": [], "d": "c"}, 2), ({"c": ["a", "b"], "d": ["a", "b", "c"]}, 6)):
        found = result_of(values, arms=named(*names, **against)).comparisons
        assert {comparison.p for comparison in found} == {several * 2 / 2**8}
        assert [(c.arm, c.baseline) for c in found] == list(stated(*named(*names, **against)).pairs)


def test_a_run_is_the_same_whatever_it_is_compared_with(tmp_path):
    """But another comparison is another study, which its folder refuses."""
    text = TOML + arm_text("cosine", "cosine_decay(decay_steps=steps)")
    one, other = read(tmp_path, text), read(tmp_path, text + 'against = "linear"\n')
    assert [task.run.key for task in forest_of(one).tasks] == [task.run.key for task in forest_of(other).tasks]
    assert {name for name in one.facts.keys() | other.facts.keys() if one.facts.get(name) != other.facts.get(name)} == {
        "study.arms.2.against"
    }
    assert one.identity != other.identity


def test_every_arm_that_is_compared_has_fresh_seeds(tmp_path):
    late = arm_text("late", "inverse_sqrt()", more='against = "cosine"')
    text = (
        TOML.replace("seeds = 2", "seeds = 2\nfresh = 3") + arm_text("cosine", "cosine_decay(decay_steps=steps)") + late
    )
    _, result = finished(read(tmp_path, text), tmp_path / "s")
    assert {run.arm for run in result.fresh} == {"constant", "linear", "cosine", "late"}
    assert [(c.arm, c.baseline, c.fresh.seeds) for c in result.comparisons] == [
        ("linear", "constant", (2, 3, 4)), ("cosine", "constant", (2, 3, 4)), ("late", "cosine", (2, 3, 4)),
    ]  # fmt: skip
    value = {(run.arm, run.seed): run.value for run in result.fresh}
    last = result.comparisons[-1]
    assert last.gains == tuple(value["cosine", seed] - value["late", seed] for seed in (2, 3, 4))


@pytest.mark.parametrize(("against", "gone"), [(None, {"b", "c", "d"}), ("c", {"b", "d"}), (["b", "c"], {"d"})])
def test_what_others_are_compared_with_is_not_pruned(tmp_path, against, gone):
    """By probes only the best of four goes on, and those without which it had no verdict."""
    arms = ["a", "b", "c", "d", "e"]
    more = {"e": "" if against is None else f"against = {json.dumps(against)}"}
    text = TOML.split("[[arms]]", maxsplit=1)[0].replace('baseline = "constant"', 'baseline = "a"')
    # rates that differ from the first step on, so that no two arms are one run
    text += "".join(arm_text(arm, f"constant({1 + i / 100})", more=more.get(arm, "")) for i, arm in enumerate(arms))
    loaded = read(tmp_path, text)
    study = loaded.study.model_copy(update={"prune": Prune(rungs=(0.5,), keep=0.01, probe=0.25)})
    loaded = loaded.having(study)
    forest, known = forest_of(loaded), {}
    for task in forest.tasks:
        probe = replace(task.run, key=prune.probe_key(loaded, task.run, 6), steps=9, step=9, probe=True)
        value = {"e": 1.0, "a": 9.0}.get(task.run.arm, 5.0 + arms.index(task.run.arm))
        known[probe.key] = replace(probe, curve=((9, {"loss": value}),))
    lost = prune.arms_lost(loaded, forest, 6, known)
    assert {task.run.arm for task in forest.tasks if task.run.key in lost} == gone


# in what arms differ


PLAIN = {"name": "a"}


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ({}, {}, ()),
        ({"lr": "cosine_decay(decay_steps=steps)"}, {}, ()),  # the rate is what is compared
        ({"hypers": {"weight_decay": 0.0}, "options": {"amsgrad": False}}, {}, ()),  # the defaults, written down
        ({"hypers": {"weight_decay": "constant(0.1)"}}, {"hypers": {"weight_decay": 0.1}}, ()),
        ({"hypers": {"weight_decay": 0.01}}, {}, ("weight_decay 0.01, not 0",)),
        (
            {"hypers": {"beta1": "linear(0.9, 0.8, steps)"}}, {"hypers": {"beta1": 0.95}},
            ("beta1 linear(0.9, 0.8, steps), not 0.95",),
        ),
        (
            {"options": {"decay": "decoupled", "amsgrad": True}}, {},
            ("amsgrad true, not false", "decay decoupled, not l2"),
        ),
        ({"rule": "SGD"}, {}, ("rule SGD, not Adam",)),
        (
            {"rule": "SGD", "hypers": {"weight_decay": 0.1}, "options": {"momentum": True}}, {},
            ("rule SGD, not Adam", "weight_decay 0.1, not 0"),
        ),
        ({"resets": [0.5]}, {"resets": []}, ("resets [0.5], not []",)),
        ({"resets": []}, {}, ()),
        ({"average": {"kind": "none"}}, {}, ()),
    ],
)  # fmt: skip
def test_in_what_arms_differ_beside_the_rate_is_said(one, two, said):
    result = result_of(
        {"a": [1.0] * 8, "b": [0.5 + 0.01 * i for i in range(8)]}, arms=[PLAIN | two, {"name": "b"} | one]
    )
    [found] = result.comparisons
    assert found.differs == said
    assert result.sentence.endswith(f"; they also differ in {'; '.join(said)}." if said else "-0.445.")
    assert summary(result)["comparisons"][0]["differs"] == list(said)


def test_numbers_that_were_found_are_differences_too():
    space = {"wd": {"low": 0.01, "high": 0.1}, "share": {"low": 0.1, "high": 0.5}}
    found = {"trials": [{"peak": 0.5, "wd": 0.05, "share": 0.25}], "resets": ["{share}"], "space": space}
    arms = [PLAIN, {"name": "b", "hypers": {"weight_decay": "constant({wd})"}} | found]
    [said] = result_of({"a": [1.0] * 8, "b": [0.5] * 8}, arms=arms).comparisons
    assert said.differs == ("weight_decay constant(0.05), not 0", "resets [0.25], not []")


def test_an_average_is_a_difference():
    arms = [PLAIN, {"name": "b", "average": {"kind": "ema", "decay": 0.9}}]
    [found] = result_of({"a": [1.0] * 8, "b": [0.5] * 8}, arms=arms).comparisons
    assert len(found.differs) == 1
    assert found.differs[0].startswith("average ")
    assert found.differs[0].endswith(", not none")


# from what to what


def test_a_change_is_what_numpy_and_scipy_find():
    rng = np.random.default_rng(5)
    base, ours = rng.lognormal(0.0, 0.2, 9), rng.lognormal(-0.5, 0.2, 9)
    for direction in ("minimize", "maximize"):
        [found] = result_of({"a": base, "b": ours}, direction=direction).comparisons
        low, high = scipy_stats.ttest_1samp(ours - base, 0).confidence_interval(0.95)
        change = found.change
        assert (change.before, change.after) == pytest.approx((base.mean(), ours.mean()))
        assert (change.low, change.high, change.difference) == pytest.approx((low, high, (ours - base).mean()))
        assert change.share == pytest.approx(ours.mean() / base.mean() - 1)
        assert (found.verdict.word == "helps") == (direction == "minimize")


@pytest.mark.parametrize(
    ("base", "ours", "share"),
    [
        ([2.0] * 8, [1.0] * 8, -0.5),
        ([0.0] * 8, [1.0] * 8, None),
        ([1.0] * 8, [0.0] * 8, None),
        ([-1.0] * 8, [-2.0] * 8, None),
        ([5.0] * 7 + [-1.0], [1.0] * 8, None),  # 0 is not the least there is
        ([5.0] * 7 + [0.0], [1.0] * 8, 1 / (35 / 8) - 1),
        ([5e-324] * 8, [1e308] * 8, None),  # beyond what a number holds
        ([math.nan] + [2.0] * 7, [1.0] * 8, None),
    ],
)
def test_a_percentage_stands_where_it_means_something(base, ours, share):
    [found] = result_of({"a": base, "b": ours}).comparisons
    assert found.change.share == (None if share is None else pytest.approx(share))
    assert ("%)" in found.sentence) == (share is not None)
    json.dumps(summary(result_of({"a": base, "b": ours})), allow_nan=False)


@pytest.mark.parametrize(
    ("base", "ours", "said"),
    [
        # the digits are those to which the interval is known
        ([0.0177] * 8, [0.0078 + 2.3e-3 * (-1) ** i for i in range(8)], "0.0177 -> 0.0078 (-56%)"),
        ([746.0] * 8, [8.2 + (-1) ** i for i in range(8)], "746.00 -> 8.20 (-99%)"),
        ([746.0 + 90 * (-1) ** i for i in range(8)], [0.0123] * 8, "746 -> 0.012 (-100%)"),
        ([1.0] * 8, [2.5e6 + 1e5 * (-1) ** i for i in range(8)], "1.0 -> 2,500,000 (2,500,000 times)"),
    ],
)
def test_numbers_have_the_digits_that_are_known(base, ours, said):
    result = result_of({"a": base, "b": ours})
    assert f": {said}, " in result.sentence
    assert "e+" not in result.sentence


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize(
    ("base", "ours"),
    [
        ([1.7e308] * 8, [-1.7e308] * 8),
        ([1.7e308] * 4 + [1e308] * 4, [-1.7e308] * 8),
        ([5e-324] * 8, [1e-320 * i for i in range(8)]),
        ([1e12] * 8, [1e12 + i for i in range(8)]),
        ([1.0] * 8, [1.0 + 1e-15 * i for i in range(8)]),
        ([0.0] * 8, [0.0] * 8),
        ([1.0], [0.0]),
        ([], []),
    ],
)
def test_whatever_the_values_there_is_an_answer(base, ours, direction):
    result = result_of({"a": base, "b": ours}, direction=direction)
    assert not any(word in result.sentence for word in ("inf", "nan", "None", "?."))
    assert not any(word in cell for row in verdict_rows(result) for cell in row for word in ("inf", "nan", "None"))
    json.dumps(summary(result)["comparisons"][0]["change"], allow_nan=False)


def test_an_answer_has_the_form_of_the_question():
    """The five words, in one form; what fresh seeds gave stands in the arms' table beside what chose."""
    base = [1.0 + 0.1 * i for i in range(8)]
    values = {"constant": base, "cosine": [v - 0.5 - 0.01 * i for i, v in enumerate(base)]}
    again = {"constant": base, "cosine": [v - 0.2 - 0.01 * i for i, v in enumerate(base)]}
    result = result_of(values, again)
    assert result.sentence == (
        "cosine beats constant: 1.350 -> 1.115 (-17%), 8 of 8 fresh seeds, 95% interval -0.255 to -0.215."
    )
    assert arm_rows(result) == [
        ("arm", "best peak", "fresh", "choosing", "diverged"),
        ("constant", "0.5", "1.35", "1.35", "0 of 8"),
        ("cosine", "0.5", "1.115", "0.815", "0 of 8"),
    ]
    assert verdict_rows(result)[1] == ("better", "cosine", "-0.235 (-17%)", "-0.255 to -0.215", "8 of 8")
    found = json.loads(json.dumps(summary(result)))
    assert found["headline"] == [result.sentence]
    assert [arm["fresh"]["mean"] for arm in found["arms"]] == pytest.approx([1.35, 1.115])


def test_runs_that_diverged_are_counted_in_the_answer():
    base, ours = [math.nan] * 3 + [2.0] * 5, [math.nan] + [1.0 + 0.01 * i for i in range(7)]
    [found] = result_of({"a": base, "b": ours}).comparisons
    assert found.change.lost == (3, 1)
    assert found.sentence == "b beats a: 3 of 8 runs of a diverged, 1 of 8 runs of b diverged, 7 of 8 seeds."


# in the terminal


def test_the_question_and_the_answer_stand_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = WORDS + TOML + arm_text("cosine", "cosine_decay(decay_steps=steps)")
    (tmp_path / "my.toml").write_text(text + 'against = ["constant", "linear"]\n')
    assert main(["study", "my.toml", "--plan"]) == 0
    said = "- Compared: linear with constant, cosine with constant, cosine with linear."
    assert said in " ".join(capsys.readouterr().out.split())
    (tmp_path / "my.toml").write_text(text)
    assert main(["study", "my.toml", "--plan"]) == 0
    assert capsys.readouterr().out.startswith("Question: Does it help?\nClaim: It helps.\nCriterion: linear helps\n\n")
    assert main(["study", "my.toml", "--store", "s"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Question: Does it help?"
    assert lines[2].startswith("Too few seeds to tell linear from constant (it takes 8 for 2 comparisons): ")
    assert lines.index("Criterion: linear helps") < next(i for i, line in enumerate(lines) if "verdict" in line)
    page = (tmp_path / "s" / "report.html").read_text()
    assert page.index("Does it help?") < page.index("Too few seeds to tell") < page.index("linear helps")
    assert main(["study", "my.toml", "--store", "s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [*found][:5] == ["study", "question", "claim", "criterion", "known"]
    assert (found["question"], found["known"]) == ("Does it help?", None)
    assert main(["study", "my.toml", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == [["linear", "constant"], ["cosine", "constant"]]
