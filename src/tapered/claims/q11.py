"""Q11: the BMI toy, loaded again at lower rates; what the reload mixes up, each by itself."""

from collections.abc import Mapping
from math import isfinite, nan
from statistics import fmean

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import best_runs, comparison
from tapered.stats import Paired, gains, paired

EPOCHS = 120
SAID = {5: "0.85", 100: "0.90", 103: "0.95", 110: "0.98-0.99", 120: "0.992-1.0"}  # epochs -> accuracy, as it was told
OTHERS = ("AdaDelta 1e-3", "AdaGrad 1e-3", "Nesterov 1e-3", "AdaDelta 1.0", "AdaGrad 0.01", "Nesterov 0.01")
CEILING = 0.65
PARTS = ("lower rate", "moments reset", "reload")


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether loading again at a tenth of the rate raises the accuracy, and whether other optimizers stay below 65%.

    On raw heights and weights. The reload: it holds if the reloaded runs end better ("helps") than runs that just go on
    at 1e-3 for as many epochs, with cross-entropy and with the squared error; it does not if it "hurts" or is
    "equivalent" within a hundredth in both. The others: it holds if no run of AdaDelta, AdaGrad or Nesterov is above
    65% at any epoch, at 1e-3 or at Keras's rates of the time; it does not if one is. Confirmed if both hold, refuted
    if neither does, else depends. How far the told accuracies are met is told beside them.
    """
    study = found["bmi-reload"]
    words = {name: comparison(found[name], "reload")["verdict"] for name in ("bmi-reload", "bmi-reload-mse")}
    holds = all(word == "helps" for word in words.values())
    fails = all(word in {"hurts", "equivalent"} for word in words.values())
    highest = {
        name: max(value for run in best_runs(study, name) for _, value in run["curve"] if value) for name in OTHERS
    }
    above = max(highest.values()) > CEILING
    ours = {epoch: _mean(study, "reload", epoch) for epoch in SAID}
    early = {name: _gain(study, name, 103) for name in PARTS}
    late = {name: _gain(study, name, EPOCHS) for name in PARTS}
    first = _at_standard(found, 5)
    figures = ", ".join(f"{value:.3f}" for value in ours.values())
    best = max(highest, key=lambda name: highest[name])
    return Answer(
        "confirmed" if holds and not above else "refuted" if fails and above else "depends",
        f"accuracy {figures} after {', '.join(map(str, SAID))} epochs, where {', '.join(SAID.values())} was "
        f"told; the reload's gain over going on is {_said(early['reload'])} 3 epochs later, by a lower rate alone "
        f"{_said(early['lower rate'])}, by moments reset alone {_said(early['moments reset'])}; in the end "
        f"{_said(late['reload'])}, {words['bmi-reload']} (squared error: {words['bmi-reload-mse']}); {best} reached "
        f"{highest[best]:.3f}; on standardised features 5 epochs give {first:.3f}",
        {
            **{f"accuracy after {epoch} epochs": value for epoch, value in ours.items()},
            **{f"told after {epoch} epochs": value for epoch, value in SAID.items()},
            **{f"gain after 103 epochs: {name}": value.mean or 0.0 for name, value in early.items()},
            **{f"gain after 120 epochs: {name}": value.mean or 0.0 for name, value in late.items()},
            **{f"verdict: {name}": word for name, word in words.items()},
            **{f"highest: {name}": value for name, value in highest.items()},
            **{f"standardised after {epoch} epochs": _at_standard(found, epoch) for epoch in SAID},
        },
    )


def _at(found: Summary, name: str, epoch: int) -> list[float]:
    """Accuracy of each run of an arm at this epoch of 120; in a quick study at the same share of the run."""
    runs = best_runs(found, name)
    steps = max(run["steps"] for run in runs)
    at = round(epoch / EPOCHS * steps)
    return [next((value for step, value in run["curve"] if step == at and value is not None), nan) for run in runs]


def _mean(found: Summary, name: str, epoch: int) -> float:
    """Over the runs that did not diverge."""
    return fmean(value for value in _at(found, name, epoch) if isfinite(value))


def _at_standard(found: Mapping[str, Summary], epoch: int) -> float:
    return _mean(found["bmi-reload-standardised"], "reload", epoch)


def _gain(found: Summary, name: str, epoch: int) -> Paired:
    """An arm's gain over going on as before, at an epoch."""
    return paired(gains(_at(found, name, epoch), _at(found, "more epochs", epoch), "maximize"))


def _said(found: Paired) -> str:
    return f"{found.mean or 0:+.4f} ({found.low or 0:.4f} to {found.high or 0:.4f})"


CLAIM = Claim(
    "Q11",
    "Adam on BMI: 1e-3 gives 85% in 5 epochs, 90% in 100; loaded again at 1e-4 95% and 98-99%, at 1e-5 over 99.2%; "
    "AdaDelta, AdaGrad and Nesterov stay below 65%.",
    ("bmi-reload", "bmi-reload-mse", "bmi-reload-standardised"),
    judge,
)
