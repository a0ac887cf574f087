"""Looks at a built site: it loads nothing from elsewhere, and every link within it leads somewhere.

python links.py FOLDER      a line for each fault; exit code 1 where there are any
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "use": "href"}
STYLED = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """What a page can be reached by, leads to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids, self.leads, self.loads = set[str](), list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Each element in turn."""
        said = {name: value or "" for name, value in attrs}
        self.ids |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and "href" in said:
            self.leads.append(said["href"])
        if LOADED.get(tag) in said and not (tag == "link" and said.get("rel") in {"search", "index", "next", "prev"}):
            self.loads.append(said[LOADED[tag]])
        self.loads += STYLED.findall(said.get("style", ""))


page = cache(Page)


def faults(folder: Path) -> Iterator[str]:
    """What is wrong with a site."""
    for path in sorted(folder.rglob("*.html")):
        here = path.relative_to(folder)
        for target in page(path).loads:
            if urlsplit(target).netloc:
                yield f"{here} loads {target}"
            elif not target.startswith("data:"):
                yield from dead(folder, path, target)
        for target in page(path).leads:
            if not urlsplit(target).scheme:
                yield from dead(folder, path, target)
    for path in sorted(folder.rglob("*.css")):
        yield from (f"{path.relative_to(folder)} loads {target}" for target in STYLED.findall(path.read_text()))


def dead(folder: Path, path: Path, target: str) -> Iterator[str]:
    """A link that leads nowhere."""
    to = urlsplit(target)
    found = (path.parent / unquote(to.path)).resolve() if to.path else path
    if not found.is_file():
        yield f"{path.relative_to(folder)} leads to {target}, which is not there"
    elif to.fragment and found.suffix == ".html" and unquote(to.fragment) not in page(found).ids:
        yield f"{path.relative_to(folder)} leads to {target}, which has no such place"


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1]).resolve()))
    print(*found, sep="\n")
    sys.exit(bool(found))
