"""What the mix costs by size: choice, rendering and export of made-up items, with CPU-seconds, shuffle, files and peak memory.

    python bench/mix.py TOKENIZER FOLDER [TOKENS ...]      a tokenizer.json; default 1e6 1e7

Each size is a Spark session of its own (local, all cores): items of about 220 tokens, made by hash in 40 cells, stored as Delta
table; then the steps of job 9 (boostqa/export/blended.py, shards.py) to half of what is there, in Parquet and Megatron. CPU is that of
the driver, the JVM and all Python workers, peaks are of resident memory, sampled. `growth` is CPU per token by that of the first size.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from boostqa.config import Mix
from boostqa.export.blended import blended, tables_of
from boostqa.export.shards import export
from boostqa.schemas import CLEAN, TABLES
from boostqa.session import spark_session
from boostqa.vocabulary import GRADES

TOKENS_AN_ITEM, CELLS = 220, 40
WORDS = [
    "force",
    "mass",
    "energy",
    "the",
    "of",
    "a",
    "velocity",
    "9.8",
    "m/s",
    "derivative",
    "$x^2$",
    "heat",
    "ion",
    "therefore",
    "equals",
    "charge",
    "质量",
    "能量",
    "field",
]


class Watch:
    """CPU seconds and peak resident bytes of this process and all it started, by kind, while it runs."""

    def __init__(self) -> None:
        self.peak: dict[str, int] = {}
        self.cpu: dict[int, float] = {}
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self.ends.wait(0.5):
            seen: dict[str, int] = {}
            for process in [me, *me.children(recursive=True)]:
                try:
                    kind = "driver" if process == me else "jvm" if "java" in process.name() else "workers"
                    seen[kind] = seen.get(kind, 0) + process.memory_info().rss
                    times = process.cpu_times()
                    self.cpu[process.pid] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue
            for kind, size in seen.items():
                self.peak[kind] = max(self.peak.get(kind, 0), size)

    def seconds(self) -> float:
        """CPU seconds so far; of processes that ended as last seen."""
        time.sleep(1)
        return sum(self.cpu.values())


def items(spark, tokens: int):
    """CLEAN rows of about so many tokens, with `round`."""
    count = tokens // TOKENS_AN_ITEM
    words = F.array(*map(F.lit, WORDS))
    numbers = F.sequence(F.lit(0), F.lit(TOKENS_AN_ITEM // 2 - 8))
    word = lambda n: F.element_at(words, (F.pmod(F.xxhash64("id", n), F.lit(len(WORDS))) + 1).cast("int"))
    rows = spark.range(count, numPartitions=max(4, count // 50_000))
    made = {
        "draft_id": F.sha2(F.col("id").cast("string"), 256),
        "solution": F.array_join(F.transform(numbers, word), " "),
        "question": F.concat(F.lit("What is the energy of ion "), F.col("id").cast("string"), F.lit("?")),
        "discipline": F.format_string("05%02d", F.pmod("id", F.lit(CELLS // 5))),
        "difficulty": F.element_at(F.array(*map(F.lit, GRADES)), (F.pmod(F.col("id") / 8, F.lit(5)) + 1).cast("int")),
        "lang": F.lit("en"), "format": F.lit("calculation"), "strategy": F.lit("multi_grade"), "licence": F.lit("MIT"),
    }  # fmt: skip
    empty = {
        "string": F.lit("x"),
        "array<string>": F.array().cast("array<string>"),
        "int": F.lit(1),
        "bigint": F.lit(1),
    }
    columns = (
        made.get(c.name, F.lit(None).cast(c.dataType) if c.nullable else empty[c.dataType.simpleString()]).alias(c.name)
        for c in CLEAN.columns
    )
    return rows.select(*columns, F.lit("main").alias("round"))


def measure(tokenizer_json: str, folder: Path, tokens: int) -> dict[str, float]:
    """Make, choose and export `tokens`; what it took."""
    watch = Watch()
    conf = {"spark.driver.memory": "4g", "spark.ui.enabled": "true", "spark.ui.showConsoleProgress": "false"}
    spark = spark_session("bench mix", "local[*]", conf)
    items(spark, 2 * tokens).write.format("delta").mode("overwrite").save(f"{folder}/clean")
    clean = spark.read.format("delta").load(f"{folder}/clean")
    frames = {name: spark.createDataFrame([], TABLES[name].stored) for name in tables_of(Mix(tokens=1))} | {
        "clean": clean
    }
    cells = clean.groupBy("discipline", "difficulty").count()
    frames["budget"] = cells.select("discipline", "difficulty", F.xxhash64("discipline", "difficulty").alias("h"))
    frames["budget"] = frames["budget"].select("discipline", "difficulty", (F.pmod("h", F.lit(9)) + 1).alias("tokens"))
    stored = 0

    def store(frame):
        nonlocal stored
        stored += 1
        frame.write.mode("overwrite").parquet(f"{folder}/stored-{stored}")
        return spark.read.parquet(f"{folder}/stored-{stored}")

    steps: dict[str, float] = {}
    before, shuffled = watch.seconds(), _shuffled(spark)
    began, last = time.monotonic(), before

    def step(name: str, run: Callable):
        nonlocal last
        made = run()
        steps[name] = -last + (last := watch.seconds())
        return made

    shards = max(2, tokens // 10**7)
    chosen = Mix(tokens=tokens, passes=1, shards=shards, formats=["parquet", "megatron"], end_of_text="<|endoftext|>")
    rows = step("choose", lambda: store(blended(frames, chosen, tokenizer_json, store).rows))
    files = step("export", lambda: export(rows, f"{folder}/mix", chosen, tokenizer_json))
    exported = sum(f["tokens"] for f in files if f["format"] == "parquet")
    watch.ends.set()
    return {
        "tokens": exported, "missed": tokens - exported, "wall": time.monotonic() - began, **steps,
        "shuffle": _shuffled(spark) - shuffled, "files": len(files), **{f"peak {k}": v for k, v in watch.peak.items()},
    }  # fmt: skip


def _shuffled(spark) -> int:
    """Bytes that the session's stages have written for shuffles."""
    sc = spark.sparkContext
    url = f"{sc.uiWebUrl}/api/v1/applications/{sc.applicationId}/stages"
    with urllib.request.urlopen(url) as answer:
        return sum(stage["shuffleWriteBytes"] for stage in json.load(answer))


