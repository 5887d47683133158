"""Where workers and the driver write files of their own: any file system pyarrow knows."""

import glob
import os
import re

from pyarrow import fs


def file_system(folder: str) -> tuple[fs.FileSystem, str]:
    """pyarrow's file system of a URI (s3://, gs://, abfss://, hdfs://, ...) or a local path, and the path inside."""
    if "://" in folder:
        found, path = fs.FileSystem.from_uri(folder.replace("s3a://", "s3://"))  # Hadoop's name for it
        return found, path.rstrip("/")
    return fs.LocalFileSystem(), os.path.abspath(folder)


def write_text(place: str, text: str) -> None:
    """Write a file, its folder if need be, on any file system; half a character (a lone surrogate) is written out."""
    files, path = file_system(place)
    files.create_dir(path.rpartition("/")[0], recursive=True)
    with files.open_output_stream(path, compression=None) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def pattern_of(path: str) -> str:
    """The pattern, as Spark and Hadoop read paths, that matches `path` and nothing else: a name's brackets are its own."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def matches(path: str) -> list[str] | None:
    """Local files and folders that a pattern matches; None for a URI, and for a pattern that only Spark knows."""
    # Of Spark's patterns Python's do not know {a,b}, [^a] and \.
    if re.match(r"[A-Za-z][\w+.-]*:", path) or re.search(r"[{\\]|\[\^", path):
        return None
    return glob.glob(path)
