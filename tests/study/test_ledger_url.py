"""A ledger's URL in a study file or a command: what can be used, and no password anywhere."""

import json
import sys
import traceback

import pydantic
import pytest
from study_cases import TINY, read

from tapered.cli.main import main
from tapered.study import default_folder, plan_of
from tapered.study.file.ledger import Ledger
from tapered.study.file.read import read_again
from tapered.study.file.study import Study
from tapered.workloads.own import StudyFileError

WORD = "hunter2"
SECRETS = [
    f"postgresql+psycopg://me:{WORD}@host/db",
    f"postgresql+psycopg://me:{WORD}/x@host/db",
    f"postgresql://:{WORD}@host",
    f"postgresql+psycopg:///db?host=x&user=me&password={WORD}",
    f"postgresql+psycopg://me@host/db?sslpassword={WORD}",
    f"postgresql+psycopg://me@host/db?oauth_client_secret={WORD}",
    f"mysql+pymysql://me:{WORD}@host/db",
    f"POSTGRESQL+PSYCOPG://me:{WORD}@host/db",
    f"oracle://me:{WORD}@host/db",
    f"postgresql+psycopg://host/db?pass%77ord={WORD}",
]
WRONG = [
    ("sqlite:///x.db", "names a file"),
    ("nonsense", "is no URL of a database"),
    ("postgresql+psycopg://me@host:port/db", "is no URL of a database"),
    ("nowhere://host/db", "no driver of SQLAlchemy"),
    ("postgresql://me@host/db", "expected its driver"),
    ("postgresql+psycopg2://me@host/db", "expected its driver"),
    ("postgres://me@host/db", "expected its driver"),
    ("mysql+notthere://me@host/db", "no driver of SQLAlchemy"),
    ("oracle+oracledb://me@host/db", "needs oracledb, which is not installed here; install it, or try postgresql"),
]


def shown(error):
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_refused_and_not_repeated(tmp_path, url, capfd):
    for text in (f'{TINY}[ledger]\nurl = "{url}"\n', f'ledger = "{url}"\n{TINY}', f'{TINY}[legder]\nurl = "{url}"\n'):
        with pytest.raises(StudyFileError) as found:
            read(tmp_path, text)
        assert WORD not in shown(found.value)
    for make in (lambda: Study.model_validate({"ledger": {"url": url}}), lambda: Ledger(url=url)):
        with pytest.raises(pydantic.ValidationError) as invalid:
            make()
        assert WORD not in shown(invalid.value)
    (tmp_path / "my.toml").write_text(TINY)
    for verb in (["study"], ["tune", "--trials", "2"]):
        command = [*verb, str(tmp_path / "my.toml"), "--ledger", url, "--store", str(tmp_path / "s"), "--debug"]
        assert main(command) == 2
    out, err = capfd.readouterr()
    assert "~/.pgpass" in err
    assert WORD not in out + err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("url", SECRETS[:-2])
def test_a_password_in_a_comment_is_refused_too(tmp_path, url):
    with pytest.raises(StudyFileError, match=r"my\.toml: line 1 has a password") as found:
        read(tmp_path, f"# {url}\n{TINY}")
    assert WORD not in shown(found.value)


@pytest.mark.parametrize(("url", "why"), WRONG)
def test_a_url_that_cannot_be_used_is_refused(tmp_path, url, why):
    with pytest.raises(StudyFileError, match=why):
        read(tmp_path, TINY, ledger=url)


def test_a_driver_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyFileError, match=r"pip install 'tapered\[postgres\]'"):
        read(tmp_path, TINY, ledger="postgresql+psycopg://me@host/db")


def test_a_worker_needs_no_driver(tmp_path, monkeypatch):
    """Who read the file enters the runs; what is sent to another machine is read there without the ledger."""
    pytest.importorskip("psycopg")
    stated = read(tmp_path, f'{TINY}[ledger]\nurl = "postgresql+psycopg://me@host/db"\n').stated
    monkeypatch.setitem(sys.modules, "psycopg", None)
    there = read_again(stated.text, stated.origin, whole=False)
    assert there.study.ledger is None
    assert plan_of(there).facts == plan_of(stated).facts


def test_no_number_depends_on_the_ledger(tmp_path):
    pytest.importorskip("psycopg")
    plain = read(tmp_path, TINY)
    stated = read(tmp_path, f'{TINY}[ledger]\nurl = "postgresql+psycopg://me@host/db"\n')
    given = read(tmp_path, TINY, ledger="postgresql+psycopg://other@host/db?sslmode=require")
    assert plain.facts == stated.facts == given.facts
    assert default_folder(plain) == default_folder(stated) == default_folder(given)
    assert "other@host" not in given.stated.text
    assert given.study.ledger.url.startswith("postgresql+psycopg://other@host")
    assert "ledger" not in json.dumps(dict(stated.facts))
