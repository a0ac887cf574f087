"""What is said of runs whose values are given: peaks, verdicts, budgets, confirmation."""

import itertools
import json
from dataclasses import replace
from math import inf, nan
from types import SimpleNamespace

import pytest

from tapered import optim
from tapered.study.file.study import Study
from tapered.study.result import Cost, analyse, best_peak, best_runs, divergence, summarise
from tapered.study.result.asked import Asked
from tapered.study.result.tuning import default_rate
from tapered.study.store.runs import Run

COST = Cost(10, 10, "a test says so", ())
WORKLOAD = SimpleNamespace(name="toy", metrics={}, test=None)


def loaded(arms, peaks, rules=(), **fields):
    """A study of these arms over a grid; the first arm is the baseline."""
    low, high = min(peaks), max(peaks)
    grid = {"low": low, "high": high, "count": fields.pop("count", len(peaks))}
    stated = [{"name": name, "rule": dict(rules).get(name, "Adam"), "lr": "constant(1.0)"} for name in arms]
    study = Study.model_validate(
        {"name": "fake", "workload": "toy", "steps": 10, "peaks": grid, "baseline": arms[0], "arms": stated, **fields}
    )
    return Asked(study, 10, WORKLOAD.name, tuple(WORKLOAD.metrics))


def made(name, peaks, first_seed=0):
    return [
        Run(f"{name}/{peak}/{seed}", name, peak, seed, 10, step=10, value=value)
        for peak, column in peaks.items()
        for seed, value in enumerate(column, first_seed)
    ]


def fake(values, *, fresh=None, test=False, **fields):
    """The result of given values: arm -> peak -> values by seed; fresh seeds begin at 100."""
    found = loaded(list(values), fields.pop("grid", list(next(iter(values.values())))), **fields)
    runs = [run for name, peaks in values.items() for run in made(name, peaks)]
    again = [run for name, peaks in (fresh or {}).items() for run in made(name, peaks, 100)]
    tests = {run.key: {"loss": run.value + 1} for run in runs} if test else {}
    return analyse(found, runs, tests, {}, COST, again)


EIGHT = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
BASE = {0.1: [9.0] * 8, 0.3: EIGHT, 0.9: [9.0] * 8}


def less(by):
    return [value - by - 0.01 * i for i, value in enumerate(EIGHT)]


def better(by):
    return BASE | {0.3: less(by)}


NOISE = [value + (-1) ** i * 0.1 for i, value in enumerate(EIGHT)]


def test_the_sentence_says_what_was_computed():
    result = fake({"constant": BASE, "cosine": better(0.5)}, test=True)
    # gains 0.50, 0.51, ..., 0.57: mean 0.535, deviation 0.0245, t(0.975, 7) = 2.3646
    assert result.sentence == (
        "cosine beats constant: 1.350 -> 0.815 (-40%), 8 of 8 seeds, 95% interval -0.555 to -0.515; not confirmed on "
        "fresh seeds."
    )
    assert result.comparisons[0].test.mean == pytest.approx(0.535)
    assert len(result.caveats) == 1
    assert "no fresh seeds" in result.caveats[0]


def test_worse_is_said_as_losing():
    result = fake({"constant": BASE, "cosine": better(-0.5)})
    assert result.sentence.startswith(
        "cosine loses to constant: 1.350 -> 1.815 (+34%), worse on 8 of 8 seeds, 95% interval 0.445 to 0.485;"
    )


def test_a_metric_that_is_to_rise():
    base = {peak: [-v for v in column] for peak, column in BASE.items()}
    cand = {peak: [-v for v in column] for peak, column in better(0.5).items()}
    result = fake({"constant": base, "cosine": cand}, direction="maximize", rules={"constant": "SGD"})
    # below 0 a percentage means nothing
    assert result.sentence.startswith("cosine beats constant: -1.350 -> -0.815, 8 of 8 seeds, 95% interval 0.515 to")
    above = {peak: [10 + v for v in column] for peak, column in base.items()}
    more = {peak: [10 + v for v in column] for peak, column in cand.items()}
    result = fake({"constant": above, "cosine": more}, direction="maximize")
    assert result.sentence.startswith("cosine beats constant: 8.650 -> 9.185 (+6.2%), 8 of 8 seeds, 95% interval 0.515")


