"""What decides the rows of a stage beside the tables it reads: its part of the conf, models, source files, prompts, code.

A stage whose basis and input tables are those of its last execution would write the same rows again. Conf keys that say
how and where something runs are in no basis. Code counts by folder: a release whose rules are the same text changes
nothing, and no one has to remember to raise a number.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, reduce
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from boostqa import ROOT, distilled
from boostqa.calls.models import ModelSpec, canonical_json, model_spec, target_tokenizer
from boostqa.config import Config, Model, Source
from boostqa.config.location import location
from boostqa.rounds import Step
from boostqa.vocabulary import STAGES

# Sections and keys of the conf that a stage reads; tests/test_pipeline.py watches what stages really read.
_WINDOWS = ("clean.ngram_words", "clean.window_characters", "clean.min_similarity")
_HELD_OUT = ("clean.benchmarks", "probe.items")
_LABELLING = ("annotate.max_characters", "annotate.votes", "annotate.min_llm_probability")
_CONF = {
    "seed": ("seed", *_HELD_OUT, *_WINDOWS),
    "annotate": ("annotate",),
    "probe": ("probe", *_LABELLING),
    "plan": ("plan", "probe.checkpoints"),
    "synthesize": ("synthesize", "controls", *_LABELLING, "refine.blind", "refine.blind_attempts", "clean"),
    "refine": ("refine",),
    "clean": ("clean", "refine.blind", "refine.blind_attempts"),
    "gate": ("seed", "controls", "annotate", "probe", "plan", "synthesize", "refine", "clean", "gate",
             "mix.licence", "mix.output_terms"),
    # The manifest names the models; what other corpora hold is judged as seeds are.
    "mix": ("mix", "probe.checkpoints", "seed.licences", "seed.languages", *_HELD_OUT, *_WINDOWS),
}  # fmt: skip
_ROLES = {
    "annotate": ("annotator",), "probe": ("annotator",), "synthesize": ("generator", "annotator"), "refine": ("refiner",),
    "clean": ("fluency", "rubric_judge", "student"), "gate": ("generator", "refiner"),
}  # fmt: skip
_OPTIONAL = ("fluency", "rubric_judge", "student")  # roles that nobody plays where the conf names none
_TOKENIZER = ("seed", "synthesize", "refine", "clean", "mix")
_SOURCES = {
    "seed": ("seed.sources", *_HELD_OUT), "probe": ("probe.items",), "synthesize": ("controls.sources",),
    "mix": ("mix.sources", *_HELD_OUT),
}  # fmt: skip
_PACKAGES = Path(__file__).parents[1]
# Code that decides rows, by folder or file; what calls, stores and reports is left out.
_CODE = (
    *("boostqa/stages", "boostqa/sources", "boostqa/taxonomy", "boostqa/matching_text.py", "boostqa/formulas.py"),
    "boostqa/confusables.tsv",
    *(
        "boostqa/prose.py",
        "boostqa/control_tokens.py",
        "boostqa/languages.py",
        "boostqa/licensing.py",
        "boostqa/wilson.py",
        "udfs/answers",
    ),
    *(
        "boostqa/lookup.py",
        "boostqa/allocation.py",
        "boostqa/blend.py",
        "boostqa/rounds.py",
        "boostqa/shrinkage.py",
        "boostqa/yields.py",
    ),
    *(
        f"udfs/{name}.py"
        for name in ("text", "rendering", "splitting", "minhash", "keepers", "spoiling", "options", "conclusions")
    ),
    *(
        f"udfs/{name}.py"
        for name in ("licences", "language_tags", "json_lines", "latex_syntax", "control_tokens", "formula_spans")
    ),
)
_MORE_CODE = {"gate": ("boostqa/gates", "boostqa/reasons.py"), "mix": ("boostqa/export", "udfs/writers")}


def job_file(stage: str) -> Path:
    """The file of a stage in jobs/."""
    return ROOT / "jobs" / f"{STAGES.index(stage) + 1:02d}_{stage}.py"


def digest(value: Any) -> str:
    """16 hex digits that tell values apart."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def conf_of(config: Config, stage: str) -> dict[str, Any]:
    """`section.key` -> value, of what of the conf bears on a stage."""
    return _values(config, _CONF[stage])


def _values(config: Config, keys: Iterable[str]) -> dict[str, Any]:
    """`section.key` -> value, of whole sections and of single keys."""
    found: dict[str, Any] = {}
    for key in keys:
        section, _, one = key.partition(".")
        values = getattr(config, section).model_dump(mode="json")
        found |= {f"{section}.{name}": values[name] for name in ([one] if one else values)}
    return found


def _roles(config: Config, stage: str) -> dict[str, Model]:
    """Role -> the model that plays it in a stage."""
    chosen = {r: getattr(config.model, r) if r in _OPTIONAL else config.role(r) for r in _ROLES.get(stage, ())}
    return {role: model for role, model in chosen.items() if model}


def models_of(config: Config, stage: str) -> dict[str, ModelSpec]:
    """Role -> the model that plays it in a stage; checkpoints by their number in the series."""
    chosen = _roles(config, stage)
    if stage == "probe":
        chosen |= {f"checkpoint_{number}": model for number, model in enumerate(config.checkpoints(), 1)}
    return {role: model_spec(config, model) for role, model in chosen.items()}


def _conf(config: Config, keys: Iterable[str]) -> dict[str, str]:
    """`conf section.key` -> digest, of whole sections and of single keys."""
    return {f"conf {key}": digest(value) for key, value in _values(config, keys).items()}


