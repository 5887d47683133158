"""Where workers and the driver write files of their own: any file system pyarrow knows."""

import os
import re

from pyarrow import fs


def file_system(folder: str) -> tuple[fs.FileSystem, str]:
    """pyarrow's file system of a URI (s3://, gs://, abfss://, hdfs://, ...) or a local path, and the path inside."""
    if "://" in folder:
        found, path = fs.FileSystem.from_uri(folder.replace("s3a://", "s3://"))  # Hadoop's name for it
        return found, path.rstrip("/")
    return fs.LocalFileSystem(), os.path.abspath(folder)


def as_pattern(path: str) -> str:
    """The pattern of Spark's readers that matches this path alone: they take brackets, braces and stars for patterns."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)
