"""An export made again from the Delta versions that its manifest names: in another folder, byte for byte."""

import re
from collections.abc import Iterable
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.models import target_tokenizer
from boostqa.config import Config, Mix
from boostqa.errors import ConfigError, ContractError, first_line
from boostqa.export import card, croissant, manifest, origin, shards
from boostqa.export.blended import blended, stored, tables_of
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import EXPORTED_FROM, KEPT_FOR, Warehouse

_GONE = re.compile(
    r"FAILED_READ_FILE|FILE_NOT_EXIST|FileNotFound|PATH_NOT_FOUND|DELTA_\w*VERSION|time travel|DELTA_FILE_NOT"
)


def reproduce(config: Config, warehouse: Warehouse, said: dict[str, Any], folder: str) -> None:
    """Write the export whose manifest is `said` into `folder`: shards, card and the same manifest, which comes last.

    The tables are read at the versions of the manifest, rounds and conf of the mix are its own; the tokenizer is that of
    `config`. Raises ConfigError where these are not to be had (a version that VACUUM removed, another tokenizer) or the
    folder holds an export, ContractError where the bytes are not the same, naming the first file that differs.
    """
    if manifest.read(folder) is not None:
        raise ConfigError(f"--into {folder}: it holds an export, which would be lost: name another folder")
    lacking = [key for key in ("conf", "versions", "tokenizer_hash") if key not in said]
    if lacking:
        raise ConfigError(f"the manifest does not say {lacking[0]}: it is of a release that could not reproduce")
    if said["tokenizer_hash"] != origin.tokenizer_hash(config):
        raise ConfigError(
            f"tokenizer {config.tokenizer} is not the one of the export (sha256 {said['tokenizer_hash'][:16]}): set "
            f"`tokenizer` to that one; the export's conf named {said['tokenizer']}"
        )
    conf = Mix(**{name: said["conf"][f"mix.{name}"] for name in Mix.model_fields if f"mix.{name}" in said["conf"]})
    try:
        _write(config, warehouse, said, conf, folder)
    except (PySparkException, Py4JJavaError) as error:
        if not _GONE.search(str(error)):
            raise
        versions = ", ".join(f"{name} {said['versions'][name]}" for name in EXPORTED_FROM if name in said["versions"])
        raise ConfigError(
            f"a table version of the export is no longer in {warehouse.location} (it needs {versions}): VACUUM or the clean-up "
            f"of the log removed it, so the export cannot be made again\n  {first_line(error)}"
        ) from error


def keep(warehouse: Warehouse, names: Iterable[str]) -> None:
    """Let tables keep the versions that an export is made again from, also those that an earlier release made."""
    for name in filter(warehouse.exists, names):
        for key, value in KEPT_FOR.items() - warehouse.properties(name).items():
            warehouse.set_property(name, key, value)


def _write(config: Config, warehouse: Warehouse, said: dict[str, Any], conf: Mix, folder: str) -> None:
    frames = {name: _at(warehouse, said, name) for name in (*tables_of(conf), "verdict")}
    of_rounds = ("clean", "budget", "verdict")
    frames |= {name: frames[name].where(F.col("round").isin(said["rounds"])) for name in of_rounds}
    tokenizer, clean = target_tokenizer(config), frames["clean"]
    with stored() as store:
        rows = store(blended(frames, conf, tokenizer, store).rows)
        _export(rows, clean, frames["verdict"], said, conf, tokenizer, folder)


def _export(
    rows: DataFrame, clean: DataFrame, verdicts: DataFrame, said: dict[str, Any], conf: Mix, tokenizer: str, folder: str
) -> None:
    made = {file["file"]: file["sha256"] for file in shards.export(rows, folder, conf, tokenizer)}
    made[card.CARD] = card.write(folder, card.card(rows, clean, said, [v.asDict() for v in verdicts.collect()]))
    made[croissant.FILE] = croissant.write(folder, said)
    wanted = manifest.digests(said)
    if different := sorted(file for file in made | wanted if made.get(file) != wanted.get(file)):
        changed = "" if said["code_hash"] == origin.code_hash() else (
            f"; the export was made by other code, revision {said['code_revision']}: install that and try again"
        )  # fmt: skip
        raise ContractError(
            f"{folder}: {len(different)} of {len(made)} files are not those of the export{changed}\n  {different[0]}: sha256 "
            f"{made.get(different[0], 'none')[:16]}, exported was {wanted.get(different[0], 'none')[:16]}"
        )
    manifest.write(folder, said)


def _at(warehouse: Warehouse, said: dict[str, Any], name: str) -> DataFrame:
    """A table at the version of the export; no rows of one that was not there then."""
    if name not in said["versions"]:
        return warehouse.spark.createDataFrame([], TABLES[name].stored)
    return warehouse.read(name, said["versions"][name])
