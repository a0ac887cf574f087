"""Invented results of studies, and a page's outline."""

import html.parser
from dataclasses import replace
from math import inf, nan

from study_cases import arm_text

from tapered.study.result import Cost

COST = Cost(10, 10, "a test says so", ())
NASTY = "<script>alert(1)</script> & </title>"
TOML = """
name = "NAME"
workload = "quadratic"
steps = 10
seeds = 3
evaluations = 2
baseline = "constant"
peaks = { low = 0.1, high = 10, count = 3 }
""" + "".join(
    [
        arm_text("constant"),
        arm_text("NAME", "exponential_decay(decay_steps=steps, decay_rate=0.01)"),
        arm_text("as written", "constant(0.05)", rule="Adam", more="fixed = true"),
    ]
)


def invented(run):
    base = run.seed + (run.peak or 7) + (0.5 if run.arm == "constant" else 0)
    curve = tuple((step, {"loss": base + 10 - step, "distance": 1.0}) for step in (0, 5, 10))
    if run.peak == 10 and run.seed == 2:
        curve = (curve[0], (5, {"loss": inf, "distance": nan}))
        return replace(run, step=6, curve=curve, diverged=6)
    if run.peak == 10:
        return replace(run, step=10, curve=tuple((step, {"loss": 1e308}) for step in (0, 5, 10)), value=1e308)
    return replace(run, step=10, curve=curve, value=base)


def cut(run):
    if run.arm == NASTY and run.peak == 10 and run.seed != 2:
        return replace(run, step=5, pruned=5, curve=run.curve[:2], value=nan)
    return run


def many_text(arms=9):
    """A study of many arms, one of them with a long name."""
    names = [f"decay {k}" for k in range(1, arms - 1)] + ["a decay whose name has more letters than there is room for"]
    text = TOML.replace("NAME", "many").replace("seeds = 3", "seeds = 10\nfresh = 10")
    start = text[: text.index("[[arms]]")]
    decays = [arm_text(name, "exponential_decay(decay_steps=steps, decay_rate=0.01)") for name in names]
    return start + "".join([*decays, arm_text("constant")])


def better(run, arms):
    """A run whose arm gains by its number, where the arm is not the baseline."""
    gain = 0.1 * list(arms).index(run.arm)
    return replace(invented(run), value=invented(run).value + gain) if run.peak != 10 else invented(run)


class Outline(html.parser.HTMLParser):
    """Tags in order, references, and text outside of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.references, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [(tag, name, value) for name, value in attrs if name in {"src", "href", "action", "data"}]
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data.strip())
