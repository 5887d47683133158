"""Spark's Python daemon, with what workers need loaded before it forks them (`spark.python.daemon.module`).

From Spark's own each worker imports pandas, Arrow and the UDFs and reads the model of languages anew, a second of a core;
Spark ends workers after a minute without work, so that a line on one machine forks hundreds of them.
"""

import gc

import pyarrow.parquet  # noqa: F401
import pyspark.sql.pandas.serializers
import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

from udfs.text import identifier

if __name__ == "__main__":
    identifier()
    gc.freeze()  # a worker collects garbage after each task: only its own
    manager()
