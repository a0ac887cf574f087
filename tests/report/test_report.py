import html
import io
import itertools
import json
import re
from dataclasses import replace
from math import exp, inf, nan, sqrt

import numpy as np
import pytest
import torch
from report_cases import COST, NASTY, TOML, Outline
from scipy import stats as scipy_stats
from study_cases import planned

from tapered import report
from tapered.cli import terminal
from tapered.report import figures, plot_data, render, sources, tables
from tapered.schedules.names import KINDS, RECIPES
from tapered.study import forest_of
from tapered.study.file.rules import RULES
from tapered.study.result import Cost, Pruning, analyse
from tapered.study.summary import arm_rows, cost_lines, headline, number, summary, verdict_rows


def test_plot_data_is_what_the_runs_say(result):
    data = plot_data(result)
    constant, hostile, written = data.curves
    assert (constant.name, hostile.name, written.name) == ("constant", NASTY, "as written")
    assert constant.x == (0, 5, 10)
    # best peak 0.1, seeds 0, 1, 2: 0.6 + seed + 10 - step
    assert constant.mean == pytest.approx((11.6, 6.6, 1.6))
    assert constant.low == pytest.approx((10.6, 5.6, 0.6))
    assert constant.high == pytest.approx((12.6, 7.6, 2.6))
    assert [band.name for band in data.sensitivity] == ["constant", NASTY]
    assert data.sensitivity[0].x == (0.1, 1, 10)
    assert data.sensitivity[0].mean[:2] == pytest.approx((1.6, 2.5))
    assert data.sensitivity[0].high[2] == 1e308
    assert [band.lost for band in data.sensitivity] == [((10.0, "1 of 3 diverged"),)] * 2
    assert data.schedules[1].x == tuple(range(10))
    assert data.schedules[1].mean == pytest.approx([0.1 * 0.01 ** (k / 10) for k in range(10)])
    assert data.differences == (report.Bars(NASTY, "constant", (0, 1, 2), (0.5, 0.5, 0.5)),)
    assert data.around == "the range from lowest to highest seed"
    # peaks 0.1 and 1 have means 1.6 and 2.5, and 10 none, since a run diverged there
    assert data.trials[0].x == (1, 2, 3)
    assert data.trials[0].mean == pytest.approx((2.5, 1.6, 1.6))


def test_bands_of_enough_seeds_are_intervals(confirmed):
    data = plot_data(confirmed)
    [constant, *_] = data.curves
    assert data.around == "its 95% interval"
    # 0.6 + seed for 8 seeds: mean 4.1, deviation sqrt(6), t(0.975, 7) = 2.364624
    half = 2.364624 * sqrt(6 / 8)
    assert constant.mean[-1] == pytest.approx(4.1)
    assert constant.high[-1] == pytest.approx(4.1 * exp(half / 4.1))
    assert constant.low[-1] == pytest.approx(4.1 * exp(-half / 4.1))
    assert all(low > 0 for band in data.curves for low in band.low if low is not None)
    sunk = report.data._edges([-1.0, 1.0, 3.0], 0.05)
    assert sunk == pytest.approx((1 - 4.302653 * 2 / sqrt(3), 1 + 4.302653 * 2 / sqrt(3)))
    assert report.data._edges([2.0], 0.05) == (2.0, 2.0)
    assert report.data._edges([], 0.05) == (None, None)
    assert report.data._edges([1e308, 1e-300], 0.05) == (pytest.approx(0, abs=1e307), None)


def test_an_infinite_gain_is_no_bar(result):
    [found] = result.comparisons
    endless = replace(result, comparisons=(replace(found, chosen=replace(found.chosen, gains=(inf, -inf, 0.5))),))
    assert plot_data(endless).differences[0].gains == (None, None, 0.5)


def test_the_page_begins_with_the_verdict(outline, result):
    body = [text for text in outline.text if text]
    assert body[0] == f"{NASTY} - tapered"
    assert body[1:3] == [NASTY, "21 runs · 202 updates · 3 seeds"]
    assert " ".join(body[3:6]) == result.sentence  # its arrow stands in an element of its own
    assert outline.tags.index("p") < outline.tags.index("figure") < outline.tags.index("table")


