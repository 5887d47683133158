"""Tables -> verdicts: a Great Expectations suite per table, table-level gates in native Spark, and pages to read them.

What Delta and tables.py enforce at a write is not paid for twice. A not-null expectation could never fail: Spark folds
it to "0 nulls" because the stored schema says NOT NULL. The uniqueness of a key (a shuffle, by far the dearest
expectation) is asked only of the ledger, which is appended to. A suite, however long, is two queries over its table
because no example values are asked for; only expectations that fail are run again, with examples. Two column-pruned
queries cost no more than caching a table of long texts, so nothing is persisted here.
"""

import logging
from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.expectations.expectation import Expectation
from jinja2 import Environment
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean, Gate, Seed
from boostqa.schemas import FORMATS, GRADES, HIGH, STAGES, TABLES

SHA256, FIELD = "^[0-9a-f]{64}$", "^[0-9]{4}$"
STRATEGIES = ("multi_grade", "high_difficulty")
MAY_BE_EMPTY = ("reject", "contamination")
EXAMPLES = 5  # distinct values shown of a failed expectation

# (gate, rows that count, "at most" | "at least", limit): a float limits their share of all rows, an int their number.
Check = tuple[str, Column, str, float]


def _one_of(column: str, values: Iterable[str]) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values))


def _between(column: str, low: int, high: int | None = None) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def _matches(column: str, regex: str) -> Expectation:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex)


def _length(column: str, low: int, high: int | None = None) -> Expectation:
    return gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=low, max_value=high)


def _cell() -> list[Expectation]:
    return [_matches("discipline", FIELD), _one_of("difficulty", GRADES)]


def _request() -> list[Expectation]:
    ids = [_matches("plan_id", SHA256), _matches("seed_id", SHA256)]
    return [*ids, _one_of("grade", GRADES), _one_of("strategy", STRATEGIES), _one_of("format", FORMATS)]


def _item(low: int = 1, high: int | None = None) -> list[Expectation]:
    ids = [_matches("draft_id", SHA256), _matches("request_id", SHA256)]
    return [*ids, *_request(), *_cell(), _length("question", low, high), _length("answer", 1)]


def _values(seed: Seed, clean: Clean) -> dict[str, list[Expectation]]:
    """What each table's values must be, beyond what follows from the contract."""
    status = ("agreed", "corrected")
    return {
        "seed": [
            _matches("seed_id", SHA256),
            _one_of("kind", ("document", "qa")),
            _one_of("lang", seed.languages),
            _one_of("licence", seed.licences),
            _between("tokens", 1),
        ],
        "annotation": [
            *_cell(),
            _one_of("item_table", ("seed", "draft", "probe_item")),
            _between("discipline_probability", 0, 1),
            _between("difficulty_probability", 0, 1),
        ],
        "probe": [
            *_cell(),
            _one_of("method", ("letter", "cloze")),
            _between("items", 1),
            *(_between(c, 0, 1) for c in ("accuracy", "wilson_low", "wilson_high", "chance")),
        ],
        "budget": [*_cell(), *(_between(c, 0, 1) for c in ("deficit", "difficulty_share")), _between("tokens", 0)],
        "plan": [*_request(), _matches("discipline", FIELD)],
        "completion": [
            gxe.ExpectColumnValuesToBeUnique(column="request_id"),
            _matches("request_id", SHA256),
            _matches("template", SHA256),
            _one_of("stage", STAGES),
            _one_of("finish_reason", ("stop", "length", "scored", "refused", "failed")),
            *(_between(c, 0) for c in ("prompt_tokens", "generated_tokens", "thinking_tokens")),
        ],
        "draft": _item(),
        "refined": [*_item(), _one_of("status", status), _length("draft_answer", 1), _between("votes", 1)],
        "clean": [*_item(clean.min_question_characters, clean.max_question_characters), _one_of("status", status)],
        "reject": [_one_of("stage", STAGES), _length("rule", 1), _length("key", 1)],
        "contamination": [_one_of("field", ("question", "choices", "answer", "passage")), _length("match", 1)],
    }


def _contract(name: str) -> list[Expectation]:
    """What follows from the table's contract."""
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=TABLES[name].schema.names, exact_match=True),
        gxe.ExpectTableRowCountToBeBetween(min_value=0 if name in MAY_BE_EMPTY else 1),
    ]