def test_an_edge_optimum_is_said():
    moved = {0.1: less(0.5), 0.3: [9.0] * 8, 0.9: [9.0] * 8}
    result = fake({"constant": BASE, "cosine": moved})
    assert result.arms[1].edge == "lowest"
    assert "The best peak of cosine, 0.1, is the lowest of its grid" in result.caveats[0]


def test_one_peak_is_no_edge():
    result = fake({"constant": {0.3: EIGHT}, "cosine": {0.3: less(0.5)}})
    assert [arm.edge for arm in result.arms] == [None, None]
    assert result.caveats == ("Every arm was tried at one peak: nothing was tuned.",)
    assert "fresh" not in result.sentence  # nothing was chosen, so nothing flatters


def test_peaks_beyond_the_file_are_ordinary():
    wider = {0.1: [9.0] * 8, 0.3: [8.0] * 8, 0.9: less(0.5), 2.7: [9.0] * 8}
    result = fake({"constant": BASE | {2.7: [9.0] * 8}, "cosine": wider}, grid=[0.1, 0.3, 0.9])
    assert [p.peak for p in result.arms[1].peaks] == [0.1, 0.3, 0.9, 2.7]
    assert (result.arms[1].best.peak, result.arms[1].edge) == (0.9, None)
    assert result.caveats[0] == "Grids were extended by up to 1 peak in search of the best."
    only_one = fake({"constant": BASE, "cosine": wider}, grid=[0.1, 0.3, 0.9])
    assert (
        "Tuning budgets differ, from 24 runs, 240 steps asked (constant) to 32 runs, 320 steps asked (cosine)."
    ) in only_one.caveats


def test_a_step_more_or_less_of_a_run_that_diverged_is_no_other_budget():
    values = {0.1: EIGHT, 0.3: [nan] * 8}
    result = fake({"constant": values, "cosine": values})
    *others, last = result.runs
    said = analyse(result.asked, [*others, replace(last, step=9, diverged=9)], {}, {}, COST)
    assert [arm.budget.made for arm in said.arms] == [160, 159]
    assert not any("budgets differ" in caveat for caveat in said.caveats)


def test_large_peaks_are_written_as_in_tables():
    lost = {1e5: [nan] * 8, 1e6: [nan] * 8}
    caveats = fake({"constant": lost, "cosine": lost}).caveats
    assert any(caveat.startswith("No run ended, at the lowest peak of 100,000 either;") for caveat in caveats)
    best = fake({"constant": {1e5: EIGHT, 1e6: less(-1.0)}, "cosine": {1e5: less(-1.0), 1e6: EIGHT}}).caveats
    assert any("constant (100,000, the lowest), cosine (1,000,000, the highest)" in caveat for caveat in best)


def test_no_evidence_and_equivalence():
    noise = BASE | {0.3: NOISE}
    assert fake({"constant": BASE, "cosine": noise}).sentence == (
        "cosine is not shown to differ from constant: 1.350 -> 1.350, better on 4 of 8 seeds, "
        "95% interval -0.089 to 0.089."  # t(0.975, 7) * 0.1069 / sqrt(8)
    )
    said = fake({"constant": BASE, "cosine": noise}, delta=0.5).sentence
    assert said.startswith("cosine does practically the same as constant, within 0.5: 1.350 -> 1.350, better")


def test_the_seeds_that_delta_would_take_are_said():
    result = fake({"constant": BASE, "cosine": BASE | {0.3: NOISE}}, delta=0.05)
    # gains -+0.1: deviation 0.1069, 7.849 * (0.1069 / 0.05)^2 = 35.9
    assert result.comparisons[0].seeds_for_delta == 38
    assert (
        "To show a difference of 0.05 to constant takes about so many seeds: 38 (cosine); there are 8."
        in result.caveats
    )


def test_several_comparisons_are_corrected():
    result = fake({"constant": BASE, "cosine": better(0.5), "linear": better(0.4)})
    assert [c.p for c in result.comparisons] == [2 * 2 / 2**8] * 2
    assert any("2 comparisons (Holm)" in caveat for caveat in result.caveats)
    assert len(result.sentence.splitlines()) == 2


