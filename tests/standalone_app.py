"""Run by test_placement on a standalone cluster: 24 requests on two engines, then as many others; prints what it found."""

import json
import sys
import tempfile
from pathlib import Path

import psutil
from pyspark.sql import functions as F

from boostqa import config
from boostqa.generation import complete
from boostqa.lineage import StageRun
from boostqa.prompts import Prompt
from boostqa.requests import request
from boostqa.session import spark_session
from boostqa.tables import Warehouse

master, folder = sys.argv[1:]
settings = [f"warehouse={folder}", "generation.engines=2", "generation.env.VLLM_CPU_KVCACHE_SPACE='1'"]
conf = config.load("conf/demo.yaml", settings)
resources = {"spark.executor.resource.gpu.amount": "1", "spark.executor.cores": "1", "spark.executor.memory": "700m"}
spark = spark_session("standalone", master, conf.spark.conf | resources | {"spark.ui.enabled": "false"})
stage = StageRun(spark, conf, "synthesize", "run", Warehouse(spark, conf.warehouse))


def ask(word: str) -> int:
    rows = spark.range(24).select(F.concat(F.lit(f"The {word} number "), F.col("id").cast("string")).alias("said"))
    speaker = stage.speaker("generator")
    asked = request(rows, "synthesize", speaker, Prompt("t", {"en": "x"}), F.col("said"), config.Sampling(max_tokens=8))
    before = stage.figures["engine_starts"]
    complete(stage, asked, speaker)
    return stage.figures["engine_starts"] - before


ask("first")
engines = list(stage.engines)
# The hosts of this cluster are those whose temporary folder is this test's.
mine = str(Path(tempfile.gettempdir()))
hosts = [p for p in psutil.process_iter(["cmdline"]) if "udfs.engines.host" in (p.info["cmdline"] or [])]
devices = [h.environ()["CUDA_VISIBLE_DEVICES"] for h in hosts if h.environ().get("TMPDIR") == mine]
found = {"engines": engines, "cuda_visible_devices": devices, "starts_of_second_call": ask("second")}
spark.stop()
print(json.dumps(found, default=str))
