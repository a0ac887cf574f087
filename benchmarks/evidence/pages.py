"""Opens every page below a folder in a headless Chromium: its script runs, figures can be read, it says its verdict.

    python benchmarks/evidence/pages.py studies [--browser chromium] [--picture page.png] [--json]

A page is wrong where the console has an error, its script did not reach a figure, or the verdict's first words are not
in what was rendered. `make nightly` runs it over the pages of `tapered claims --run --quick`.
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT = 300  # seconds; unloaded it takes two
VERDICT = re.compile(r'<p class="verdict">(.*?)</p>', re.DOTALL)
PLOT = re.compile(r'<div class="panels[ "]')
DRAWN = re.compile(r'<div class="tools">')  # the page's script puts its buttons beside a figure that it has read
# Chromium on a machine without a desktop complains about much; only lines of the page's own console count
CONSOLE = re.compile(r"CONSOLE[:(].*", re.MULTILINE)


def rendered(browser: str, page: Path, *words: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={profile}", "--virtual-time-budget=5000", *words, page.resolve().as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def wrong(browser: str, page: Path) -> list[str]:
    """What is wrong with a page; nothing where it opens as it should."""
    stated = [html.unescape(line) for line in VERDICT.findall(page.read_text())]
    try:
        done = rendered(browser, page, "--dump-dom")
    except subprocess.TimeoutExpired:
        return [f"it did not open within {TIMEOUT} s"]
    found = [f"console: {line}" for line in CONSOLE.findall(done.stderr)]
    if done.returncode:
        return [f"{browser} ended with {done.returncode}: {done.stderr.strip()[-200:]}"]
    if not stated:
        found.append("the file has no verdict")
    shown = [html.unescape(line) for line in VERDICT.findall(done.stdout)]
    if shown != stated:
        found.append(f"the verdict reads {shown}; expected {stated}")
    plots, drawn = len(PLOT.findall(done.stdout)), len(DRAWN.findall(done.stdout))
    if not 0 < plots == drawn:
        found.append(f"{drawn} of {plots} figures can be read")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--picture", type=Path, help="also take a picture of the first page")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if shutil.which(given.browser) is None:
        print(f"there is no {given.browser}; try apt-get install chromium, or --browser PATH", file=sys.stderr)
        return 2
    pages = sorted(given.folder.rglob("report.html"))
    found = {str(page): wrong(given.browser, page) for page in pages}
    lines = [f"{page}: {'; '.join(faults) or 'opens'}" for page, faults in found.items()]
    print(json.dumps({"pages": found}) if given.json else "\n".join(lines) or f"no pages in {given.folder}")
    if given.picture and pages:
        rendered(given.browser, pages[0], f"--screenshot={given.picture.resolve()}", "--window-size=1200,2200")
    return 1 if not pages or any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