def _observed(result: Any) -> str:
    """What an expectation saw, as one line."""
    seen, info = result.result, result.exception_info or {}
    failures = [info] if "raised_exception" in info else list(info.values())
    if raised := [f["exception_message"] for f in failures if f["raised_exception"]]:
        return f"not evaluated: {' '.join(str(raised[0]).split())[:200]}"
    if "unexpected_count" in seen:
        text = f"{seen['unexpected_count']} of {seen['element_count']} rows break it"
        examples = ", ".join(f"{e['value']} ({e['count']})" for e in seen.get("partial_unexpected_counts") or [])
        return f"{text}: {examples[:200]}" if examples else text
    if "details" in seen:
        wrong = {k: v for k, v in (seen["details"].get("mismatched") or {}).items() if v}
        return "; ".join(f"{k}: {', '.join(v)}" for k, v in sorted(wrong.items())) or "as expected"
    return str(seen.get("observed_value"))


def _expected(kwargs: dict[str, Any]) -> str:
    """The arguments of an expectation, as one line."""
    shown = {k: v for k, v in kwargs.items() if k not in ("batch_id", "column", "exact_match")}
    texts = (f"{k}: {', '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in sorted(shown.items()))
    return "; ".join(texts) or "every row"


def _verdict(table: str, gate: str, version: int, success: bool, observed: str, expected: str) -> dict[str, Any]:
    verdict = {"table": table, "gate": gate, "success": success, "observed": observed, "expected": expected}
    return verdict | {"version": version}


def _gate_name(configuration: Any) -> str:
    column = configuration.kwargs.get("column")
    return f"{configuration.type}({column})" if column else str(configuration.type)


def _validate(
    frames: dict[str, DataFrame], versions: dict[str, int], suites: dict[str, list[Expectation]], folder: Path
) -> list[dict[str, Any]]:
    """Run the suites under one GX run id, and what failed of a table once more as suite `<table> failures`."""
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_or_update_spark("spark", persist=False)
    run_id = RunIdentifier(run_name=" ".join(f"{table}@{version}" for table, version in sorted(versions.items())))

    def run(name: str, expectations: list[Expectation], frame: DataFrame, examples: int) -> dict[str, Any]:
        """Gate name -> result. A checkpoint holds one table: the data frame is a parameter of the checkpoint."""
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all rows")
        suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add_or_update(definition)],
            actions=[UpdateDataDocsAction(name="data_docs")],
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": examples},
        )
        outcome = context.checkpoints.add_or_update(checkpoint).run({"dataframe": frame}, run_id=run_id)
        (validation,) = outcome.run_results.values()
        return {_gate_name(result.expectation_config): result for result in validation.results}

    verdicts = []
    for name, frame in frames.items():
        results = run(name, suites[name], frame, examples=0)
        if broken := [copy(e) for e in suites[name] if not results[_gate_name(e.configuration)].success]:
            results |= run(f"{name} failures", broken, frame, EXAMPLES)
        for gate, result in results.items():
            expected = _expected(result.expectation_config.kwargs)
            verdicts.append(_verdict(name, gate, versions[name], result.success, _observed(result), expected))
    return verdicts


def _marked(rows: DataFrame, mark: str, ids: DataFrame, key: str = "draft_id") -> DataFrame:
    """`rows` with a column `mark`, true where the key is among `ids` and null elsewhere."""
    return rows.join(ids.distinct().withColumn(mark, F.lit(True)), on=key, how="left")  # ids: unique by distinct


def _gates(frames: dict[str, DataFrame], gate: Gate, seed: Seed) -> dict[str, tuple[DataFrame, list[Check]]]:
    """Table-level gates: table -> (its rows, checks)."""
    draft, refined, clean, reject = (frames[t] for t in ("draft", "refined", "clean", "reject"))
    rejected = reject.select("stage", "rule", F.col("key").alias("draft_id"))
    refused = rejected.where("stage = 'refine'").select("draft_id")
    cleaned = rejected.where("stage = 'clean'").select("draft_id")
    duplicate = rejected.where("stage = 'clean' AND rule IN ('exact_duplicate', 'near_duplicate')").select("draft_id")
    truncated = rejected.where("stage = 'synthesize' AND rule = 'truncated'").select(F.col("draft_id").alias("plan_id"))
    # Drafts that synthesize dropped for being easier than their aim count as degraded, too.
    degraded = draft.select("draft_id", (F.col("difficulty") < F.col("grade")).alias("degraded"))
    below_aim = rejected.where("stage = 'synthesize' AND rule = 'below_aim'").select(
        "draft_id", F.lit(True).alias("degraded")
    )
    explained = refined.select("draft_id").union(refused).union(below_aim.select("draft_id"))
    unexplained = ("unexplained", F.col("known").isNull(), "at most", 0)
    return {
        "plan": (
            _marked(frames["plan"], "truncated", truncated, "plan_id"),
            [("truncation_rate", F.col("truncated"), "at most", gate.max_truncation_rate)],
        ),
        "draft": (
            _marked(degraded.union(below_aim), "known", explained),
            [("degradation_rate", F.col("degraded"), "at most", gate.max_degradation_rate), unexplained],
        ),
        "refined": (
            _marked(_marked(refined, "known", cleaned.union(clean.select("draft_id"))), "duplicate", duplicate),
            [("duplicate_rate", F.col("duplicate"), "at most", gate.max_duplicate_rate), unexplained],
        ),
        "clean": (
            _marked(clean, "contaminated", frames["contamination"].select("draft_id")),
            [
                ("min_rows", F.lit(True), "at least", gate.min_rows),
                ("high_difficulty_share", F.col("difficulty").isin(*HIGH), "at least", gate.min_high_difficulty_share),
                ("contaminated", F.col("contaminated"), "at most", gate.max_contaminated),
                ("licence_allowed", ~F.col("licence").isin(seed.licences), "at most", 0),
                ("languages", ~F.col("lang").isin(seed.languages), "at most", gate.max_other_language_share),
            ],
        ),
    }


