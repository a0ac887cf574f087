"""Real clients, each killed with SIGKILL and resumed in another process; rates against the closed form, parameters
against a run in one go.

Trains examples/{plain_script,transformers_trainer,accelerate_loop,lightning_module}.py with tapered's AdamW and with
attach() on torch's. Lightning is no dependency: --python names an interpreter that has it, and tapered.
"""

import argparse
import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples"
CLIENTS = {  # name -> example, processes, arguments of its train()
    "plain script": ("plain_script", 1, {}),
    "transformers": ("transformers_trainer", 1, {}),
    "transformers, 4 accumulated": ("transformers_trainer", 1, {"gradient_accumulation_steps": 4}),
    "accelerate": ("accelerate_loop", 1, {}),
    "accelerate, scheduler untied": ("accelerate_loop", 1, {"tied": False}),
    "accelerate, 2 processes": ("accelerate_loop", 2, {}),
    "lightning": ("lightning_module", 1, {}),
}


@dataclass(frozen=True)
class Row:
    """One client with one optimizer; the differences are None where it could not be run."""

    client: str
    optimizer: str
    before: int | None = None
    after: int | None = None
    rate: float | None = None
    parameter: float | None = None


def load(example: str) -> Any:
    spec = importlib.util.spec_from_file_location(example, EXAMPLES / f"{example}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def child(example: str, name: str, folder: str, out: str, arguments: str, kill: str) -> None:
    """Train in this process; rates go to a file line by line, parameters at the end."""
    import torch

    module = load(example)
    main = os.environ.get("RANK", "0") == "0"
    with Path(out, f"rates-{os.environ.get('RANK', '0')}").open("a", buffering=1) as rates:

        def on_step(step: int, rate: float) -> None:
            print(step, float(rate), module.closed_form(step - 1), file=rates)
            if kill == "kill" and step == module.STOPPED_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)

        model = module.train(folder, name, on_step, **json.loads(arguments))
    if main:
        torch.save(model.state_dict(), Path(out, "end.pt"))


def launch(python: str, words: list[str], processes: int) -> bool:
    """Run the child in so many processes; whether none was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{**group, "RANK": str(i), "LOCAL_RANK": str(i)} if processes > 1 else {} for i in range(processes)]
    command = [python, __file__, "--child", *words]
    running = [
        subprocess.Popen(command, env={**os.environ, **rank}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for rank in ranks
    ]
    first = running[0].communicate()[0].decode()
    for other in running[1:]:
        if running[0].returncode:
            other.kill()
        other.communicate()
    if running[0].returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(words[:2])} failed:\n{first[-3000:]}")
    return running[0].returncode == 0


def compare(python: str, client: str, name: str) -> Row:
    """One client with one optimizer: killed, resumed, and in one go."""
    import torch

    example, processes, arguments = CLIENTS[client]
    with tempfile.TemporaryDirectory() as place:
        for folder in ("parted", "whole", "killed", "resumed", "through"):
            Path(place, folder).mkdir()

        def run(folder: str, out: str, kill: str = "") -> bool:
            where = [str(Path(place, folder)), str(Path(place, out))]
            return launch(python, [example, name, *where, json.dumps(arguments), kill], processes)

        if run("parted", "killed", "kill") or not run("parted", "resumed") or not run("whole", "through"):
            raise SystemExit(f"{client}: it was not killed where it should have been")
        seen = {out: rates(Path(place, out)) for out in ("killed", "resumed", "through")}
        apart = max(abs(rate - closed) for lines in seen.values() for _, rate, closed in lines)
        ends = [torch.load(Path(place, out, "end.pt"), weights_only=True) for out in ("resumed", "through")]
        moved = max(float((ends[0][key] - ends[1][key]).abs().max()) for key in ends[1])
        went_on = {step for step, _, _ in seen["resumed"]}
        steps = {step for step, _, _ in seen["through"]}
        if went_on != set(range(min(went_on), max(steps) + 1)) or steps != set(range(1, max(steps) + 1)):
            raise SystemExit(f"{client}: updates are missing from {sorted(went_on)} or {sorted(steps)}")
        return Row(client, name, max(step for step, _, _ in seen["killed"]), len(went_on), apart, moved)


def rates(folder: Path) -> list[tuple[int, float, float]]:
    """Step, rate and closed form, as every process wrote them."""
    lines = [line.split() for file in folder.glob("rates-*") for line in file.read_text().splitlines()]
    return [(int(step), float(rate), float(closed)) for step, rate, closed in lines]


def has(python: str, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def table(rows: list[Row]) -> str:
    lines = [f"{'client':30} {'optimizer':9} {'before':>6} {'after':>6} {'rate apart':>11} {'weights apart':>13}"]
    for row in rows:
        if row.rate is None:
            lines.append(f"{row.client:30} {row.optimizer:9} not run: --python names an interpreter that has it")
            continue
        lines.append(
            f"{row.client:30} {row.optimizer:9} {row.before:6} {row.after:6} {row.rate:11.1e} {row.parameter:13.1e}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with Lightning and tapered")
    parser.add_argument("--only", default="", help="clients whose name begins so")
    asked = parser.parse_args()
    rows = []
    for client, (example, _, _) in CLIENTS.items():
        if not client.startswith(asked.only):
            continue
        python = asked.python if example == "lightning_module" else sys.executable
        here = example != "lightning_module" or has(python, "lightning")
        rows += [compare(python, client, name) if here else Row(client, name) for name in ("tapered", "attached")]
    found = {"clients": [asdict(row) for row in rows]}
    print(json.dumps(found) if asked.json else table(rows))
    ran = [row for row in rows if row.rate is not None and row.parameter is not None]
    return int(not all(row.parameter == 0 and math.isclose(row.rate, 0, abs_tol=1e-15) for row in ran))


if __name__ == "__main__":
    sys.exit(child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main())
