"""Run by test_cluster on a standalone cluster: 24 requests on two engines, then as many others; prints what it found."""

import json
import sys
import tempfile
from pathlib import Path

import psutil
from pyspark.sql import functions as F

from boostqa import config
from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.calls.requests import with_request
from boostqa.prompts import Prompt
from boostqa.session import spark_session
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import StageRun

master, folder = sys.argv[1:]
settings = [f"warehouse={folder}", "generation.engines=2", "generation.env.VLLM_CPU_KVCACHE_SPACE='1'"]
conf = config.load("conf/demo.yaml", settings)
resources = {"spark.executor.resource.gpu.amount": "1", "spark.executor.cores": "1", "spark.executor.memory": "700m"}
few = {"spark.sql.shuffle.partitions": "2", "spark.databricks.delta.snapshotPartitions": "2"}  # as in local mode
spark = spark_session("standalone", master, conf.spark.conf | resources | few | {"spark.ui.enabled": "false"})
stage = StageRun(spark, conf, "synthesize", "run", Warehouse(spark, conf.warehouse))


def starts_of_call(word: str) -> int:
    """Ask 24 requests; how many engines that started."""
    rows = spark.range(24).select(F.concat(F.lit(f"The {word} number "), F.col("id").cast("string")).alias("words"))
    spec, sampling = model_of_role(conf, "generator"), config.Sampling(max_tokens=8)
    requests = with_request(rows, "synthesize", spec, Prompt("t", {"en": "x"}), F.col("words"), sampling)
    before = stage.usage.counts["engine_starts"]
    complete(stage, requests, spec)
    return stage.usage.counts["engine_starts"] - before


starts_of_call("first")
engines = list(stage.usage.engine_tasks)
# The hosts of this cluster are those whose temporary folder is this test's.
mine = str(Path(tempfile.gettempdir()))
hosts = [p for p in psutil.process_iter(["cmdline"]) if "udfs.engines.host" in (p.info["cmdline"] or [])]
devices = [h.environ()["CUDA_VISIBLE_DEVICES"] for h in hosts if h.environ().get("TMPDIR") == mine]
found = {"engines": engines, "cuda_visible_devices": devices, "starts_of_second_call": starts_of_call("second")}
spark.stop()
print(json.dumps(found, default=str))
