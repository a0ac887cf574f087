"""What a notebook shows while a study is trained: one line with a bar, by IPython alone."""

import sys
import types

import pytest

from tapered.cli import progress, terminal


class Handle:
    """A display that is written over."""

    def __init__(self, shown):
        self.shown = shown

    def update(self, found):
        self.shown.append(found)


@pytest.fixture
def shown(monkeypatch):
    """All that stood in the cell, in turn."""
    found = []
    shell = types.SimpleNamespace(kernel=object())
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell
    display.HTML, display.display = str, lambda said, **_: found.append(said) or Handle(found)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return found


def test_a_cell_shows_one_line_and_leaves_none(shown, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SEEN", 0.0)
    with progress.progress(terminal.console(stderr=True)) as bar:
        task = bar.add_task("training", total=None)
        bar.update(task, total=4000, description="the <grid>")
        bar.advance(task, 1000)
    assert shown[0].startswith('<progress value="0" max="4000"></progress> the &lt;grid&gt;: 0 of 4,000 steps')
    assert shown[1].startswith('<progress value="1000" max="4000"></progress> the &lt;grid&gt;: 1,000 of 4,000 steps')
    assert shown[2:] == [""]
    assert capsys.readouterr() == ("", "")


def test_lines_are_text_in_a_notebook_too(shown, capsys):
    terminal.console(stderr=True).print("To go on: tapered study", soft_wrap=True)
    assert capsys.readouterr().err == "To go on: tapered study\n"
    assert shown == []


def test_a_shell_of_ipython_is_no_notebook(shown):
    sys.modules["IPython"].get_ipython = lambda: None
    assert not progress.in_notebook()
    assert shown == []
