"""The page in a headless Chromium: drawn, read by pointer and keys, sorted, saved, printed; on a phone, in the dark."""

import importlib.util
import io
import os
import unicodedata
from pathlib import Path

import pytest
from browser import browser

from tapered.report import figures, plot_data, render

LIMIT = 1.2e6  # bytes
NAMES = ("confirmed", "many")
COMMAND = "tapered study my.toml"


@pytest.fixture(scope="module")
def pages(confirmed, many, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, result in zip(NAMES, (confirmed, many), strict=True):
        found[name] = folder / f"{name}.html"
        found[name].write_text(render(result, COMMAND))
    return found


@pytest.fixture(scope="module")
def seen():
    with browser() as page:
        yield page


def text(seen, which):
    return seen.run(f"document.querySelector({which!r}).innerText")


def rows(seen, table):
    """The cells of a table that is found by its caption."""
    return seen.run(
        "[...document.querySelectorAll('main table')].filter(t => t.caption && t.caption.innerText.endsWith("
        f"{table!r})).map(t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText.trim())))[0]"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_says_its_answer_on_the_first_screen(seen, pages, name, width, dark):
    seen.console.clear()
    seen.open(pages[name], width, 844, dark=dark)
    assert pages[name].stat().st_size < LIMIT
    assert seen.console == []
    assert seen.run("document.documentElement.scrollWidth") == width
    bottom = "document.querySelector({!r}).getBoundingClientRect().bottom"
    assert seen.run(bottom.format(".verdict")) < 844
    assert seen.run(bottom.format("#verdicts-panels svg")) < (844 if name == "many" else 1200)
    ink = seen.run("getComputedStyle(document.querySelector('#curves-panels text')).fill")
    assert (ink == "rgb(230, 233, 238)") is dark


def test_figures_are_drawn_within_their_pictures(seen, pages):
    seen.open(pages["many"])
    outside = """[...document.querySelectorAll('.panels svg')].flatMap(svg => {
        const all = svg.viewBox.baseVal;
        return [...svg.querySelectorAll('path, rect, circle, text')].map(e => [e, e.getBBox()]).filter(([e, b]) =>
            e.getAttribute('transform') === null &&
            (b.x < -1 || b.y < -1 || b.x + b.width > all.width + 1 || b.y + b.height > all.height + 1)
        ).map(([e]) => e.outerHTML.slice(0, 200));
    })"""
    assert seen.run(outside) == []
    assert seen.run("document.querySelectorAll('#curves-panels svg').length") == 9


def centre(seen, which, share=0.5):
    box = seen.run(f"(b => [b.x, b.y, b.width, b.height])(document.querySelector({which!r}).getBoundingClientRect())")
    return box[0] + box[2] * share, box[1] + box[3] / 2


def test_the_pointer_reads_all_arms_at_one_step(seen, pages, many):
    seen.open(pages["many"])
    seen.run("document.getElementById('curves').scrollIntoView()")
    seen.point(*centre(seen, "#curves-panels svg", 0.6))
    said = text(seen, "#curves-panels + .read")
    assert said.startswith("step 5: validation loss")
    for series in next(f for f in figures(plot_data(many)) if f.name == "curves").series:
        k = series.x.index(5)
        line = next(line for line in said.splitlines() if series.name in line)
        assert f"{series.mean[k]:.4g}" in line
        assert f"{series.low[k]:.4g} to {series.high[k]:.4g}" in line
    seen.point(1, 1)
    assert seen.run("document.querySelector('#curves-panels + .read').hidden")
    assert seen.run("document.querySelectorAll('.mark').length") == 0


def test_arrow_keys_read_a_figure(seen, pages):
    seen.open(pages["confirmed"])
    seen.run("document.getElementById('curves-panels').focus()")
    seen.press("ArrowRight")
    assert text(seen, "#curves-panels + .read").startswith("step 0: validation loss")
    seen.press("ArrowRight")
    seen.press("End")
    assert text(seen, "#curves-panels + .read").startswith("step 10: validation loss")
    seen.press("Escape")
    assert seen.run("document.querySelector('#curves-panels + .read').hidden")
    seen.run("document.getElementById('differences-panels').focus()")
    seen.press("End")
    assert text(seen, "#differences-panels + .read").startswith("fresh seed 15: gain")
    assert "a run diverged" in text(seen, "#differences-panels + .read")


def test_every_figure_and_button_is_reached_by_tab(seen, pages):
    seen.open(pages["many"])
    reached = set()
    for _ in range(120):
        seen.press("Tab")
        reached.add(seen.run("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
    for name in ("verdicts", "curves", "sensitivity", "differences", "schedules", "trials"):
        assert f"{name}-panels" in reached
    assert {"PNG of Verdicts", "CSV of Verdicts"} <= reached


def test_tables_are_sorted_by_click_and_by_key(seen, pages):
    seen.open(pages["many"])
    head = "[...document.querySelectorAll('main table')].find(t => t.caption.innerText.endsWith('at every peak'))"
    head += ".tHead.rows[0].cells[5]"
    seen.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    before = [row[5] for row in rows(seen, "at every peak")]
    seen.run(f"{head}.querySelector('button').click()")
    numbers = [float(row[5].replace(",", "")) for row in rows(seen, "at every peak") if row[5] != "-"]
    assert numbers == sorted(numbers)
    assert seen.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    seen.run(f"{head}.querySelector('button').focus()")
    seen.press("Enter")
    again = [float(row[5].replace(",", "")) for row in rows(seen, "at every peak") if row[5] != "-"]
    assert again == sorted(numbers, reverse=True)
    assert seen.run(f"{head}.getAttribute('aria-sort')") == "descending"
    assert sorted(before) == sorted(row[5] for row in rows(seen, "at every peak"))


def test_figures_are_saved_offline(seen, pages):
    """What the buttons would write: numbers as they stand in the page, and a picture of all panels."""
    seen.open(pages["confirmed"])
    seen.run("window.kept = {}; save = (name, blob) => { window.kept[name] = blob; }; 0")
    for kind in ("CSV", "PNG"):
        seen.run(f"document.querySelector('[aria-label=\"{kind} of Seed by seed\"]').click()")
    study = seen.run("document.body.dataset.study")
    seen.run("new Promise(done => setInterval(() => Object.keys(kept).length > 1 && done(0), 20))")
    lines = seen.run(f"kept[{study + '-differences.csv'!r}].text()").splitlines()
    assert lines[0] == "name,seed,gain in validation loss,low,high,note"
    assert len(lines) == 17
    assert lines[9].endswith(",fresh seed 8,0.25,0.25,0.25,")
    size = seen.run(f"createImageBitmap(kept[{study + '-differences.png'!r}]).then(b => [b.width, b.height])")
    assert size == [920, 640]


def test_printing_loses_nothing(seen, pages):
    pypdf = pytest.importorskip("pypdf", reason="try: pip install pypdf")
    seen.open(pages["confirmed"])
    document = pypdf.PdfReader(io.BytesIO(seen.printed()))
    texts = [" ".join(unicodedata.normalize("NFKC", page.extract_text()).split()) for page in document.pages]
    found = " ".join(texts)
    width, height = document.pages[0].mediabox.width, document.pages[0].mediabox.height
    assert (round(width), round(height)) == (595, 842)
    for word in ("rate", "bootstrap", "lowest", "highest", "outcome", "key", "To cite", "Every run (56)", COMMAND):
        assert word in found, word
    of_runs = [text for text in texts if text.count("finished") > 1]
    assert len(of_runs) > 1
    assert all("outcome" in text for text in of_runs)  # a table's head is on each of its pages
    wide = "[...document.querySelectorAll('table')].map(t => t.offsetWidth)"
    seen.ask("Emulation.setEmulatedMedia", media="print")
    seen.ask("Emulation.setDeviceMetricsOverride", width=687, height=1000, deviceScaleFactor=1, mobile=False)
    assert max(seen.run(wide)) <= 687
    seen.ask("Emulation.setEmulatedMedia", media="")


def axe():
    """axe-core's text: of the file that AXE names, or as the Python package brings it."""
    if given := os.environ.get("AXE"):
        return Path(given).read_text()
    found = importlib.util.find_spec("axe_core_python")
    if found is None:
        pytest.skip("there is no axe-core; try: pip install axe-core-python, or AXE=axe.min.js")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(seen, pages, name, dark):
    seen.open(pages[name], dark=dark)
    seen.run(f"{axe()}; 0")
    rows = "{exclude: ['tbody tr:nth-child(n+6)']}"  # the others of a table are alike, and there are a thousand
    said = "v => `${v.id}: ${v.nodes.length} times, ${v.nodes[0].html}`"
    found = f"axe.run({rows}).then(r => r.violations.map({said}))"
    assert seen.run(found) == []
