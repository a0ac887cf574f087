"""What the tests of rounds, pruning and tuning share: a study from text to verdict, and one that is stopped often."""

from tapered.load import load
from tapered.rounds import finished_rounds
from tapered.study import conclude, open_store, train_runs


def read(folder, text, **options):
    (folder / "my.toml").write_text(text)
    return load(str(folder / "my.toml"), **options)


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
