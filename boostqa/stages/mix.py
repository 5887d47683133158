"""clean, budget, seeds -> mix, rejects. Grain: one exported document, as often as it comes. Key: document_id, pass.

Items are given to the components of the conf, rendered as plain text, counted under the target tokenizer, and taken to the
tokens of their part, a cell (discipline/measured difficulty) of a component (boostqa/blend.py), in the order of a hash; a part
that has too few takes its documents again. What may disappear: items beyond the total (rule `over_budget`) and those that no
component takes (`no_component`); the caller leaves out what is in quarantine or withdrawn (rules `quarantined`, `withdrawn`).
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.blend import NO_CELL, Part
from boostqa.config import Component, Mix
from boostqa.schemas import MIX
from boostqa.schemas.table import STRINGS
from boostqa.stages.quarantine import QUARANTINED
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.stages.withdrawal import WITHDRAWN
from boostqa.stages.wording import in_one_document, rendered
from boostqa.vocabulary import NO_ROUND, Cause, Format, ItemTable, Kind

OVER_BUDGET = Rule("over_budget", Cause.OVER_BUDGET)
NO_COMPONENT = Rule("no_component", Cause.OVER_BUDGET)
CONTROL_TOKENS = Rule("control_tokens", Cause.RULE)
RULES = (QUARANTINED, WITHDRAWN, CONTROL_TOKENS, NO_COMPONENT, OVER_BUDGET)
SALT = "mix"
# Hexadecimal digits of the hash that name a bucket of a part: a sum runs inside a bucket, so in one task, at any size.
_BUCKET_DIGITS = 3
_RENDERED = [name for name in MIX.schema.names if name not in ("pass", "shard")]
_PART = "struct<component:string,cell:string,asked:long,there:long,taken:long,passes:int,edge:string,edge_too:boolean>"


def of_items(clean: DataFrame, conf: Mix) -> tuple[DataFrame, DataFrame]:
    """CLEAN rows with their `round` -> (the same with `component`, the first that takes them, and as documents of one item each;
    rejects `no_component`)."""
    takers = (F.when(_takes(c, conf), F.lit(c.name)) for c in conf.components if c.of == "synthesized")
    component = F.coalesce(*takers, F.lit(None).cast("string"))
    rows = clean.withColumns(
        {"component": component, "document_id": F.col("draft_id"), "draft_ids": F.array("draft_id")}
    )
    left_out = rows.where("component is null").withColumn("broken_rule", breaks_rule(NO_COMPONENT, _told()))
    return rows.where("component is not null"), reject_rows(left_out, "mix", "draft_id")


def _told() -> Column:
    return F.format_string("%s, round %s, solution of %d characters", "strategy", "round", F.length("solution"))


def _takes(component: Component, conf: Mix) -> Column:
    is_long = F.length("solution") >= conf.long_reasoning
    conditions = [
        *([F.col("strategy").isin(*component.strategies)] if component.strategies else []),
        *([F.col("round").isin(*component.rounds)] if component.rounds else []),
        *([is_long if component.reasoning == "long" else ~is_long] if component.reasoning else []),
    ]
    taken = F.lit(True)
    for condition in conditions:
        taken &= condition
    return taken


def of_seeds(seeds: DataFrame, annotation: DataFrame, component: str) -> DataFrame:
    """SEED and ANNOTATION rows -> the questions with answers among the seeds as `of_items` gives items, of no round; with neither
    solution nor strategy."""
    labels = annotation.where(F.col("item_table") == ItemTable.SEED).select(
        F.col("item_id").alias("seed_id"), "discipline", "difficulty"
    )
    asked = seeds.where((F.col("kind") == Kind.QA) & F.col("answer").isNotNull())
    form = F.when(F.col("choices").isNull(), Format.SHORT_ANSWER).otherwise(Format.MULTIPLE_CHOICE)
    nothing = F.lit(None).cast("string")
    return asked.join(labels, "seed_id", "inner").withColumns(  # labels: unique by seed_id
        {
            "component": F.lit(component), "round": F.lit(NO_ROUND), "draft_id": F.col("seed_id"), "format": form,
            "document_id": F.col("seed_id"), "draft_ids": F.array().cast(STRINGS), "solution": nothing, "strategy": nothing,
        }
    )  # fmt: skip


def render(items: DataFrame, tokenizer_json: str) -> DataFrame:
    """Items of components -> MIX columns without `pass` and `shard`: `text` in plain text in one of several layouts, its `tokens`,
    no special tokens added, and the `spans` of its parts; and `control_tokens`, an array of those that the tokenizer finds in
    the text.

    `tokenizer_json` is the content of the target model's tokenizer.json. Labels are Chinese for lang zh, else English.
    """
    texts = items.drop("text", "tokens").withColumn("rendered", rendered(tokenizer_json)).select("*", "rendered.*")
    return texts.select(*_RENDERED, "control_tokens")


def by_seed(rendered: DataFrame, tokenizer_json: str) -> DataFrame:
    """Result of `render` -> the same with the items of a component and round that were made from one seed as one document, in the
    order of a hash; its other columns are those of the first."""
    each = F.struct(_rank("document_id").alias("rank"), *rendered.columns)
    rows = rendered.groupBy("component", "round", "seed_id").agg(F.sort_array(F.collect_list(each)).alias("items"))
    parts = (F.col(f"items.{name}") for name in ("layout", "text", "spans"))
    rows = rows.withColumn("joined", in_one_document(tokenizer_json, *parts)).withColumn("first", F.col("items")[0])
    ids = F.flatten("items.draft_ids")
    several = F.when(F.size("items") > 1, F.sha2(F.array_join(ids, " "), 256))
    of_all = {
        "document_id": F.coalesce(several, F.col("first.document_id")),
        "draft_ids": ids,
        **{name: F.col(f"joined.{name}") for name in ("layout", "text", "tokens", "spans", "control_tokens")},
    }
    return rows.select(*(of_all.get(name, F.col(f"first.{name}")).alias(name) for name in rendered.columns))


def _rank(key: str) -> Column:
    return F.sha2(F.concat(F.lit(SALT), key), 256)


def _cell() -> Column:
    return F.coalesce(F.concat("discipline", F.lit("/"), "difficulty"), F.lit(NO_CELL)).alias("cell")


def clear(rendered: DataFrame) -> DataFrame:
    """The rows of `render` whose text is read as text."""
    return rendered.where(F.size("control_tokens") == 0)


def supply(rendered: DataFrame) -> DataFrame:
    """[component, cell, tokens]: those of the documents that are there, each once."""
    return clear(rendered).groupBy("component", _cell()).agg(F.sum("tokens").alias("tokens"))


def edges(rendered: DataFrame, parts: Sequence[Part], conf: Mix) -> DataFrame:
    """[component, cell, rank, tokens, missing] of the first document of each part, in the order of a hash, that does not fit into
    its `rest` any more, and the tokens that the part is short of without it; none of parts whose documents have come as often as
    they may."""
    group = ("component", "cell")
    rows = clear(rendered).select("component", _cell(), "tokens", _rank("document_id").alias("rank"))
    rows = rows.withColumn("bucket", F.left("rank", F.lit(_BUCKET_DIGITS)))
    buckets = rows.groupBy(*group, "bucket").agg(F.sum("tokens").alias("in_bucket"))
    before = F.sum("in_bucket").over(Window.partitionBy(*group).orderBy("bucket")) - F.col("in_bucket")
    offsets = buckets.select(*group, "bucket", before.alias("offset"))  # unique by part and bucket
    in_bucket = Window.partitionBy(*group, "bucket").orderBy("rank")
    so_far = F.col("offset") + F.sum("tokens").over(in_bucket)
    limits = {c.name: c.passes or conf.passes for c in conf.components}
    told = [(p.component, p.cell, p.rest) for p in parts if p.passes < limits[p.component]]
    of_parts = rendered.sparkSession.createDataFrame(told, "component string, cell string, rest long")
    placed = rows.join(offsets, [*group, "bucket"], "inner").withColumn("so_far", so_far)
    placed = placed.join(F.broadcast(of_parts), list(group), "inner")  # unique by component and cell
    missing = F.col("rest") - (F.col("so_far") - F.col("tokens"))
    return placed.where((missing >= 0) & (F.col("so_far") > F.col("rest"))).select(
        *group, "rank", "tokens", missing.alias("missing")
    )


def choose(
    rendered: DataFrame, parts: Sequence[Part], ends: Mapping[tuple[str, str], tuple[str, bool]], conf: Mix
) -> tuple[DataFrame, DataFrame]:
    """Result of `render`, the parts, and of those that have one the rank of their edge and whether its document is taken, too, by
    (component, cell) -> (MIX rows, rejects of items).

    Rules: `control_tokens` (the text would not be read as text; escaping leaves none, so a row that has one came past
    it), `over_budget`.
    """
    told = [(p.component, p.cell, (*p, p.passes, *ends.get(p[:2], (None, False)))) for p in parts]
    of_parts = rendered.sparkSession.createDataFrame(told, f"component string, cell string, part {_PART}")
    rows = clear(rendered).withColumns({"cell": _cell(), "rank": _rank("document_id")})
    rows = rows.join(F.broadcast(of_parts), ["component", "cell"], "inner")  # unique by component and cell
    edge = F.col("part.edge")
    once_more = F.coalesce((F.col("rank") < edge) | (F.col("part.edge_too") & (F.col("rank") == edge)), F.lit(False))
    rows = rows.withColumn("times", F.col("part.passes") + once_more.cast("int"))
    evidence = F.format_string(
        "%s %s: asked for %d tokens, %d there, %d taken; document %d tokens",
        *(F.col(f"part.{name}") for name in ("component", "cell", "asked", "there", "taken")), "tokens",
    )  # fmt: skip
    over = rows.where("times = 0").withColumn("broken_rule", breaks_rule(OVER_BUDGET, evidence))
    control = F.array_join("control_tokens", " ")
    unclear = rendered.where(control != "").withColumn("broken_rule", breaks_rule(CONTROL_TOKENS, control))
    dropped = [r.select(F.explode("draft_ids").alias("draft_id"), "broken_rule") for r in (over, unclear)]
    mixed = rows.where("times > 0").withColumn("pass", F.explode(F.sequence(F.lit(1), "times")))
    shard = F.pmod(F.xxhash64("document_id", "pass"), F.lit(conf.shards)).cast("int")
    rejects = reject_rows(dropped[0].unionByName(dropped[1]), "mix", "draft_id")
    return mixed.withColumn("shard", shard).select(*MIX.schema.names), rejects