def many(count, seeds=8):
    """So many arms, each better at each of so many seeds, and the baseline."""
    base = [1.0 + 0.1 * i for i in range(seeds)]
    arms = {f"arm {i}": {0.3: [value - 0.5 - 0.01 * i for value in base]} for i in range(count)}
    for arm in arms.values():
        arm[0.3][0] -= 0.01  # so that differences differ
    return {"constant": {0.3: base}} | arms


@pytest.mark.parametrize(
    ("count", "seeds", "takes"), [(6, 8, ""), (7, 8, "9"), (7, 9, ""), (14, 9, "10"), (14, 10, "")]
)
def test_where_evidence_is_impossible_there_are_not_enough_seeds(count, seeds, takes):
    result = fake(many(count, seeds), seeds=seeds)
    word = f"not enough seeds ({takes} for {count} comparisons)" if takes else "helps"
    assert {c.verdict.text for c in result.comparisons} == {word}
    assert {c.p for c in result.comparisons} == {count / 2 ** (seeds - 1)}
    note = (
        f'With seeds = {seeds} no verdict can be "better" or "worse": {count} comparisons at alpha = 0.05 take {takes} '
        f"seeds; try seeds = {takes}."
    )
    assert (note in result.caveats) == bool(takes)
    if takes:
        assert result.sentence.startswith(
            f"Too few seeds to tell arm 0 from constant (it takes {takes} for {count} comparisons): 1."
        )
        assert "o evidence" not in result.sentence


def test_the_seeds_that_chose_may_be_too_few_where_fresh_ones_are_not():
    result = fake(many(7), fresh=many(7, 9))
    assert {(c.verdict.word, c.chosen.verdict.word, c.confirmed) for c in result.comparisons} == {
        ("helps", "not enough seeds", None)
    }
    first = result.sentence.splitlines()[0]
    assert first.startswith(
        "arm 0 beats constant: 1.4000 -> 0.8989 (-36%), 9 of 9 fresh seeds, 95% interval -0.5037 to"
    )
    assert first.endswith("; the 8 seeds that chose the peaks were too few to say (mean gain 0.501).")


def test_an_arm_that_was_pruned_whole_is_not_corrected_for():
    """Seven arms, six of which are left: eight seeds are enough for those."""
    values = many(7)
    cut = [replace(run, step=4, value=nan, pruned=4) for run in made("arm 6", values.pop("arm 6"))]
    runs = [run for name, peaks in values.items() for run in made(name, peaks)]
    result = analyse(loaded([*values, "arm 6"], [0.3]), [*runs, *cut], {}, {}, COST)
    assert [c.verdict.word for c in result.comparisons] == ["helps"] * 6 + ["not enough seeds"]
    assert {c.chosen.comparisons for c in result.comparisons} == {6}
    assert result.comparisons[-1].sentence == "No verdict on arm 6 against constant: every peak of arm 6 was pruned."


def test_seeds_at_which_both_diverged_say_nothing():
    lost = [nan] * 3
    result = fake({"constant": {0.3: [*lost, *EIGHT[3:]]}, "cosine": {0.3: [*lost, *less(0.5)[3:]]}})
    [found] = result.comparisons
    assert found.verdict.text == "not enough seeds (6 that differ for 1 comparison)"
    assert (
        found.verdict.reason == "the two differ at 5 of 8 seeds, and a claim at alpha = 0.05 needs at least 6 that do"
    )


def test_fresh_seeds_confirm():
    result = fake(
        {"constant": BASE, "cosine": better(0.5)}, fresh={"constant": {0.3: EIGHT}, "cosine": {0.3: less(0.2)}}
    )
    [found] = result.comparisons
    assert (found.confirmed, found.verdict.word, found.fresh.seeds) == (True, "helps", tuple(range(100, 108)))
    assert (found.chosen.paired.mean, found.paired.mean) == pytest.approx((0.535, 0.235))
    assert result.sentence == (
        "cosine beats constant: 1.350 -> 1.115 (-17%), 8 of 8 fresh seeds, 95% interval -0.255 to -0.215."
    )
    assert [(arm.fresh.mean, arm.best.mean) for arm in result.arms] == [
        pytest.approx((1.35, 1.35)),
        pytest.approx((1.115, 0.815)),  # the verdict rests on the first
    ]
    assert result.caveats == ()
    assert result.updates == (6 * 8 + 2 * 8) * 10


