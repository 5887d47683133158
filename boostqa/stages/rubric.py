"""items, drawn controls, and what a judge says of them by a rubric -> rubric, rejects. Grain: one item. Key: draft_id.

A sandwich: requests(items, spec), then scores(requests, completions), limits(scores of controls), parse(...). The judge
answers each criterion with yes or no; the score is the probability of yes. Whether it means anything is measured on the
controls as they were drawn, before any check: a criterion rejects only where the judge tells its defects from good items. What
it does not know: whether a level is right, since no control has a wrong one: `at_level` is a column and rejects nothing.
"""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import YES_NO, with_request
from boostqa.lookup import literal_map
from boostqa.prompts import wording
from boostqa.schemas import RUBRIC
from boostqa.stages.rejects import Check, Rule, first_broken, reject_rows
from boostqa.stages.wording import question_with_options
from boostqa.vocabulary import Cause, Defect
from boostqa.wilson import interval
from udfs.engines.messages import FinishReason

# Criterion -> what it is to find.
CRITERIA: dict[str, tuple[Defect, ...]] = {
    "correct": (Defect.WRITER_ERROR, Defect.WRONG_ANSWER, Defect.WRONG_LETTER, Defect.CONTRADICTED),
    "self_contained": (Defect.QUANTITY_REMOVED, Defect.SOURCE_REFERENCE, Defect.CUT_OFF),
    "clear": (Defect.CUT_OFF, Defect.SHUFFLED, Defect.TWO_RIGHT_OPTIONS),
    "at_level": (),
}
_RULES = {name: Rule(f"rubric_{name}", Cause.RULE) for name, defects in CRITERIA.items() if defects}
RULES = tuple(_RULES.values())
_LOST = 0.1  # of the good controls: what a criterion may cost
_FEWEST = 5  # controls of a kind; with fewer the intervals of the shares meet whatever was found


def requests(items: DataFrame, spec: ModelSpec) -> DataFrame:
    """Items with DRAFT columns, `drawn` (whether it is a control as it was drawn) and its `defect` -> a request for each
    criterion [draft_id, drawn, defect, criterion, REQUEST columns]; what differs comes last in the prompt, so that an
    item's requests share a prefix."""
    criteria = F.explode(F.array(*map(F.lit, CRITERIA))).alias("criterion")
    values = {
        "question": question_with_options(F.col("question"), F.col("choices")),
        "solution": F.coalesce("solution", F.lit("")),
        "answer": F.col("answer"),
        "grade": wording("grade", F.col("grade"), F.col("lang")),
    }
    rows = items.select("draft_id", "drawn", "defect", "lang", *(v.alias(n) for n, v in values.items()), criteria)
    template = prompts.load("rubric")
    asked = {name: F.col(name) for name in values} | {
        "criterion": wording("criterion", F.col("criterion"), F.col("lang"))
    }
    prompt = template.render(F.col("lang"), **asked)
    return with_request(rows, "clean", spec, template, prompt, structured=F.lit(YES_NO)).drop("lang", *values)


def scores(requests: DataFrame, completions: DataFrame) -> DataFrame:
    """Requests and the ledger (unique by request_id) -> [draft_id, drawn, defect, a column for each criterion, request_ids],
    unique by (draft_id, drawn). A reply that failed, was refused or cut off is no judgement: null."""
    yes = F.coalesce(F.exp(F.try_element_at("choice_logprobs", F.lit("yes"))), (F.col("text") == "yes").cast("double"))
    said = completions.select("request_id", F.when(F.col("finish_reason") == FinishReason.STOP, yes).alias("score"))
    rows = requests.select("draft_id", "drawn", "defect", "criterion", "request_id").join(said, "request_id", "inner")
    each = (F.max(F.when(F.col("criterion") == name, F.col("score"))).alias(name) for name in CRITERIA)
    paid = F.array_sort(F.collect_set("request_id")).alias("request_ids")
    return rows.groupBy("draft_id", "drawn", "defect").agg(*each, paid)


def limits(controls: list[dict[str, Any]]) -> dict[str, float]:
    """Scores of drawn controls -> criterion -> the score below which an item fails it; only of criteria that tell.

    Below the limit lie at most _LOST of the good controls. A criterion tells where its share of the controls with its
    defects below the limit and that of the good ones have 95% intervals that do not meet.
    """
    found = {}
    for name, defects in CRITERIA.items():
        seen = [(c["defect"], c[name]) for c in controls if c[name] is not None]
        good = sorted(score for defect, score in seen if defect == Defect.NONE)
        spoilt = [score for defect, score in seen if defect in defects]
        if min(len(good), len(spoilt)) < _FEWEST:
            continue
        limit = good[int(_LOST * len(good))]
        caught = interval(sum(s < limit for s in spoilt), len(spoilt))[0]
        if caught > interval(sum(s < limit for s in good), len(good))[1]:
            found[name] = limit
    return found


def parse(scored: DataFrame, limits: dict[str, float], judge: str) -> tuple[DataFrame, DataFrame]:
    """Scores of items -> (RUBRIC rows, rejects of those below a limit)."""
    used = literal_map(limits, "double")
    rows = scored.withColumns({"judge": F.lit(judge), "limits": used})
    checks = []
    for name, rule in _RULES.items():
        limit = F.lit(limits.get(name)).cast("double")  # null: no evidence, so nothing breaks the rule
        checks.append(
            Check(rule, F.col(name) < limit, F.format_string("yes %.2f < %.2f (%s)", name, limit, F.lit(judge)))
        )
    judged = rows.withColumn("broken_rule", first_broken(checks))
    return rows.select(*RUBRIC.schema.names), reject_rows(judged, "clean", "draft_id", F.col("request_ids"))
