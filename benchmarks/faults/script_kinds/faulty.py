"""What goes wrong in a script, as FAULT names it; "once" for what goes wrong in its first start only."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FAULT = os.environ.get("FAULT", "")
NAME, ONCE = FAULT.removesuffix(" once"), FAULT.endswith(" once")
AT = 6  # the step before which it goes wrong
RUN = Path(os.environ["TAPERED_RUN"])
FIRST = len(list(RUN.glob("*.err"))) == 1
ON = FIRST or not ONCE
CHILD = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def begin(seed, steps):
    """At its beginning: the seed and the steps that it goes on with."""
    (RUN / "pid").write_text(str(os.getpid()))
    if NAME == "slow start":
        time.sleep(float(os.environ["SLOW"]))
    if NAME == "nothing reported":
        sys.exit(0)
    if NAME == "import":
        import no_such_module_as_this  # noqa: F401
    return 0 if NAME == "seed" else seed, steps + 4 if NAME == "beyond" else steps


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def mistake():
    raise RuntimeError("the user's own mistake")


def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def loop():
    while True:
        print("still here", flush=True)
        time.sleep(0.2)


ENDS = {
    "raise": mistake, "exit 3": lambda: os._exit(3), "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": kill, "early": lambda: os._exit(0), "hang": lambda: time.sleep(600), "deaf": deaf, "loops": loop,
}  # fmt: skip


def before(step):
    """Before each update."""
    time.sleep(float(os.environ.get("PACE", "0")))
    if step == 2 and NAME == "child":
        subprocess.run([sys.executable, "-c", CHILD, str(RUN / "child")], check=True)
    if step == 2 and NAME == "prints":
        for _ in range(200):
            print("x" * (1 << 20))
    if step == AT and ON and NAME in ENDS:
        ENDS[NAME]()


def loss(step, value):
    """The loss of an update."""
    if NAME.startswith("nan") and step >= AT:
        value = value * float("nan")
        if NAME == "nan, raise" and step >= AT + 3:
            raise RuntimeError("not finite")
    return value


def rate(step, optimizer):
    """Right before an update, behind the script's own scheduler."""
    if NAME == "rate" and step >= AT:
        for group in optimizer.param_groups:
            group["lr"] *= 1.001


def saved(path):
    """Where a checkpoint has been saved: the second one is half written, and the start dies of it."""
    if NAME not in ("half", "full disk") or not ON or saved.count:
        saved.count -= 1
        return
    for file in [path] if path.is_file() else sorted(path.rglob("*.*")):
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
    if NAME == "full disk":
        raise OSError(28, "No space left on device", str(path))
    kill()


saved.count = 1
