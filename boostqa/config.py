"""The conf: one frozen section per stage, checked whole before anything runs.

Identity (what changes rows) is apart from execution (machines, paths, batch sizes): `Config.identity_hash` covers the
first only. An unknown key is an error, every mistake is reported at once with its line, required fields have no default.
Relative paths are taken from the working directory.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from boostqa.errors import ConfigError
from boostqa.schemas import FORMATS

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Source(Section):
    """A seed corpus, a benchmark or a file of probe items; `fields` maps our names to (dotted) names in the input."""

    name: str
    path: str
    format: Literal["jsonl", "parquet", "delta", "text"] = "jsonl"
    kind: Literal["document", "qa"] = "document"
    fields: dict[str, str] = {}
    licence: str | None = None
    attribution: str | None = None
    lang: str | None = None
    limit: Positive | None = None


class Seed(Section):
    """Stage 1. Lengths in characters of normalised text, `max_tokens` of a chunk under the target tokenizer."""

    sources: Annotated[list[Source], Field(min_length=1)]
    licences: list[str]
    languages: list[str] = ["en", "zh"]
    max_tokens: Positive = 512
    min_characters: Positive = 40
    min_question_characters: Positive = 8
    max_symbol_ratio: Share = 0.5
    max_repeated_line_ratio: Share = 0.3


class Annotate(Section):
    """Stage 2. `max_characters` of an item that the annotator reads."""

    max_characters: Positive = 1500


class Probe(Section):
    """Stage 3: held-out items, checkpoints and methods."""

    items: Annotated[list[Source], Field(min_length=1)]
    checkpoints: list[str] = []  # in order of training; empty: the generator itself
    methods: Annotated[list[Literal["letter", "cloze"]], Field(min_length=1, max_length=2)] = ["letter", "cloze"]


class Plan(Section):
    """Stage 4. `tokens` and `floor_tokens` are kept tokens; `kept_tokens_per_request` turns them into requests."""

    tokens: Positive
    high_difficulty_share: Share
    stem_boost: Annotated[float, Field(ge=1)] = 2.0
    floor_tokens: Annotated[int, Field(ge=0)] = 0
    kept_tokens_per_request: Positive
    max_requests_per_seed: Positive = 4  # in one cell
    min_probe_items: Positive = 5
    formats: Annotated[list[Literal[FORMATS]], Field(min_length=1)] = list(FORMATS)  # type: ignore[valid-type]


class Sampling(Section):
    """Sampling parameters of one kind of request; `max_tokens` includes thinking."""

    temperature: Annotated[float, Field(ge=0)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    max_tokens: Positive = 1024


class Synthesize(Section):
    """Stage 5."""

    sampling: Sampling = Sampling()
    below_aim: Literal["reject", "keep"] = "reject"  # a high_difficulty draft measured below its aim


class Refine(Section):
    """Stage 6: blind attempts and the rewrite."""

    blind_attempts: Positive = 3
    blind: Sampling = Sampling()
    rewrite: Sampling = Sampling(temperature=0.0, top_p=1.0)


class MinHash(Section):
    """Near duplicates: `bands` x `rows` permutations over shingles of `words`, or of `characters` in Chinese and Japanese."""

    bands: Positive = 14
    rows: Positive = 8
    words: Positive = 5
    characters: Positive = 10


class Clean(Section):
    """Stage 7: rules, near duplicates, and windows of the decontamination."""

    benchmarks: list[Source]
    min_question_characters: Positive = 15
    max_question_characters: Positive = 4000
    max_repetition: Share = 0.4
    minhash: MinHash = MinHash()
    ngram_words: Positive = 13
    window_characters: Positive = 16


class Gate(Section):
    """Stage 8: limits of the table-level gates; rates are shares of rows."""

    max_degradation_rate: Share
    min_high_difficulty_share: Share
    max_truncation_rate: Share
    max_duplicate_rate: Share
    max_contaminated: Annotated[int, Field(ge=0)] = 0
    min_rows: Positive = 1
    max_other_language_share: Share = 0.0


class Mix(Section):
    """Stage 9: tokens to export, shards and formats."""

    tokens: Positive
    shards: Positive = 8
    formats: Annotated[list[Literal["parquet", "jsonl"]], Field(min_length=1)] = ["parquet", "jsonl"]


def _model(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class Engine(Section):
    """Settings of one vLLM engine; `args` passes any other vLLM engine argument through.

    `dtype` auto is the model's own on a GPU; on a CPU bfloat16 where it has instructions for it (AVX-512 BF16, AMX), else
    float32. A request's identity holds the word of the conf, not what an executor makes of it.
    """

    max_model_len: Positive = 4096
    dtype: str = "auto"
    tensor_parallel_size: Positive = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    args: dict[str, Any] = {}


class Endpoint(Section):
    """An OpenAI-compatible server, for models too large for one node. Its key comes from the environment of the executors."""

    url: str  # up to and including /v1
    key_env: str | None = None  # name of the environment variable that holds the key
    max_concurrency: Positive = 256  # requests in flight of one task; adapts below this to what the server bears
    max_retries: Annotated[int, Field(ge=0)] = 6
    timeout_seconds: Annotated[float, Field(gt=0)] = 600.0

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if "@" in self.url or "?" in self.url:
            raise ValueError(
                "the url holds credentials or parameters: give the key by the name of a variable (key_env)"
            )
        return self


class Model(Section):
    """A Hugging Face id or local folder; `engine` overrides single engine settings for this model.

    With `endpoint` the model of that name is asked at a server and no engine is started.
    """

    id: str
    revision: str | None = None
    engine: dict[str, Any] = {}
    endpoint: Endpoint | None = None


ModelRef = Annotated[Model, BeforeValidator(_model)]


class Models(Section):
    """Who plays which role; annotator and refiner default to the generator."""

    generator: ModelRef
    annotator: ModelRef | None = None
    refiner: ModelRef | None = None


class Executors(Section):
    """Executors that generation stages ask for themselves, through a ResourceProfile; needs dynamic allocation."""

    gpus: Positive  # of one executor; each engine takes tensor x pipeline parallel of them
    cores: Positive = 4
    memory: str = "8g"
    memory_overhead: str = "32g"  # the engine's host memory is outside the JVM


class Generation(Section):
    """Execution of model calls: how many engines, how much in flight, how often finished rows are flushed."""

    engines: Positive = 1
    executors: Executors | None = None
    resident_engines: Positive = 1  # engines of different models kept at once on the same executor and GPUs
    tokens_in_flight: Positive = 262144  # predicted tokens (prompt and output) of the requests an engine has at once
    flush_rows: Positive = 256
    flush_seconds: Annotated[float, Field(gt=0)] = 30.0
    idle_seconds: Annotated[float, Field(gt=0)] = 3600.0  # an engine nobody is connected to ends after this
    start_seconds: Annotated[float, Field(gt=0)] = 1800.0
    max_attempts: Positive = 3  # the last one alone, so that a request that kills engines takes no other with it
    stall_seconds: Annotated[float, Field(gt=0)] = 300.0  # no token for so long: the engine counts as hung
    ledger: str | None = None  # Delta table all recipes share; default: `completion` in the warehouse
    staging: str | None = None  # folder or URI all executors can write; default: _staging beside the ledger
    env: dict[str, str] = {}

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if found := [k for k in self.env if re.search("(TOKEN|SECRET|PASSWORD|KEY)$", k, re.IGNORECASE)]:
            raise ValueError(f"env: {', '.join(found)} is a secret: set it in the environment of the executors instead")
        return self


class Mlflow(Section):
    """Where runs are tracked."""

    tracking_uri: str | None = None  # default: SQLite beside the warehouse
    experiment: str = "boostqa"


class Spark(Section):
    """Session settings; ignored on Databricks, `master` also under spark-submit."""

    master: str | None = None  # None: what spark-submit or the platform set
    conf: dict[str, str] = {}


class Config(Section):
    """The whole conf."""

    warehouse: str
    output: str
    tokenizer: str
    model: Models
    seed: Seed
    annotate: Annotate = Annotate()
    probe: Probe
    plan: Plan
    synthesize: Synthesize = Synthesize()
    refine: Refine = Refine()
    clean: Clean
    gate: Gate
    mix: Mix
    engine: Engine = Engine()
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
    def _engines_are_valid(self) -> Self:
        for role, model in self.model:
            try:
                self.engine_for(model or self.model.generator)
            except ValidationError as error:
                wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ValueError(f"model.{role}.engine: {wrong}") from None
        return self

    @model_validator(mode="after")
    def _probe_has_likelihoods(self) -> Self:
        if self.model.generator.endpoint and not self.probe.checkpoints:
            raise ValueError(
                "probe.checkpoints: is required when model.generator has an endpoint: probing needs likelihoods, which "
                "only an engine of our own gives"
            )
        return self

    def role(self, role: str) -> Model:
        """The model that plays `role` (generator | annotator | refiner)."""
        return getattr(self.model, role) or self.model.generator

    def engine_for(self, model: Model) -> Engine:
        """Engine settings of a model: the shared section with the model's own overrides."""
        return Engine(**{**self.engine.model_dump(), **model.engine})

    @property
    def identity_hash(self) -> str:
        """sha256 of everything that changes rows: all but warehouse, output, generation, mlflow and spark."""
        execution = {"warehouse", "output", "generation", "mlflow", "spark"}
        text = json.dumps(self.model_dump(mode="json", exclude=execution), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


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