def test_a_claim_that_fresh_seeds_do_not_support_is_taken_back():
    result = fake({"constant": BASE, "cosine": better(0.5)}, fresh={"constant": {0.3: EIGHT}, "cosine": {0.3: NOISE}})
    [found] = result.comparisons
    assert (found.confirmed, found.verdict.word, found.chosen.verdict.word) == (False, "no evidence", "helps")
    assert result.sentence.startswith("cosine is not shown to differ from constant: 1.350 -> 1.350, better on 4 ")
    assert result.sentence.endswith('; the 8 seeds that chose the peaks said "better" (mean gain 0.535).')


def test_few_fresh_seeds_claim_nothing():
    result = fake(
        {"constant": BASE, "cosine": better(0.5)}, fresh={"constant": {0.3: EIGHT[:3]}, "cosine": {0.3: less(0.2)[:3]}}
    )
    assert result.comparisons[0].verdict.word == "not enough seeds"
    assert result.sentence.startswith(
        "Too few seeds to tell cosine from constant (it takes 8 for 1 comparison): 1.100 -> 0.890 (-19%), better on 3 "
        "of 3 fresh seeds, "
    )
    assert result.comparisons[0].verdict.reason == "3 seeds, and a claim at alpha = 0.05 needs at least 8"
    assert 'said "better"' in result.sentence
    assert "confirmed" not in result.sentence


def test_fresh_runs_count_at_best_peaks_and_shared_seeds_only():
    fresh = {"constant": {0.3: EIGHT, 0.9: [0.0] * 8}, "cosine": {0.1: [0.0] * 8, 0.3: less(0.2)[:7]}}
    [found] = fake({"constant": BASE, "cosine": better(0.5)}, fresh=fresh).comparisons
    assert found.fresh.seeds == tuple(range(100, 107))
    assert found.fresh.paired.mean == pytest.approx(0.23)


def test_fresh_seeds_of_the_winner_alone_are_corrected_for_it_alone():
    values = {"constant": BASE, "cosine": better(0.5), "linear": better(0.4)}
    result = fake(values, fresh={"constant": {0.3: EIGHT}, "cosine": {0.3: less(0.2)}})
    assert [c.p for c in result.comparisons] == [2 / 2**8, 2 * 2 / 2**8]
    assert [c.confirmed for c in result.comparisons] == [True, None]
    assert any(caveat.startswith("Peaks of linear were chosen on the seeds") for caveat in result.caveats)


def test_diverged_fresh_runs_are_counted():
    fresh = {"constant": {0.3: EIGHT}, "cosine": {0.3: [nan, *less(0.2)[1:]]}}
    result = fake({"constant": BASE, "cosine": better(0.5)}, fresh=fresh)
    assert "1 run of 16 with fresh seeds diverged." in result.caveats
    assert result.comparisons[0].verdict.word == "no evidence"  # 7 of 8 do not exclude one half
    assert result.sentence.startswith(
        "cosine is not shown to differ from constant: 1 of 8 runs of cosine diverged, better on 7 of 8 fresh seeds;"
    )


def test_when_everything_diverged_nothing_is_claimed():
    lost = {0.1: [nan] * 8, 0.3: [nan] * 8}
    result = fake({"constant": lost, "cosine": lost}, test=True)
    assert result.sentence == "No verdict on cosine against constant: every run of both diverged."
    assert "32 runs diverged" in " ".join(result.caveats)
    assert (
        "No run ended, at the lowest peak of 0.1 either; try peaks below it, and a few steps first." in result.caveats
    )
    [said] = result.comparisons
    assert (said.badge, said.chosen.text, said.verdict.reason) == ("no verdict",) * 2 + ("every run of both diverged",)
    assert (said.change.low, said.change.high, said.chosen.lost) == (None, None, (True,) * 8)
    assert not any("edge" in caveat or "grid" in caveat for caveat in result.caveats)
    assert [(b.k, b.expected, b.median, b.lost) for b in result.arms[0].trials] == [
        (1, None, None, 1.0),
        (2, None, None, 1.0),
    ]


