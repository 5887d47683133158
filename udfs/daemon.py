"""Spark's Python daemon, with what workers need loaded before it forks them (`spark.python.daemon.module`).

From Spark's own each worker imports pandas, Arrow and the UDFs and reads the model of languages anew, a second of a core;
Spark ends workers after a minute without work, so that a line on one machine forks hundreds of them.
"""

import gc
from importlib import import_module

from pyspark.daemon import manager

from udfs.text import identifier

NEEDED = (
    "pyarrow.parquet", "pyspark.sql.pandas.serializers", "pyspark.worker", "udfs.answers.equality", "udfs.generate",
    "udfs.minhash", "udfs.options", "udfs.rendering", "udfs.spoiling", "udfs.splitting",
)  # fmt: skip

if __name__ == "__main__":
    for name in NEEDED:
        import_module(name)
    identifier()
    gc.freeze()  # a worker collects garbage after each task: only its own
    manager()
