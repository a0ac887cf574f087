"""Q13: a model of one's own, tried."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tapered import report
from tapered.claims.base import Answer, Claim, Summary
from tapered.study import conclude, open_store, plan_of, read, train_runs

MODEL = """
import torch
from tapered import Workload

x = torch.linspace(-3, 3, 512)[:, None]


def network():
    return torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))


def sets(first):
    return torch.utils.data.TensorDataset(x[first::2], x[first::2].sin())


mine = Workload("sine", network, torch.nn.functional.mse_loss, train=sets(0), valid=sets(1), batch_size=32)
"""
STUDY = """
name = "my model"
workload = "mine.py:mine"
steps = 300
evaluations = 10
baseline = "constant"
peaks = { low = 1e-3, high = 1e-1, count = 3 }
[[arms]]
name = "constant"
rule = "Adam"
lr = "constant(1.0)"
[[arms]]
name = "exponential decay"
rule = "Adam"
lr = "exponential_decay(decay_steps=steps, decay_rate=0.01)"
"""


def judge(_: Mapping[str, Summary]) -> Answer:
    """Whether somebody's own model can be tried, and what came out sent to somebody.

    Confirmed if a model in one Python file and a study file give a verdict on 8 fresh seeds and one HTML file that
    has the verdict and refers to nothing outside itself; refuted if there is no verdict; else depends. What the
    verdict says plays no part.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.py").write_text(MODEL)
        (folder / "mine.toml").write_text(STUDY)
        planned = plan_of(read(str(folder / "mine.toml")))
        with open_store(planned, folder / "study") as store:
            found = conclude(planned, store, train_runs(planned, store))
        page = folder / "report.html"
        report.write(found, page, "tapered study mine.toml")
        text = page.read_text()
    outside = len(re.findall(r"""<(?:script|link|img|iframe)[^>]*\s(?:src|href)\s*=""", text))
    whole = found.sentence.split(":")[0] in text and not outside
    gain = found.comparisons[0].paired
    return Answer(
        "refuted" if not found.comparisons else "confirmed" if whole and gain.n >= 8 else "depends",
        f"{len(MODEL.strip().splitlines())} lines of model and {len(STUDY.strip().splitlines())} of study gave a page "
        f"of {len(text) / 1e6:.1f} MB with {outside} references outside, which says: {found.sentence}",
        {"lines": len(MODEL.strip().splitlines()), "page_bytes": len(text), "references": outside, "seeds": gain.n},
    )


CLAIM = Claim("Q13", "Try it; and if you find a useful heuristic, share it.", (), judge)
