"""Great Expectations: a suite for each table, in a file context that keeps suites and results. No Data Docs: these pages load
scripts and styles from the network; verdicts.html (page.py) shows the same.

What Delta and the warehouse enforce at a write is not paid for twice. A not-null expectation could never fail: Spark
folds it to "0 nulls" because the stored schema says NOT NULL. The uniqueness of a key (a shuffle, by far the dearest
expectation) is asked only of the ledger, which is appended to. A suite, however long, is two queries over its table
because no example values are asked for; only expectations that fail are run again, with examples. Two column-pruned
queries cost no more than caching a table of long texts, so nothing is persisted here.
"""

import logging
import re
import shutil
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean, Seed
from boostqa.schemas import TABLES
from boostqa.vocabulary import (
    FINISH_REASONS,
    FORMATS,
    GRADES,
    STAGES,
    STRATEGIES,
    AnswerStatus,
    ItemTable,
    Kind,
    MatchedField,
    ProbeMethod,
)  # fmt: skip

SHA256, FIELD = "^[0-9a-f]{64}$", "^[0-9]{4}$"
# What weak models leave is nothing: the gate min_rows says so.
MAY_BE_EMPTY = ("reject", "contamination", "draft", "control", "power", "refined", "clean")
EXAMPLES = 5  # distinct values shown of a failed expectation


@dataclass(frozen=True)
class Validated:
    """An expectation of a table's suite and what came of it."""

    gate: str
    expectation: Expectation
    success: bool
    observed: str
    expected: str


def _one_of(column: str, values: Iterable[str]) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[str(v) for v in values])


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


def value_expectations(seed: Seed, clean: Clean) -> dict[str, list[Expectation]]:
    """What each table's values must be, beyond what follows from the contract."""
    one = "|".join(map(re.escape, seed.licences))
    return {
        "seed": [
            _matches("seed_id", SHA256),
            _one_of("kind", Kind),
            _one_of("lang", seed.languages),
            _matches("licence", f"^(?:{one})(?: AND (?:{one}))*$"),
            _between("tokens", 1),
        ],
        "annotation": [
            *_cell(),
            _one_of("item_table", ItemTable),
            _between("discipline_probability", 0, 1),
            _between("difficulty_probability", 0, 1),
        ],
        "probe": [
            *_cell(),
            _one_of("method", ProbeMethod),
            _between("items", 1),
            *(
                _between(c, 0, 1)
                for c in ("accuracy", "wilson_low", "wilson_high", "chance", "shrunk", "shrink_weight")
            ),
            _between("bits_per_byte", 0),
        ],
        "budget": [*_cell(), *(_between(c, 0, 1) for c in ("deficit", "shrink_weight")), _between("tokens", 0)],
        "plan": [*_request(), _matches("discipline", FIELD)],
        "completion": [
            gxe.ExpectColumnValuesToBeUnique(column="request_id"),
            _matches("request_id", SHA256),
            _matches("template", "^([a-z_]+|[0-9a-f]{64})$"),  # a hash in rows of older releases
            _one_of("stage", STAGES),
            _one_of("finish_reason", FINISH_REASONS),
            *(_between(c, 0) for c in ("prompt_tokens", "generated_tokens", "thinking_tokens")),
        ],
        "draft": _item(),
        "refined": [*_item(), _one_of("status", AnswerStatus), _length("draft_answer", 1), _between("votes", 1)],
        "clean": [
            *_item(clean.min_question_characters, clean.max_question_characters),
            _one_of("status", AnswerStatus),
        ],
        "reject": [_one_of("stage", STAGES), _length("rule", 1), _length("key", 1)],
        "contamination": [_one_of("field", MatchedField), _length("match", 1)],
    }


def contract_expectations(name: str) -> list[Expectation]:
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


def _gate_name(configuration: Any) -> str:
    column = configuration.kwargs.get("column")
    return f"{configuration.type}({column})" if column else str(configuration.type)


def unexpected(expectation: Expectation) -> Column:
    """True for the rows that break an expectation of `value_expectations`; the ledger's uniqueness has no such rows."""
    value, one = F.col(expectation.column), expectation
    if isinstance(one, gxe.ExpectColumnValuesToBeInSet):
        return ~value.isin(one.value_set)
    if isinstance(one, gxe.ExpectColumnValuesToMatchRegex):
        return ~value.rlike(one.regex)
    measured = F.length(value) if isinstance(one, gxe.ExpectColumnValueLengthsToBeBetween) else value
    above = F.lit(False) if one.max_value is None else measured > one.max_value
    return (measured < one.min_value) | above


class Record:
    """All suites that one gate run validates, under one GX run id.

    Leaves suites and validation results in `folder` (local). `versions` (table -> Delta version) name the run.
    """

    def __init__(self, folder: Path, versions: dict[str, int]) -> None:
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        self.context = gx.get_context(mode="file", project_root_dir=folder)
        self.context.enable_analytics(False)
        self.context.variables.progress_bars = {"globally": False}
        self.spark = self.context.data_sources.add_or_update_spark("spark", persist=False)
        for site in list(self.context.get_site_names()):
            self.context.delete_data_docs_site(site)
        shutil.rmtree(folder / "gx" / "uncommitted" / "data_docs", ignore_errors=True)  # no site, so nothing in it
        self.run_id = RunIdentifier(run_name=" ".join(f"{t}@{version}" for t, version in sorted(versions.items())))

    def run(self, name: str, expectations: list[Expectation], frame: DataFrame, examples: int) -> dict[str, Any]:
        """Validate a suite and return gate name -> result, with up to `examples` values that break it.

        A checkpoint holds one table: the data frame is a parameter of the checkpoint.
        """
        context = self.context
        batch = self.spark.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all rows")
        suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add_or_update(definition)],
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": examples},
        )
        outcome = context.checkpoints.add_or_update(checkpoint).run({"dataframe": frame}, run_id=self.run_id)
        (validation,) = outcome.run_results.values()
        return {_gate_name(result.expectation_config): result for result in validation.results}

    def suite(self, table: str, expectations: list[Expectation], frame: DataFrame) -> list[Validated]:
        """Validate a table's suite, and what failed once more as suite `<table> failures`, with examples."""
        results = self.run(table, expectations, frame, examples=0)
        by_gate = {_gate_name(e.configuration): e for e in expectations}
        if failed := [copy(e) for gate, e in by_gate.items() if not results[gate].success]:
            results |= self.run(f"{table} failures", failed, frame, EXAMPLES)
        return [
            Validated(gate, by_gate[gate], r.success, _observed(r), _expected(r.expectation_config.kwargs))
            for gate, r in results.items()
        ]
