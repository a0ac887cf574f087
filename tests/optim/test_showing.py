"""What an optimizer and a clock show of themselves: short, escaped, in few bytes, and without any work of torch's."""

import math
from xml.etree import ElementTree as ET

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tapered
from tapered.attach import attach
from tapered.optim.showing import Shows


class NoWork(TorchDispatchMode):
    """Refuses every operation on tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} is work")


def tensors(count, size=3):
    return [torch.nn.Parameter(torch.ones(size)) for _ in range(count)]


def cells(html):
    """The rows of its table."""
    return ["".join(cell.itertext()) for cell in ET.fromstring(html).iter() if cell.tag in ("th", "td")]


def own(groups, **hypers):
    return tapered.AdamW(groups, **hypers)


def torchs(groups, **hypers):
    """Torch's, with a clock that follows the same."""
    optimizer = torch.optim.AdamW([{k: v for k, v in g.items() if k != "lr"} for g in groups], lr=0.1)
    rates = {i: {"lr": group["lr"]} for i, group in enumerate(groups) if "lr" in group}
    return attach(optimizer, groups=rates, **hypers)


@pytest.mark.parametrize("make", [own, torchs])
def test_a_notebook_shows_groups_with_rates_schedules_and_hypers(make):
    one, two = tensors(2)
    groups = [{"params": [one], "name": "<b>body</b>"}, {"params": [two], "lr": tapered.linear(0.5, steps=10)}]
    shown = make(groups, lr=0.1 * tapered.cosine_decay(decay_steps=100), weight_decay=tapered.linear(0.2, steps=10))
    optimizer = getattr(shown, "optimizer", shown)
    for _ in range(5):
        one.grad = two.grad = torch.ones(3)
        optimizer.step()
    with NoWork():
        html, line = shown._repr_html_(), shown._line()
    found = cells(html)
    assert found[:5] == ["group", "parameters", "lr now", "its schedule", "other hypers"]
    rate = f"{0.05 * (1 + math.cos(math.pi / 20)):.6g}"
    assert found[5:9] == ["<b>body</b>", "3", rate, "0.1 * cosine_decay(decay_steps=100)"]
    assert found[10:14] == ["1", "3", "0.25", "linear(0.5, steps=10)"]
    assert all("weight_decay 0.1 by linear(0.2, steps=10)" in text for text in (found[9], found[14], line))
    assert "<b>" not in html
    assert "at step 5" in html
    dots = ET.fromstring(html).iter("{http://www.w3.org/2000/svg}circle")
    assert len([*dots]) == 2  # where each of the two rates is now
    name = "AdamW" if shown is optimizer else "Clock of AdamW"
    assert line.startswith(f"{name}(step 5, 2 groups: <b>body</b>: lr {rate} by 0.1 * cosine_decay(decay_steps=100), ")


def test_however_much_there_is_it_stays_small():
    bends = tuple(range(1, 1000))
    jumps = tapered.schedules.piecewise_constant(bends, tuple(1.0 + i % 2 for i in range(1000)))
    groups = [{"params": [p], "name": "&" * 400, "lr": jumps * (1.0 + i)} for i, p in enumerate(tensors(30))]
    optimizer = tapered.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    html = optimizer._repr_html_()
    assert len(html.encode()) < 20_000
    assert "30 groups, of which the first 8:" in html
    assert html.count("<svg") >= 1
    assert len(optimizer._line()) <= 480
    assert "\n" not in optimizer._line()


def test_one_line_says_what_all_groups_share():
    groups = [{"params": [p]} for p in tensors(9)]
    said = "SGD(step 0, 9 groups: lr 0.5 by linear(0.5, steps=4), momentum 0.9; dampening 0; weight_decay 0)"
    assert tapered.SGD(groups, lr=tapered.linear(0.5, steps=4), momentum=0.9)._line() == said


def test_what_follows_a_loss_or_cannot_be_drawn_is_said_in_words():
    def fails(step):
        if step > 20:
            raise RuntimeError("no further")
        return 0.1

    rates = (tapered.plateau(0.1), tapered.from_function(fails), 0.25)
    groups = [{"params": [p], "lr": lr, "name": f"g{lr}"} for p, lr in zip(tensors(3), rates, strict=True)]
    optimizer = tapered.SGD(groups, lr=0.1)
    optimizer.freeze("gplateau*")
    html = optimizer._repr_html_()
    assert "<svg" not in html
    assert cells(html)[5:9] == ["gplateau(0.1) (frozen)", "3", "0.1", "plateau(0.1)"]
    assert cells(html)[17:19] == ["0.25", "a number"]


def test_betas_that_follow_schedules_say_which():
    optimizer = tapered.Adam(tensors(1), lr=0.1, betas=(tapered.linear(0.9, 0.5, steps=4), 0.99))
    assert "betas (0.9, 0.99) (beta1 by linear(0.9, end=0.5, steps=4))" in optimizer._line()
    tensor = torch.optim.Adam(tensors(1), lr=torch.tensor(0.125))
    assert "lr 0.125" in repr(attach(tensor, lr=tapered.constant(0.125)))
    assert Shows.__repr__(tapered.SGD.__new__(tapered.SGD)).startswith("<tapered.optim.momentum.SGD object at ")
