"""A ledger in a PostgreSQL server: the same to Optuna as a file's, whatever the server does, whoever writes beside."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import inf, nan

import optuna
import pytest
from ledgers import kept, stored
from postgres import Proxy
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from study_cases import TINY, read

from tapered.cli import finish as cli_finish
from tapered.cli.main import main
from tapered.study import open_store, train_runs
from tapered.study.store import ledger_server
from tapered.study.store.ledger import Space, storage
from tapered.study.store.ledger_file import FileLedger
from tapered.study.store.ledger_queue import server_ledger
from tapered.study.store.ledger_server import Server, place, reason
from tapered.study.store.runs import Run

SPACE = Space("mine <&> 'ü", "maximize", "loss", ["a", "b 'ü"], [0.1, 1.0], list(range(1000)))
NAMES = count()


@pytest.fixture
def url(postgres):
    """A database of the test's own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return postgres.database(f"d{next(NAMES)}")


def runs(count, first=0):
    curve = ((0, {"loss": 1.0}), (10, {"loss": 1 / 3}))
    return [Run(f"k{i}", "a", 0.1, i, 10, 10, curve, value=1 / 3) for i in range(first, first + count)]


STRANGE = [
    Run("whole", "a", 0.1, 0, 10, 10, ((0, {"loss": 5e-324}), (10, {"loss": 0.1 + 0.2})), value=0.1 + 0.2),
    Run("diverged", "b 'ü", 1.0, 1, 10, 4, ((0, {"loss": nan}), (2, {"loss": inf}), (3, {"loss": -inf})), diverged=4),
    Run("pruned", "a", 1.0, 2, 10, 5, ((0, {"loss": 1.7e308}),), pruned=5),
    Run("no peak", "a", None, 999, 10, 10, ((10, {"loss": 0.0}),), value=0.0),
]


