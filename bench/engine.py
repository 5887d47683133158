"""Generation speed: a stage's model call through Spark against the bare engine on the same prompts, in the same run.

    python bench/engine.py                     # all of it, about 25 minutes on two cores with the demo's model
    python bench/engine.py --only ratios --rounds 3 --requests 192 --tokens 64
    python bench/engine.py --only echo --rows 10000 1000000

Ratios: three engines stay loaded side by side (a bare `vllm.LLM`, a bare `AsyncLLM`, the engine host of a local Spark
session) and take turns on the same prompts, new ones each round, so that drift of the machine hits all alike. The model
is forced to a length (`ignore_eos`): once the same for all requests, once log-normal with p99 ten times the median.
Medians of the rounds are printed. "call" is the Spark job of the generation, from its start to the last row on disk;
"stage" is `complete` as a whole, with look-up and ledger. CPU: seconds of all processes but the engine and its host.

Echo: the model is replaced by a function that answers at once; what remains is the fixed cost of a row.
"""

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from spark_call import ROOT, SparkCall, Work, cpu_seconds

MODEL = ".cache/models/SmolLM2-135M-Instruct"
ENGINE = {"max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 32}
CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "TORCHDYNAMO_DISABLE": "1"}
SIGMA = math.log(10) / statistics.NormalDist().inv_cdf(0.99)  # of log-normal lengths whose p99 is 10 x the median
CONSOLE = Console(width=160)


def workload(kind: str, requests: int, tokens: int, salt: str) -> Work:
    """Prompts of about 150 tokens from the demo's questions, begun with the salt, so that no prefix was seen before."""
    lines = (ROOT / "conf/demo/probe_items.jsonl").read_text(encoding="utf-8").strip().split("\n")
    questions = [json.loads(line)["question"] for line in lines]
    texts = [" ".join(questions[i : i + 6])[:600] for i in range(len(questions))]
    normal = statistics.NormalDist()
    lengths = [tokens] * requests
    if kind == "log-normal":
        quantiles = [normal.inv_cdf((i + 0.5) / requests) for i in range(requests)]
        lengths = [max(1, min(1024, round(tokens / 2 * math.exp(SIGMA * q)))) for q in quantiles]
        lengths = [lengths[i * 7919 % requests] for i in range(requests)]  # 7919 is prime: a fixed shuffle
    return [(f"{salt} {i}: {texts[i % len(texts)]}", n) for i, n in enumerate(lengths)]


def serve(kind: str, model: str) -> None:
    """A bare engine in a process of its own: workloads on standard input, {seconds, tokens} on standard output."""
    from vllm import LLM, SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    from udfs.engines.vllm_engine import cpu_dtype

    settings = {"model": model, "disable_log_stats": True, "dtype": cpu_dtype(), **ENGINE}

    def params(tokens: int) -> Any:
        final = RequestOutputKind.FINAL_ONLY
        return SamplingParams(temperature=0.7, max_tokens=tokens, ignore_eos=True, output_kind=final)

    async def one(engine: Any, prompt: str, tokens: int, name: str) -> int:
        async for output in engine.generate(prompt, params(tokens), name):
            final = output
        return len(final.outputs[0].token_ids)

    async def serve_async() -> None:
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))
        loop = asyncio.get_running_loop()
        answer({"ready": True})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            work, began = json.loads(line), time.monotonic()
            counts = await asyncio.gather(*(one(engine, p, n, f"{began}-{i}") for i, (p, n) in enumerate(work)))
            answer({"seconds": time.monotonic() - began, "tokens": sum(counts)})

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints to standard output, too

    def answer(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=out, flush=True)

    if kind == "async":
        asyncio.run(serve_async())
        return
    engine = LLM(**settings)
    answer({"ready": True})
    for line in sys.stdin:
        work, began = json.loads(line), time.monotonic()
        outputs = engine.generate([p for p, _ in work], [params(n) for _, n in work], use_tqdm=False)
        tokens = sum(len(o.outputs[0].token_ids) for o in outputs)
        answer({"seconds": time.monotonic() - began, "tokens": tokens})