def test_the_page_loads_nothing(page, outline):
    assert {value[0] for _, _, value in outline.references} == {"#"}
    policy = html.unescape(re.search(r'Security-Policy" content="(.*?)"', page)[1])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"@import|url\(|\bstyle=|\bon[a-z]+=", page.split("<script>")[0])


def test_hostile_names_stay_text(page, outline):
    assert outline.tags.count("script") == 2
    assert "<script>alert(1)" not in page
    assert "<b>x</b>" not in page
    assert "machine <b>x</b>" in " ".join(outline.text)


def test_the_tables_count_every_run(outline):
    text = " | ".join(outline.text)
    assert "Every run (21)" in text
    assert "diverged at step 6" in text
    assert "1 of 9" in text
    for word in ("nan", "inf", "None", "NaN"):
        assert not re.search(rf"\b{word}\b", text), word


def test_the_page_says_how_it_was_made(outline):
    text = " ".join(outline.text)
    assert "tapered study my.toml --store='a b'" in text
    assert "210 steps asked, 105 to run, 2.00 times fewer, as runs share them." in text
    assert f"constant, {NASTY}: trained as rows, 16 rows at once; it is <b>faster</b>." in text
    assert torch.__version__ in text


def test_the_same_result_gives_the_same_bytes(result, page, tmp_path):
    report.write(result, tmp_path / "page.html", "tapered study my.toml --store='a b'")
    assert (tmp_path / "page.html").read_text() == page


def test_a_confirmed_study_has_all_its_tables(confirmed):
    found = Outline()
    found.feed(render(confirmed, "x"))
    text = " | ".join(piece for piece in found.text if piece)
    for piece in (
        "8 seeds and 8 fresh",
        "Full: fresh seeds",
        "that chose peaks",
        "Pruning left out 56 of 500 steps, and cooldown probes took 7.",
        "and cooldown probes count",
        "Runs that diverged or were pruned (10)",
        "Every run with fresh seeds (16)",
        "pruned at step 5",
        "diverged at step 3",
        "7 of 24",
        "Best of k peaks",
        "share without a score | - | 0.3333 | 0 | 0",
        "no interval of the mean, since 1 pair had one run diverge",
        "The study file, as it was frozen",
        'baseline = "constant"',
        "workload.train",
        "threads 1",
    ):
        assert piece in text, piece
    assert found.tags.count("script") == 2
    for word in ("nan", "inf", "None", "NaN", "null"):
        assert not re.search(rf"\b{word}\b", text), word


def test_the_summary_is_json(result):
    found = json.loads(json.dumps(summary(result), allow_nan=False))
    assert found["sentence"] == result.sentence
    assert found["arms"][0]["best_peak"] == 0.1
    assert found["arms"][0]["values"] == pytest.approx([0.6, 1.6, 2.6])
    assert found["comparisons"][0]["gains"] == pytest.approx([0.5] * 3)
    assert found["comparisons"][0]["confirmed"] is None
    assert found["arms"][0]["default_rate"] is None


def test_statistics_are_those_of_scipy_on_the_values_in_json(tmp_path):
    """From every run's value to interval, p and word, by scipy and by hand; 8 seeds, 2 comparisons."""
    path = tmp_path / "my.toml"
    path.write_text(TOML.replace("NAME", "a").replace("seeds = 3", "seeds = 8\nfresh = 8").replace("fixed = true", ""))
    found, rng = planned(str(path)), np.random.default_rng(3)
    runs = [
        replace(task.run, step=10, value=rng.lognormal(task.run.arm == "a", 0.3)) for task in forest_of(found).tasks
    ]
    fresh = [
        replace(runs[0], arm=arm, peak=peak, seed=seed, key=f"{arm}{peak}{seed}", value=rng.lognormal(arm == "a", 0.3))
        for arm, peak in itertools.product(("constant", "a", "as written"), (0.1, 1.0, 10.0))
        for seed in range(8, 16)
    ]
    said = json.loads(json.dumps(summary(analyse(found.asked, runs, {}, {}, COST, fresh))))
    best = {arm["name"]: arm["best_peak"] for arm in said["arms"]}
    value = {(r["arm"], r["seed"]): r["value"] for r in said["every_run"] if r["peak"] == best[r["arm"]]}
    for kind, seeds in (("chosen", range(8)), ("fresh", range(8, 16))):
        raw = []
        for comparison in said["comparisons"]:
            part = comparison[kind]
            d = np.array([value["constant", s] - value[comparison["arm"], s] for s in seeds])
            t = scipy_stats.ttest_1samp(d, 0).confidence_interval(0.95)
            exact = scipy_stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
            means = sorted(np.mean(c) for k in range(1, 9) for c in itertools.combinations(d, k))
            assert part["gains"] == pytest.approx(d)
            assert (part["low"], part["high"]) == pytest.approx((t.low, t.high))
            assert part["flips"] == pytest.approx((means[5], means[-6]))
            assert part["p_uncorrected"] == pytest.approx(exact.pvalue)
            raw.append(exact.pvalue)
        highest = max(min(1.0, 2 * min(raw)), *raw)
        corrected = [min(1.0, 2 * p) if p == min(raw) else highest for p in raw]
        assert [c[kind]["p"] for c in said["comparisons"]] == pytest.approx(corrected)
    assert {c["verdict"] for c in said["comparisons"]} == {"hurts", "no evidence"}


