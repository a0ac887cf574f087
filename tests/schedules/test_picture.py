"""Pictures of schedules: their size, their bytes, their rows, and that they go where the values go."""

import xml.etree.ElementTree as ET

import pytest

from tapered.pictures import Letters, Scale
from tapered.schedules import (
    constant,
    cooldown,
    cosine_decay_restarts,
    exponential_decay,
    exponential_warmup,
    hold,
    picture,
    warmup,
)

PATH = 3e-4 * warmup(200).then(hold(1600)).then(cooldown(400, shape="1-sqrt"))


HALVES = {mark: (bool(i & 3), bool(i & 12)) for i, mark in enumerate(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█")}  # upper, lower


@pytest.mark.parametrize("schedule", [PATH, constant(0.0), constant(-0.1), cosine_decay_restarts(0.1, 100)], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 37, 2300])
@pytest.mark.parametrize("width", [60, 78, 140])
def test_the_terminal_s_picture_fits(schedule, steps, width):
    lines = picture.terminal(schedule, steps, width).splitlines()
    assert len(lines) == 15
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert (lines[0], lines[-1].strip()) == ("value", "step")
    assert lines == picture.terminal(schedule, steps, width).splitlines()


@pytest.mark.parametrize("width", [60, 140])
@pytest.mark.parametrize("f", [lambda x: x, lambda x: (x - 0.3) ** 2, lambda x: 1.0 - (x > 0.5) * x], ids=range(3))
def test_letters_go_where_the_values_go(f, width):
    """Each column's marks reach from the lowest to the highest value that it holds, to half a character."""
    points = [(x / 5000, f(x / 5000)) for x in range(5001)]
    x, y = Scale("linear", 0.0, 1.0), Scale("linear", 0.0, 1.0)
    lines = Letters(x, y, ("x", "y"), (), (), width, 24).drawn(points).splitlines()
    assert lines[1].startswith("  1┤")
    assert lines[-4].startswith("  0┤")
    plot = [line.partition("│")[2] or line.partition("┤")[2] for line in lines[1:-3]]
    columns = max(map(len, plot))
    half_a_row = 0.51 / (2 * len(plot) - 1)
    for column in range(columns):
        halves = [half for line in plot for half in HALVES[line.ljust(columns)[column]]]
        marked = [1 - i / (len(halves) - 1) for i, half in enumerate(halves) if half]
        place = [at * (2 * columns - 1) - 2 * column for at, _ in points]  # -0.5 to 1.5 within
        within, near = ([v for (_, v), p in zip(points, place, strict=True) if -by <= p < 1 + by] for by in (0.5, 1.5))
        assert max(within) - half_a_row <= marked[0] <= max(near) + half_a_row
        assert min(near) - half_a_row <= marked[-1] <= min(within) + half_a_row


def test_boundaries_are_written_below():
    for width in (60, 78, 140):
        below = picture.terminal(PATH, 2300, width).splitlines()[-2].split()
        assert {"0", "200", "1,800", "2,200"} <= {*below}
    assert picture.terminal(exponential_decay(1.0, 10, 0.9), 101).splitlines()[-2].split() == [
        "0",
        *["20", "40", "60", "80", "100"],
    ]
    drawn = ET.fromstring(picture.svg(PATH))
    assert {"0", "200", "1,800", "2,200", "step", "value"} <= {
        text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")
    }


def test_a_line_of_letters_breaks_and_crosses_stand_below():
    x, y = Scale("linear", 0.0, 10.0), Scale("linear", 0.0, 1.0)
    points = [(0.0, 1.0), (4.0, 1.0), (5.0, None), (6.0, 0.0), (10.0, 0.0)]
    lines = Letters(x, y, ("x", "y"), [(0.0, "0"), (10.0, "10")], (5.0,), 44, 12).drawn(points).splitlines()
    assert (len(lines), max(map(len, lines))) == (12, 44)
    plot, (axis, crosses, marks, name) = lines[1:-4], lines[-4:]
    assert sum(mark in HALVES and mark != " " for line in plot for mark in line) == pytest.approx(0.8 * 40, abs=2)
    assert crosses.strip() == "x"
    assert crosses.index("x") - axis.index("└") == pytest.approx(41 / 2, abs=1)
    assert (marks.split(), name.strip(), axis.count("┬")) == (["0", "10"], "x", 2)


def test_files_have_the_same_bytes_each_time(tmp_path):
    for name in ("one.svg", "two.svg"):
        picture.save(PATH, 2300, tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    picture.save(PATH, 1700, tmp_path / "two.svg")
    assert one != (tmp_path / "two.svg").read_bytes()
    drawn = ET.fromstring(one.decode())
    assert drawn.tag.endswith("svg")
    assert " ".join(t.text for t in drawn.iter("{http://www.w3.org/2000/svg}text")).startswith(str(PATH))


def test_other_files_are_refused(tmp_path):
    for name in ("rate.png", "rate.pdf", "rate", "rate.svg.txt"):
        with pytest.raises(ValueError, match=r"got .*rate.*; expected a path that ends in \.svg; try rate\."):
            picture.save(PATH, 100, tmp_path / name)
    with pytest.raises(ValueError, match=r"whose folder is missing; make it first"):
        picture.save(PATH, 100, tmp_path / "nowhere" / "rate.svg")
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_nothing_are_refused(tmp_path):
    for draw in (
        lambda: picture.terminal(PATH, 0),
        lambda: picture.save(PATH, 0, tmp_path / "rate.svg"),
        lambda: picture.boundary_rows(PATH, 0),
    ):
        with pytest.raises(ValueError, match=r"a picture needs at least one step, got steps=0; write for example"):
            draw()


def test_rows_stand_around_boundaries():
    rows = picture.boundary_rows(PATH, 2300)
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
    assert picture.boundary_rows(PATH, 201)[-1] == (200, PATH(200), "last step, warmup ends, hold begins")
    assert len(picture.boundary_rows(cosine_decay_restarts(0.1, 1, t_mul=1.0), 10**6)) < 100


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        (exponential_warmup(200.0), 1000),  # within 1% of its end
        (exponential_warmup(2000.0), 8000),
        (exponential_decay(0.15, 1, 0.9999), 32_000),
        (constant(0.1), 1000),
    ],
)
def test_a_picture_ends_where_little_more_happens(schedule, shown):
    assert picture.extent(schedule) == shown
