"""The whole conf, and how it is read: every mistake at once, with its line.

What changes rows is apart from execution (machines, paths, batch sizes): boostqa/basis.py knows the first. Required
fields have no default. Relative paths are taken from the working directory, ~ and ${NAME} of the environment expand.
"""

import codecs
from collections.abc import Callable, Mapping
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pyarrow.lib import ArrowException
from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from boostqa.config.base import PlaceText, Section, WarehousePlace, is_secret, redacted
from boostqa.config.contradictions import Found, contradictions
from boostqa.config.execution import Generation, Mlflow, Spark
from boostqa.config.models import EngineSettings, Model, Models
from boostqa.config.places import Key, Places
from boostqa.config.sections import (
    Annotate,
    Clean,
    Controls,
    Distil,
    Gate,
    Mix,
    Plan,
    Probe,
    Refine,
    Round,
    Scorecard,
    Seed,
    Synthesize,
)  # fmt: skip
from boostqa.config.source import Source
from boostqa.errors import ConfigError, first_line
from boostqa.vocabulary import ONLY_ROUND
from udfs.files import file_system

# The keys that list sources.
SOURCES = (
    "seed.sources",
    "controls.sources",
    "distil.sources",
    "scorecard.sources",
    "probe.items",
    "clean.benchmarks",
    "mix.sources",
)


def _nothing_more(sections: Mapping[str, Any]) -> Found:
    yield from ()


class Config(Section):
    """The whole conf."""

    warehouse: WarehousePlace
    output: PlaceText
    tokenizer: PlaceText
    model: Models
    seed: Seed
    controls: Controls = Controls()
    annotate: Annotate = Annotate()
    distil: Distil = Distil()
    scorecard: Scorecard = Scorecard()
    probe: Probe
    plan: Plan
    synthesize: Synthesize = Synthesize()
    refine: Refine = Refine()
    clean: Clean
    gate: Gate
    mix: Mix
    rounds: Annotated[list[Round], Field(min_length=1)] = [Round(name=ONLY_ROUND)]
    engine: EngineSettings = EngineSettings()
    generation: Generation = Generation()
    mlflow: Mlflow = Mlflow()
    spark: Spark = Spark()

    _places: Places = PrivateAttr(default_factory=lambda: Places(""))

    def place(self, *key: int | str) -> str:
        """`file:line: key`, as messages begin that speak of a value of the conf."""
        return self._places.of(key)

    def sources(self) -> dict[str, list[Source]]:
        """All sources, by the key of their list."""
        return {key: attrgetter(key)(self) for key in SOURCES}

    def checkpoints(self) -> list[Model]:
        """Who is probed, in order of training: the generator where the conf names none."""
        return [Model(id=c.id) for c in self.probe.checkpoints] or [self.model.generator]

    def round(self, name: str) -> Round:
        """What the conf declares of a round. Raises ConfigError for one that it does not declare."""
        if found := [r for r in self.rounds if r.name == name]:
            return found[0]
        raise ConfigError(f"no round {name!r}: the conf declares {', '.join(r.name for r in self.rounds)}")

    def of_round(self, name: str) -> "Config":
        """The conf as the stages of a round see it: its checkpoints end with the round's."""
        last = self.round(name).checkpoint if name else None
        if last is None:
            return self
        seen = list(takewhile(lambda c: c.id != last, self.probe.checkpoints))
        series = self.probe.checkpoints[: len(seen) + 1]
        return self.model_copy(update={"probe": self.probe.model_copy(update={"checkpoints": series})})

    def role(self, role: str) -> Model:
        """The model that plays `role` (generator | annotator | refiner)."""
        return getattr(self.model, role) or self.model.generator

    def engine_for(self, model: Model) -> EngineSettings:
        """Engine settings of a model: the shared section with the model's own overrides."""
        return self.engine.of(model)


def _override(values: dict[str, Any], places: Places, setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: expected key=value, for example --set plan.tokens=20000")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting}: not valid YAML: {' '.join(str(error).split())}") from None
    *parents, last = key.split(".")
    places.override((*parents, last), text)
    for part in parents:
        if not isinstance(values.setdefault(part, {}), dict):
            values[part] = {}
        values = values[part]
    values[last] = value


def _sound(values: dict[str, Any], broken: set[int | str]) -> dict[str, Any]:
    """The sections of a conf that have no mistake, by name."""
    fields = {name: f for name, f in Config.model_fields.items() if name not in broken}
    return {
        name: TypeAdapter(f.rebuild_annotation()).validate_python(values[name]) if name in values else f.get_default()
        for name, f in fields.items()
    }


def _mistake(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        return "is not a known key"
    if error["type"] == "value_error":  # ours says itself what it got: its input is a section, which may hold a secret
        return error["msg"].removeprefix("Value error, ")
    got = "***" if any(is_secret(str(part)) for part in error["loc"]) else redacted(error["input"])
    return f"{error['msg']}, got {got!r:.80}"


def _bytes(path: str) -> bytes:
    if "://" not in path:
        return Path(path).read_bytes()
    files, inside = file_system(path)
    with files.open_input_stream(inside, compression=None) as file:
        return file.read()


def _text(path: str) -> str:
    try:
        return _bytes(path).decode()
    except (OSError, ArrowException) as error:
        why = first_line(error) if "://" in path else getattr(error, "strerror", None)
        raise ConfigError(f"{path}: cannot read the conf ({why}); pass --config FILE, a path or a URI") from None
    except UnicodeDecodeError as error:
        kind = "UTF-16 or UTF-32" if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "no UTF-8"
        raise ConfigError(
            f"{path}: {kind}: byte {error.start} is {error.object[error.start]:#04x}; save it as UTF-8 text"
        ) from None


def load(
    path: str, settings: list[str] | None = None, more: Callable[[Mapping[str, Any]], Found] = _nothing_more
) -> Config:
    """Read a YAML conf and apply `key=value` settings on top.

    Raises ConfigError that lists every mistake with file, line, key, what was got and what was expected: wrong values,
    keys said twice, odd numbers, sections that contradict each other, and what `more` finds in the sections that are sound.
    """
    text = _text(path)
    try:
        values = yaml.safe_load(text) or {}
        places = Places.of_file(path, text)
    except yaml.reader.ReaderError as error:
        byte = len(text[: error.position].encode())
        raise ConfigError(
            f"{path}: byte {byte}: {error.reason} (U+{error.character:04X}): save it as UTF-8 text"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, or an alias (*name) stands within what it names") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections (key: value), got {type(values).__name__}")
    for setting in settings or []:
        _override(values, places, setting)
    found: list[tuple[Key, str]] = []
    try:
        config = Config.model_validate(values)
        sections = dict(config)
    except ValidationError as error:
        found = [(e["loc"], _mistake(e)) for e in error.errors()]
    if broken := {key[0] for key, _ in (*places.wrong, *found)}:
        sections = _sound(values, broken)
    found += [*contradictions(sections), *more(sections)]
    if mistakes := [line for _, line in places.wrong] + [f"{places.of(key)}: {what}" for key, what in found]:
        raise ConfigError("\n  ".join((f"{len(mistakes)} mistake(s) in the conf:", *mistakes)))
    config._places = places
    return config
