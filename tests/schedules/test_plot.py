"""Pictures of schedules: their size, their bytes, their rows."""

import xml.etree.ElementTree as ET

import pytest

from tapered.schedules import constant, cooldown, cosine_decay_restarts, hold, linear, plot, warmup

PATH = 3e-4 * warmup(200).then(hold(1600)).then(cooldown(400, shape="1-sqrt"))


@pytest.mark.parametrize("schedule", [PATH, constant(0.0), constant(-0.1), cosine_decay_restarts(0.1, 100)], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 37, 2300])
def test_the_terminal_s_picture_fits(schedule, steps):
    lines = plot.terminal(schedule, steps).splitlines()
    assert len(lines) == 15
    assert max(map(len, lines)) <= 78
    assert "\x1b" not in "".join(lines)
    assert lines == plot.terminal(schedule, steps).splitlines()


def test_the_terminal_s_picture_goes_where_the_values_go():
    lines = plot.terminal(linear(steps=100), 101, width=60, height=12).splitlines()
    assert (len(lines), max(map(len, lines))) == (12, 60)
    rows = [row for row, line in enumerate(lines) for mark in line if mark in "▀▄▌▐▖▗▘▝▙▚▛▜▞▟█"]
    first, last = lines[rows[0]], lines[rows[-1]]
    assert first.index(next(mark for mark in first if mark in "▀▄▌▐▖▗▘▝▙▚▛▜▞▟█")) < 10
    assert len(last) > 55
    assert lines[-1].split() == ["0", "25", "50", "75", "100"]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_files_have_the_same_bytes_each_time(tmp_path, kind):
    for name in ("one", "two"):
        plot.save(PATH, 2300, tmp_path / f"{name}.{kind}")
    one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one == two
    plot.save(PATH, 1700, tmp_path / f"two.{kind}")
    assert one != (tmp_path / f"two.{kind}").read_bytes()
    if kind == "svg":
        assert ET.fromstring(one.decode()).tag.endswith("svg")
    else:
        assert one.startswith(b"\x89PNG")


def test_other_files_are_refused(tmp_path):
    for name in ("rate.pdf", "rate", "rate.svg.txt"):
        with pytest.raises(ValueError, match=r"a picture is written as .svg or .png, got .*rate.*write for example"):
            plot.save(PATH, 100, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_nothing_are_refused(tmp_path):
    for draw in (
        lambda: plot.terminal(PATH, 0),
        lambda: plot.save(PATH, 0, tmp_path / "rate.svg"),
        lambda: plot.boundary_rows(PATH, 0),
    ):
        with pytest.raises(ValueError, match=r"a picture needs at least one step, got steps=0; write for example"):
            draw()


def test_rows_stand_around_boundaries():
    rows = plot.boundary_rows(PATH, 2300)
    assert [step for step, _, _ in rows] == [0, 199, 200, 201, 1799, 1800, 1801, 2199, 2200, 2201, 2299]
    assert all(value == PATH(step) for step, value, _ in rows)
    notes = {step: note for step, _, note in rows if note}
    assert notes == {
        0: "first step",
        200: "warmup ends, hold begins",
        1800: "hold ends, cooldown begins",
        2200: "cooldown ends",
        2299: "last step",
    }
    assert plot.boundary_rows(PATH, 201)[-1] == (200, PATH(200), "last step, warmup ends, hold begins")
    assert len(plot.boundary_rows(cosine_decay_restarts(0.1, 1, t_mul=1.0), 10**6)) < 100