def _model(config: Config, model: Model) -> str:
    spec = model_spec(config, model)
    return digest([spec.model.id, spec.model.revision, spec.output_settings])


def _models(config: Config, stage: str) -> dict[str, str]:
    found = {f"model {role}": _model(config, model) for role, model in _roles(config, stage).items()}
    if stage == "annotate" and distilled.is_used(config):
        found["model distilled"] = distilled.content(config)
    if stage == "probe":
        seen = [c.tokens_seen for c in config.probe.checkpoints]
        found["conf probe.checkpoints"] = digest([[_model(config, model) for model in config.checkpoints()], seen])
    if stage in _TOKENIZER:
        found["tokenizer"] = digest(target_tokenizer(config))
    return found


def conf_hash(config: Config) -> str:
    """sha256 of all of the conf that changes rows, models and tokenizer by what they are."""
    found = _conf(config, {key.partition(".")[0] for keys in _CONF.values() for key in keys})
    for stage in STAGES:
        found |= _models(config, stage)
    found["conf rounds"] = digest([declared.model_dump(mode="json") for declared in config.rounds])
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def _as_in_a_checkout(code: bytes) -> bytes:
    """Code with the names that infra/wheel.py gives in a wheel undone: the same rules are the same, however installed."""
    return code.replace(b"boostqa_udfs", b"udfs").replace(b"boostqa/jobs/", b"jobs/")


@cache
def _files(folders: tuple[str, ...], suffixes: tuple[str, ...]) -> str:
    """Digest of the files under folders of this package, names and bytes."""
    contents = hashlib.sha256()
    for place in folders:
        path = _PACKAGES / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in suffixes:
                contents.update(_as_in_a_checkout(f"{file.relative_to(_PACKAGES)}\0".encode() + file.read_bytes()))
    return contents.hexdigest()[:16]


def prompts() -> str:
    """Digest of all prompts."""
    return _files(("boostqa/prompts",), (".md", ".yaml", ".py"))


def code(stage: str) -> str:
    """Digest of the code that decides the rows of a stage."""
    job = str(job_file(stage).relative_to(_PACKAGES))
    return _files((*_CODE, *_MORE_CODE.get(stage, ()), job), (".py", ".json", ".yaml", ".csv", ".tsv", ".txt"))


def source_files(spark: SparkSession, config: Config) -> dict[str, str]:
    """Section of the conf and source name -> digest of the path, size and time of its files (of a catalog's table its
    version); one job, nothing is read. What cannot be listed has no digest: the stage that reads it says why."""
    listed: list[DataFrame] = []
    found: dict[str, str] = {}
    for section, sources in config.sources().items():
        for source in sources:
            if source.format == "table":
                found |= {f"{section} {source.name}": digest(state) for state in _state_of_table(spark, source.path)}
                continue
            reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
            try:
                files = reader.load(source.path).select("path", "length", "modificationTime")
            except PySparkException:
                continue
            listed.append(files.withColumn("source", F.lit(f"{section} {source.name}")))
    if not listed:
        return found
    seen = F.sum(F.xxhash64("path", "length", "modificationTime").cast("decimal(38,0)")).alias("seen")
    rows = reduce(DataFrame.unionByName, listed).groupBy("source").agg(F.count("*").alias("files"), seen).collect()
    return found | {r["source"]: digest([r["files"], int(r["seen"])]) for r in rows}


def _state_of_table(spark: SparkSession, path: str) -> Iterator[list[Any]]:
    """What changes with the rows of a catalog's table: the last commit of a Delta table, else the names of its files; nothing
    of one that cannot be read."""
    name = location(path).sql
    try:
        last = spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").select("version", "timestamp").first()
        yield [name, *map(str, last or ())]
    except PySparkException:
        with suppress(PySparkException):
            yield [name, *sorted(spark.read.table(name).inputFiles())]


_CORPUS_CODE = (
    *(f"boostqa/stages/{name}.py" for name in ("corpus", "decontaminate", "similarity", "wording", "rejects")),
    *(
        "boostqa/sources",
        "boostqa/matching_text.py",
        "boostqa/formulas.py",
        "boostqa/confusables.tsv",
        "boostqa/control_tokens.py",
    ),
    *("boostqa/languages.py", "boostqa/licensing.py"),
    *(
        f"udfs/{name}.py"
        for name in ("text", "control_tokens", "licences", "language_tags", "json_lines", "formula_spans")
    ),
)
_OF_CORPUS = ("tokenizer", "conf seed.", "conf clean.", "conf probe.items", "files of clean.", "files of probe.")


def corpus_state(about: dict[str, str], source: Source) -> str:
    """Digest of what decides the rows of another corpus, by the basis of the mix."""
    own = f"files of mix.sources {source.name}"
    bears = {k: v for k, v in about.items() if k == own or k.startswith(_OF_CORPUS)}
    return digest([source.model_dump(mode="json"), bears, _files(_CORPUS_CODE, (".py", ".tsv"))])


def basis(config: Config, step: Step, files: dict[str, str]) -> dict[str, str]:
    """What decides the rows of a stage in a round beside tables: name -> digest; `files` as source_files found them."""
    stage, config = step.stage, config.of_round(step.round)
    about = _conf(config, _CONF[stage]) | _models(config, stage)
    if stage == "plan":
        about["conf rounds"] = digest(config.round(step.round).model_dump(mode="json", include={"tokens", "share"}))
    for section in _SOURCES.get(stage, ()):
        about |= {f"files of {source}": seen for source, seen in files.items() if source.startswith(f"{section} ")}
    if stage in _ROLES and stage != "gate":
        about["prompts"] = prompts()
    about["code"] = code(stage)
    return about
