"""A study's ledger in a PostgreSQL server that fails: is every run entered once, and does training wait for it?

    python benchmarks/faults/ledger_postgres.py [--trials 3] [--away 60] [--only restart ...] [--json]

Each trial trains a study, in a process of its own, while the server is restarted, stopped at once, away for a minute,
ends all connections every 0.5 s or loses the answers to COMMIT; or while two or four drivers write into one database,
two of the four in one study, and Optuna itself beside them. Its runs are compared with those of a study without server,
its trials, as Optuna reads them, with those of its ledger.db. `lost` counts runs without a trial, `twice` further
trials of a run, `orphans` trials that are none of a run or not whole, and connections left over. Debian has
the server by apt-get install postgresql.
"""

import argparse
import collections
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import optuna
from sqlalchemy.pool import NullPool

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from kills import ends
from postgres import INSTALL, Postgres, Proxy, programs

RULES = ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Lion")
# runs of one rule end together, so that some are entered again and again while others train
STUDY = """name = "{name}"
workload = "quadratic"
steps = 300
seeds = 6
evaluations = 10
mode = "loop"
baseline = "SGD"
extend = 0
fresh = 0
peaks = {{ low = 0.001, high = 0.1, count = 3 }}
""" + "".join(f'[[arms]]\nname = "{rule}"\nrule = "{rule}"\nlr = "constant(1.0)"\n' for rule in RULES)
END = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tapered'"


def driver(file, folder, url):
    """Train a study, and say how long that waited for its ledger at a time, in ms, and what the ledger lacks then."""
    import torch

    from tapered.study import open_store, plan_of, read, train_runs

    torch.set_num_threads(1)
    planned = plan_of(read(file, ledger=url or None))
    waits = []
    with open_store(planned, Path(folder)) as store:
        add = store._ledger.add

        def timed(runs):
            began = time.perf_counter()
            add(runs)
            waits.append(1e3 * (time.perf_counter() - began))

        store._ledger.add = timed
        runs = train_runs(planned, store)
        print(json.dumps({"runs": len(runs), "waits": len(waits), "longest": max(waits), "lacks": store.settle(120)}))


class Bench:
    """The server, the study, and what it gives where nothing fails."""

    def __init__(self, server, place, away):
        self.server, self.place, self.away, self.count = server, Path(place), away, 0
        self.expected = {}

    def start(self, name, url):
        self.count += 1
        folder, file = self.place / f"{name}-{self.count}", self.place / f"{name}.toml"
        file.write_text(STUDY.format(name=name))
        command = [sys.executable, __file__, "--driver", str(file), str(folder), url]
        return folder, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        out, err = process.communicate(timeout=1500)
        if process.returncode or err:
            sys.exit(f"a driver ended with {process.returncode}: {err[-2000:]}")
        return json.loads(out)

    def undisturbed(self, name):
        """Its runs and its trials, with the ledger in a file."""
        if name not in self.expected:
            folder, process = self.start(name, "")
            self.finish(process)
            self.expected[name] = ends(folder), trials(f"sqlite:///{folder}/ledger.db", name)
        return self.expected[name]

    def trial(self, case, names):
        """One trial of a case with a driver a name: what was found."""
        for name in names:
            self.undisturbed(name)
        url = self.server.database(f"d{self.count}")
        found = collections.Counter(trials=1, identical=1)
        with CASES[case][0](self, url) as through:
            drivers = [(name, *self.start(name, through)) for name in names]
            said = [self.finish(process) for *_, process in drivers]
        for name, folder, _ in drivers:
            runs, expected = self.expected[name]
            kept = trials(url, name)
            found["identical"] &= ends(folder) == runs
            found["lost"] += len(expected.keys() - kept.keys())
            found["twice"] += sum(len(those) - 1 for key, those in kept.items() if key)
            found["orphans"] += sum(key is not None and those[:1] != expected.get(key) for key, those in kept.items())
        found["orphans"] += self.server.sql("select count(*) from pg_stat_activity where application_name = 'tapered'")[
            0
        ][0]
        found["lost"] += sum(one["lacks"] is not None for one in said)
        return found, max(one["longest"] for one in said)


