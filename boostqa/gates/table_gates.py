"""Gates on tables as a whole: rates, labels, requests, what is left for the mix. None of their rows is at fault alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Gate
from boostqa.gates.verdict import Bound, Finding
from boostqa.stages import clean
from boostqa.stages.aim import BELOW_AIM
from boostqa.stages.deduplicate import EXACT_DUPLICATE, NEAR_DUPLICATE
from boostqa.stages.rejects import Rule
from boostqa.vocabulary import (
    CUT_OFF,
    DRAFT_LETTERS,
    HIGH_GRADES,
    UNUSABLE,
    WRITTEN,
    Cause,
    Format,
    GateName,
    ItemTable,
)  # fmt: skip

FEWEST_LABELS = 20  # below, one value for all may be the truth
LABELS = ("difficulty", "discipline")


@dataclass(frozen=True)
class TableGate:
    """A limit on the rows that `counts` is true for; `what` completes "3 of 100 ..."; `evidence` tells of one row."""

    name: str
    counts: Column
    limit: float
    of: Literal["rows", "share"]
    what: str
    evidence: Column

    def finding(self, table: str, rows: DataFrame, counted: int, total: int) -> Finding:
        """What `counted` of `total` rows say."""
        at_fault = rows.where(self.counts).select(F.col("draft_id").alias("key"), self.evidence.alias("evidence"))
        value = counted / max(total, 1) if self.of == "share" else counted
        seen = f"{counted} of {total} {self.what}"
        return Finding(table, self.name, value, "at most", self.limit, seen, at_fault)


def _marked(rows: DataFrame, mark: str, ids: DataFrame) -> DataFrame:
    """`rows` with a column `mark`, true where the draft_id is among `ids` and null elsewhere."""
    return rows.join(ids.distinct().withColumn(mark, F.lit(True)), on="draft_id", how="left")  # ids: unique by distinct


def _rejected(reject: DataFrame, stage: str, *rules: Rule) -> DataFrame:
    """[draft_id] of the rows that a stage rejected, by any rule or by `rules`."""
    rows = reject.where(F.col("stage") == stage)
    if rules:
        rows = rows.where(F.col("rule").isin(*(rule.name for rule in rules)))
    return rows.select(F.col("key").alias("draft_id"))


def counted_gates(frames: dict[str, DataFrame], gate: Gate) -> dict[str, tuple[DataFrame, list[TableGate]]]:
    """Table -> (its rows, gates). Drafts that synthesize dropped for being easier than their aim count as degraded,
    too."""
    draft, refined, reject = (frames[t] for t in ("draft", "refined", "reject"))
    below_aim = _rejected(reject, "synthesize", BELOW_AIM)
    aim = F.format_string("asked for %s, measured %s", "grade", "difficulty")
    degraded = draft.select("draft_id", (F.col("difficulty") < F.col("grade")).alias("degraded"), aim.alias("aim"))
    dropped = below_aim.select("draft_id", F.lit(True).alias("degraded"), F.lit("dropped: below its aim").alias("aim"))
    after_draft = refined.select("draft_id").union(_rejected(reject, "refine")).union(below_aim)
    after_refined = _rejected(reject, "clean").union(frames["clean"].select("draft_id"))
    duplicates = _rejected(reject, "clean", EXACT_DUPLICATE, NEAR_DUPLICATE)
    unexplained, nowhere = F.col("explained").isNull(), F.lit("neither in the next table nor in reject")
    return {
        "draft": (
            _marked(degraded.union(dropped), "explained", after_draft),
            [
                TableGate(
                    GateName.DEGRADATION_RATE,
                    F.col("degraded"),
                    gate.max_degradation_rate,
                    "share",
                    "drafts are easier than the request aimed at",
                    F.col("aim"),
                ),
                TableGate(
                    GateName.UNEXPLAINED, unexplained, 0, "rows", "drafts are neither in refined nor in reject", nowhere
                ),
            ],
        ),
        "refined": (
            _marked(_marked(refined, "explained", after_refined), "duplicate", duplicates),
            [
                TableGate(
                    GateName.DUPLICATE_RATE,
                    F.col("duplicate"),
                    gate.max_duplicate_rate,
                    "share",
                    "refined items repeat another one",
                    F.left("question", F.lit(200)),
                ),
                TableGate(
                    GateName.UNEXPLAINED,
                    unexplained,
                    0,
                    "rows",
                    "refined items are neither in clean nor in reject",
                    nowhere,
                ),
            ],
        ),
    }


def counted_findings(frames: dict[str, DataFrame], gate: Gate) -> Iterator[Finding]:
    """What the gates of `counted_gates` see, all of a table in one job."""
    for table, (rows, gates) in counted_gates(frames, gate).items():
        counts = rows.agg(F.count("*"), *(F.count_if(g.counts) for g in gates)).first()
        assert counts is not None
        yield from (g.finding(table, rows, n, counts[0]) for g, n in zip(gates, counts[1:], strict=True))


def label_findings(annotation: DataFrame, gate: Gate) -> Iterator[Finding]:
    """Whether the annotator's labels of seeds and drafts say anything: one value for nearly all is none."""
    if gate.max_label_share is None:
        return
    made = annotation.where(F.col("item_table").isin(ItemTable.SEED, ItemTable.DRAFT) & (F.col("annotator") != "given"))
    told = {"discipline": ~F.col("annotator").rlike(r"^(?:given|plan) \+ ")}  # else by source or request
    labels = F.array(
        *(F.struct(F.lit(c).alias("label"), F.when(told.get(c, F.lit(True)), F.col(c)).alias("value")) for c in LABELS)
    )
    counts = (
        made.select("item_table", F.inline(labels))
        .where("value is not null")
        .groupBy("item_table", "label", "value")
        .count()
        .collect()
    )
    for table, label in sorted({(r["item_table"], r["label"]) for r in counts}):
        by_value = {r["value"]: r["count"] for r in counts if (r["item_table"], r["label"]) == (table, label)}
        items, most = sum(by_value.values()), max(by_value, key=lambda v: (by_value[v], v))
        if items >= FEWEST_LABELS:
            name, share = f"{GateName.LABELS_COLLAPSE}({table} {label})", by_value[most] / items
            seen = f"{by_value[most]} of {items} {table}s have the {label} {most} ({share:.0%})"
            yield Finding("annotation", name, share, "at most", gate.max_label_share, seen)


