"""What stands on the page as tables: verdicts, differences, arms, budgets, peaks, runs."""

from collections.abc import Sequence

from tapered.report.figure import Figure, Series
from tapered.report.table import Kind, Table, numbers, table
from tapered.stats import BestAt, Paired
from tapered.stats.seeds import seeds_that_reach
from tapered.study.result import ArmResult, Comparison, Evidence, StudyResult, mean
from tapered.study.result.followed import followed
from tapered.study.store.runs import Run
from tapered.study.summary import between, gained, number, outcome, verdict_rows
from tapered.words import shortened

WIDE = 6  # series: of more, each value has a row of its own
ROWS = 50  # steps of a table of values, about


def verdicts(result: StudyResult) -> Table:
    """Every comparison in a line, the best first."""
    header, *rows = verdict_rows(result)
    names: list[tuple[str, Kind]] = [(name, "wrap") for name in header[1:-3]]
    columns: list[tuple[str, Kind]] = [(header[0], "text"), *names, *numbers(*header[-3:])]
    return table("Every comparison, the best first", columns, rows)


def differences(result: StudyResult) -> Table:
    """All that was computed of each comparison, the rows on which verdicts rest standing out."""
    alpha = result.asked.study.alpha
    takes = seeds_that_reach(alpha)
    rows: list[tuple[str, ...]] = []
    strong: list[int] = []
    for found in result.comparisons:
        for kind, paired, p, said in _evidence(found):
            strong += [len(rows)] if said is found.evidence else []
            numbers_of = _paired(paired, p, takes) if said is None or said.ended else (str(paired.n), *["-"] * 7)
            rows.append((found.arm, found.baseline, kind, said.text if said else "-", *numbers_of))
    columns: list[tuple[str, Kind]] = [("arm", "wrap"), ("against", "wrap"), ("seeds", "wrap"), ("verdict", "wrap")]
    level = f"{100 * (1 - alpha):g}%"
    columns += numbers("n", "mean gain", f"{level} interval, t", "bootstrap", "sign-flip", "p")
    columns += numbers("better / worse / equal", "win rate")
    return table("Paired gains, positive where better", columns, rows, strong)


def _evidence(found: Comparison) -> list[tuple[str, Paired, float | None, Evidence | None]]:
    seeds: list[tuple[str, Evidence | None]] = [("that chose peaks", found.chosen), ("fresh", found.fresh)]
    said = [(kind, each.paired, each.p, each) for kind, each in seeds if each is not None]
    test = [("test split", found.test, found.test.p, None)] if found.test else []
    return [*said, *test]


def _paired(paired: Paired, p: float | None, takes: int) -> tuple[str, ...]:
    flips = f"needs {takes} seeds" if paired.n < takes else between(*(paired.flips or (None, None)))
    rate = paired.win_interval and f"{paired.win_rate:.2g} ({between(*paired.win_interval)})"
    ends = (between(paired.low, paired.high), between(*(paired.bootstrap or (None, None))), flips)
    counts = f"{paired.wins} / {paired.losses} / {paired.ties}"
    return (str(paired.n), number(paired.mean), *ends, number(p), counts, rate or "-")


def gains(result: StudyResult) -> Table:
    """The gain of every seed."""
    rows = []
    for found in result.comparisons:
        for kind, said in (("that chose peaks", found.chosen), ("fresh", found.fresh)):
            if said is not None:
                each = zip(said.seeds, said.gains, said.lost, strict=True)
                listed = ", ".join(
                    f"seed {seed}: {'both diverged' if lost else gained(gain)}" for seed, gain, lost in each
                )
                rows.append((found.arm, found.baseline, kind, listed))
    return table("Gains seed by seed", [(name, "wrap") for name in ("arm", "against", "seeds", "gains")], rows)


def arms(result: StudyResult) -> Table:
    """Each arm at its best peak: how its rate is written, what it reached."""
    metric, fresh = result.asked.study.metric, bool(result.fresh)
    tests = result.arms[0].test
    columns: list[tuple[str, Kind]] = [("arm", "wrap"), ("rate at its best peak", "code")]
    columns += numbers(*[f"validation {metric}, fresh seeds"] * fresh)
    columns += numbers(f"validation {metric}{', seeds that chose' * fresh}", *(f"test {name}" for name in tests))
    return table(f"Validation {metric} at the last step", columns, [_arm(arm, fresh=fresh) for arm in result.arms])


def _arm(arm: ArmResult, *, fresh: bool) -> tuple[str, ...]:
    rule, args = f"{arm.rule}, " if arm.rule else "", f" with {arm.args}" if arm.args else ""
    average = f", evaluated at its average, {arm.average}" if arm.average not in (None, "none") else ""
    found = f" (found: {arm.written})" if arm.searched else ""
    again = [number(arm.fresh.mean) if arm.fresh else "-"] if fresh else []
    tests = (number(mean(values)) for values in arm.test.values())
    return (_starred(arm), f"{rule}{shortened(arm.lr)}{args}{average}{found}", *again, number(arm.best.mean), *tests)


def long_rates(result: StudyResult) -> Table | None:
    """The rates that the table of arms shows shortened; none where it shows all."""
    rows = [(arm.name, arm.lr) for arm in result.arms if shortened(arm.lr) != arm.lr]
    return table("Rates in full", [("arm", "wrap"), ("rate at its best peak", "code")], rows) if rows else None


