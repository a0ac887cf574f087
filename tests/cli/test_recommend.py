"""`tapered recommend`: what is printed, written and refused."""

import json

import pytest

from tapered.claims.advice import table
from tapered.cli.main import main
from tapered.schedules import parse


def test_without_a_purpose_they_are_listed(capsys):
    assert main(["recommend"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in table())
    assert main(["recommend", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["purposes"]) == list(table())


@pytest.mark.parametrize("purpose", table())
def test_as_json(purpose, capsys):
    assert main(["recommend", "--for", purpose, "--steps", "2000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    given = table()[purpose]
    assert parse(found["schedule"]) == given.shape(2000)
    assert found["peaks"] == list(given.peaks)
    assert found["worst_case"] == given.ratio(2000)
    assert [source["link"] for source in found["sources"]] == [source.link for source in given.sources]
    assert [each["says"] for each in found["measured"]] == [each.told() for each in given.measured]
    assert found["written"] is None


@pytest.mark.parametrize("width", [60, 80, 140])
def test_it_reads_at_every_width(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for purpose in table():
        assert main(["recommend", "--for", purpose, "--steps", "2000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    wide = [line for line in lines if len(line) > width and "https://" not in line]
    assert all(line.startswith("optimizer = tapered.") for line in wide)  # to be copied whole
    assert sum(line.startswith("Who says so") for line in lines) == len(table())


def test_a_file_is_written_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["recommend", "--for", "budget", "--steps", "300", "--write"]
    assert main([*asked, "mine.toml", "--workload", "quadratic"]) == 0
    assert "tapered study mine.toml" in capsys.readouterr().out
    kept = (tmp_path / "mine.toml").read_text()
    assert kept == table()["budget"].study(300, "quadratic")
    assert main([*asked, "mine.toml"]) == 2
    assert "got --write mine.toml, which is there already; nothing was written" in capsys.readouterr().err
    assert (tmp_path / "mine.toml").read_text() == kept
    assert main([*asked, "mine.txt"]) == 2
    assert "try --write mine.toml" in capsys.readouterr().err
    assert main([*asked, "missing/mine.toml"]) != 0
    assert "missing/mine.toml" in capsys.readouterr().err


@pytest.mark.parametrize("purpose", table())
def test_what_is_written_plans(purpose, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    asked = ["recommend", "--for", purpose, "--steps", "300", "--write", str(path), "--workload", "quadratic"]
    assert main(asked) == 0
    path.write_text(path.read_text().replace("\nseeds", '\nmode = "loop"  # so that nothing is compiled here\nseeds'))
    capsys.readouterr()
    assert main(["study", "mine.toml", "--plan"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"Question: Does it help {table()[purpose].rule} here to go up over ")
    assert "constant, recommended, " in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "fintune", "--steps", "500"], "got --for 'fintune'; try \"finetune\""),
        (["--for", "finetune"], "got --for finetune without the number of steps; try --for finetune --steps 10000"),
        (["--for", "finetune", "--steps", "50"], "got --steps=50; expected at least 100"),
        (["--steps", "500"], "got no --for; expected one of finetune, pretrain"),
        (["--for", "finetune", "--steps", "500", "--workload", "bmi"], "got --workload bmi without --write"),
        (["--for", "finetune", "--steps", "-1"], "got --steps=-1; expected at least 100"),
    ],
)
def test_what_is_refused(words, said, capsys):
    assert main(["recommend", *words]) == 2
    assert said in capsys.readouterr().err