def _requests(frames: dict[str, DataFrame]) -> DataFrame:
    """[request_id, stage, failed, text, cut, error]: completions that the present tables refer to, each once; whether it
    failed or was refused, was to write text (and not a label), and was cut off."""
    ids = [
        frames[t].select(F.explode("request_ids").alias("request_id"))
        for t in ("annotation", "control", "refined", "reject")
    ]
    referred = frames["draft"].select("request_id")
    for more in ids:
        referred = referred.union(more)
    one_of_a_list = F.get_json_object("structured", "$.choice").isNotNull()
    return (
        frames["completion"]
        .join(referred, "request_id", "left_semi")
        .select(
            *("request_id", "stage"),
            F.col("finish_reason").isin(*UNUSABLE).alias("failed"),
            (~one_of_a_list & F.col("finish_reason").isin(*WRITTEN)).alias("text"),
            F.col("finish_reason").isin(*CUT_OFF).alias("cut"),
            F.coalesce("error", F.concat(F.lit("cut off: "), "finish_reason")).alias("error"),
        )
    )


def request_findings(frames: dict[str, DataFrame], gate: Gate) -> Iterator[Finding]:
    """Failed and cut-off requests of each stage. Scores of the probe are counted as the items scored: table probe keeps
    no request ids."""
    requests = _requests(frames)
    figures = ("requests", "failed", "texts", "cut")
    counts = [F.count("*"), F.count_if("failed"), F.count_if("text"), F.count_if(F.col("text") & F.col("cut"))]
    scored = frames["probe"].agg(F.coalesce(F.sum("items"), F.lit(0)).alias("requests"))
    scored = scored.select(F.lit("probe").alias("stage"), "requests", *(F.lit(0).alias(f) for f in figures[1:]))
    by_stage = requests.groupBy("stage").agg(*(c.alias(f) for f, c in zip(figures, counts, strict=True)))
    sums = by_stage.union(scored).groupBy("stage").agg(*(F.sum(f).alias(f) for f in figures))
    for row in sorted(sums.collect()):
        stage, n, failed, texts, cut = row["stage"], *(row[f] for f in figures)
        of_stage = requests.where(F.col("stage") == stage)
        if n and gate.max_failed_requests is not None:
            name, share = f"{GateName.FAILED_REQUESTS}({stage})", failed / n
            seen = f"{failed} of {n} requests of stage {stage} failed or were refused ({share:.1%})"
            yield _requests_finding(name, share, gate.max_failed_requests, seen, of_stage.where("failed"))
        if texts:
            name, share = f"{GateName.TRUNCATION_RATE}({stage})", cut / texts
            seen = f"{cut} of {texts} texts asked for by stage {stage} were cut off ({share:.1%})"
            yield _requests_finding(name, share, gate.max_truncation_rate, seen, of_stage.where("text and cut"))