def test_a_metric_that_is_no_number_is_told_from_training_that_diverged():
    study = loaded(["constant", "cosine"], [0.1, 0.3], metric="F1")
    lost = {0.1: [nan] * 8, 0.3: [nan] * 8}
    runs = [*made("constant", lost), *made("cosine", lost)]
    ends = [0.5] * 16 + [nan] * 16
    runs = [replace(run, curve=((10, {"loss": end, "F1": nan}),)) for run, end in zip(runs, ends, strict=True)]
    said = analyse(study, runs, {}, {}, COST).caveats
    assert (
        "16 runs counted as diverged ended with a finite loss, but F1 is no finite number there; look at the metric, "
        "or choose another."
    ) in said
    assert not any(
        "finite" in caveat for caveat in analyse(study, runs[16:] + made("constant", lost), {}, {}, COST).caveats
    )


def test_one_seed_is_not_enough():
    result = fake({"constant": {0.3: [1.0]}, "cosine": {0.3: [0.5]}}, test=True)
    assert result.sentence == (
        "Too few seeds to tell cosine from constant (it takes 8 for 1 comparison): 1.000 -> 0.500 (-50%), better on 1 "
        "of 1 seed."
    )


def test_no_runs_are_no_verdict():
    result = fake({"constant": {0.3: []}, "cosine": {0.3: []}})
    assert result.sentence == "Too few seeds to tell cosine from constant (it takes 8 for 1 comparison)."
    assert result.arms[0].best.runs == ()


def test_one_arm_has_nothing_to_be_compared_with():
    assert fake({"constant": BASE}).sentence == "fake has nothing to compare: no tuned arm is against another."


def peak(p, values, **fields):
    return summarise(p, [Run(str(i), "a", p, i, 10, step=10, value=v, **fields) for i, v in enumerate(values)])


def test_diverged_runs_rank_a_peak_behind_every_whole_one():
    whole, part, lost = peak(0.1, [5.0, 6.0]), peak(1.0, [0.1, nan]), peak(10.0, [nan, nan])
    assert best_peak([lost, part, whole], "minimize") is whole
    assert best_peak([lost, part], "maximize") is part
    assert (part.mean, part.diverged, lost.mean) == (0.1, 1, None)
    assert best_peak([replace(whole, peak=0.05), whole], "minimize").peak == 0.05


def test_a_pruned_peak_is_no_candidate_and_costs_its_steps():
    cut = [replace(run, step=4, value=nan, pruned=4) for run in made("cosine", {0.1: [nan] * 8})]
    found = loaded(["constant", "cosine"], [0.1, 0.3, 0.9])
    runs = [*made("constant", BASE), *cut, *made("cosine", {0.3: less(0.5), 0.9: [nan] * 8})]
    result = analyse(found, runs, {}, {}, COST)
    arm = result.arms[1]
    assert [(p.mean, p.diverged, p.pruned) for p in arm.peaks][::2] == [(None, 0, 8), (None, 8, 0)]
    assert (arm.best.peak, arm.edge) == (0.3, None)
    assert (arm.budget.runs, arm.budget.asked, arm.budget.made) == (24, 240, 8 * 4 + 16 * 10)
    assert (arm.budget.diverged, arm.budget.pruned) == (8, 8)
    assert {run.peak for run in best_runs(found, runs)} == {0.3}
    assert result.comparisons[0].verdict.word == "helps"
    assert "8 runs were pruned; the steps made count." in result.caveats
    assert (
        "Tuning budgets differ, from 24 runs, 192 steps made (cosine) to 24 runs, 240 steps made (constant)."
        in result.caveats
    )
    # one of three peaks has a score
    assert [(b.k, b.expected, b.lost) for b in arm.trials] == [
        (1, None, pytest.approx(2 / 3)),
        (2, None, pytest.approx(1 / 3)),
        (3, pytest.approx(1.35 - 0.535), 0.0),
    ]
    # even a diverged peak is ranked before one that was cut
    assert best_peak([arm.peaks[0], arm.peaks[2]], "minimize") is arm.peaks[2]


