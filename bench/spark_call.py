"""The measured side of bench/engine.py: a stage's model call in a local Spark session."""

import os
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
Work = list[tuple[str, int]]  # prompt, output tokens


class SparkCall:
    """`complete` of a stage in a local Spark session, with its own warehouse."""

    def __init__(self, model: str, folder: Path, rows_hint: int = 0, connect: Any = None) -> None:
        from boostqa import config
        from boostqa.session import spark_session

        settings = [f"model.generator={model}", f"warehouse={folder}/warehouse", "generation.tokens_in_flight=131072"]
        settings += ["generation.flush_rows=256", "generation.flush_seconds=30"]
        self.conf = config.load(str(ROOT / "conf/demo.yaml"), settings)
        extra = {"spark.ui.enabled": "false", "spark.driver.memory": "6g" if rows_hint > 100_000 else "2g"}
        self.spark = spark_session("bench", "local[2]", self.conf.spark.conf | extra)
        self.connect, self.calls, self.starts = connect, 0, 0

    def stage(self) -> Any:
        """A new run of a stage."""
        from boostqa.storage.warehouse import Warehouse
        from boostqa.tracking.stage_run import StageRun

        self.calls += 1
        warehouse = Warehouse(self.spark, self.conf.warehouse)
        return StageRun(self.spark, self.conf, "synthesize", f"bench{self.calls}", warehouse, self.connect)

    def requests(self, rows: Any, tokens: Any) -> tuple[Any, Any]:
        """REQUEST rows for [prompt], and the model; `tokens` is a column."""
        from pyspark.sql import functions as F

        from boostqa.calls.models import model_of_role
        from boostqa.calls.requests import with_request
        from boostqa.prompts import Prompt

        spec, template = model_of_role(self.conf, "generator"), Prompt("bench", {"en": "x"})
        requests = with_request(rows, "synthesize", spec, template, F.col("prompt"), chat=False)
        sampling = F.format_string('{"chat":false,"ignore_eos":true,"max_tokens":%d,"temperature":0.7}', tokens)
        return requests.withColumn("sampling", sampling), spec

    def run(self, work: Work) -> dict[str, float]:
        """Output tokens a second of call and stage, and CPU seconds outside the engine."""
        from pyspark.sql import functions as F

        from boostqa.calls.generation import complete

        stage = self.stage()
        requests, spec = self.requests(self.spark.createDataFrame(work, "prompt string, tokens int"), F.col("tokens"))
        before, began = cpu_seconds(), time.monotonic()
        complete(stage, requests, spec)
        seconds, tokens = time.monotonic() - began, stage.usage.counts["generated_tokens"]
        cpu = cpu_seconds() - before
        assert tokens == sum(n for _, n in work), "every request gives the tokens that were asked for"
        tail = (stage.usage.idle_tail_share or 0) * 100
        self.starts = stage.usage.counts["engine_starts"]
        return {"call": tokens / stage.usage.generation_seconds, "stage": tokens / seconds, "cpu": cpu, "tail": tail}


def cpu_seconds() -> float:
    """CPU seconds so far of this process, its JVM and its Python workers, without engine hosts and bare engines."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            words = " ".join(process.cmdline())
            if process.pid == os.getpid() or "java" in process.name() or "pyspark" in words:
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return total
