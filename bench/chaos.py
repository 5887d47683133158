"""What a kill costs: the pipeline is run, one part of it is killed at a random moment, and it is run again until it ends.

    python bench/chaos.py                              # every victim once, about 35 minutes on two cores
    python bench/chaos.py --kill worker driver --seed 7

Victims, ended with SIGKILL: the Python worker, the executor's JVM, the driver (its Python process), the engine (vLLM's
core process) and the engine's host. A calm run comes first. Greedy decoding in float32 on a Spark `local-cluster`, whose
executor is a process of its own, so that the same requests give the same text whatever else is in the batch.

Printed for each victim: tokens that engines generated in all (from their hosts' logs) over those of the calm run; the
bound, 1.02 plus what may be in flight or not flushed yet; whether the content hashes of the tables equal the calm run's;
processes left behind. Ends by itself; only processes that it started are touched. Exit code 1 when anything differs.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
VICTIMS = ("worker", "executor", "driver", "engine", "host")
HASHED = (
    "seed",
    "annotation",
    "probe",
    "budget",
    "plan",
    "draft",
    "refined",
    "clean",
    "contamination",
    "mix",
    "reject",
)
SEQUENCES, MAX_TOKENS, FLUSH_SECONDS, FLUSH_ROWS = 16, 120, 5, 16
SETTINGS = {
    "plan.tokens": 1500,
    "synthesize.sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": MAX_TOKENS},
    "refine.blind": {"temperature": 0.0, "top_p": 1.0, "max_tokens": MAX_TOKENS},
    "refine.rewrite": {"temperature": 0.0, "top_p": 1.0, "max_tokens": MAX_TOKENS},
    "engine.dtype": "float32",
    "engine.args": {"enforce_eager": True, "max_num_seqs": SEQUENCES, "enable_prefix_caching": False},
    "generation.flush_rows": FLUSH_ROWS,
    "generation.flush_seconds": FLUSH_SECONDS,
    "spark.master": "local-cluster[1,2,1024]",
}
CONSOLE = Console(width=140)


@dataclass
class Run:
    """The executions of one pipeline over one warehouse, the first of which is disturbed when there is a victim."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    restarts: int = 0
    stage: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  # stage -> second of its first start
    seen: set[psutil.Process] = field(default_factory=set)

    def command(self, name: str, *more: str) -> list[str]:
        """A `boostqa` command on this run's warehouse."""
        settings = SETTINGS | {"warehouse": f"{self.folder}/warehouse", "output": f"{self.folder}/output"}
        args = [x for key, value in settings.items() for x in ("--set", f"{key}={json.dumps(value)}")]
        main = "from boostqa.cli import main; main()"
        return [sys.executable, "-c", main, name, "--config", "conf/demo.yaml", *args, *more]

    @property
    def environment(self) -> dict[str, str]:
        """Marks every process of the run, and gives its hosts a folder of their own."""
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {"BOOSTQA_CHAOS": self.mark, "TMPDIR": str(temporary)}

    def execute(self, victim: str | None = None, tokens: float = 0.0, delay: float = 0.0) -> int:
        """Run the pipeline once; `delay` seconds after `tokens` were generated kill the victim. Returns the exit code."""
        with open(self.folder / "log", "a+") as log:
            start = log.seek(0, os.SEEK_END)
            pipeline = subprocess.Popen(self.command("run"), cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            began, due = time.monotonic(), None
            looked = 0.0
            while pipeline.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - looked > 2:  # so that what loses its parent later is known
                    looked = time.monotonic()
                    self.processes()
                log.seek(start)
                stages = re.findall(r"^\d/9 (\w+)", log.read(), re.MULTILINE)
                for name in stages:
                    self.seconds.setdefault(name, time.monotonic() - began)
                if victim and due is None and self.tokens() >= tokens:
                    due = time.monotonic() + delay
                if victim and due and time.monotonic() >= due and self.kill(victim, pipeline.pid):
                    self.stage, victim = stages[-1], None
            return pipeline.returncode

    def processes(self) -> list[psutil.Process]:
        """Every living process of this run: those with its mark and their children (vLLM's lose it with their title)."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("BOOSTQA_CHAOS") == self.mark:
                    self.seen.update([process, *process.children(recursive=True)])
            except psutil.Error:
                continue
        return [p for p in self.seen if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def kill(self, victim: str, driver: int) -> bool:
        """Kill one process of that kind; False when there is none at the moment."""
        for process in self.processes():
            try:
                words, parent = " ".join(process.cmdline()), " ".join(process.parent().cmdline())  # type: ignore[union-attr]
                kinds = {
                    "worker": "pyspark.daemon" in words and "pyspark.daemon" in parent,
                    "executor": "CoarseGrainedExecutorBackend" in words and "java" in process.name(),
                    "driver": process.pid == driver,
                    "engine": "EngineCore" in words,
                    "host": "udfs.engines.host" in words,
                }
                if kinds[victim]:
                    process.kill()
                    return True
            except (psutil.Error, AttributeError):
                continue
        return False

    def tokens(self) -> int:
        """Tokens that all engines of the run generated, lost ones included, from the last line of each host."""
        last: dict[str, int] = {}
        for file in (self.folder / "tmp").glob("boostqa-*/*.log"):
            for pid, count in re.findall(r"host (\d+): .*; (\d+) tokens generated", file.read_text(errors="replace")):
                last[pid] = int(count)
        return sum(last.values())

    def hashes(self) -> dict[str, str]:
        """Content hash of each table."""
        done = subprocess.run(
            self.command("status", "--json"), cwd=ROOT, env=self.environment, capture_output=True, check=True
        )
        return {name: table["hash"] for name, table in json.loads(done.stdout)["tables"].items() if name in HASHED}


def disturbed(victim: str, tokens: float, delay: float, folder: Path) -> Run:
    """A pipeline whose `victim` is killed; run again until it ends well."""
    run = Run(folder)
    folder.mkdir()
    code = run.execute(victim, tokens, delay)
    while code != 0:
        if run.restarts == 3:
            sys.exit(f"the pipeline does not end after {run.restarts} restarts: {folder}/log")
        run.restarts += 1
        CONSOLE.print(f"  exit code {code}: the same command again", style="dim")
        code = run.execute()
    return run


def main() -> None:
    """Calm run, then one disturbed run for each victim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kill", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--folder", help="keep warehouses and logs here")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    base = Path(args.folder or tempfile.mkdtemp(prefix="boostqa-chaos-")).resolve()
    calm = Run(base / "calm")
    calm.folder.mkdir(parents=True)
    CONSOLE.print(f"calm run; logs under {base}", style="dim")
    if calm.execute() != 0:
        sys.exit(f"the calm run fails: {calm.folder}/log")
    tokens, hashes = calm.tokens(), calm.hashes()
    span = calm.seconds["clean"] - calm.seconds["annotate"]
    window = SEQUENCES * MAX_TOKENS + max(FLUSH_ROWS * MAX_TOKENS, FLUSH_SECONDS * tokens / span)
    bound = 1.02 + window / tokens
    grid = Table("killed", "in stage", "after tokens", "restarts", "tokens", "of calm", "bound", "tables equal", "left behind",
                 title=f"calm run: {tokens} tokens, {calm.seconds['clean']:.0f} s to clean")  # fmt: skip
    good = True
    for victim in args.kill:
        moment, delay = chance.uniform(0.02, 0.95) * tokens, chance.uniform(0, 5)  # hosts log every 5 s
        CONSOLE.print(f"killing the {victim} {delay:.1f} s after {moment:.0f} tokens", style="dim")
        run = disturbed(victim, moment, delay, base / victim)
        time.sleep(5)
        left, ratio, found = run.processes(), run.tokens() / tokens, run.hashes()
        differ = [name for name in HASHED if found.get(name) != hashes.get(name)]
        good = good and bool(run.stage) and not differ and not left and ratio <= bound
        grid.add_row(victim, run.stage or "never there", f"{moment:.0f}", str(run.restarts), str(run.tokens()), f"{ratio:.3f}",
                     f"{bound:.3f}", "yes" if not differ else f"no: {', '.join(differ)}", str(len(left)))  # fmt: skip
    CONSOLE.print(grid)
    CONSOLE.print("content hashes: " + ", ".join(f"{name} {value}" for name, value in hashes.items()), soft_wrap=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
