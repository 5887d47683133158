"""Where the distilled annotator lies: a folder or URI that Spark writes, or a model of an MLflow registry (models:/NAME,
models:/NAME/VERSION, models:/NAME@ALIAS; without either the latest version)."""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

from pyarrow import fs

from boostqa.config import Config
from boostqa.config.location import location
from boostqa.errors import ConfigError, first_line
from boostqa.vocabulary import AnnotatedBy
from udfs.files import file_system

REGISTRY = "models:/"


def is_used(config: Config) -> bool:
    """Whether a source's seeds are labelled by the distilled annotator."""
    return AnnotatedBy.DISTILLED in config.annotate.by.values()


def place(model: str | None, warehouse: str) -> str:
    """Where it lies by `distil.model` and `warehouse`; a folder absolute: executors have other working directories. Empty
    for a warehouse in a catalog alone: it has no folder."""
    around = location(warehouse)
    if not model and around.names:
        return ""
    named = model or f"{around.path}/_distilled"
    return named if "://" in named or named.startswith(REGISTRY) else str(Path(named).resolve())


def place_of(config: Config) -> str:
    """Where it lies. Raises ConfigError where the conf names no place."""
    if where := place(config.distil.model, config.warehouse):
        return where
    raise ConfigError(
        f"{config.place('distil', 'model')}: is required with a warehouse in a catalog ({config.warehouse}): a folder or "
        "models:/NAME"
    )


def save(config: Config, model: Any) -> str:
    """Write a pyspark.ml PipelineModel in the place of the one before, or as a new version of a registered model; returns
    where it lies."""
    where = place_of(config)
    if not where.startswith(REGISTRY):
        model.write().overwrite().save(where)
        return where
    import mlflow
    import mlflow.spark
    import pyspark

    _tracked(config)
    mlflow.set_experiment(config.mlflow.experiment)
    name = where.removeprefix(REGISTRY).partition("/")[0].partition("@")[0]
    needs = [f"pyspark=={pyspark.__version__}"]
    made = mlflow.spark.log_model(model, "distilled", registered_model_name=name, pip_requirements=needs)
    return f"{REGISTRY}{name}/{made.registered_model_version}"


def load(config: Config) -> Any:
    """The PipelineModel. Raises ConfigError where there is none."""
    from pyspark.ml import PipelineModel

    where = place_of(config)
    try:
        if where.startswith(REGISTRY):
            import mlflow.spark

            return mlflow.spark.load_model(f"{REGISTRY}{'/'.join(_version(config, where))}")
        return PipelineModel.load(where)
    except Exception as error:  # Spark, Hadoop and MLflow each have their own
        raise ConfigError(
            f"{config.place('distil', 'model')}: no distilled annotator in {where}: {first_line(error)}\n"
            "  train one: boostqa distil --config ..."
        ) from error


def content(config: Config) -> str:
    """What the annotator is: a hash of the bytes of its files, or the registered version; empty where there is none."""
    where = place(config.distil.model, config.warehouse)
    if not where:
        return ""
    if where.startswith(REGISTRY):
        return "/".join(_version(config, where))
    files, folder = file_system(where)
    found = files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
    seen = sorted((f.path, f.size, f.mtime_ns) for f in found if f.is_file)
    return _bytes_of(where, tuple(seen)) if seen else ""


@cache
def _bytes_of(where: str, seen: tuple[tuple[str, int, int], ...]) -> str:
    files, folder = file_system(where)
    digest = hashlib.sha256()
    for path, _, _ in seen:
        digest.update(f"{os.path.relpath(path, folder)}\0".encode())
        with files.open_input_stream(path) as content:
            while part := content.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:16]


def _tracked(config: Config) -> None:
    import mlflow

    if config.mlflow.tracking_uri:
        mlflow.set_tracking_uri(config.mlflow.tracking_uri)


def _version(config: Config, where: str) -> tuple[str, str]:
    """Name and version of a registered model."""
    from mlflow import MlflowClient

    _tracked(config)
    name, _, version = where.removeprefix(REGISTRY).partition("/")
    name, _, alias = name.partition("@")
    client = MlflowClient()
    if alias:
        version = client.get_model_version_by_alias(name, alias).version
    elif not version:
        version = str(max((int(v.version) for v in client.search_model_versions(f"name='{name}'")), default=""))
    return name, str(version)
