"""`steps` in a schedule's text: exact arithmetic in the syntax tree, rounded only where an argument counts steps."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tapered.schedules import parse
from tapered.study.file.texts import read_schedule

LITERALS = ("2", "0.5", ".25", "1e-1", "1_0", "3.", "1e1", "0.29", "2.5e0")
SIGNS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: Fraction(a // b),
}


def written(text):
    return Fraction(Decimal(text.replace("_", "")))


def joined(parts):
    """(text, its value as a function of steps, whether steps is part of it) of two such, one of them in brackets."""
    (left, a, in_a), sign, (right, b, in_b) = parts
    return f"({left}) {sign} ({right})", lambda steps: SIGNS[sign](a(steps), b(steps)), in_a or in_b


def leaf(text):
    return text, Fraction if text == "steps" else (lambda _: written(text)), text == "steps"


LEAVES = st.sampled_from(["steps", "steps", *LITERALS]).map(leaf)
AMOUNTS = st.recursive(LEAVES, lambda part: st.tuples(part, st.sampled_from([*SIGNS]), part).map(joined), max_leaves=6)


@given(AMOUNTS, st.integers(1, 5000))
def test_amounts_are_computed_exactly_and_rounded_once(amount, steps):
    text, value, follows = amount
    try:
        exact = value(steps)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by 0"):
            read_schedule(f"constant({text})", steps, "lr")
        return
    assert read_schedule(f"constant({text})", steps, "lr")(0) == float(exact)  # a rate is never rounded
    assume(1 <= round(exact) < 2**53)
    if follows or exact.denominator == 1:
        assert read_schedule(f"hold({text})", steps, "lr").steps == round(exact)  # Python's: halves to the even one
    else:
        with pytest.raises(ValueError, match="must be a whole number of steps"):
            read_schedule(f"hold({text})", steps, "lr")


@pytest.mark.parametrize(
    ("text", "steps", "meant"),
    [
        ("linear(1.0, 0.0, steps=1e0*steps)", 2000, "linear(steps=2000)"),
        ("hold(steps)", 200, "hold(200)"),
        ("warmup(.1 * steps).then(hold(0.5 *steps))", 200, "warmup(20).then(hold(100))"),
        ("hold(steps*0.5).then(cooldown(steps - 120))", 200, "hold(100).then(cooldown(80))"),
        ("cosine_decay(steps=7)", 200, None),
        ("linear(steps=7) * linear(steps=steps/2)", 9, "linear(steps=7) * linear(steps=4)"),
        ("inverse_time_decay(1.0, 1, 1e-3*steps)", 2, "inverse_time_decay(1.0, 1, 0.002)"),
        ("exponential_decay(half_life=steps/3)", 200, "exponential_decay(half_life=67)"),
        ("multistep_decay(milestones=[steps/3, 2*steps/3])", 200, "multistep_decay(milestones=[67, 133])"),
        ("one_cycle(total_steps=0.995*steps, div_factor=steps/8)", 100, "one_cycle(total_steps=100, div_factor=12.5)"),
        ("cyclic(up=0.1*steps, down=steps/3)", 100, "cyclic(up=10, down=33)"),
        ("hold(5).cooldown(0.3*steps, steps/3)", 10, "hold(5).cooldown(3, 3)"),
        ("constant(1.0).clamp(high=steps/3)", 2, "constant(1.0).clamp(high=0.6666666666666666)"),
        ("-1e-3*steps * hold(3)", 2, "-0.002 * hold(3)"),
        ("hold(0.5*3)", 2, None),
        ("hold(9**9**9)", 2, None),
        ("steps(3)", 2, None),
        ("hold(step)", 2, None),
        ("hold(True*steps)", 2, None),
        ("hold(1e400*steps)", 2, None),
        ("hold(2) - steps", 2, None),
        ("constant(" + "1e300*" * 9 + "steps)", 2, None),
        ("constant(1e300*1e300*steps)", 2, None),
        ("hold(" + "(" * 80 + "steps" + ")" * 80 + ")", 2, "hold(2)"),
        ("hold(" + "+".join(["steps"] * 5000) + ")", 2, None),
    ],
)
def test_steps_mean_what_they_would_in_python(text, steps, meant):
    if meant is None:
        with pytest.raises(ValueError, match="lr = "):
            read_schedule(text, steps, "lr")
    else:
        assert read_schedule(text, steps, "lr") == parse(meant)


def test_without_words_nothing_is_computed():
    for text in ("hold(4/2)", "hold(steps)", "hold(4 - 2)", "hold(-(-4))"):
        with pytest.raises(ValueError, match=r"numbers, \*, \+ and methods only"):
            parse(text)
