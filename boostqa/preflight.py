"""What can be known to be missing before Spark starts: files of the conf, and a warehouse that can be written."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boostqa import distilled
from boostqa.config import SOURCES, Config, Source
from boostqa.config.contradictions import Found
from boostqa.config.location import location
from boostqa.config.places import Key
from boostqa.errors import ConfigError
from boostqa.vocabulary import AnnotatedBy
from udfs.files import matches, pattern_of

SMALLEST_FREE = 64 * 1024 * 1024  # bytes; a table cannot even be created below this
# Where one of these is set, Spark may take a path without a scheme for one of another file system than this machine's.
ELSEWHERE = ("DATABRICKS_RUNTIME_VERSION", "PYSPARK_GATEWAY_PORT", "HADOOP_CONF_DIR", "YARN_CONF_DIR")


def preflight(config: Config) -> None:
    """Fail before anything starts when a source, model or tokenizer is missing or the warehouse cannot be written.

    Raises ConfigError that lists all that is wrong.
    """
    if found := list(missing(dict(config))):
        wrong = "\n".join(f"  {config.place(*key)}: {what}" for key, what in found)
        raise ConfigError(f"the conf names what is not there:\n{wrong}")


def missing(sections: Mapping[str, Any]) -> Found:
    """(key, what is wrong) for all that `sections` of a conf, those that are sound, name and that is not there."""
    for check in (_missing_models, _missing_annotator, _missing_sources, _unusable_warehouse):
        yield from check(sections)


def _missing_models(sections: Mapping[str, Any]) -> Found:
    models: dict[Key, str] = {
        ("model", r): m.id for r, m in sections.get("model", ()) if m is not None and m.endpoint is None
    }
    checkpoints = sections["probe"].checkpoints if "probe" in sections else []
    models |= {("probe", "checkpoints", i): c.id for i, c in enumerate(checkpoints)}
    models |= {(key,): sections[key] for key in ("tokenizer",) if key in sections}
    for key, name in models.items():
        # A Hugging Face id is `name` or `owner/name`; anything else is a folder and must be there.
        folder = Path(name).expanduser()
        if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not folder.exists():
            yield key, f"no folder {name}: give a Hugging Face id or an existing folder (`make setup` makes the demo's)"
        elif key == ("tokenizer",) and folder.is_dir() and not (folder / "tokenizer.json").is_file():
            yield key, f"no tokenizer.json in {name}: give a folder that has one, or a Hugging Face id"


def _missing_annotator(sections: Mapping[str, Any]) -> Found:
    if not {"annotate", "distil", "warehouse"} <= sections.keys():
        return
    where = distilled.place(sections["distil"].model, sections["warehouse"])
    if AnnotatedBy.DISTILLED in sections["annotate"].by.values() and where.startswith("/") and not os.path.isdir(where):
        yield (
            ("distil", "model"),
            f"no distilled annotator in {where}: train it with boostqa distil, or name its folder",
        )


def _missing_sources(sections: Mapping[str, Any]) -> Found:
    file_system = "spark" in sections and sections["spark"].conf.get("spark.hadoop.fs.defaultFS")
    if file_system or any(name in os.environ for name in ELSEWHERE):
        return
    for key, source in _sources(sections):
        if source.format != "table" and matches(source.path) == []:
            why = f"{source.path} does not exist or matches nothing: correct it"
            if os.path.exists(source.path):
                why = f"{source.path} is read as a pattern: for the file of that name write {pattern_of(source.path)}"
            yield (*key, "path"), why


def _sources(sections: Mapping[str, Any]) -> Iterator[tuple[Key, Source]]:
    """Every source with its place in the conf."""
    for section, name in (key.split(".") for key in SOURCES if key != "mix.sources"):
        for number, source in enumerate(getattr(sections[section], name) if section in sections else []):
            yield (section, name, number), source
    for number, component in enumerate(sections["mix"].components if "mix" in sections else []):
        if component.source:
            yield ("mix", "components", number, "source"), component.source


def _unusable_warehouse(sections: Mapping[str, Any]) -> Found:
    if "warehouse" not in sections or not (place := location(sections["warehouse"])).is_folder:
        return
    folder = Path(place.path)
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