def trials(url, name=SPACE.name):
    """What Optuna reads, in the order of the keys, without ids and times; a table's rows have no order."""
    study = kept(url, name)
    found = sorted(study.trials, key=lambda trial: trial.user_attrs["key"])
    fields = ("state", "values", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")
    assert sorted(trial.number for trial in found) == list(range(len(found)))
    return study.direction, [{name: ordered(getattr(trial, name)) for name in fields} for trial in found]


def ordered(value):
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


def keys(url, name=SPACE.name):
    return sorted(trial.user_attrs["key"] for trial in kept(url, name).trials)


def entered(queue, given, seconds=30):
    queue.add(given)
    assert queue.settle(seconds) is None


@pytest.fixture
def ledger(url):
    made = []

    def make(to=url, space=SPACE, identity="0a1b2c3d"):
        made.append(server_ledger(to, space, identity))
        return made[-1]

    yield make
    for queue in made:
        queue.close(tell=False)


def test_optuna_reads_what_it_reads_of_a_file(url, ledger, tmp_path):
    entered(ledger(), STRANGE)
    file = FileLedger(tmp_path / "ledger.db", SPACE)
    file.add(STRANGE)
    file.close(tell=True)
    ours, files = trials(url), trials(tmp_path)
    assert len(ours[1]) == len(STRANGE)
    assert ours == files


def test_optuna_goes_on_beside_it_in_the_same_study(url, ledger):
    """Ids are the server's, numbers are given one after another: Optuna's own trials go between ours."""
    queue = ledger()
    entered(queue, runs(5))
    stop = threading.Event()

    def others():
        study = kept(url, SPACE.name)
        while not stop.is_set():
            study.tell(study.ask(), 1.0)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for i in range(5, 25):
            entered(queue, runs(1, i))
    finally:
        stop.set()
        thread.join()
    optuna.create_study(storage=stored(url), study_name="another").add_trial(optuna.trial.create_trial(value=1.0))
    found = kept(url, SPACE.name).trials
    assert sorted(trial.number for trial in found) == list(range(len(found)))
    assert len({trial.user_attrs["key"] for trial in found if trial.user_attrs}) == 25
    assert len(found) > 25


def test_several_drivers_on_one_database(url, ledger):
    """Four at once from an empty database, two of them in one study with the same runs."""
    spaces = [Space(f"s{min(i, 2)}", "minimize", "loss", ["a"], [0.1], [0, 999]) for i in range(4)]
    queues = [ledger(space=space) for space in spaces]

    def work(queue):
        for i in range(10):
            queue.add(runs(2, 2 * i))
            time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [queue.settle(30) for queue in queues] == [None] * 4
    for name in ("s0", "s1", "s2"):
        assert keys(url, name) == sorted(run.key for run in runs(20))
        trials(url, name)  # numbers


def test_tables_and_study_are_made_once(url):
    """Six at once in an empty database, and none of them fails."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: Server(url, SPACE, "0a1b2c3d"), range(6)))
    assert optuna.get_all_study_names(stored(url)) == [SPACE.name]


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_writers_of_one_study_wait_for_each_other(postgres, url, isolation):
    """Each was connected before any wrote: only under the study's lock are runs and numbers seen to be taken."""
    postgres.sql(f"alter database {url.rpartition('/')[2]} set default_transaction_isolation = '{isolation}'")
    servers = [Server(url, SPACE, "0a1b2c3d") for _ in range(6)]
    ready = threading.Barrier(len(servers))

    def work(server, mine):
        for i in range(5):
            ready.wait(30)
            server.enter(runs(4, 4 * i) + runs(1, 100 + 10 * mine + i))

    threads = [threading.Thread(target=work, args=(server, mine)) for mine, server in enumerate(servers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials(url)  # numbers
    assert keys(url) == sorted(run.key for run in [*runs(20), *(r for m in range(6) for r in runs(5, 100 + 10 * m))])


def test_two_studies_of_one_name_are_two(url, ledger):
    optuna.create_study(storage=stored(url), study_name="theirs")
    entered(ledger(), runs(3))
    entered(ledger(identity="ffffffff"), runs(2))
    entered(ledger(), runs(1, 3))
    theirs = Space("theirs", "maximize", "loss", ["a"], [0.1], [0, 999])
    entered(ledger(space=theirs), runs(1))
    assert len(keys(url)) == 4
    assert len(keys(url, f"{SPACE.name} (ffffffff)")) == 2
    assert kept(url, "theirs").trials == []
    assert len(keys(url, "theirs (0a1b2c3d)")) == 1


@pytest.mark.parametrize("lost", [1, 3])
def test_the_answer_to_commit_is_lost(postgres, url, ledger, lost):
    Server(url, SPACE, "0a1b2c3d")  # makes the tables
    with Proxy(postgres.port, lost) as proxy:
        queue = ledger(url.replace(str(postgres.port), str(proxy.port)))
        for i in range(5):
            entered(queue, runs(2, 2 * i))
        queue.close(tell=True)
    assert proxy.lost == lost
    assert keys(url) == sorted(run.key for run in runs(10))


def test_a_server_that_is_away_or_restarted(postgres, url, ledger, capfd):
    queue = ledger()
    entered(queue, runs(3))
    postgres.stop()
    queue.add(runs(3, 3))
    said = queue.settle(0.5)
    assert said.startswith("3 runs are not in the ledger yet (tapered@127.0.0.1:")
    assert said.endswith("; the same command enters them")
    postgres.start()
    assert queue.settle(30) is None
    postgres.stop("fast")
    postgres.start()
    entered(queue, runs(3, 6))
    assert keys(url) == sorted(run.key for run in runs(9))
    assert capfd.readouterr() == ("", "")


def test_connections_that_end_again_and_again(postgres, url, ledger, capfd):
    queue, stop = ledger(), threading.Event()

    def end():
        while not stop.wait(0.05):
            postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tapered'")

    thread = threading.Thread(target=end)
    thread.start()
    try:
        for i in range(20):
            queue.add(runs(10, 10 * i))
            time.sleep(0.02)
        queue.settle(2)
    finally:
        stop.set()
        thread.join()
    assert queue.settle(30) is None
    assert keys(url) == sorted(run.key for run in runs(200))
    assert capfd.readouterr() == ("", "")


def test_where_connections_end_before_all_is_made_it_is_made_step_by_step(postgres, url, ledger, monkeypatch):
    tries = []

    def made(*given, **options):
        found = storage(*given, **options)
        tries.append(found)
        postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tapered'")
        return found

    monkeypatch.setattr(ledger_server, "storage", made)
    queue = ledger()
    entered(queue, runs(3))
    assert (keys(url), len(tries)) == (["k0", "k1", "k2"], 1)


def test_tables_that_somebody_drops_are_made_again(url, ledger):
    entered(ledger(), runs(3))
    seen = ledger_server.Seen(made=True)
    for _ in range(2):
        Server(url, SPACE, "0a1b2c3d", seen)
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    with pytest.raises(Exception, match="does not exist"):
        Server(url, SPACE, "0a1b2c3d", seen)
    assert Server(url, SPACE, "0a1b2c3d", seen).entered == set()


def test_what_somebody_deletes_is_entered_again(url, ledger):
    queue = ledger()
    entered(queue, runs(3))
    optuna.delete_study(study_name=SPACE.name, storage=stored(url))
    entered(queue, runs(1, 3))
    assert len(keys(url)) == 4


def test_a_run_is_whole_or_not_there(postgres, url, ledger):
    """A transaction that the server ends halfway leaves nothing."""
    queue = ledger()
    entered(queue, runs(1))
    database = url.rpartition("/")[2]
    postgres.sql("alter table trial_user_attributes add check (value_json <> '\"k2\"')", database=database)
    queue.add(runs(1, 2))
    said = queue.settle(1)
    assert said.startswith("1 run is not in the ledger yet")
    assert "violates check constraint" in said
    assert len(postgres.sql("select * from trials", database=database)) == 1


def finish(folder, *more):
    return main(["study", str(folder / "my.toml"), "--store", str(folder / "s"), *more])


def test_a_study_at_the_terminal(postgres, url, tmp_path, capfd, monkeypatch):
    """Away: trained to its verdict, exit 0, told; the same command enters; another ledger is taken on the way."""
    monkeypatch.setattr(cli_finish, "SETTLE", 0.6)
    monkeypatch.setattr(cli_finish, "SHORTLY", 0.3)
    nowhere = url.replace(str(postgres.port), "1")
    (tmp_path / "my.toml").write_text(f'{TINY}[ledger]\nurl = "{nowhere}"\n')
    assert finish(tmp_path) == 0
    out, err = capfd.readouterr()
    assert "Page:" in out
    assert "4 runs are not in the ledger yet (tapered@127.0.0.1:1/" in err
    assert err.rstrip().endswith("; the same command enters them")
    assert not (tmp_path / "s" / "ledger.db").exists()
    monkeypatch.setattr(cli_finish, "SETTLE", 20.0)
    monkeypatch.setattr(cli_finish, "SHORTLY", 20.0)
    assert finish(tmp_path, "--ledger", url) == 0
    out, err = capfd.readouterr()
    assert err == ""
    (tmp_path / "my.toml").write_text(TINY)
    assert finish(tmp_path) == 0
    file = trials(tmp_path / "s", "tiny")
    assert trials(url, "tiny") == file
    assert len(file[1]) == 4


def test_a_password_by_the_usual_file_is_nowhere(postgres, url, tmp_path, capfd, monkeypatch):
    database, passwords, services = url.rpartition("/")[2], tmp_path / "pass", tmp_path / "services"
    postgres.sql("create role guest login superuser password 'hunter2'")
    services.write_text(f"[lab]\nhost=127.0.0.1\nport={postgres.port}\ndbname={database}\nuser=guest\n")
    passwords.touch(mode=0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    (tmp_path / "my.toml").write_text(TINY)
    for word, seconds, lacks in (("hunter3", 0.5, True), ("hunter2", 20.0, False)):
        monkeypatch.setattr(cli_finish, "SETTLE", 2 * seconds)
        monkeypatch.setattr(cli_finish, "SHORTLY", seconds)
        passwords.write_text(f"*:*:*:*:{word}\n")
        assert finish(tmp_path, "--ledger", "postgresql+psycopg://?service=lab", "--debug") == 0
        out, err = capfd.readouterr()
        assert ('password authentication failed for user "guest"' in err) == lacks
        assert ("4 runs are not in the ledger yet (the postgresql server: " in err) == lacks
        written = [path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()]
        assert not [text for text in (out.encode(), err.encode(), *written) if b"hunter" in text]
    assert len(keys(url, "tiny")) == 4


def test_training_goes_on_while_the_server_hangs(url, tmp_path):
    """A lock on every table, for as long as it trains."""
    import psycopg

    Server(url, SPACE, "0a1b2c3d")  # makes the tables
    found = read(tmp_path, TINY, ledger=url)
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("lock table trials, studies in access exclusive mode")
        with open_store(found, tmp_path / "s") as store:
            assert len(train_runs(found, store)) == 4
            assert "4 runs are not in the ledger yet" in store.settle(0.1)
            other.rollback()
            assert store.settle(30) is None
    assert len(keys(url, "tiny")) == 4


def test_what_a_driver_says_is_told_without_statement_and_values(url):
    with (
        pytest.raises(Exception, match="hunter2") as found,
        create_engine(url, poolclass=NullPool).connect() as connection,
    ):
        connection.execute(text("select * from nowhere where x = :x"), {"x": "hunter2"})
    assert reason(found.value) == 'relation "nowhere" does not exist'
    assert reason(RuntimeError("first\nsecond")) == "first"
    assert reason(RuntimeError()) == "RuntimeError"
    assert place("postgresql+psycopg://") == "the postgresql server"


def test_libraries_complaints_stay_off_the_terminal():
    """pytest itself listens to logs: a process of its own does not."""
    code = """import logging
from tapered.study.store.ledger_server import silence
silence()
for name in ("psycopg", "psycopg.pool", "sqlalchemy.pool.impl.NullPool"):
    logging.getLogger(name).error("gone")
logging.basicConfig(format="%(name)s")  # whoever asks for them has them
logging.getLogger("psycopg").error("gone")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "psycopg\n")
