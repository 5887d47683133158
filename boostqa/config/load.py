"""The whole conf, and how it is read: every mistake at once, with its line.

What changes rows is apart from execution (machines, paths, batch sizes): boostqa/basis.py knows the first. Required fields have no default. Relative paths are taken from the working directory.
"""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError, model_validator

from boostqa.config.base import Section
from boostqa.config.execution import Generation, Mlflow, Spark
from boostqa.config.models import EngineSettings, Model, Models
from boostqa.config.sections import Annotate, Clean, Controls, Gate, Mix, Plan, Probe, Refine, Seed, Synthesize
from boostqa.errors import ConfigError
from boostqa.vocabulary import Kind


class Config(Section):
    """The whole conf."""

    warehouse: str
    output: str
    tokenizer: str
    model: Models
    seed: Seed
    controls: Controls = Controls()
    annotate: Annotate = Annotate()
    probe: Probe
    plan: Plan
    synthesize: Synthesize = Synthesize()
    refine: Refine = Refine()
    clean: Clean
    gate: Gate
    mix: Mix
    engine: EngineSettings = EngineSettings()
    generation: Generation = Generation()
    mlflow: Mlflow = Mlflow()
    spark: Spark = Spark()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        held_out = [*self.clean.benchmarks, *self.probe.items]
        for what, sources in (("seed.sources", self.seed.sources), ("clean.benchmarks and probe.items", held_out)):
            names = [s.name for s in sources]
            if twice := sorted({n for n in names if names.count(n) > 1}):
                raise ValueError(f"{what}: each name once, got {', '.join(twice)} more than once")
        return self

    @model_validator(mode="after")
    def _controls_are_no_benchmark(self) -> Self:
        held_out = {s.path: s.name for s in [*self.clean.benchmarks, *self.probe.items]}
        for source in self.controls.sources:
            if source.kind != Kind.QA or "answer" not in source.fields:
                raise ValueError(f"controls.sources[{source.name}]: known items need kind: qa and a mapped answer")
            if source.path in held_out:
                raise ValueError(
                    f"controls.sources[{source.name}]: {source.path} is held out as {held_out[source.path]}: a control "
                    "goes through models and prompts; name another labelled set, or the benchmark's training split in a "
                    "file of its own"
                )
        return self

    @model_validator(mode="after")
    def _engines_are_valid(self) -> Self:
        for role, model in self.model:
            try:
                self.engine_for(model or self.model.generator)
            except ValidationError as error:
                wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ValueError(f"model.{role}.engine: {wrong}") from None
        return self

    @model_validator(mode="after")
    def _likelihoods_have_engines(self) -> Self:
        if self.model.generator.endpoint and not self.probe.checkpoints:
            raise ValueError(
                "probe.checkpoints: is required when model.generator has an endpoint: probing needs likelihoods, which "
                "only an engine of our own gives"
            )
        if self.model.fluency and self.model.fluency.endpoint:
            raise ValueError("model.fluency: no endpoint: it scores likelihoods, which only an engine of our own gives")
        return self

    def role(self, role: str) -> Model:
        """The model that plays `role` (generator | annotator | refiner)."""
        return getattr(self.model, role) or self.model.generator

    def engine_for(self, model: Model) -> EngineSettings:
        """Engine settings of a model: the shared section with the model's own overrides."""
        return EngineSettings(**{**self.engine.model_dump(), **model.engine})


def _line(node: yaml.Node | None, path: tuple[Any, ...]) -> int | None:
    """1-based line of the deepest node on `path` that stands in the file."""
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _override(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: expected key=value, for example --set plan.tokens=20000")
    *parents, last = key.split(".")
    for part in parents:
        if not isinstance(values.setdefault(part, {}), dict):
            values[part] = {}
        values = values[part]
    values[last] = yaml.safe_load(text)


def load(path: str, settings: list[str] | None = None) -> Config:
    """Read a YAML conf and apply `key=value` settings on top.

    Raises ConfigError that lists every mistake with file, line, key, what was got and what was expected.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values, tree = yaml.safe_load(text) or {}, yaml.compose(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the conf ({error.strerror}); pass --config FILE") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections (key: value), got {type(values).__name__}")
    for setting in settings or []:
        _override(values, setting)
    try:
        return Config(**values)
    except ValidationError as error:
        mistakes = []
        for e in error.errors():
            where = ".".join(map(str, e["loc"])) or "(whole conf)"
            line = _line(tree, e["loc"])
            # A validator of ours says itself what it got: its input is a section, which may hold a secret.
            got = "" if e["type"] in ("missing", "extra_forbidden", "value_error") else f", got {e['input']!r:.80}"
            what = {"missing": "is required", "extra_forbidden": "is not a known key"}.get(e["type"], e["msg"])
            mistakes.append(f"  {path}{f':{line}' if line else ''}: {where}: {what}{got}")
        raise ConfigError(f"{len(mistakes)} mistake(s) in the conf:\n" + "\n".join(mistakes)) from None