class Bare:
    """A bare engine's process."""

    def __init__(self, kind: str, model: str, folder: Path) -> None:
        from udfs.engines.client import ENVIRONMENT

        environment = os.environ | ENVIRONMENT | CPU | {"VLLM_TARGET_DEVICE": "cpu"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.log = folder / f"{kind}.log"
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, "--model", model],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"), env=environment, text=True,
        )  # fmt: skip
        self.read()

    def read(self) -> dict[str, Any]:
        """The next answer."""
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"the bare engine ended; its log is\n{self.log.read_text()[-3000:]}")
        return json.loads(line)

    def run(self, work: Work) -> float:
        """Output tokens a second."""
        self.process.stdin.write(json.dumps(work) + "\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        figures = self.read()
        return figures["tokens"] / figures["seconds"]

    def end(self) -> None:
        """End the process by its closed input, then by force."""
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for process in family:
                process.kill()


def ratios(model: str, rounds: int, requests: int, tokens: int, pause: float, folder: Path) -> None:
    """Print the table of ratios, and the engine starts of a call after a pause."""
    CONSOLE.print(
        f"loading three engines: {model}, {requests} requests of {tokens} tokens, {rounds} rounds", style="dim"
    )
    engines = {"LLM": Bare("llm", model, folder), "AsyncLLM": Bare("async", model, folder)}
    call = SparkCall(model, folder)
    try:
        call.run(workload("fixed", 16, 8, "warm"))
        for bare in engines.values():
            bare.run(workload("fixed", 16, 8, "warm"))
        grid = Table("lengths", "LLM.generate", "AsyncLLM", "call", "stage", "call/AsyncLLM", "call/LLM", "stage/AsyncLLM",
                     "CPU s outside", "idle tail %", title="output tokens/s, medians of interleaved rounds")  # fmt: skip
        for kind in ("fixed", "log-normal"):
            seen: dict[str, list[float]] = {}
            for i in range(rounds):
                work = workload(kind, requests, tokens, f"{kind} round {i}")
                for name, bare in engines.items():
                    seen.setdefault(name, []).append(bare.run(work))
                for name, value in call.run(work).items():
                    seen.setdefault(name, []).append(value)
                CONSOLE.print(
                    f"  {kind} round {i}: " + ", ".join(f"{n} {v[-1]:.1f}" for n, v in seen.items()), style="dim"
                )
            m = {name: statistics.median(values) for name, values in seen.items()}
            paired = {
                (a, b): statistics.median(x / y for x, y in zip(seen[a], seen[b], strict=True))
                for a, b in (("call", "AsyncLLM"), ("call", "LLM"), ("stage", "AsyncLLM"))
            }
            grid.add_row(kind, *(f"{m[n]:.1f}" for n in ("LLM", "AsyncLLM", "call", "stage")),
                         *(f"{r:.3f}" for r in paired.values()), f"{m['cpu']:.1f}", f"{m['tail']:.1f}")  # fmt: skip
        CONSOLE.print(grid)
        time.sleep(pause)
        call.run(workload("fixed", 16, 8, "after the pause"))
        CONSOLE.print(f"engine starts of a call after a pause of {pause:.0f} s: {call.starts}")
    finally:
        for bare in engines.values():
            bare.end()
        call.spark.stop()


def echo(settings: dict) -> Any:
    """An engine that answers at once; Spark ships it by value."""

    class Echo:
        started, progress, in_flight_tokens, capacity = True, 0, 0, None

        def __init__(self) -> None:
            self.done: list = []

        def submit(self, request: dict) -> None:
            text = {"text": request["prompt"][:200], "finish_reason": "stop", "generated_tokens": 64}
            self.done.append({"request_id": request["request_id"], "prompt_tokens": 128, **text})

        def poll(self, timeout: float) -> list:
            done, self.done = self.done, []
            return done

        def close(self) -> None:
            pass

    return Echo()


def fixed_cost(rows: list[int], folder: Path) -> None:
    """Print rows a second through the whole stage with the model replaced by an echo."""
    from pyspark.sql import functions as F

    from boostqa.calls.generation import complete

    call = SparkCall(MODEL, folder, max(rows), echo)
    grid = Table(
        "rows",
        "s",
        "rows/s",
        "in the task rows/s",
        "CPU s",
        "ms CPU per row",
        title="a stage with the model replaced by an echo",
    )
    for n in [1000, *rows]:  # the first warms the JVM
        stage = call.stage()
        prompt = F.concat(
            F.lit(f"{stage.run_id} "), F.col("id").cast("string"), F.lit(" a question of some length" * 20)
        )
        requests, spec = call.requests(call.spark.range(n).select(prompt.alias("prompt")), F.lit(64))
        before, began = cpu_seconds(), time.monotonic()
        complete(stage, requests, spec)
        seconds, cpu = time.monotonic() - began, cpu_seconds() - before
        assert stage.warehouse.read("completion").where(f"run_id = '{stage.run_id}'").count() == n
        if n in rows:
            figures = [
                f"{seconds:.1f}",
                f"{n / seconds:.0f}",
                f"{n / stage.usage.generation_seconds:.0f}",
                f"{cpu:.1f}",
            ]
            grid.add_row(f"{n}", *figures, f"{cpu / n * 1000:.2f}")
    CONSOLE.print(grid)
    call.spark.stop()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["ratios", "echo"], help="one of the two parts")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=192)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--pause", type=float, default=120.0, help="seconds without a call; Spark ends its workers")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--serve", choices=["llm", "async"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.chdir(ROOT)
    if args.serve:
        serve(args.serve, args.model)
        return
    if not Path(args.model).exists() and args.model == MODEL:
        sys.exit(f"no demo model in {MODEL}: run `make setup`, or pass --model")
    with tempfile.TemporaryDirectory(prefix="boostqa-bench-") as folder:
        if args.only != "echo":
            ratios(args.model, args.rounds, args.requests, args.tokens, args.pause, Path(folder))
        if args.only != "ratios":
            fixed_cost(args.rows, Path(folder))


if __name__ == "__main__":
    main()
