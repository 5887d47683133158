"""The mix of the tables as they are, or were: the steps of stages/mix.py with what is counted between them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.blend import Part, blend, one_more
from boostqa.config import Mix
from boostqa.licensing import permitted
from boostqa.stages import corpus, mix, quarantine, withdrawal

_MADE_OF = {"synthesized": (), "seeds": ("seed", "annotation"), "corpus": ("corpus",)}


def tables_of(conf: Mix) -> list[str]:
    """The tables that a mix is made of."""
    named = {"clean", "budget", "quarantine", "withdrawal"}.union(*(_MADE_OF[c.of] for c in conf.components))
    return sorted(named)


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
    """MIX rows, rejects of items of `clean`, what was asked for, there and taken of each part, and by component how many seeds or
    documents of a corpus may not go out under the export's licence."""

    rows: DataFrame
    rejects: DataFrame
    parts: list[Part]
    unlicensed: dict[str, int]


def blended(
    frames: Mapping[str, DataFrame], conf: Mix, tokenizer_json: str, store: Callable[[DataFrame], DataFrame]
) -> Blended:
    """Rows of `tables_of`, `clean` and `budget` of the rounds that are exported -> the mix; every item of `clean` is in it or has a
    reject. `store` makes a frame that is read several times cheap to read."""
    passed, held = quarantine.split(frames["clean"], frames["quarantine"])
    passed, gone = withdrawal.split(passed, frames["withdrawal"])
    items, left_out = mix.of_items(passed, conf)
    unlicensed: dict[str, int] = {}
    for name in (c.name for c in conf.components if c.of == "seeds"):
        seeds = withdrawal.left(frames["seed"], frames["withdrawal"])
        seeds, unlicensed[name] = permitted(seeds, conf.licence)
        items = items.unionByName(mix.of_seeds(seeds, frames["annotation"], name), allowMissingColumns=True)
    rendered = mix.render(items, tokenizer_json)
    rendered = store(mix.by_seed(rendered, tokenizer_json) if conf.document == "seed" else rendered)
    for name, source in ((c.name, c.source.name) for c in conf.components if c.source):
        documents = frames["corpus"].where((F.col("source") == source) & F.col("rule").isNull())
        documents = documents.withColumn("seed_id", F.col("document_id"))
        documents = withdrawal.left(documents, frames["withdrawal"]).drop("seed_id")
        documents, unlicensed[name] = permitted(documents, conf.licence)
        rendered = rendered.unionByName(corpus.documents(documents, name, rendered.columns))
    there = {(r["component"], r["cell"]): r["tokens"] for r in mix.supply(rendered).collect()}
    budget = frames["budget"].groupBy("discipline", "difficulty").agg(F.sum("tokens").alias("tokens")).collect()
    parts = blend(conf, {f"{r['discipline']}/{r['difficulty']}": r["tokens"] for r in budget}, there)
    edges = mix.edges(rendered, parts, conf).collect()  # one of each part at most
    also = one_more(sum(r["missing"] for r in edges), {r["rank"]: r["tokens"] for r in edges})
    ends = {(r["component"], r["cell"]): (r["rank"], r["rank"] in also) for r in edges}
    rows, over = mix.choose(rendered, parts, ends, conf)
    return Blended(rows, held.unionByName(gone).unionByName(left_out).unionByName(over), parts, unlicensed)
