"""A headless Chromium, spoken to over its own pipe: it opens a page, measures, presses keys, prints.

Where there is none the tests that need it are skipped, with what to type to have it.
"""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WORDS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")


class Page:
    """What is seen of a page, and what is done to it."""

    def __init__(self, into, out):
        self.into, self.out, self.session, self.numbers, self.console = into, out, None, itertools.count(1), []

    def ask(self, method, **given):
        """A command of the DevTools protocol and its answer; errors of the page's own are kept."""
        number, session = next(self.numbers), {"sessionId": self.session} if self.session else {}
        self.into.write(json.dumps({"id": number, "method": method, "params": given, **session}).encode() + b"\0")
        self.into.flush()
        while (said := self.hear()).get("id") != number:
            pass
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        return said["result"]

    def hear(self):
        taken = bytearray()
        while (byte := self.out.read(1)) != b"\0":
            if not byte:
                raise EOFError("the browser ended")
            taken += byte
        said = json.loads(taken)
        if said.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.console.append(json.dumps(said["params"])[:400])
        return said

    def open(self, path, width=1280, height=800, *, dark=False):
        if self.session is None:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **sizes)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while self.hear().get("method") != "Page.loadEventFired":
            pass
        return self

    def run(self, script):
        """The value of a script, awaited."""
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(json.dumps(said["exceptionDetails"])[:800])
        return said["result"].get("value")

    def point(self, x, y):
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key):
        more = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}
        for kind in ("keyDown" if more else "rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def picture(self):
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=False)["data"])

    def printed(self):
        """The page as PDF, A4."""
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])


@contextmanager
def browser():
    """A page of a Chromium that ends with it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium; try: apt-get install chromium")
    ours, theirs = os.pipe(), os.pipe()
    wired = f'exec {found} {" ".join(WORDS)} --user-data-dir="$0" 3<&{ours[0]} 4>&{theirs[1]}'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            ["bash", "-c", wired, profile], pass_fds=(ours[0], theirs[1]), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        with os.fdopen(ours[1], "wb") as into, os.fdopen(theirs[0], "rb") as out:
            try:
                yield Page(into, out)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
