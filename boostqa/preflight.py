"""What can be known to be missing before Spark starts: files of the conf, and a warehouse that can be written."""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from boostqa.config import Config
from boostqa.config.places import Key
from boostqa.errors import ConfigError
from boostqa.storage.warehouse import is_local

SMALLEST_FREE = 64 * 1024 * 1024  # bytes; a table cannot even be created below this
# Where one of these is set, Spark may take a path without a scheme for one of another file system than this machine's.
ELSEWHERE = ("DATABRICKS_RUNTIME_VERSION", "SPARK_ENV_LOADED", "HADOOP_CONF_DIR", "YARN_CONF_DIR")


def preflight(config: Config) -> None:
    """Fail before anything starts when a source, model or tokenizer is missing or the warehouse cannot be written.

    Raises ConfigError that lists all that is wrong.
    """
    found = [*_missing_models(config), *_missing_sources(config), *_unusable_warehouse(config)]
    if found:
        wrong = "\n".join(f"  {config.place(*key)}: {what}" for key, what in found)
        raise ConfigError(f"the conf names what is not there:\n{wrong}")


def _missing_models(config: Config) -> Iterator[tuple[Key, str]]:
    models: dict[Key, str] = {("model", r): m.id for r, m in config.model if m is not None and m.endpoint is None}
    models |= {("probe", "checkpoints", i): c for i, c in enumerate(config.probe.checkpoints)}
    for key, name in {**models, ("tokenizer",): config.tokenizer}.items():
        # A Hugging Face id is `name` or `owner/name`; anything else is a folder and must be there.
        folder = Path(name).expanduser()
        if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not folder.exists():
            yield key, f"no folder {name}: give a Hugging Face id or an existing folder (`make setup` makes the demo's)"
        elif key == ("tokenizer",) and folder.is_dir() and not (folder / "tokenizer.json").is_file():
            yield key, f"no tokenizer.json in {name}: give a folder that has one, or a Hugging Face id"


def _missing_sources(config: Config) -> Iterator[tuple[Key, str]]:
    if any(name in os.environ for name in ELSEWHERE) or "spark.hadoop.fs.defaultFS" in config.spark.conf:
        return
    for section, listed in config.sources().items():
        for number, source in enumerate(listed):
            is_uri = re.match(r"[A-Za-z][\w+.-]*:", source.path)
            # Of Spark's patterns Python's do not know {a,b}, [^a] and \: these are left to Spark.
            if not is_uri and not re.search(r"[{\\]|\[\^", source.path) and not glob.glob(source.path):
                yield (
                    (*section.split("."), number, "path"),
                    f"{source.path} does not exist or matches nothing: correct it",
                )


def _unusable_warehouse(config: Config) -> Iterator[tuple[Key, str]]:
    if not is_local(config.warehouse):
        return
    folder = Path(config.warehouse).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        fix = "change the rights or set another `warehouse:`"
        yield ("warehouse",), f"cannot write to {folder} ({error.strerror}): {fix}"
    else:
        if free < SMALLEST_FREE:
            fix = "free space or set another `warehouse:`"
            yield ("warehouse",), f"{free >> 20} MiB free in {folder}, too little for any table: {fix}"