def main(tokenizer: str, folder: str, *sizes: str) -> None:
    """Print a table: a process for each size."""
    head = (
        "tokens",
        "missed",
        "wall s",
        "choose CPU s",
        "export CPU s",
        "us / token",
        "growth",
        "shuffle B / token",
        "files",
        "peak MB driver, JVM, workers",
    )
    table, first = Table(*head, box=None), 0.0
    for size in [int(float(s)) for s in sizes or ("1e6", "1e7")]:
        place = Path(folder) / str(size)
        command = [sys.executable, __file__, "--one", tokenizer, str(place), str(size)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        shutil.rmtree(place)
        each = (told["choose"] + told["export"]) / told["tokens"] * 1e6
        first = first or each
        peaks = ", ".join(f"{told[f'peak {kind}'] / 1e6:,.0f}" for kind in ("driver", "jvm", "workers"))
        table.add_row(
            f"{told['tokens']:,}", str(told["missed"]), f"{told['wall']:.0f}", f"{told['choose']:.0f}", f"{told['export']:.0f}",
            f"{each:.2f}", f"{each / first:.2f}", f"{told['shuffle'] / told['tokens']:.1f}", str(told["files"]), peaks,
        )  # fmt: skip
        Console(width=160).print(table)


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    if sys.argv[1] == "--one":
        found = measure(Path(sys.argv[2]).read_text(encoding="utf-8"), Path(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps(found))
    else:
        main(*sys.argv[1:])
