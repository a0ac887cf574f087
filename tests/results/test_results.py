"""A study from Python: the folder, the numbers and the page of the command line, as a value."""

import inspect
import json
import shutil
import sys
import threading
import types
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from report_cases import Outline
from study_cases import arm_text

import tapered
from tapered import Result, parse
from tapered.cli.main import main
from tapered.files.errors import StoreError
from tapered.results import asked as asking
from tapered.study import Arm, Peaks, Study, read
from tapered.workloads.own import StudyFileError

TOML = """
name = "mine"
question = "Does a cosine <b>help</b>?"
workload = "quadratic"
steps = 40
seeds = 8
evaluations = 4
baseline = "constant"
peaks = { low = 0.05, high = 0.1, count = 2 }
""" + "".join([arm_text("constant"), arm_text("decay", "cosine_decay(decay_steps=steps)")])
FIGURES = ["verdicts", "curves", "sensitivity", "differences", "schedules", "trials"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The study's file."""
    path = tmp_path_factory.mktemp("asked") / "mine.toml"
    path.write_text(TOML)
    return path


@pytest.fixture(scope="module")
def result(asked):
    """What `tapered.study` returned."""
    return tapered.study(asked, store=asked.parent / "s")


def test_the_command_line_finds_the_study_finished_and_says_the_same(result, asked, capsys):
    page = result.page.read_text()
    assert main(["study", str(asked), "--store", str(result.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result.to_dict()))
    assert result.page.read_text() == page
    assert f"tapered study {asked} --store={result.folder}" in page


def test_a_folder_that_is_opened_is_the_same_result(result):
    again = Result.open(str(result.folder))
    assert repr(again) == repr(result)
    assert again._repr_html_() == result._repr_html_()
    assert json.dumps(again.to_dict()) == json.dumps(result.to_dict())
    assert {name: again.plot(name) for name in FIGURES}.keys() == again._figures.keys()
    assert [again.plot(name)._repr_svg_() for name in FIGURES] == [result.plot(name)._repr_svg_() for name in FIGURES]


def test_what_is_no_finished_study_is_refused(result, tmp_path):
    with pytest.raises(StoreError, match="is no study's folder"):
        Result.open(tmp_path)
    (tmp_path / "result.json").write_text((result.folder / "result.json").read_text().replace("cosine", "Cosine"))
    with pytest.raises(StoreError, match="differs from its own SHA-256"):
        Result.open(tmp_path)


def test_it_prints_on_a_line_and_shows_itself_whole(result):
    assert repr(result) == f"Result('mine'): {result.headline}"
    assert result.headline.startswith("decay beats constant: ")
    html, outline = result._repr_html_(), Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.references == []
    assert "Does a cosine &lt;b&gt;help&lt;/b&gt;?" in html
    assert result.headline.replace(">", "&gt;") in html
    assert outline.tags.count("table") == 1
    assert "script" not in outline.tags
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert len(html) < 30_000


def test_many_verdicts_print_on_three_lines():
    from tapered.results.look import short

    assert short("x", ["a", "b", "c"]) == "Result('x'): a\nb\nc"
    assert short("x", ["a" * 500, "b", "c", "d"]).splitlines()[1:] == ["b", "... and 2 more"]
    assert max(map(len, short("x", ["a" * 500]).splitlines())) < 300


def test_arms_say_what_was_trained(result):
    decay = result.arms["decay"]
    best = read(str(result.folder.parent / "mine.toml")).study.arms[1].at(decay.peak)
    assert [decay.schedule(k) for k in range(41)] == [best.schedule(40, decay.peak)(k) for k in range(41)]
    assert decay.schedule == parse(f"{decay.peak} * cosine_decay(decay_steps=40)")
    runs = [run for run in result.to_dict()["every_run"] if (run["arm"], run["peak"]) == ("decay", decay.peak)]
    assert decay.mean == pytest.approx(np.mean([run["value"] for run in runs if run["fresh"]]))
    assert list(decay.values) == [run["value"] for run in runs if not run["fresh"]]
    assert dict(decay.peaks).keys() == {peak for _, peak in _peaks(result, "decay")}
    assert [*result.arms] == ["constant", "decay"]
    assert result.winner is decay
    with pytest.raises(KeyError, match="study 'mine' has no arm 'dekay'; try \"decay\""):
        result.arms["dekay"]
    assert "cosine" not in result.arms


def _peaks(result, name):
    return {(run["arm"], run["peak"]) for run in result.to_dict()["every_run"] if run["arm"] == name}


def test_verdicts_are_of_the_fresh_seeds(result):
    [verdict] = result.verdicts
    means = {name: arm.mean for name, arm in result.arms.items()}
    assert (verdict.arm, verdict.against, verdict.word) == ("decay", "constant", "helps")
    assert (verdict.before, verdict.after) == pytest.approx((means["constant"], means["decay"]))
    assert verdict.share == pytest.approx(means["decay"] / means["constant"] - 1)
    assert verdict.low < verdict.after - verdict.before < verdict.high
    assert (verdict.better, verdict.seeds, verdict.confirmed) == (8, 8, True)
    assert result.headline == verdict.sentence


def test_tables_for_pandas(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="try: pip install pandas"):
        result.to_pandas()
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows: rows))
    every = result.to_dict()["every_run"]
    assert [row["value"] for row in result.to_pandas()] == [run["value"] for run in every]
    curves = result.to_pandas("curves")
    assert len(curves) == 5 * len(every)
    assert [row["value"] for row in curves if row["step"] == 40] == [run["value"] for run in every]
    assert [row["schedule"] for row in result.to_pandas("arms")] == [str(arm.schedule) for arm in result.arms.values()]
    assert [row["word"] for row in result.to_pandas("verdicts")] == ["helps"]
    with pytest.raises(ValueError, match="got 'peaks' for the rows; expected runs, curves, arms or verdicts"):
        result.to_pandas("peaks")


