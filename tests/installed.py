"""What is built is what works: every wheel and sdist of a folder in a fresh environment, away from the sources.

python tests/installed.py dist
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
COMMANDS = (
    ("python", "-c", "import tapered; print(tapered.__version__, tapered.cosine_decay(0.1, decay_steps=10)(5))"),
    ("tapered", "--version"),
    ("tapered", "doctor"),
    ("tapered", "recommend", "--for", "finetune", "--steps", "1000", "--write", "mine.toml"),
    ("tapered", "study", "mine.toml", "--plan"),
    ("tapered", "study", "regret", "--quick"),
    ("tapered", "claims", "Q2"),
)


def tried(package: Path) -> None:
    """Install it and run everything, in a folder that goes away.

    Raises:
        subprocess.CalledProcessError: something does not work.
    """
    print(f"== {package.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "fresh"], cwd=folder, check=True)
        binaries = Path(folder) / "fresh" / "bin"
        pip = [binaries / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", package.resolve()]
        subprocess.run(pip, cwd=folder, check=True)
        for command, *arguments in COMMANDS:
            print("$", command, *arguments, flush=True)
            subprocess.run([binaries / command, *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    packages = sorted(Path(sys.argv[1]).glob(f"tapered-{VERSION}*"))
    if {package.suffix for package in packages} != {".whl", ".gz"}:
        names = [package.name for package in packages]
        sys.exit(f"got {names}; expected a wheel and an sdist of {VERSION}; try make dist")
    for package in packages:
        tried(package)
