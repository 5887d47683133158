"""What was made from a seed, a source or a licence, and its withdrawal: a row more, with who, when, why."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console

from boostqa.errors import ConfigError
from boostqa.schemas import WITHDRAWAL
from boostqa.stages.withdrawal import marked
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import Withdrawable

LISTED = 1000  # items; the tables clean and mix hold them all
Row = dict[str, Any]


def _named(warehouse: Warehouse, kind: Withdrawable, value: str) -> str:
    """The value as the tables have it: of a seed the whole id. Raises ConfigError where there is no such seed, source or
    licence, also of another corpus, which is a slip of the pen, or more than one seed."""
    documents = warehouse.rows("corpus").where("rule is null").withColumn("seed_id", F.col("document_id"))
    documents = documents.select("seed_id", "source", "licence")
    seeds = warehouse.read("seed").select("seed_id", "source", "licence").unionByName(documents)
    if kind == Withdrawable.SEED:
        rows = seeds.where(F.col("seed_id").startswith(value)).select("seed_id").limit(2)
    elif kind == Withdrawable.SOURCE:
        rows = seeds.where(F.col("source") == value).select("source").limit(1)
    else:
        names = seeds.select(F.explode(F.split("licence", " AND ")).alias("licence"))
        rows = names.where(F.lower("licence") == value.lower()).limit(1)
    found = [row[0] for row in rows.collect()]
    if len(found) != 1:
        raise ConfigError(
            f"--{kind} {value}: {'more than one seed has' if found else 'no seed or corpus of the warehouse has'} it"
        )
    return str(found[0])


def _rows(warehouse: Warehouse, chosen: Sequence[tuple[Withdrawable, str]], who: str, why: str) -> DataFrame:
    at = datetime.now(UTC)
    rows = [(str(kind), _named(warehouse, kind, value), who, why, at) for kind, value in chosen]
    return warehouse.spark.createDataFrame(sorted(set(rows)), WITHDRAWAL.schema)


def withdraw(
    warehouse: Warehouse, chosen: Sequence[tuple[Withdrawable, str]], who: str, why: str | None, dry_run: bool = False
) -> Row:
    """Withdraw the seeds (by the first characters of their ids), sources and licences of `chosen`, unless it is a `dry_run`;
    returns what is made from them: {"withdrawn": what is new, "items": the first LISTED of clean, exported ones first,
    "clean", "exported": numbers of items, "tokens": of the exported ones, "documents": seeds and documents of corpora in the mix}.

    Raises ConfigError when nothing is chosen, there is no such thing, or there is no reason.
    """
    if not chosen:
        raise ConfigError("name what is withdrawn: --seed, --source or --licence")
    if not (why and why.strip()):
        raise ConfigError("a withdrawal needs a reason: --why TEXT")
    rows = _rows(warehouse, chosen, who, why)
    new = rows.join(warehouse.rows("withdrawal"), ["kind", "value"], "left_anti").select(*rows.columns)
    each = warehouse.rows("mix").select(F.explode("draft_ids").alias("draft_id"), "tokens")
    mixed = each.groupBy("draft_id").agg(F.sum("tokens").alias("exported_tokens"))
    clean = warehouse.rows("clean")
    made = clean.join(marked(clean, rows).select("seed_id").distinct(), "seed_id", "left_semi")
    others = warehouse.rows("mix").where((F.size("draft_ids") == 0) & (F.col("pass") == 1))
    others = others.withColumn("seed_id", F.col("document_id"))  # seeds and documents of corpora
    gone = others.join(marked(others, rows).select("seed_id").distinct(), "seed_id", "left_semi")
    items = made.join(mixed, "draft_id", "left").select(
        "draft_id", "round", "seed_id", "source", "licence", "exported_tokens", F.left("question", F.lit(200)).alias("question")
    )  # fmt: skip
    n, exported, tokens = items.agg(F.count("*"), F.count("exported_tokens"), F.sum("exported_tokens")).collect()[0]
    order = (F.col("exported_tokens").isNull(), "draft_id")
    found = {
        "withdrawn": [r.asDict() for r in new.select("kind", "value").orderBy("kind", "value").collect()],
        "clean": n,
        "exported": exported,
        "tokens": tokens or 0,
        "documents": gone.count(),
        "items": [r.asDict() for r in items.orderBy(*order).limit(LISTED).collect()],
    }
    if found["withdrawn"] and not dry_run:
        warehouse.append("withdrawal", new, {"who": who, "why": why})
    return found


def show(found: Row, console: Console) -> None:
    """Print what is made from what was withdrawn, and what to do now."""
    for item in found["items"][:20]:
        where = f"in the mix, {item['exported_tokens']} tokens" if item["exported_tokens"] else "not in the mix"
        text = " ".join(item["question"].split())[:80]
        told = f"{item['draft_id'][:12]} {item['round']} {item['source']}: {where}: {text}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    if found["clean"] > 20:
        console.print(f"{found['clean'] - 20:,} more: --json has {LISTED:,}, the tables have all", highlight=False)
    named = ", ".join(f"{row['kind']} {row['value']}" for row in found["withdrawn"]) or "nothing new"
    console.print(
        f"{named}: {found['clean']:,} items were made from it, {found['exported']:,} of them exported ({found['tokens']:,} tokens)"
        + (f"; {found['documents']:,} seeds or documents of corpora are in the mix themselves" if found["documents"] else ""),
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