@pytest.mark.parametrize("name", [None, *FIGURES])
def test_a_plot_is_one_picture(result, name, tmp_path):
    plot = result.plot(name)
    plot.save(tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text() == plot._repr_svg_()
    root = ET.fromstring(plot._repr_svg_())
    assert root.find("{http://www.w3.org/2000/svg}rect").get("fill") == "#fff"
    inner = root.findall("{http://www.w3.org/2000/svg}svg")
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    boxes = [[float(one.get(side)) for side in ("x", "y", "width", "height")] for one in inner]
    assert all(x + w <= width and y + h <= height for x, y, w, h in boxes)
    assert len(inner) == len(plot.figure.panels)
    assert plot.figure.title in repr(plot)
    assert "color:inherit" in plot._repr_html_()


def test_what_cannot_be_drawn_or_written_is_refused(result, tmp_path):
    with pytest.raises(KeyError, match="study 'mine' has no picture 'curve'; try \"curves\""):
        result.plot("curve")
    with pytest.raises(ValueError, match=r"expected a path that ends in .svg; try plot.svg"):
        result.plot().save(tmp_path / "plot.png")
    old = Result(result._kept._replace(drawn={}), result.folder)
    with pytest.raises(StoreError, match="an earlier version of tapered, which kept no figures"):
        old.plot()
    assert result.headline.replace(">", "&gt;") in old._repr_html_()


def test_a_study_that_was_made_in_python_is_one_too(result, tmp_path):
    names = {"constant": "constant(1.0)", "decay": "cosine_decay(decay_steps=steps)"}
    arms = tuple(Arm(name=name, rule="SGD", lr=lr) for name, lr in names.items())
    made = Study(
        name="mine", workload="quadratic", steps=40, seeds=8, evaluations=4, baseline="constant",
        peaks=Peaks(low=0.05, high=0.1, count=2), arms=arms,
    )  # fmt: skip
    folder = tmp_path / "s"
    shutil.copytree(result.folder, folder)  # of the same study: it goes on, and trains nothing
    found = tapered.study(made, store=folder)
    assert [arm.values for arm in found.arms.values()] == [arm.values for arm in result.arms.values()]
    assert "tapered.study(Study(name=&#39;mine&#39;, ...), store=" in found.page.read_text()
    with pytest.raises(StudyFileError, match=r"Study\('mine'\) has no quick form"):
        tapered.study(made, quick=True)


def test_it_is_asked_beside_the_main_thread_as_well(result, asked):
    found = []
    thread = threading.Thread(target=lambda: found.append(tapered.study(asked, store=result.folder)))
    thread.start()
    thread.join()
    assert repr(found[0]) == repr(result)


def test_a_study_that_is_stopped_says_how_to_go_on(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "finish", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt, match="and the same call goes on"):
        tapered.study(asked, store=tmp_path / "s")


def test_the_room_of_studies_is_the_call_too():
    import tapered.study as room

    assert isinstance(tapered.study, types.ModuleType)
    assert room is tapered.study is sys.modules["tapered.study"]
    assert room.read is read
    assert inspect.signature(tapered.study) == inspect.signature(asking.study)
    with pytest.raises(StudyFileError, match="'bmj' is no built-in study; try \"bmi\""):
        tapered.study("bmj")


def test_what_it_holds_prints_short(result):
    held = [result, result.arms, *result.arms.values(), *result.verdicts, *map(result.plot, FIGURES)]
    assert max(len(repr(each)) for each in held) <= 500
