"""The mix of the tables as they are, or were: the steps of stages/mix.py with what is counted between them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.blend import Part, blend, one_more
from boostqa.config import Component, Mix
from boostqa.stages import corpus, mix, quarantine, withdrawal

TABLES = ("clean", "budget", "quarantine", "withdrawal", "seed", "annotation", "corpus")


@contextmanager
def stored() -> Iterator[Callable[[DataFrame], DataFrame]]:
    """A `store` for `blended` that caches, until the end of the block."""
    frames: list[DataFrame] = []

    def store(frame: DataFrame) -> DataFrame:
        frames.append(frame.persist())
        return frames[-1]

    try:
        yield store
    finally:
        for frame in frames:
            frame.unpersist()


class Blended(NamedTuple):
    """MIX rows, rejects of items of `clean`, and what was asked for, there and taken of each part."""

    rows: DataFrame
    rejects: DataFrame
    parts: list[Part]


def blended(
    frames: Mapping[str, DataFrame], conf: Mix, tokenizer_json: str, store: Callable[[DataFrame], DataFrame]
) -> Blended:
    """Rows of TABLES, `clean` and `budget` of the rounds that are exported -> the mix; every item of `clean` is in it or has a
    reject. `store` makes a frame that is read several times cheap to read."""
    passed, held = quarantine.split(frames["clean"], frames["quarantine"])
    passed, gone = withdrawal.split(passed, frames["withdrawal"])
    items, left_out = mix.of_items(passed, conf)
    for name in (c.name for c in conf.components if c.of == "seeds"):
        seeds = withdrawal.left(frames["seed"], frames["withdrawal"])
        items = items.unionByName(
            mix.of_seeds(seeds, frames["annotation"], name, conf.licence), allowMissingColumns=True
        )
    rendered = mix.render(items, tokenizer_json)
    rendered = store(mix.by_seed(rendered, tokenizer_json) if conf.document == "seed" else rendered)
    for component in (c for c in conf.components if c.source):
        rendered = rendered.unionByName(_of_corpus(frames, component, conf.licence, rendered.columns))
    there = {(r["component"], r["cell"]): r["tokens"] for r in mix.supply(rendered).collect()}
    budget = frames["budget"].groupBy("discipline", "difficulty").agg(F.sum("tokens").alias("tokens")).collect()
    parts = blend(conf, {f"{r['discipline']}/{r['difficulty']}": r["tokens"] for r in budget}, there)
    edges = mix.edges(rendered, parts, conf).collect()  # one of each part at most
    documents = {r["rank"]: r["tokens"] for r in edges}
    also = one_more(sum(r["missing"] for r in edges), documents)
    ends = {(r["component"], r["cell"]): (r["rank"], r["rank"] in also) for r in edges}
    rows, over = mix.choose(rendered, parts, ends, conf)
    return Blended(rows, held.unionByName(gone).unionByName(left_out).unionByName(over), parts)


def _of_corpus(
    frames: Mapping[str, DataFrame], component: Component, licence: str | None, columns: list[str]
) -> DataFrame:
    """The documents of another corpus that may go out, as stages/mix.py renders items."""
    source = component.source.name if component.source else ""
    rows = frames["corpus"].where(F.col("source") == source).withColumn("seed_id", F.col("document_id"))
    rows = withdrawal.left(rows, frames["withdrawal"]).drop("seed_id")
    if licence:
        rows = rows.where(mix.licence_conflict(F.col("licence"), licence).isNull())
    return corpus.documents(rows, component.name, columns)
