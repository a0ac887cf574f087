"""What pyproject.toml requires, the extras' too, for pip: `make floor` takes the lowest versions, `make newest` any.

python versions.py lowest      name==version, a line each
python versions.py any         name>=version
"""

import sys
import tomllib
from itertools import chain
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def required() -> list[str]:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    return sorted({*project["dependencies"], *chain(*project["optional-dependencies"].values())})


def lowest(requirement: str) -> str:
    return requirement.replace(">=", "==")


if __name__ == "__main__":
    print(*map({"lowest": lowest, "any": str}[sys.argv[1]], required()), sep="\n")
