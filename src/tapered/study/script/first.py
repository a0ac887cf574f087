"""`--from-script train.py`: a first study file, by what the script's --help and its text say, for a person to correct.

train.py ─► --help, add_argument, dataclass fields, names at the top ─► options ─► command, and what is open
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from tapered.workloads.own import StudyFileError

SECONDS = 60.0  # that --help may take
# what a run is asked -> names that scripts have for it, the likeliest first
KNOWN_AS: Mapping[str, Sequence[str]] = {
    "peak": ("learning_rate", "lr", "max_lr", "base_lr", "peak_lr", "init_lr", "initial_lr", "optimizer_lr", "alpha"),
    "seed": ("seed", "random_seed", "manual_seed", "global_seed", "rng_seed"),
    "steps": (
        "max_steps", "max_train_steps", "num_steps", "steps", "total_steps", "train_steps", "num_train_steps",
        "training_steps", "max_iters", "num_iters", "iters", "iterations", "num_iterations", "max_iter", "n_steps",
        "max_updates", "max_update", "total_iters", "trainer_max_steps",
    ),
    "out": (
        "output_dir", "out_dir", "outdir", "out", "output", "save_dir", "logdir", "log_dir", "workdir", "work_dir",
        "run_dir", "default_root_dir", "checkpoint_dir", "ckpt_dir", "result_dir", "results_dir", "exp_dir",
        "save_path",
    ),
}  # fmt: skip
EPOCHS = ("epochs", "num_epochs", "num_train_epochs", "max_epochs", "n_epochs", "epoch")
RESUME = ("resume_from_checkpoint", "resume", "resume_from", "ckpt_path", "load_checkpoint", "checkpoint")
SCHEDULER = ("lr_scheduler_type", "lr_scheduler", "scheduler", "sched", "lr_schedule", "decay_lr", "lr_decay_style")
OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][\w.-]*)(?:[ =](\{[^}]*\}|[A-Z][A-Z0-9_]*|<[^>]*>))?")
HEAD = """# A first study of {script}, by what it says of its options. Correct it, and then:
#   tapered study {file} --check        starts it a few times for a few updates, and says what may be claimed
#   tapered study {file} --plan         says what the whole study takes
#   tapered study {file}                runs it
"""


@dataclass(frozen=True)
class First:
    """A first study file.

    Args:
        text: The file.
        open: What is for a person to look at, a sentence each.
    """

    text: str
    open: tuple[str, ...]


def first_study(script: Path, file: Path) -> First:
    """A first study file for a script, which is asked for its --help.

    Args:
        script: The script.
        file: Where the text is to stand.

    Raises:
        StudyFileError: It cannot be read.
    """
    try:
        text = script.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise StudyFileError(f"{script} cannot be read ({why}); give another path") from error
    options = _options(script, text)
    words, todo = ["{python}", relpath(script, file.parent)], list[str]()
    for asked, names in KNOWN_AS.items():
        option = _first(options, names)
        if option is None:
            todo.append(f"No option for its {_meant(asked)} was found: write one into command, with {{{asked}}}.")
        else:
            words.append(options[option].format(f"{{{asked}}}"))
    if not options:
        todo = [
            "It takes no options: by run = tapered.current_run() it has run.seed, run.steps, run.out (docs/scripts.md)."
        ]
    if _first(options, KNOWN_AS["steps"]) is None and (epochs := _first(options, EPOCHS)):
        todo.append(f"It counts epochs (--{epochs}): a study needs runs of so many updates, the same for all arms.")
    trainer = "Trainer(" in text and "transformers" in text
    lightning = bool(re.search(r"import (pytorch_)?lightning", text))
    metrics, metric, how = _metrics(text, trainer=trainer)
    todo.append(how)
    resume = _first(options, RESUME)
    todo.append(
        f"It seems to go on by {options[resume].format('{checkpoint}')!r}: see resume and checkpoints."
        if resume
        else 'Whether it goes on from what it saved is not known: see resume ("same-out" where it does by itself).'
    )
    if scheduler := _first(options, SCHEDULER):
        todo.append(f'It has a scheduler of its own (--{scheduler}): rate = "see" has an arm\'s args choose it.')
    if lightning:
        todo.append("Lightning: see docs/scripts.md for the two lines by which it tells its numbers.")
    return First(_text(script, file, words, metrics, metric, resume and options[resume], trainer=trainer), tuple(todo))


def _meant(asked: str) -> str:
    return {"peak": "learning rate", "seed": "seed", "steps": "number of updates", "out": "output folder"}[asked]


def _options(script: Path, text: str) -> dict[str, str]:
    """Its options: a name with underscores -> the words, with {} for the value."""
    found: dict[str, str] = {}
    for option in [*_said(script), *_added(text)]:
        name = option.lstrip("-")
        found.setdefault(name.replace("-", "_").replace(".", "_"), f"{option} {{}}")
    if not found and "configurator" in text:  # --name=value sets a name at the top of the file
        found = {name: f"--{name}={{}}" for name in _assigned(text)}
    return found


def _said(script: Path) -> Iterator[str]:
    """The options that --help says."""
    asked = [sys.executable, script.name, "--help"]
    try:
        said = subprocess.run(  # noqa: S603 - the script that the user named
            asked,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=script.parent,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return
    if said.returncode == 0 and re.search(r"^\s*(usage|Usage|options|optional arguments)", said.stdout, re.MULTILINE):
        yield from (option for option, _ in OPTION.findall(said.stdout) if option.startswith("--"))


def _added(text: str) -> Iterator[str]:
    """The options that its text adds to a parser, or has as fields of dataclasses."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from [name for name in names if name.startswith("--")][:1]
    if "HfArgumentParser" in text:
        yield from ("--learning_rate", "--seed", "--max_steps", "--output_dir", "--lr_scheduler_type")


