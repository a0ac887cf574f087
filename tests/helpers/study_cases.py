"""What the tests of rounds, pruning and tuning share: a study from text to verdict, and one that is stopped often."""

from tapered import study as studies
from tapered.study import conclude, open_store, plan_of, train_runs
from tapered.study.plan.rounds import finished_rounds


def planned(*given, **options):
    """A study planned, from its file or its name."""
    return plan_of(studies.read(*given, **options))


def read(folder, text, **options):
    (folder / "my.toml").write_text(text)
    return planned(str(folder / "my.toml"), **options)


def finished(found, folder, **options):
    with open_store(found, folder) as store:
        runs = train_runs(found, store, **options)
        return runs, conclude(found, store, runs)


def stopped_again_and_again(found, folder, updates):
    """Train with a stop after so many updates, as often as it takes; the runs, all updates made, and how often."""
    total, times = 0, 0
    while True:
        seen = []
        with open_store(found, folder) as store:
            runs = train_runs(found, store, progress=seen.append, stop=lambda seen=seen: sum(seen) >= updates)
        total, times = total + sum(seen), times + 1
        if finished_rounds(found, {run.key: run for run in runs})[1]:
            return runs, total, times