def test_the_page_says_how_many_seeds_an_interval_takes(result, confirmed):
    few, enough = (render(found, "tapered study my.toml") for found in (result, confirmed))
    assert "<td>needs 6 seeds</td>" in few
    assert "needs 6 seeds" not in enough
    assert "<td>0.5 to 0.5</td><td>0.5 to 0.5</td><td>0.5 to 0.5</td>" in enough
    assert "too few seeds (8 for 1 comparison)" in few


def test_the_summary_holds_what_repeats_the_study(confirmed, tmp_path):
    found = json.loads(json.dumps(summary(confirmed), allow_nan=False))
    [said] = found["comparisons"]
    assert (said["confirmed"], said["verdict"]) == (True, said["fresh"]["verdict"])
    assert said["fresh"]["gains"][-1] is None
    for interval in ("bootstrap", "flips"):
        assert (said["chosen"][interval], said["fresh"][interval]) == ([0.5, 0.5], None)  # equal gains; one is infinite
    assert (said["seeds_needed"], said["comparisons"], said["chosen"]["comparisons"]) == (8, 1, 1)
    assert said["seeds"] == list(range(8, 16))
    assert found["pruning"] == {
        "of": 500,
        "saved": 56,
        "probes": 7,
        "charged": {NASTY: 7},
        "chosen": [],
        "winner": None,
        "same": None,
    }
    runs = found["every_run"]
    assert (len(runs), sum(run["fresh"] for run in runs)) == (24 * 2 + 8 + 16, 16)
    assert {run["outcome"] for run in runs} == {
        "finished",
        "pruned at step 5",
        "diverged at step 6",
        "diverged at step 3",
    }
    path = dict(map(tuple, found["arms"][1]["rate_path"]))
    arm = confirmed.asked.study.arms[1]
    assert [path[step] for step in range(10)] == arm.path(10, 0.1).hypers["lr"].tolist()
    (tmp_path / "again.toml").write_text(found["file"])
    assert planned(str(tmp_path / "again.toml")).study == confirmed.asked.study
    assert found["environment"]["threads"] == "1"
    assert found["frozen"]["workload.train"]
    assert found["arms"][1]["budget"] == {
        "runs": 24, "asked": 240, "made": 160 + 6 + 35 + 7, "diverged": 1, "pruned": 7, "probes": 7,
    }  # fmt: skip


def test_a_study_of_one_arm_has_a_page(result):
    alone = replace(result, comparisons=())
    assert "nothing to compare" in render(alone, "x")


@pytest.mark.parametrize("left", ["nothing", "all diverged", "all pruned", "no curves"])
def test_whatever_is_left_has_a_page(result, left):
    """No number is left that could be drawn, and still every table stands."""
    changes = {
        "nothing": lambda _: [],
        "all diverged": lambda runs: [replace(run, curve=(), value=nan, diverged=0, step=0) for run in runs],
        "all pruned": lambda runs: [replace(run, value=nan, pruned=5, step=5) for run in runs],
        "no curves": lambda runs: [replace(run, curve=()) for run in runs],
    }
    again = analyse(result.asked, changes[left](result.runs), {}, {}, result.cost)
    found = Outline()
    found.feed(render(again, "x"))
    text = " ".join(found.text)
    json.dumps(summary(again), allow_nan=False)
    json.dumps([figure.fields for figure in figures(plot_data(again))], allow_nan=False)
    assert [line for line in headline(again) if line in text] == headline(again)
    for word in ("nan", "inf", "None", "NaN"):
        assert not re.search(rf"\b{word}\b", text), word