def _starred(arm: ArmResult) -> str:
    return f"{arm.name} *" if arm.fixed else arm.name


def decisions(result: StudyResult) -> Table | None:
    """What was decided in runs at the best peaks of arms whose rate followed them; None where there is none."""
    each = followed(result.asked, result.arms)
    rows = [
        (
            found.name, str(run.seed), f"{decision.step:,}", number(decision.value),
            number(decision.before), number(decision.after),
        )
        for found in each
        for run, decided in found.decided
        for decision in decided
    ]  # fmt: skip
    names = numbers("seed", "step", "was told", "rate before", "rate after")
    return table("What was decided", [("arm", "wrap"), *names], rows) if each else None


def budgets(result: StudyResult) -> Table:
    """What tuning each arm took."""
    rows = [
        (
            _starred(arm),
            "-" if arm.fixed else str(len(arm.peaks)),
            str(arm.budget.runs),
            f"{arm.budget.asked:,}",
            f"{arm.budget.made:,}",
            f"{arm.budget.diverged} of {arm.budget.runs}",
            f"{arm.budget.pruned} of {arm.budget.runs}",
        )
        for arm in result.arms
    ]
    names = numbers("peaks", "runs", "steps asked", "steps made", "diverged", "pruned")
    return table("What tuning each arm took", [("arm", "wrap"), *names], rows)


def trials(result: StudyResult) -> Table:
    """The best of k peaks over k, each tuned arm."""
    tuned = [arm for arm in result.arms if not arm.fixed]
    ks = sorted({found.k for arm in tuned for found in arm.trials})
    rows = []
    for arm in tuned:
        at = {found.k: found for found in arm.trials}
        for name in ("expected", "median", *["lost"] * any(found.lost for found in arm.trials)):
            default = number(arm.default.mean) if arm.default and name == "expected" else "-"
            said = "share without a score" if name == "lost" else name
            rows.append((arm.name, said, default, *(_best(at.get(k), name) for k in ks)))
    named: list[tuple[str, Kind]] = [("arm", "wrap"), ("over the choices", "text")]
    columns = [*named, *numbers("by default", *(f"k = {k}" for k in ks))]
    return table(f"Validation {result.asked.study.metric}, by how many peaks are tried", columns, rows)


def _best(found: BestAt | None, name: str) -> str:
    return "-" if found is None else number(getattr(found, name))


def peaks(result: StudyResult) -> Table:
    """Every peak that was tried; the best of an arm stands out."""
    each = [(arm, peak) for arm in result.arms for peak in arm.peaks]
    rows = [
        (
            arm.name, _peak(p.peak), str(len(p.runs)), str(p.diverged), str(p.pruned),
            number(p.mean), number(p.low), number(p.high),
        )
        for arm, p in each
    ]  # fmt: skip
    strong = [i for i, (arm, p) in enumerate(each) if p is arm.best and not arm.fixed]
    names = numbers("peak", "runs", "diverged", "pruned", f"mean {result.asked.study.metric}", "lowest", "highest")
    title = f"Validation {result.asked.study.metric} at the last step, at every peak"
    return table(title, [("arm", "wrap"), *names], rows, strong)


def _peak(peak: float | None) -> str:
    return "as written" if peak is None else number(peak)


def runs(caption: str, metric: str, each: Sequence[Run]) -> Table:
    """Every run of these."""
    rows = [
        (
            run.arm, _peak(run.peak), str(run.seed), f"{run.step:,}",
            number(run.value), outcome(run), run.key,
        )
        for run in each
    ]  # fmt: skip
    columns: list[tuple[str, Kind]] = [("arm", "wrap"), *numbers("peak", "seed", "updates", f"validation {metric}")]
    return table(caption, [*columns, ("outcome", "wrap"), ("key", "code")], rows)


def values(figure: Figure) -> Table:
    """The numbers of a figure of lines; of many steps about fifty."""
    places = sorted({x for series in figure.series for x in series.x})
    kept = set(places[:: max(1, len(places) // ROWS)]) | set(places[-1:])
    caption = f"{figure.y[0].upper()}{figure.y[1:]}, by {figure.x}"
    at = [{x: (m, lo, hi) for x, m, lo, hi in zip(s.x, s.mean, s.low, s.high, strict=True)} for s in figure.series]
    if len(figure.series) <= WIDE:
        rows = [(_place(x), *(_value(found.get(x)) for found in at)) for x in places if x in kept]
        return table(caption, numbers(figure.x, *(s.name for s in figure.series)), rows)
    long = [
        (series.name, _place(x), _value(found[x]))
        for series, found in zip(figure.series, at, strict=True)
        for x in _some(series, kept)
    ]
    return table(caption, [("arm", "wrap"), *numbers(figure.x, figure.y)], long)


def _place(x: float) -> str:
    """A step in full; a peak as short as elsewhere."""
    return f"{x:,.0f}" if float(x).is_integer() and abs(x) < 1e15 else number(x)


def _some(series: Series, kept: set[float]) -> list[float]:
    found = [x for x in series.x if x in kept]
    return found[:: max(1, len(found) // (ROWS // 2))]


def _value(found: tuple[float | None, float | None, float | None] | None) -> str:
    if found is None or found[0] is None:
        return "-"
    mean, low, high = found
    return number(mean) if low == high else f"{number(mean)} ({between(low, high)})"
