"""Compressed files are held against their end and their size before anything is read: Spark would find a truncated one
in the middle of a stage, and take what a few bytes expand to into memory."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.sources.line_numbers import file_name
from udfs import compressed


def check_compressed(scan: DataFrame, where: str) -> None:
    """Raise ConfigError for the first faulty one among the compressed files of `scan`. Each is decompressed once more, in
    the executors."""
    files = [(file,) for file in scan.inputFiles() if compressed.codec(file)]
    if not files:
        return
    find = F.pandas_udf(compressed.faults, "string")  # type: ignore[call-overload]
    named = scan.sparkSession.createDataFrame(files, "file string").repartition(len(files), "file")
    found = named.select(file_name(F.col("file")).alias("file"), find("file").alias("fault"))
    if fault := found.where("fault is not null").orderBy("file").first():
        raise ConfigError(
            f"{where}.path: {fault.file}:{fault.fault}\n  fix: replace the file, or unpack it and look at it"
        )
