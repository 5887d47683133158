"""What MLflow is told of a run's conf and models, so that runs can be compared by it."""

from collections.abc import Mapping
from typing import Any

from boostqa.basis import conf_of, models_of
from boostqa.calls.models import canonical_json
from boostqa.config import Config, redacted
from boostqa.vocabulary import STAGES

CHARACTERS = 500  # of a value, which every MLflow server takes
_PLACES = ("warehouse", "output", "spark", "mlflow")  # where a run lives, not what it is


def of_run(config: Config) -> dict[str, str]:
    """Everything that a conf says, defaults included, as section.key -> value, and all models with their revisions."""
    said = {k: v for k, v in config.model_dump(mode="json").items() if k not in _PLACES}
    models: dict[str, str] = {}
    for stage in STAGES:
        models |= _models(config, stage)
    return flat(redacted(said)) | models


def of_stage(config: Config, stage: str) -> dict[str, str]:
    """What of the conf bears on a stage, and the models that it asks."""
    return flat(redacted(conf_of(config, stage))) | _models(config, stage)


def _models(config: Config, stage: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, spec in models_of(config, stage).items():
        found |= {f"model.{role}.id": spec.model.id, f"model.{role}.revision": spec.model.revision or ""}
        found[f"model.{role}.settings"] = redacted(spec.output_settings)[:CHARACTERS]
    return found


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Nested values as dotted name -> text; a list is one text, what is null or empty is left out."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}.")
        elif value not in (None, [], ""):
            text = canonical_json(value) if isinstance(value, list) else str(value)
            found["".join(c if c.isalnum() or c in "-_./ " else "_" for c in f"{before}{name}")] = text[:CHARACTERS]
    return found