def _bounded(table: str, version: int, name: str, part: int, whole: int, bound: str, limit: float) -> dict[str, Any]:
    """Hold a number of rows, or their share of `whole` where the limit is a float, against a limit."""
    share = isinstance(limit, float)
    value = part / max(whole, 1) if share else part
    success = value <= limit if bound == "at most" else value >= limit
    observed = f"{value:.4f} ({part} of {whole})" if share else f"{part} of {whole} rows"
    return _verdict(table, name, version, success, observed, f"{bound} {limit}")


def judge(
    frames: dict[str, DataFrame], versions: dict[str, int], gate: Gate, seed: Seed, clean: Clean, folder: Path
) -> list[dict[str, Any]]:
    """Judge the tables (name -> rows read at `versions`) and return VERDICT rows without run_id.

    `frames` holds seed, annotation, probe, budget, plan, completion, draft, refined, clean, reject and contamination;
    rates of `gate` are shares of rows 0..1; `seed` gives the licences and languages allowed, `clean` the question
    length (characters). A column that a suite misses is a failed verdict, not an exception. Leaves in `folder` (local)
    the GX context with its validation results and Data Docs, whose pages load styles from the network, and
    `verdicts.html`, which needs nothing but itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = _values(seed, clean)
    verdicts = _validate(frames, versions, {name: _contract(name) + values[name] for name in frames}, folder)
    for table, (rows, checks) in _gates(frames, gate, seed).items():
        counted = rows.agg(F.count("*"), *(F.count_if(part) for _, part, _, _ in checks)).first()
        assert counted is not None
        verdicts += [
            _bounded(table, versions[table], name, part, counted[0], bound, limit)
            for (name, _, bound, limit), part in zip(checks, counted[1:], strict=True)
        ]
    (folder / "verdicts.html").write_text(page(verdicts), encoding="utf-8")
    return verdicts


def page(verdicts: list[dict[str, Any]]) -> str:
    """VERDICT rows as one HTML page: tables with failures first, and failed gates first in each."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for verdict in sorted(verdicts, key=lambda v: v["success"]):
        tables.setdefault(verdict["table"], []).append(verdict)
    return PAGE.render(tables=tables, failed=sum(not v["success"] for v in verdicts), total=len(verdicts))


PAGE = Environment(autoescape=True, trim_blocks=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>BoostQA verdicts: {{ failed }} of {{ total }} gates failed</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem }
caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d5dce4; overflow-wrap: anywhere }
th, td:nth-child(2), td:nth-child(5) { white-space: nowrap }
td:nth-child(1) { min-width: 24rem }
.holds { color: #14632f }
.FAILED { color: #a11212; font-weight: 600 }
</style></head>
<body>
<h1>Verdicts of the quality gates</h1>
<p class="{{ "FAILED" if failed else "holds" }}">{{ failed }} of {{ total }} gates failed:
{{ "the line stops here." if failed else "the mix may read these versions." }}</p>
{% for table, rows in tables.items() %}
<table>
<caption>{{ table }}: {{ rows | rejectattr("success") | list | length }} of {{ rows | length }} gates failed</caption>
<thead><tr>{% for name in ("gate", "verdict", "observed", "expected", "version") %}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for v in rows %}
{% set word = "holds" if v.success else "FAILED" %}
<tr><td>{{ v.gate }}</td><td class="{{ word }}">{{ word }}</td><td>{{ v.observed }}</td><td>{{ v.expected }}</td>
<td>{{ v.version }}</td></tr>
{% endfor %}
</tbody></table>
{% endfor %}
</body></html>
""")