def _assigned(text: str) -> Iterator[str]:
    """The names that are given a plain value at the top of a file."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _first(options: Iterable[str], names: Sequence[str]) -> str | None:
    known = {option.lower(): option for option in options}
    return next((known[name] for name in names if name in known), None)


def _metrics(text: str, *, trainer: bool) -> tuple[str, str, str]:
    """Where its metrics are, which is the study's, and what is said of that."""
    if trainer:
        return (
            "trainer_state",
            "eval_loss",
            "Its metrics are read from Trainer's trainer_state.json: it must evaluate and save at its end.",
        )
    if "SummaryWriter" in text:
        return (
            "tensorboard:{out}",
            "loss",
            "Its metrics are read from TensorBoard's files in {out}; write the tag of one as metric.",
        )
    if re.search(r"\bcsv\b|CSVLogger", text):
        named = re.search(r"[\"']([\w./-]*\.csv)[\"']", text)
        how = "Its metrics are read from a CSV file: see that it is that file, and write the column as metric."
        return f"csv:{{out}}/{named[1] if named else 'log.csv'}", "loss", how
    if "current_run" in text:
        return "jsonl", "loss", "Its metrics are those that it tells by run.log; write one as metric."
    return (
        r"regex:step (?P<step>\d+).*loss (?P<loss>\S+)", "loss",
        "Its metrics are taken from what it prints, by a pattern with named groups: make that fit its lines.",
    )  # fmt: skip


def _text(
    script: Path, file: Path, words: Sequence[str], metrics: str, metric: str, resume: str | None, *, trainer: bool
) -> str:
    saved = 'resume = "same-out"\ncheckpoints = "{out}/checkpoint-{step}"' if trainer else (
        f'# resume = "{resume.format("{checkpoint}")}"\n# checkpoints = "{{out}}/checkpoint-{{step}}"' if resume else
        '# resume = "same-out"                        # started again with the same {out} it goes on\n'
        '# checkpoints = "{out}/checkpoint-{step}"    # where it saves; runs of a seed then share steps'
    )  # fmt: skip
    return (
        HEAD.format(script=script.name, file=file.name)
        + f"""
name = {_quoted(script.stem)}
question = {_quoted(f"Does a decaying rate beat a constant one in {script.name}?")}
steps = 1000                     # updates of each run
seeds = 8
metric = "{metric}"
direction = "minimize"
baseline = "constant"
peaks = {{ low = 1e-4, high = 1e-2, count = 5 }}   # each arm is tuned over as many

[script]
command = {_quoted(" ".join(words))}
metrics = {_quoted(metrics)}
rate = "set"                     # the rate is applied from outside; "see": the script applies it, and is watched
{saved}

[[arms]]
name = "constant"
lr = "constant(1.0)"             # a shape; each peak multiplies it

[[arms]]
name = "cosine"
lr = "warmup(0.05*steps) * cosine_decay(decay_steps=steps)"

[[arms]]
name = "linear"
lr = "warmup(0.05*steps) * linear(steps=steps)"
"""
    )


def _quoted(text: str) -> str:
    """TOML's text: taken as it is where it may be."""
    if "'" not in text and ("\\" in text or '"' in text):
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