def test_an_arm_that_was_pruned_whole_has_no_verdict():
    cut = [replace(run, step=4, value=nan, pruned=4) for run in made("cosine", BASE)]
    result = analyse(loaded(["constant", "cosine"], list(BASE)), [*made("constant", BASE), *cut], {}, {}, COST)
    assert result.sentence == "No verdict on cosine against constant: every peak of cosine was pruned."
    assert (result.comparisons[0].verdict.word, result.arms[1].edge) == ("not enough seeds", None)


def test_a_comparison_with_diverged_runs_says_so():
    half = {0.3: [nan, *EIGHT[1:]]}
    result = fake({"constant": half, "cosine": {0.3: less(0.5)}})
    assert result.sentence == "cosine beats constant: 1 of 8 runs of constant diverged, 8 of 8 seeds."
    assert "no interval of the mean, since 1 pair had one run diverge" in result.comparisons[0].verdict.reason
    assert result.comparisons[0].verdict.word == "helps"  # better at 8 of 8
    assert "nan" not in result.sentence
    assert any("best peak contains diverged" in caveat for caveat in result.caveats)
    json.dumps(result.caveats, allow_nan=False)


def curve(*losses):
    return tuple((step, {"loss": loss}) for step, loss in enumerate(losses))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": 1.0, "curve": curve(2.0, 1.0)}, None),
        ({"value": nan, "diverged": 7, "step": 7}, "diverged at step 7"),
        ({"value": inf}, "diverged: its last evaluation is not finite"),
        ({"value": 0.1, "curve": curve(2.0, 20.1)}, "diverged: its loss rose from 2 to 20.1"),
        ({"value": 0.1, "curve": curve(2.0, 20.0)}, None),
        ({"value": 0.1, "curve": curve(2.0, 99.0, 1.0)}, None),  # it came back
        ({"value": 0.1, "curve": curve(-2.0, 5.0)}, None),
        ({"value": 0.1, "curve": curve(0.0, 5.0)}, None),
        ({"value": nan, "pruned": 4, "step": 4, "curve": curve(2.0, 1.0)}, None),
    ],
)
def test_what_counts_as_diverged(fields, said):
    run = Run("k", "a", 0.1, 0, 10, **{"step": 10, **fields})
    assert divergence(run) == said


def test_a_loss_that_blew_up_ranks_last():
    runs = [replace(run, curve=curve(1.0, 11.0)) for run in made("cosine", {0.1: [0.0] * 8})]
    runs += [*made("constant", BASE), *made("cosine", {0.3: less(0.5), 0.9: [9.0] * 8})]
    result = analyse(loaded(["constant", "cosine"], list(BASE)), runs, {}, {}, COST)
    assert (result.arms[1].best.peak, result.arms[1].budget.diverged) == (0.3, 8)
    assert "8 runs diverged, ranked last and counted." in result.caveats


def test_the_best_of_k_peaks_is_that_of_every_choice():
    scores = {0.1: 4.0, 0.2: 1.5, 0.4: 1.0, 0.8: 2.5, 1.6: 9.0}
    result = fake({"constant": {p: [s - 0.5, s + 0.5] for p, s in scores.items()}}, grid=list(scores))
    for found in result.arms[0].trials:
        every = [min(c) for c in itertools.combinations(scores.values(), found.k)]
        assert found.expected == pytest.approx(sum(every) / len(every))
    assert [found.k for found in result.arms[0].trials] == [1, 2, 4, 5]


def test_the_default_rate_is_a_trial_of_its_own():
    values = {"constant": {1e-4: [3.0], 1e-3: [2.0], 1e-2: [1.0]}}
    assert fake(values).arms[0].default.mean == 2.0
    assert fake(values, rules={"constant": "RMSprop"}).arms[0].default.peak == 1e-2
    assert fake(values, rules={"constant": "Adadelta"}).arms[0].default is None
    for rule in ("SGD", "Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lion"):
        import torch

        parameter = torch.nn.Parameter(torch.zeros(1))
        assert default_rate(rule) == getattr(optim, rule)([parameter]).param_groups[0]["lr"]
