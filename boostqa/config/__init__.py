"""The conf: one frozen section per stage, models, execution; checked whole before anything runs."""

from boostqa.config.base import redacted
from boostqa.config.components import Component
from boostqa.config.execution import Executors, Generation, Mlflow, Spark
from boostqa.config.load import SOURCES, Config, load
from boostqa.config.models import Endpoint, EngineSettings, Model, Models
from boostqa.config.sections import (
    Annotate,
    Checkpoint,
    Clean,
    Controls,
    Distil,
    Gate,
    MinHash,
    Mix,
    Plan,
    Probe,
    Refine,
    Round,
    Sampling,
    Scorecard,
    Seed,
    Synthesize,
)  # fmt: skip
from boostqa.config.source import Source

__all__ = [
    "SOURCES",
    "Annotate",
    "Checkpoint",
    "Clean",
    "Component",
    "Config",
    "Controls",
    "Distil",
    "Endpoint",
    "EngineSettings",
    "Executors",
    "Gate",
    "Generation",
    "MinHash",
    "Mix",
    "Mlflow",
    "Model",
    "Models",
    "Plan",
    "Probe",
    "Refine",
    "Round",
    "Sampling",
    "Scorecard",
    "Seed",
    "Source",
    "Spark",
    "Synthesize",
    "load",
    "redacted",
]  # fmt: skip
