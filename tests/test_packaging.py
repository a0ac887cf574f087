"""What a package index and a reader of the repository see: one version, extras that are used, files that are whole."""

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from installed import COMMANDS, VERSION

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what in the code needs an extra's package, where its name is not imported: another's driver, decoder, or name
NEEDS = {"pillow": 'module("PIL', "scikit-learn": 'module("sklearn', "psycopg": "postgresql"}
DEVELOPERS = {"dev", "bench", "docs"}  # for who works on tapered


def test_the_version_stands_in_one_place_and_has_its_section():
    assert PROJECT["version"] == VERSION
    assert re.search(
        rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    named = [path for path in (ROOT / "src").rglob("*.py") if f'"{VERSION}"' in path.read_text()]
    assert named == []


@pytest.mark.parametrize("extra", sorted(set(PROJECT["optional-dependencies"]) - DEVELOPERS))
def test_an_extra_is_used_and_told(extra):
    """By code of the package, lazily or not; and a reader finds the line that installs it."""
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    docs = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert f"tapered[{extra}]" in docs
    for requirement in PROJECT["optional-dependencies"][extra]:
        name = re.match(r"[\w-]+", requirement)[0]
        assert NEEDS.get(name, f"import {name}") in code or f"from {name}" in code, name


def test_everything_that_is_installed_is_imported():
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for requirement in PROJECT["dependencies"]:
        name = re.match(r"[\w-]+", requirement)[0].replace("-", "_")
        assert re.search(rf"^\s*(import|from) {name}\b", code, re.MULTILINE), name


def test_no_private_host_is_named():
    urls = [*PROJECT["urls"].values(), *re.findall(r"https?://[^\s)>\"'`]+", (ROOT / "README.md").read_text())]
    assert {re.match(r"https://([a-z.]+)/", url)[1] for url in urls} <= {"stats.stackexchange.com", "arxiv.org"}


def test_what_a_package_needs_is_there():
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "src/tapered/py.typed"):
        assert (ROOT / name).exists()
    assert PROJECT["license"] == "MIT"
    assert "Typing :: Typed" in PROJECT["classifiers"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "license"} <= set(cited)
    assert cited["license"] == PROJECT["license"]
    assert "version" not in cited  # it stands in pyproject.toml alone


def test_the_picture_of_the_readme_is_that_of_its_text():
    """Made by benchmarks/evidence/picture.py from the study whose answer README quotes; it loads and runs nothing."""
    readme = (ROOT / "README.md").read_text()
    (name,) = re.findall(r'<img src="([^"]+)"', readme)
    picture = ET.parse(ROOT / name).getroot()
    assert picture.get("aria-label") in " ".join(readme.split())
    assert {node.tag.rpartition("}")[2] for node in picture.iter()} <= {
        "svg",
        "rect",
        "text",
        "path",
        "circle",
        "polygon",
        "g",
    }
    assert not re.search(r"href|url\(|http(?!://www.w3.org)", (ROOT / name).read_text())


def test_make_dist_tries_a_study_and_the_doctor():
    tried = [command[1:] for command in COMMANDS if command[0] == "tapered"]
    assert ("study", "regret", "--quick") in tried
    assert ("doctor",) in tried
    assert "tests/installed.py dist" in (ROOT / "Makefile").read_text()


def test_security_says_what_runs_code():
    said = (ROOT / "SECURITY.md").read_text()
    for word in ("command", "workload", "Makefile", "pickle", "weights_only", "--workload"):
        assert word in said
    for link in re.findall(r"\]\(([^)#]+)", said):
        assert (ROOT / link).exists(), link