def judged(found, word, mean, arm="best", baseline="constant"):
    """A comparison with another verdict and mean gain."""
    said = replace(found.chosen, paired=replace(found.paired, mean=mean), verdict=replace(found.verdict, word=word))
    return replace(found, arm=arm, baseline=baseline, chosen=said, sentence=f"{arm} is {word}.")


def test_many_comparisons_have_a_headline_and_a_table_in_order(result):
    [found] = result.comparisons
    assert headline(result) == [result.sentence]
    words = [("hurts", -9.0, "a"), ("helps", 1.0, "b"), ("no evidence", 3.0, "c"), ("helps", 2.0, "d")]
    many = replace(result, comparisons=tuple(judged(found, *word) for word in words))
    assert headline(many) == ["Of 4 arms against constant: 2 better, 1 not shown to differ, 1 worse.", "d is helps."]
    rows = verdict_rows(many)
    assert rows[0] == ("verdict", "against constant", "difference in loss", "95% interval, each", "better")
    assert [row[:2] for row in rows[1:]] == [("better", "d"), ("better", "b"), ("not shown", "c"), ("worse", "a")]
    pairs = replace(many, comparisons=(*many.comparisons[:3], judged(found, "no evidence", 2.0, "d", "c")))
    assert headline(pairs) == ["Of 4 comparisons: 1 better, 2 not shown to differ, 1 worse.", "b is helps."]
    assert [row[1:3] for row in verdict_rows(pairs)] == [
        ("arm", "against"), ("b", "constant"), ("c", "constant"), ("d", "c"), ("a", "constant"),
    ]  # fmt: skip
    nothing = replace(many, comparisons=tuple(judged(found, "no evidence", i, f"{i}") for i in range(4)))
    assert headline(nothing) == ["Of 4 arms against constant: 4 not shown to differ."]  # none is the best


