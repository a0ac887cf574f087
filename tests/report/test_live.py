"""A study that is not finished: what is said of it, its page, how seldom that is written, who may look at it."""

import http.client
import os
import re
import socket
import threading
from dataclasses import replace
from math import nan

import pytest
from browser import browser
from report_cases import NASTY, TOML, Outline, invented
from study_cases import planned
from test_browser import axe

from tapered import report
from tapered.report import live, serve
from tapered.report.partial import MARK, render_partial
from tapered.report.template import policy
from tapered.study import forest_of, open_store
from tapered.study.result.partial import partial
from tapered.study.summary.partial import partial_fields, so_far_rows, standing_lines

WORDS = r"\b(beats|loses|helps|hurts|better|worse|practically|interval|not shown|p)\b"
WHEN = 1_795_800_000.5


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Three arms, one of them fixed; 21 runs that choose, and 6 fresh ones."""
    path = tmp_path_factory.mktemp("p") / "my.toml"
    path.write_text(TOML.replace("NAME", NASTY).replace("seeds = 3", "seeds = 3\nfresh = 3"))
    return planned(str(path))


def halfway(run, step=5):
    curve = tuple(point for point in invented(run).curve if point[0] <= step)
    return replace(run, step=step, curve=curve, value=nan)


@pytest.fixture(scope="module")
def runs(found):
    """Of the first arm all are done, of the second some are at step 5, one has come further; fresh ones are lucky."""
    tasks = [task.run for task in forest_of(found).tasks]
    first = [invented(run) for run in tasks if run.arm == "constant"]
    second = [halfway(run) for run in tasks if run.arm == NASTY and run.peak != 10]
    second[0] = replace(second[0], step=7, curve=(*second[0].curve, (7, {"loss": 0.5, "distance": 1.0})))
    lucky = [replace(run, key=run.key + "f", seed=run.seed + 3, value=-777.25) for run in first if run.peak == 0.1]
    return [*first, *second, *lucky[:2]]


@pytest.fixture(scope="module")
def page(found, runs):
    return render_partial(partial(found.study, runs), found.asked, found.stated.text, "tapered study my.toml", WHEN)


def test_how_far_a_study_is_counted_by_hand(found, runs):
    said = partial(found.study, runs)
    assert [(stage.name, stage.done, stage.of) for stage in said.stages] == [("the grid", 9, 21), ("fresh seeds", 2, 6)]
    assert (said.done, said.of, said.stage) == (11, 27, said.stages[0])
    assert len(said.begun) == 6
    constant, second, fixed = said.arms
    assert (constant.best.peak, constant.step, constant.done) == (0.1, 10, 9)
    assert constant.best.mean == pytest.approx(sum(seed + 0.1 + 0.5 for seed in range(3)) / 3)
    assert (second.best.peak, second.step, second.done, second.begun) == (0.1, 5, 0, 6)  # where all of them were
    assert second.best.mean == pytest.approx(sum(seed + 0.1 + 10 - 5 for seed in range(3)) / 3)
    assert (fixed.best, fixed.begun) == (None, 0)
    [_, row, other, nothing] = so_far_rows(said)
    assert row == ("constant", "0.1", "1.6", "3 of 3", "10", "9")
    assert other[3:] == ("3 of 3", "5", "0 (6 begun)")
    assert nothing[1:] == ("-", "-", "-", "-", "0")


def test_of_pruned_and_diverged_runs_those_that_go_on_say_how_an_arm_stands(found, runs):
    lost = [replace(run, pruned=5, step=5, value=nan) if run.peak == 0.1 else halfway(run) for run in runs[:6]]
    arm = partial(found.study, lost).arms[0]
    assert (arm.best.peak, arm.step, arm.done) == (1.0, 5, 3)
    diverged = [replace(run, diverged=3, step=3, value=nan) for run in runs[:6]]
    arm = partial(found.study, diverged).arms[0]
    assert (arm.best, [peak.diverged for peak in arm.peaks]) == (None, [3, 3])
    beyond = [*runs, replace(runs[0], peak=0.01, key="beyond")]
    assert [(s.name, s.done, s.of) for s in partial(found.study, beyond).stages][1] == ("peaks beyond the edges", 1, 3)


def test_nothing_is_said_before_all_of_it_is_known(found, runs, page):
    said = partial(found.study, runs)
    text = "\n".join([*standing_lines(said), *map(" ".join, so_far_rows(said)), str(partial_fields(said))])
    outline = Outline()
    outline.feed(page)
    shown = " ".join(outline.text).replace(found.stated.text.strip(), "")
    for each in (text, shown):
        assert re.findall(WORDS, each) == []
        assert "777.2" not in each  # what fresh seeds have given
    assert "777.2" not in page
    assert "Not finished: 11 of 27 runs are done." in shown
    assert "2026-11-27 17:20:00 UTC" in shown
    assert outline.references == []
    assert MARK in page[:200]
    assert f'content="{policy()}"' in page


def test_the_page_of_a_study_of_which_nothing_is_known_yet_is_one(found):
    page = render_partial(partial(found.study, []), found.asked, "", "tapered", WHEN, stopped=True)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert "stopped" in outline.text


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return WHEN


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


@pytest.fixture
def written(found, runs, tmp_path, monkeypatch, clock):
    """A page in a store that says what the runs are, and what it was told; each page takes 0.4 seconds."""
    told = []
    with open_store(found, tmp_path / "s") as store:
        monkeypatch.setattr(store, "runs", lambda: runs)
        real = live.replace

        def slow(*given):
            clock.now += 0.4
            real(*given)

        monkeypatch.setattr(live, "replace", slow)
        yield live.Live(found, store, tmp_path / "s" / "report.html", "tapered study my.toml", told.append), told


def test_pages_take_less_than_a_hundredth_of_the_time(written, clock):
    page, told = written
    began, spent, pages = clock.now, 0.0, 0
    for _ in range(3000):
        before = clock.now
        page()
        pages, spent = pages + (clock.now > before), spent + clock.now - before
        clock.now += 0.2
        assert spent <= 0.4 + 0.005 * (clock.now - began)  # the first is not known beforehand
    assert pages == 7
    assert told == []
    assert "Not finished: 11 of 27" in page.path.read_text()
    assert not page.path.with_suffix(".html.tmp").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("a fault of the page's own")])
def test_a_page_that_fails_is_said_once_and_stops_nothing(written, clock, monkeypatch, error):
    page, told = written
    page.write()
    kept = page.path.read_bytes()
    monkeypatch.setattr(live, "replace", lambda *_: (_ for _ in ()).throw(error))
    for _ in range(3):
        clock.now += 1e6
        page()
    [why] = told
    assert re.fullmatch(r".*report\.html could not be written \(.*\); training goes on without it\.", why)
    assert page.path.read_bytes() == kept


def test_what_stops_training_leaves_the_page_of_what_there_is(written, runs, monkeypatch):
    page, told = written
    with pytest.raises(KeyboardInterrupt), page:
        raise KeyboardInterrupt
    assert not page.path.exists()  # nothing was begun
    page.begin(page.planned)
    assert "Not finished: " in page.path.read_text()  # at once, where nothing is known yet
    page.path.unlink()
    page.begin(page.planned)
    assert not page.path.exists()  # now and then
    monkeypatch.setattr(page.store, "bundles", lambda: runs)
    with pytest.raises(KeyboardInterrupt), page:
        raise KeyboardInterrupt
    assert "To go on: <code>tapered study my.toml</code>" in page.path.read_text()
    assert told == []


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s") / "study"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    server = serve.Watched(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def put(served, page):
    def made(text=page):
        (served.folder / "report.html").unlink(missing_ok=True)
        (served.folder / "report.html").write_text(text)

    made()
    return made


def ask(served, method="GET", path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def test_a_page_that_is_not_finished_comes_again_and_a_finished_one_does_not(served, put, page, result):
    status, headers, body = ask(served)
    assert (status, body, headers["Refresh"]) == (200, page, "15")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in headers["Content-Security-Policy"]
    status, headers, body = ask(served, "HEAD", "/report.html?again")
    assert (status, body, int(headers["Content-Length"])) == (200, "", len(page.encode()))
    finished = report.render(result, "tapered study my.toml")
    put(finished)
    status, headers, body = ask(served)
    assert (status, body, headers["Refresh"]) == (200, finished, None)


@pytest.mark.usefixtures("put")
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{}", "", None])
def test_another_name_for_this_machine_is_refused(served, host):
    status, _, body = ask(served, Host=host and host.format(served.server_port))
    assert status == 421
    assert "Not finished" not in body


@pytest.mark.usefixtures("put")
@pytest.mark.parametrize(
    "path",
    ["/secret.txt", "/../study/secret.txt", "/%2e%2e/study/secret.txt", "/report.html/../secret.txt",
     "/report.html.tmp", "/report.html%00", "*"],
)  # fmt: skip
def test_nothing_else_of_the_folder_is_served(served, path):
    status, _, body = ask(served, path=path)
    assert status == 404
    assert body == f"Not Found: there is one page here: {served.url}\n"


@pytest.mark.usefixtures("put")
def test_it_is_read_only_and_of_this_machine_alone(served):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status, headers, _ = ask(served, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert ask(served, "STRANGE")[0] == 501
    assert ask(served, Host=f"localhost:{served.server_port}")[0] == 200
    assert served.socket.getsockname()[0] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", served.server_port)) as silent:  # who says nothing holds nobody up
        assert ask(served)[0] == 200
        silent.close()


def test_a_page_that_is_a_link_a_pipe_or_somebody_elses_is_not_read(served, put, page):
    path = served.folder / "report.html"
    put(page.replace(policy(), "default-src *"))
    assert "was not written by this version of tapered" in ask(served)[2]
    path.unlink()
    path.symlink_to(served.folder / "secret.txt")
    status, headers, body = ask(served)
    assert (status, headers["Refresh"]) == (200, "15")
    assert "secret" not in body
    assert "Nothing is known of the study yet." in body
    path.unlink()
    os.mkfifo(path)
    assert "Nothing is known of the study yet." in ask(served)[2]
    path.unlink()


def test_the_page_in_a_browser(page, tmp_path):
    (tmp_path / "page.html").write_text(page)
    with browser() as seen:
        for width, dark in ((1280, False), (390, True)):
            seen.open(tmp_path / "page.html", width, 844, dark=dark)
            assert seen.console == []
            assert seen.run("document.documentElement.scrollWidth") == width
            assert seen.run("document.querySelector('.verdict').getBoundingClientRect().bottom") < 844
            assert seen.run("document.querySelectorAll('figure svg').length") >= 3
        seen.run("document.getElementById('curves-panels').focus()")
        seen.press("ArrowRight")
        assert seen.run("document.querySelector('#curves-panels + .read').innerText").startswith("step 0: validation")
        seen.run(f"{axe()}; 0")
        assert seen.run("axe.run().then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html}`))") == []
