"""A script started, watched and ended: the right word each time, nothing lost, and nothing of it left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from script_starts import PYTHON, QUICK, SCRIPT, STEPS, Clock, alive, ended, judged, made, reports, until

from tapered.files.lock import InUseError
from tapered.scripts import looking, watch
from tapered.scripts.command import Template
from tapered.scripts.ended import Ended, Seen
from tapered.scripts.errors import ScriptError
from tapered.scripts.limits import Limits
from tapered.scripts.start import Started
from tapered.scripts.supervise import supervise
from tapered.scripts.watch import Output, last_lines

WHOLE = [1.0, 1.5, 1.75, 1.875, 1.9375, 1.96875]
ONCE = "if step == {at} and starts == 1: {what}"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
POLITE = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))"
RAISE = "raise RuntimeError('own mistake')"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(autouse=True)
def clock(monkeypatch, tmp_path):
    """A script is looked at often, and no time goes by but while it sleeps."""
    monkeypatch.setattr(looking, "LOOK", 0.01)
    monkeypatch.setattr(looking, "RESTS", 0)
    monkeypatch.setattr(looking, "SHARE", 0)
    found = Clock(tmp_path)
    for module in (looking, watch, sys.modules[supervise.__module__]):
        monkeypatch.setattr(module, "time", found)
    return found


def losses(folder):
    """Step -> loss, the later of two that were told counting."""
    return {line["step"]: line["loss"] for line in reports(folder / "run")}


def limits(**more):
    return Limits(**{"startup": 10, "silence": 10, "grace": 0.3} | more)


def test_a_script_that_does_what_it_is_asked(tmp_path):
    found = ended(tmp_path)
    assert (found.word, found.step, found.starts, found.notes) == ("finished", STEPS, 1, ())
    assert losses(tmp_path) == dict(enumerate(WHOLE, 1))
    assert Ended.read(tmp_path / "run") == found


def test_a_result_is_not_started_again(tmp_path):
    first = ended(tmp_path, fault="if step == 3: total = float('nan')")
    assert (first.word, first.step) == ("diverged", 4)
    assert ended(tmp_path) == first
    assert not (tmp_path / "run" / "2.err").exists()


@pytest.mark.parametrize(
    ("fault", "word", "step", "starts", "why"),
    [
        (ONCE.format(at=3, what=KILL), "finished", 6, 2, "made its 6 steps"),
        (ONCE.format(at=3, what=RAISE), "finished", 6, 2, "made its 6 steps"),
        (f"if starts < 5 and step == starts: {KILL}", "finished", 6, 5, "made its 6 steps"),
        (f"if step == 3: {KILL}", "crashed", 3, 3, "was ended by SIGKILL, at 3 of 6"),
        (f"if step == 3: {RAISE}", "crashed", 3, 3, "ended with exit code 1, at 3 of 6"),
        ("sys.exit(7)", "crashed", 0, 3, "ended with exit code 7, at 0 of 6"),
        ("if step == 3: sys.exit(0)", "refused", 3, 1, "ended at 3 of 6"),
        ("sys.exit(0)", "refused", 0, 1, "reported nothing"),
        ("if step == 3: total = float('nan'); tell(3.0); os._exit(1)", "diverged", 3, 1, "not finite"),
        ("if step == 3: tell(3, other=float('-inf')); " + KILL, "diverged", 3, 1, "not finite"),
        ("if step == 3: tell(7); sys.exit(0)", "refused", 7, 1, "step 7 of 6"),
        ("if step == 3: sleep()", "hung", 3, 3, "no sign of life for"),
        (f"{POLITE}\n    if step == 3: sleep()", "hung", 3, 3, "no sign of life for"),
        ("if step == 5: tell(6); sys.exit(3)", "crashed", 6, 3, "exit code 3"),
    ],
)
def test_the_word_for_each_end(fault, word, step, starts, why, tmp_path):
    found = ended(tmp_path, fault=fault, limits=limits())
    assert (found.word, found.step, found.starts) == (word, step, starts)
    assert why in found.why
    assert (tmp_path / "run" / "result.json").exists() == found.result == (word in ("finished", "diverged"))


@pytest.mark.parametrize(("retries", "starts"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_starts_without_progress_are_counted(retries, starts, tmp_path):
    assert ended(tmp_path, fault=f"if step == 3: {RAISE}", limits=limits(retries=retries)).starts == starts
    assert len(list((tmp_path / "run" / "out").glob("bad-*"))) == (retries > 1)


def test_a_checkpoint_from_which_no_start_goes_on_is_set_aside_once_and_kept(tmp_path):
    half = "(out / 'checkpoint-4').write_text('[4')"
    found = ended(tmp_path, fault=f"if step == 4 and starts == 1: {half}; {KILL}")
    assert (found.word, found.starts) == ("finished", 3)
    assert losses(tmp_path) == dict(enumerate(WHOLE, 1))
    assert (tmp_path / "run" / "out" / "bad-checkpoint-4").read_text() == "[4"
    assert found.notes == ("checkpoint-4 was set aside as bad-checkpoint-4, since no start went on from it",)


def test_a_checkpoint_is_not_set_aside_for_a_kill_or_where_a_start_went_on_from_it(tmp_path):
    two = f"if starts == 2 and step == 4: tell(4); {RAISE}"
    one = ended(tmp_path / "went on", fault=f"if starts == 1 and step == 4: {KILL}\n    {two}")
    two = ended(tmp_path / "killed", fault=f"if starts < 3 and step == 4: {KILL}")
    assert [found.word for found in (one, two)] == ["finished"] * 2
    assert not list(tmp_path.glob("*/run/out/bad-*"))


def test_one_that_cannot_go_on_begins_anew_and_what_it_wrote_is_kept(tmp_path):
    found = ended(tmp_path, fault=ONCE.format(at=3, what=KILL), resume="none")
    assert (found.word, found.starts) == ("finished", 2)
    assert [line["step"] for line in reports(tmp_path / "run")] == [1, 2, 3, 1, 2, 3, 4, 5, 6]
    assert (tmp_path / "run" / "bad-out" / "checkpoint-3").exists()


def test_it_is_told_from_where_to_go_on(tmp_path):
    text = SCRIPT.replace("FAULT", ONCE.format(at=3, what=KILL)) + "print(sys.argv[3:])\n"
    more = {"line": "{python} script.py {out} {until} {resume}", "resume": Template.read("--from {checkpoint}")}
    ended(tmp_path, text, **more)
    assert (tmp_path / "run" / "2.out").read_text().strip() == f"['--from', '{tmp_path}/run/out/checkpoint-3']"


@pytest.mark.parametrize(
    ("at", "startup", "silence", "slept", "why"),
    [
        (0, 90, 9, 60, ""),
        (2, 9, 90, 60, ""),
        (2, 90, 9, 60, "gave no sign of life for silence=9 s, at 2 of 6"),
        (0, 9, 90, 60, "gave no sign of life for startup=9 s, at 0 of 6"),
    ],
)
def test_startup_and_silence_are_two_times(at, startup, silence, slept, why, clock, tmp_path):
    clock.wake_after(slept)
    found = ended(
        tmp_path,
        fault=f"if step == {at}: sleep()",
        limits=limits(startup=startup, silence=silence, retries=0),
    )
    assert (found.word, found.why) == (("hung", why) if why else ("finished", "made its 6 steps"))
    assert (found.seconds >= slept) == (not why)


def test_a_first_report_that_comes_while_it_is_looked_at_is_a_sign_of_life(monkeypatch, tmp_path):
    hung, looks, asleep = looking.Watching._hung, [], tmp_path / "asleep"

    def judge(folder):
        if looks and asleep.exists():
            asleep.unlink()
            until(lambda: STEPS in losses(tmp_path))
        return judged(folder)

    def looked(watching):
        looks.append(watching)
        found = hung(watching)
        looks.clear()
        return found

    monkeypatch.setattr(looking.Watching, "_hung", looked)
    given = limits(startup=900, silence=90, retries=0)
    assert ended(tmp_path, fault="if step == 0: sleep()", limits=given, judge=judge).word == "finished"


@pytest.mark.parametrize("sign", ["print(i)", "print(i, file=sys.stderr)", "(out / 'own').write_text('x' * i)"])
def test_whatever_it_writes_is_a_sign_of_life(sign, clock, tmp_path):
    clock.wake_after(6)
    fault = f"if step == 2:\n        for i in range(8): sleep(); {sign}"
    assert ended(tmp_path, fault=fault, limits=limits(retries=0)).word == "finished"
    assert clock.now >= 48


def test_time_for_the_run_as_a_whole(clock, tmp_path):
    clock.wake_after(6)
    found = ended(tmp_path, fault="sleep(); print(step); step -= step == 4", limits=limits(timeout=100, retries=9))
    assert (found.word, found.starts) == ("hung", 1)
    assert found.why.startswith("had not ended after timeout=100 s")
    assert 100 < found.seconds < 120


def test_one_that_ignores_sigterm_is_killed_after_a_while(monkeypatch, tmp_path):
    heard, ask = tmp_path / "heard", Started.ask
    monkeypatch.setattr(Started, "ask", lambda started: (ask(started), until(heard.exists)))
    fault = f"signal.signal(signal.SIGTERM, lambda *_: pathlib.Path({str(heard)!r}).touch())\n    if step == 3: sleep()"
    found = ended(tmp_path, fault=fault, limits=limits(retries=0))
    assert (found.word, found.step) == ("hung", 3)


def test_a_rate_that_was_not_asked_ends_it_at_once(clock, tmp_path):
    fault = "if step == 2: (run / 'wrong').write_text('update 2 was made at 0.3'); time.sleep(600)"
    found = ended(tmp_path, fault=fault)
    assert (found.word, found.starts, found.why) == ("refused", 1, "update 2 was made at 0.3")
    assert clock.now == 0


def test_what_is_lacking_is_refused_only_at_the_end(tmp_path):
    def judge(folder):
        seen = judged(folder)
        return Seen(seen.step, seen.told, lacking="update 3 was not seen")

    found = ended(tmp_path, judge=judge)
    assert (found.word, found.why) == ("refused", "update 3 was not seen")


def test_a_last_step_that_was_made_and_not_reported_is_said(tmp_path):
    def judge(folder):
        seen = judged(folder)
        return Seen(seen.step and seen.step - 1, seen.told, updates=seen.step or 0)

    found = ended(tmp_path, judge=judge)
    assert (found.word, found.why) == (
        "refused",
        "made its 6 updates and reported 5 last; let it report its last step, 6",
    )


@pytest.mark.parametrize("by", ["stop", "file"])
def test_a_stop_is_heard_and_gone_on_from_later(by, tmp_path):
    heard = "while step == 3 and starts == 1: sys.exit(0) if (run / 'stop').exists() else time.sleep(0.005)"
    asked = lambda: 3 in losses(tmp_path)  # noqa: E731
    if by == "file":
        writer = threading.Thread(target=lambda: (until(asked), (tmp_path / "run" / "stop").touch()))
        writer.start()
        found = ended(tmp_path, fault=heard)
        writer.join()
    else:
        found = ended(tmp_path, fault=heard, stop=asked)
    assert (found.word, found.step) == ("stopped", 3)
    assert not (tmp_path / "run" / "result.json").exists()
    found = ended(tmp_path, fault=heard)
    assert (found.word, found.starts, losses(tmp_path)) == ("finished", 2, dict(enumerate(WHOLE, 1)))


def test_one_that_knows_of_no_stop_hears_sigterm(monkeypatch, tmp_path):
    there, ask = tmp_path / "run" / "out" / "heard", Started.ask
    monkeypatch.setattr(Started, "ask", lambda started: (ask(started), until(there.exists)))
    heard = "((out / 'heard').touch(), sys.exit(5))"
    fault = f"signal.signal(signal.SIGTERM, lambda *_: {heard})\n    if step == 3: sleep()"
    found = ended(tmp_path, fault=fault, stop=lambda: 3 in losses(tmp_path))
    assert (found.word, found.step, found.starts) == ("stopped", 3, 1)


def test_one_that_hears_neither_is_killed(tmp_path):
    fault = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    if step == 3: sleep()"
    found = ended(tmp_path, fault=fault, stop=lambda: 3 in losses(tmp_path))
    assert (found.word, found.step, found.starts) == ("stopped", 3, 1)


def test_a_rung_is_a_stop_from_which_it_goes_on(tmp_path):
    run, command = made(tmp_path)
    command.values["until"] = 4
    found = supervise(run, command, QUICK, judged)
    assert (found.word, found.step) == ("stopped", 4)
    command.values["until"] = STEPS
    found = supervise(run, command, QUICK, judged)
    assert (found.word, found.starts, losses(tmp_path)) == ("finished", 2, dict(enumerate(WHOLE, 1)))
    assert [line["step"] for line in reports(run)] == [*range(1, STEPS + 1)]


CHILD = """
import os, sys, time, pathlib
if os.fork(): sys.exit()
os.setsid()
if os.fork(): os._exit(0)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
while True: time.sleep(60)
"""
LEAVES = f"""if step == 2:
        subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(run / "child")])
        while not ((run / "child").exists() and (run / "child").read_text()): time.sleep(0.01)"""


@pytest.mark.parametrize("end", ["", f"if step == 4: {KILL}", "if step == 4: sleep()"])
def test_a_child_that_left_its_session_is_ended_as_well(end, tmp_path):
    found = ended(tmp_path, fault=f"{LEAVES}\n    {end}", limits=limits(retries=0))
    assert found.word == ("finished" if not end else "crashed" if KILL in end else "hung")
    assert not alive(int((tmp_path / "run" / "child").read_text()))
    if not end:
        assert "of its children lived on, and ended with it" in found.notes[0]


def test_two_supervisors(tmp_path, monkeypatch):
    monkeypatch.setattr("tapered.scripts.alone.WAIT", 0.2)
    run, command = made(tmp_path, fault="while not (run / 'go').exists(): time.sleep(0.01)")
    first = threading.Thread(target=supervise, args=(run, command, QUICK, judged))
    first.start()
    until((run / "1.err").exists)
    with pytest.raises(InUseError, match=f"in use by process {os.getpid()} on"):
        supervise(run, command, QUICK, judged)
    (run / "go").touch()
    first.join()
    assert supervise(run, command, QUICK, judged).starts == 1


PROGRAM = """
import sys, pathlib
from script_starts import *
ended(pathlib.Path(sys.argv[1]), fault=sys.argv[2])
"""


def supervisor(folder, fault):
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen([PYTHON, "-c", PROGRAM, str(folder), fault], env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize("killed", ["supervisor", "keeper", "both"])
def test_whoever_is_killed_the_script_is_gone_within_seconds_and_goes_on(killed, tmp_path):
    waits = (
        f"(run / 'own').write_text(str(os.getpid()))\n    {LEAVES}\n    if starts == 1 and step == 3: time.sleep(600)"
    )
    process, run = supervisor(tmp_path, waits), tmp_path / "run"
    until(lambda: len(reports(run)) == 3)
    script, child = int((run / "own").read_text()), int((run / "child").read_text())
    keeper = int(Path(f"/proc/{script}/stat").read_text().rpartition(")")[2].split()[1])
    assert keeper != process.pid
    if killed != "keeper":
        process.kill()
    if killed != "supervisor":
        os.kill(keeper, signal.SIGKILL)
    until(lambda: not alive(script), 30)
    process.wait()
    if killed != "both":  # which is made up for by who comes next
        until(lambda: not alive(child), 30)
    found = ended(tmp_path)
    assert not alive(child)
    assert (found.word, found.starts, losses(tmp_path)) == ("finished", 2, dict(enumerate(WHOLE, 1)))


def test_what_a_person_runs_in_the_folder_from_a_terminal_is_left_alone(tmp_path):
    import pty

    run = tmp_path / "run"
    child, handle = pty.fork()
    if not child:
        os.execvpe("sleep", ["sleep", "60"], {**os.environ, "TAPERED_RUN": str(run)})
    try:
        until(lambda: b"TAPERED_RUN" in Path(f"/proc/{child}/environ").read_bytes())
        assert ended(tmp_path).word == "finished"
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(handle)


def test_what_the_script_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("MINE", "kept")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    text = (
        "import os, sys; print(ascii([dict(os.environ), os.getcwd(), sys.stdin.read(), os.getpid() == os.getsid(0)]))"
    )
    run, command = made(tmp_path, text)
    supervise(run, command, QUICK, judged, slot={"CUDA_VISIBLE_DEVICES": "3"}, threads=7)
    found, where, stdin, leads = eval((run / "1.out").read_text())
    assert (where, stdin, leads) == (str(tmp_path), "", True)
    assert found["TAPERED_RUN"] == str(run)
    assert (found["CUDA_VISIBLE_DEVICES"], found["OMP_NUM_THREADS"], found["MINE"]) == ("3", "7", "kept")
    assert not found.keys() & {"RANK", "TORCHELASTIC_RUN_ID"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    supervise(run, command, QUICK, judged, threads=7)
    assert "'OMP_NUM_THREADS': '2'" in (run / "2.out").read_text()


def test_a_script_is_heard_with_the_signals_as_they_were(tmp_path):
    text = "import signal; print(*[int(signal.getsignal(n)) for n in (1, 15, 17)], signal.getsignal(2).__name__)"
    run, command = made(tmp_path, text)
    supervise(run, command, QUICK, judged)
    assert (run / "1.out").read_text().strip() == "0 0 0 default_int_handler"


def test_the_last_lines(tmp_path):
    last = r"sys.stderr.write('a\rb\rc 9%\n\x1b[31mred\x1b[0m \x07\n'); sys.exit(1)"
    text = f"import sys\nfor i in range(50): print('out', i)\n{last}"
    found = ended(tmp_path, text, limits=limits(retries=0))
    assert found.lines == (*(f"out {i}" for i in range(32, 50)), "c 9%", "red ?")


def test_a_script_that_prints_gigabytes_keeps_its_beginning_and_end(tmp_path):
    fault = "print('begin' if step == 0 else 'end'); [print('x' * 999) for i in range(2000)]"
    found = ended(tmp_path, fault=fault, limits=limits(output=100_000))
    text = (tmp_path / "run" / "1.out").read_text()
    assert len(text) <= 100_000
    assert text.startswith("begin\nxxx")
    assert "of output are left out here" in text
    assert found.word == "finished"
    assert "of 1.out were left out" in found.notes[0]


def test_lines_that_report_are_kept_of_what_is_left_out(tmp_path):
    path = tmp_path / "x"
    output = Output(path, 1000, re.compile(r"loss=\d+"))
    for i in range(100):
        with path.open("a") as file:
            file.write(f"loss={i}\n" + "x" * 50 + "\n")
        output.bound()
    lines = path.read_text().splitlines()
    assert [line for line in lines if "loss" in line] == [f"loss={i}" for i in range(100)]
    assert len(lines) < 140
    assert last_lines([path, tmp_path / "none"], 1) == ("x" * 50,)


def test_a_command_that_cannot_be_executed_is_said(tmp_path):
    path = tmp_path / "own"
    path.write_text("no first line")
    path.chmod(0o755)
    with pytest.raises(ScriptError, match=r"cannot be started: Exec format error.*#!"):
        ended(tmp_path, line="./own")


def test_a_result_that_was_changed_is_refused(tmp_path):
    found, path = ended(tmp_path), tmp_path / "run" / "result.json"
    text = path.read_text()
    for other in (text.replace('"finished"', '"diverged"'), text[:-9], "", "[]", "\xff"):
        path.write_bytes(other.encode("latin-1"))
        with pytest.raises(ScriptError, match=r"result\.json was damaged"):
            ended(tmp_path)
    path.unlink()
    assert ended(tmp_path).step == found.step


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tapered.files.whole.write", full)
        with pytest.raises(OSError, match="No space"):
            ended(tmp_path)
    assert not (tmp_path / "run" / "result.json").exists()
    assert ended(tmp_path).word == "finished"
    assert losses(tmp_path) == dict(enumerate(WHOLE, 1))


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4096}))
    found = ended(tmp_path, fault="raise OSError(28, 'No space left on device')", limits=limits(retries=0))
    assert found.word == "crashed"
    assert found.notes == ("its disk is full: 4.0 KiB are free",)


def test_it_is_told_how_far_it_is(tmp_path):
    told = []
    fault = "while not (run.parent / f'told-{step}').exists(): time.sleep(0.005)"
    ended(tmp_path, fault=fault, told=lambda step: (told.append(step), (tmp_path / f"told-{step}").touch()))
    assert list(dict.fromkeys(told)) == [*range(STEPS + 1)]
    assert told == sorted(told)


def test_an_error_of_the_judge_leaves_nothing_behind(tmp_path):
    def judge(folder):
        if reports(folder):
            raise ValueError("own")
        return Seen()

    fault = "(run / 'own').write_text(str(os.getpid())); time.sleep(600 * (step == 3))"
    with pytest.raises(ValueError, match="own"):
        ended(tmp_path, fault=fault, judge=judge)
    assert not alive(int((tmp_path / "run" / "own").read_text()))


def test_json_of_a_result(tmp_path):
    ended(tmp_path)
    fields = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (fields["schema"], fields["word"], fields["step"], fields["starts"]) == (1, "finished", STEPS, 1)


def test_a_script_that_ends_before_its_keeper_looks_is_heard_of():
    """As on a machine that is so busy that the keeper is kept waiting once it has begun the script."""
    program = """
import os, sys
from tapered.scripts import keeper

say = keeper.Keeper._say

def late(self, text):
    say(self, text)
    if text.startswith("began"):
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

keeper.Keeper._say = late
keeper.Keeper(1, [sys.executable, "-c", "raise SystemExit(3)"]).keep()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kept:
        watchdog = threading.Timer(60, kept.kill)  # of a keeper that waits for ever
        watchdog.start()
        said = kept.stdout.read().decode().splitlines()
        watchdog.cancel()
    assert said[0].startswith("began ")
    assert said[1:] == ["ended 3 0"]