def test_the_terminals_tables_are_80_columns_wide(confirmed, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(terminal.sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    for rows in (arm_rows(confirmed), verdict_rows(confirmed)):
        terminal.console(stderr=False).print(terminal.table(rows))
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("not shown  ") and line.endswith("  7 of 8") for line in lines)


def test_what_pruning_would_have_chosen_is_said():
    def line(*chosen, winner=None):
        return cost_lines(Cost(9, 9, "x", (), Pruning(100, 40, 0, {}, chosen, winner)))[1]

    would = "Pruning would have left out 40 of 100 steps, and chosen"
    assert line() == "Pruning left out 40 of 100 steps."
    assert line(("a", 0.1, 0.1), ("b", None, 0.3), winner="a") == f"{would} the same peaks."
    assert line(("a", 0.1, 0.3), winner="a") == f"{would} otherwise: a 0.1 for 0.3."
    assert line(("a", 0.1, 0.1), ("b", None, 0.3), winner="b") == f"{would} otherwise: without b, the best."


def test_numbers_are_short():
    assert [number(x) for x in (0.0, 1234.56, 1e308, -inf, nan, None)] == ["0", "1235", "1e+308", "-", "-", "-"]


def test_two_arms_that_diverged_have_no_interval(result):
    lost = [replace(run, curve=(), value=nan, diverged=0, step=0) for run in result.runs]
    again = analyse(result.asked, lost, {}, {}, result.cost)
    assert verdict_rows(again)[1] == ("no verdict", NASTY, "-", "-", "0 of 3")
    page = render(again, "x")
    assert 'class="text badge no-verdict"' in page
    assert f"{NASTY} against" in html.unescape(page)
    assert "are equal" not in page
    assert [row[3:] for row in tables.differences(again).rows] == [("no verdict", "3", *["-"] * 7)]
    assert {row[3] for row in tables.gains(again).rows} == {", ".join(f"seed {k}: both diverged" for k in range(3))}


def test_figures_without_a_value_have_no_made_up_marks(result):
    lost = [replace(run, curve=(), value=nan, diverged=0, step=0) for run in result.runs]
    drawn = {figure.name: figure for figure in figures(plot_data(analyse(result.asked, lost, {}, {}, result.cost)))}
    assert "trials" not in drawn
    assert ">0.5<" not in "".join(drawn[name].panels[0][1] for name in ("verdicts", "differences", "sensitivity"))


def test_one_page_has_one_set_of_words(result):
    """The table of verdicts and that of all that was computed say the same of a comparison."""
    first, full = tables.verdicts(result), tables.differences(result)
    assert {row[0] for row in first.rows} == {full.rows[i][3].partition(" (")[0] for i in full.strong}
    page = render(result, "x")
    assert not [word for word in (">helps<", ">hurts<", ">no evidence<", ": helps;") if word in page]


def test_an_arrow_is_not_broken_and_counts_have_commas(result):
    runs = [replace(result.runs[0], seed=seed) for seed in range(1234)]
    page = render(replace(result, runs=tuple(runs)), "x")
    verdicts = re.findall(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)
    assert "1,234 runs" in page
    assert verdicts[0].count('<span class="whole">-&gt;</span>') == 1
    assert [html.unescape(re.sub("<[^>]+>", "", text)) for text in verdicts] == headline(result)


def test_steps_are_written_in_full(result):
    """A step is a count, and no measurement to four digits."""
    band = report.Band("constant", (0, 73_129, 1_234_567), (1.0, 2.0, 3.0), (0.5, 1.5, 2.5), (1.5, 2.5, 3.5))
    none = dict.fromkeys(("sensitivity", "schedules", "verdicts", "differences", "trials"), ())
    [figure] = figures(replace(plot_data(result), curves=(band,), **none))
    assert figure.fields["series"][0]["x"] == [0, 73_129, 1_234_567]
    found = tables.values(figure)
    assert [row[0] for row in found.rows] == ["0", "73,129", "1,234,567"]
    assert found.rows[1][1] == "2 (1.5 to 2.5)"


def test_values_of_many_arms_have_a_row_each(many):
    few, long = (next(f for f in figures(plot_data(found)) if f.name == "curves") for found in (many, many))
    few = replace(few, series=few.series[:2])
    assert [name for name, _ in tables.values(few).columns] == ["step", few.series[0].name, few.series[1].name]
    found = tables.values(long)
    assert [name for name, _ in found.columns] == ["arm", "step", "validation loss"]
    assert len(found.rows) == sum(len(series.x) for series in long.series)


def test_a_rate_of_many_numbers_is_shown_short_and_stands_in_full_below(result):
    numbers = f"({', '.join(map(str, range(1, 51)))})"
    long = f"0.1 * piecewise_interpolate({numbers}, {numbers})"
    found = replace(result, arms=(replace(result.arms[0], lr=long), *result.arms[1:]))
    assert "SGD, 0.1 * piecewise_interpolate((1, 2, ... 50 in all, 50), (1, 2, ... 50 in all, 50))" in [
        row[1] for row in tables.arms(found).rows
    ]
    assert tables.long_rates(found).rows == ((result.arms[0].name, long),)
    assert tables.long_rates(result) is None
    assert render(found, "x").count(long) == 1
    assert "Rates in full" not in render(result, "x")


def test_every_rule_has_a_source_and_what_was_used_is_cited(result, many):
    assert set(sources.RULES) >= set(RULES)
    assert not set(sources.SCHEDULES) - set(KINDS) - set(RECIPES)
    cited = dict(sources.used(result))
    assert list(cited) == ["SGD", "exponential_decay", "Adam", "sign-flip test", "bootstrap-t", "win rate"]
    assert "1412.6980" in cited["Adam"]
    assert "correction" in dict(sources.used(many))


def test_no_table_is_without_caption_head_and_row_names(confirmed):
    found = re.findall(r"<table.*?</table>", render(confirmed, "x"), re.DOTALL)
    assert len(found) > 10
    for each in found:
        assert "<caption>" in each
        assert "<thead>" in each
        assert each.count('<th scope="col"') == len(re.findall(r"<th", each.partition("</thead>")[0])) - 1
        rows = each.partition("<tbody>")[2].count("<tr")
        assert each.count("<th scope=row") == rows


def test_contents_lead_to_what_is_there(page):
    links = re.findall(r'href="#(.*?)"', page)
    assert len(links) > 10
    assert all(f'id="{link}"' in page for link in links)