def trials(url, name):
    """Run's key -> its trials as Optuna reads them; None -> those of others; nothing where no study was entered."""
    stored = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    found = collections.defaultdict(list)
    known = name in optuna.get_all_study_names(stored)
    for trial in optuna.load_study(study_name=name, storage=stored).trials if known else ():
        by_name = (trial.params, trial.user_attrs, trial.intermediate_values)  # a table's rows have no order
        fields = (trial.state, trial.values, *(sorted(each.items()) for each in by_name))
        found[trial.user_attrs.get("key")].append(repr(fields))
    return dict(found)


@contextlib.contextmanager
def meanwhile(act, every):
    """Act again and again beside what happens within."""
    stop = threading.Event()

    def go():
        while not stop.wait(every):
            act()

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def restarted(bench, url, how="fast"):
    def act():
        bench.server.stop(how)
        bench.server.start()

    with meanwhile(act, 1.5):
        yield url


def stopped(bench, url):
    return restarted(bench, url, "immediate")


@contextlib.contextmanager
def away(bench, url):
    thread = threading.Timer(3, lambda: (bench.server.stop(), time.sleep(bench.away), bench.server.start()))
    thread.start()
    yield url
    thread.join()


@contextlib.contextmanager
def ended(bench, url):
    with meanwhile(lambda: bench.server.sql(END), 0.5):
        yield url


@contextlib.contextmanager
def unanswered(bench, url):
    with Proxy(bench.server.port, 5) as proxy:
        yield url.replace(str(bench.server.port), str(proxy.port))
    if proxy.lost != 5:
        sys.exit(f"{proxy.lost} of 5 answers were lost")


@contextlib.contextmanager
def beside(bench, url):  # noqa: ARG001 - as the others
    """Optuna writes a study of its own."""
    stored = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    study = optuna.create_study(storage=stored, study_name="of others")
    with meanwhile(lambda: study.tell(study.ask(), 1.0), 0.02):
        yield url
    if [trial.number for trial in study.trials] != list(range(len(study.trials))):
        sys.exit("Optuna's own study is broken")


CASES = {
    "restart": (restarted, ["one"]),
    "immediate": (stopped, ["one"]),
    "away": (away, ["one"]),
    "ended": (ended, ["one"]),
    "commit": (unanswered, ["one"]),
    "two": (beside, ["one", "other"]),
    "four": (beside, ["one", "one", "other", "third"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, default=3, help="of each case; one where the server is away")
    parser.add_argument("--away", type=float, default=60.0, help="seconds")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.driver:
        return driver(*given.driver)
    if programs() is None:
        sys.exit(INSTALL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    total, cases = collections.Counter(trials=0, identical=0, lost=0, twice=0, orphans=0), {}
    with tempfile.TemporaryDirectory() as place, Postgres(programs()) as server:
        bench = Bench(server, place, given.away)
        for case in given.only:
            cases[case] = collections.Counter(trials=0, identical=0, lost=0, twice=0, orphans=0)
            longest = 0.0
            for _ in range(1 if case == "away" else given.trials):
                found, waited = bench.trial(case, CASES[case][1])
                cases[case].update(found)
                longest = max(longest, waited)
            total.update(cases[case])
            cases[case] = dict(cases[case]) | {"training_waits_ms": round(longest, 2)}
            print(case, cases[case], file=sys.stderr)
    print(json.dumps(dict(total) | {"cases": cases}) if given.json else dict(total))
    return int(not (total["trials"] == total["identical"] and not total["lost"] + total["twice"] + total["orphans"]))


if __name__ == "__main__":
    sys.exit(main())
