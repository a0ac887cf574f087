"""Numbers in a text bound no loop: extreme cycles, names and depths are read, printed and evaluated at once."""

import math
import time
from decimal import Decimal, localcontext

import pytest

from tapered.schedules import cosine_decay_restarts, from_dict, hold, linear, noisy_linear_cosine_decay, parse

FAR = 2**53
TEXTS = [
    f"hold(1).repeat({FAR})",
    f"hold(100).repeat({FAR})",
    f"linear(steps=3).repeat({FAR}, t_mul=1.0000000000000002)",
    f"linear(steps=3).repeat({FAR}, t_mul=1e300)",
    "cosine_decay_restarts(0.1, first_decay_steps=1, t_mul=1.0000000000000002)",
    "cosine_decay_restarts(0.1, first_decay_steps=1e-300, t_mul=1.0000000000000002)",
    f"cosine_decay_restarts(0.1, first_decay_steps=10, t_mul=1.001, cycles={FAR})",
    "cosine_decay_restarts(0.1, first_decay_steps=1, t_mul=1e308, tf_exact=True)",
    f"noisy_linear_cosine_decay(0.1, decay_steps={FAR}).in_tokens({FAR})",
    f"cyclic(0.1, up=1).staircase({FAR})",
    f"cyclic(0.1, up=1).in_tokens({FAR})",
    f"cyclic(0.1, up=1).until({FAR}).repeat({FAR})",
    "hold(1)" + f".in_epochs({FAR})" * 30 + ".then(hold(1))",
    "hold(5)" + ".repeat(2)" * 60,
]


@pytest.mark.parametrize("text", TEXTS)
def test_extremes_are_evaluated_at_once(text: str) -> None:
    begun = time.process_time()
    found = parse(text)
    assert parse(str(found)) == found
    assert all(math.isfinite(found(step)) for step in (0, 1, 7, FAR))
    assert found.table(8)[7] == found(7)
    assert found.horizon is None or found.horizon > 0
    assert len(found.marks()) <= 32
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000 + "(1)", "hold(" + "a" * 1_000_000 + "=5)", "hold(0x" + "f" * 1_000_000 + ")",
        "(" * 10_000 + "1" + ")" * 10_000, "hold(1)" + ".then(hold(1))" * 20_000, "1" * 100_000,
        "hold(1)" + "+hold(1)" * 300,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_endless_texts_are_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(ValueError, match="cannot read") as refused:
        parse(text)
    assert len(str(refused.value)) < 1000
    assert time.process_time() - begun < 3


def test_deep_values_are_refused() -> None:
    values: dict[str, object] = {"name": "hold", "steps": 5}
    for _ in range(100_000):
        values = {"name": "scaled", "factor": 2.0, "schedule": values}
    with pytest.raises(ValueError, match="nested"):
        from_dict(values)


@pytest.mark.parametrize("step", [0, 1, 49_999, 500_000, 1_234_567, 60_000_000])
def test_far_cycles_are_where_they_are(step: int) -> None:
    """Beyond the cycles that are summed, against starts summed with sixty digits."""
    growth, start, length = 1.001, Decimal(0), Decimal(10)
    with localcontext(prec=60):
        while start + length <= step:
            start, length = start + length, length * Decimal(growth)
    expected = 0.05 * (1 + math.cos(math.pi * float((step - start) / length)))
    found = cosine_decay_restarts(0.1, first_decay_steps=10, t_mul=growth)(step)
    assert found == pytest.approx(expected, abs=1e-8)


def test_repeated_for_ever_is_its_period() -> None:
    found = linear(steps=4).repeat(FAR)
    assert [found(step) for step in (2, 4 * 10**14 + 2, FAR - 2)] == [0.5, 0.5, linear(steps=4)((FAR - 2) % 4)]
    assert hold(1).repeat(FAR).horizon == FAR
    assert hold(7).repeat(10**15).horizon == 7 * 10**15


def test_noise_is_the_same_however_it_is_asked_for() -> None:
    noisy = noisy_linear_cosine_decay(0.1, decay_steps=10**6, seed=3)
    assert noisy.table(40, 30).tolist() == [noisy(step) for step in range(30, 40)]
    assert noisy.in_samples(1000).table(5).tolist() == [noisy(1000 * step) for step in range(5)]