def _requests_finding(name: str, share: float, limit: float, seen: str, at_fault: DataFrame) -> Finding:
    rows = at_fault.select(F.col("request_id").alias("key"), F.col("error").alias("evidence"))
    return Finding("completion", name, share, "at most", limit, seen, rows)


def accepted_drafts(frames: dict[str, DataFrame]) -> tuple[int, int]:
    """(drafts that refine and the rules of clean let through, drafts); duplicates and leaks count as let through: they
    say nothing about right and wrong."""
    neutral = [r.name for r in clean.RULES if r.lost_to in (Cause.DUPLICATE, Cause.CONTAMINATION)]
    judged = frames["reject"].where(F.col("stage").isin("refine", "clean") & ~F.col("rule").isin(neutral))
    refused = judged.select(F.col("key").alias("draft_id"))
    row = _marked(frames["draft"].select("draft_id"), "refused", refused).agg(
        F.count("*"), F.count_if(F.col("refused").isNull())
    ).first()  # fmt: skip
    assert row is not None
    return row[1], row[0]


def export_findings(left: DataFrame, budget: DataFrame, gate: Gate) -> Iterator[Finding]:
    """Gates on what is left for the mix (CLEAN rows that are not in quarantine), the round's BUDGET rows beside it."""
    hard = F.count_if(F.col("difficulty").isin(*HIGH_GRADES))
    lettered = F.col("format") == Format.MULTIPLE_CHOICE
    letters = [F.count_if(lettered & (F.col("answer") == letter)).alias(letter) for letter in DRAFT_LETTERS]
    tokens = F.coalesce(F.sum("tokens"), F.lit(0)).alias("tokens")
    sums = left.agg(F.count("*").alias("n"), hard.alias("hard"), tokens, *letters).first()
    assert sums is not None
    rows, hard_rows = sums["n"], sums["hard"]
    yield _left(GateName.MIN_ROWS, rows, gate.min_rows, f"{rows} items are left for the mix")
    if rows:
        share = hard_rows / rows
        seen = f"{hard_rows} of {rows} items left are of high difficulty ({share:.0%})"
        yield _left(GateName.HIGH_DIFFICULTY_SHARE, share, gate.min_high_difficulty_share, seen)
    by_letter = {letter: sums[letter] for letter in DRAFT_LETTERS}
    choices, most = sum(by_letter.values()), max(by_letter, key=lambda letter: by_letter[letter])
    if choices >= FEWEST_LABELS and gate.max_letter_share is not None:
        share = by_letter[most] / choices
        seen = f"{by_letter[most]} of {choices} multiple-choice items left have the answer {most} ({share:.0%})"
        yield Finding("clean", GateName.LETTERS_BALANCED, share, "at most", gate.max_letter_share, seen)
    wanted = budget.agg(F.max("round_tokens")).first()
    if gate.min_budget_share is not None and wanted and wanted[0]:
        share = sums["tokens"] / wanted[0]
        seen = f"{sums['tokens']:,} tokens are left for the mix, {share:.0%} of the {wanted[0]:,} that the round is to give"
        yield _left(GateName.BUDGET_MET, share, gate.min_budget_share, seen)


def _left(name: GateName, value: float, limit: float, seen: str) -> Finding:
    bound: Bound = "at least"
    return Finding("clean", name, value, bound, limit, seen)
