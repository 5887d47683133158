"""What is withdrawn is left out of every mix, with a reason, and what takes its place is from what is left."""

import json
from itertools import islice

import pytest
from rich.console import Console

from boostqa import config
from boostqa.errors import ConfigError
from boostqa.export import origin
from boostqa.export.what_if import what_if
from boostqa.export.withdraw import show, withdraw
from boostqa.schemas import CLEAN, TABLES, WITHDRAWAL
from boostqa.stages import withdrawal
from boostqa.storage.scratch import Scratch
from boostqa.vocabulary import Outcome, Withdrawable
from tests.processes import DEMO
from tests.rows import alike, exported, row, stored, word_tokenizer

SEEDS = {"s1": ("book", "CC-BY-4.0"), "s2": ("book", "MIT"), "s3": ("notes", "CC-BY-4.0 AND MIT")}


def made_from(draft_id, seed_id, **changes):
    source, licence = SEEDS[seed_id]
    return {"draft_id": draft_id, "seed_id": seed_id, "source": source, "licence": licence} | changes


@pytest.fixture
def tables(spark, tmp_path):
    """Two items of 6 tokens from each of three seeds; the mix of 18 tokens that was exported has one of each."""
    (tmp_path / "tokenizer.json").write_text(word_tokenizer())
    text = {"question": "Why?", "answer": "Because.", "solution": "It follows.", "discipline": "0541", "tokens": 6}
    items = [made_from(draft_id, s, **text) for s in SEEDS for draft_id in islice(alike(s), 2)]
    rows = {
        "seed": [{"seed_id": s, "source": source, "licence": licence} for s, (source, licence) in SEEDS.items()],
        "clean": items,
        "budget": [{"discipline": "0541", "difficulty": "H4", "tokens": 300}],
        "verdict": [{"table": "clean", "gate": "min_rows", "outcome": Outcome.HOLDS}],
        "quarantine": [],
        "mix": [exported(item["draft_id"], tokens=6) for item in items[::2]],
    }
    found = Scratch(spark, str(tmp_path), None, ())
    found.written = {name: stored(spark, TABLES[name], *some) for name, some in rows.items()}
    return found


def of(tables, tokens):
    return config.load(DEMO, [f"mix.tokens={tokens}", f"tokenizer={tables.location}/tokenizer.json"])


def test_withdrawn_source_leaves_the_mix_which_is_filled_from_the_rest(tables):
    assert what_if(tables, of(tables, 12))["by"]["source"] in ({"book": 12}, {"book": 6, "notes": 6}, {"notes": 12})
    told = withdraw(tables, [(Withdrawable.SOURCE, "book")], "ada", "revoked")
    assert (told["clean"], told["exported"], told["tokens"]) == (4, 2, 12)
    assert [i["exported_tokens"] is None for i in told["items"]] == [False, False, True, True]
    assert what_if(tables, of(tables, 12))["by"]["source"] == {"notes": 12}  # refilled
    (kept,) = tables.read("withdrawal").collect()
    assert (kept["kind"], kept["value"], kept["who"], kept["why"]) == ("source", "book", "ada", "revoked")
    again = withdraw(tables, [(Withdrawable.SOURCE, "book")], "bob", "twice")
    assert again["withdrawn"] == [] and tables.read("withdrawal").count() == 1
    console = Console(width=200, record=True)
    show(told, console)
    assert "source book: 4 items were made from it, 2 of them exported (12 tokens)" in console.export_text()
    assert json.dumps(told)


def test_withdrawn_licence_counts_where_it_is_one_of_several_and_a_dry_run_changes_nothing(tables):
    told = withdraw(tables, [(Withdrawable.LICENCE, "mit"), (Withdrawable.SEED, "s1")], "ada", "revoked", dry_run=True)
    assert told["withdrawn"] == [{"kind": "licence", "value": "MIT"}, {"kind": "seed", "value": "s1"}]
    assert told["clean"] == 6 and not tables.exists("withdrawal")


@pytest.mark.parametrize(
    ("chosen", "why", "says"),
    [
        ([], "x", "name what is withdrawn: --seed, --source or --licence"),
        ([(Withdrawable.SOURCE, "book")], " ", "a withdrawal needs a reason: --why TEXT"),
        ([(Withdrawable.SOURCE, "bok")], "x", "--source bok: no seed or corpus of the warehouse has it"),
        ([(Withdrawable.SEED, "s")], "x", "--seed s: more than one seed has it"),
    ],
)
def test_withdrawal_of_nothing_or_without_a_reason_is_refused(tables, chosen, why, says):
    with pytest.raises(ConfigError, match=says):
        withdraw(tables, chosen, "ada", why)


def test_withdrawn_items_are_rejects_with_the_reason_and_named_in_the_manifest(spark):
    items = [row(CLEAN, **made_from(f"d{s}", s, tokens=6)) for s in SEEDS]
    clean = spark.createDataFrame(items, CLEAN.schema)
    about = [("licence", "MIT", "ada", "revoked"), ("seed", "s3", "ada", "a slip"), ("source", "gone", "ada", "x")]
    rows = stored(spark, WITHDRAWAL, *(dict(zip(("kind", "value", "who", "why"), a, strict=True)) for a in about))
    left, rejects = withdrawal.split(clean, rows)
    assert [r["draft_id"] for r in left.collect()] == ["ds1"] and left.columns == clean.columns
    assert sorted((r["stage"], r["key"], r["rule"], r["evidence"]) for r in rejects.collect()) == [
        ("mix", "ds2", "withdrawn", "licence MIT: revoked"),
        ("mix", "ds3", "withdrawn", "licence MIT: revoked | seed s3: a slip"),
    ]
    assert [(w["value"], w["items"], w["tokens"]) for w in origin.withdrawn(rows, clean)] == [
        ("MIT", 2, 12), ("s3", 1, 6), ("gone", 0, 0),
    ]  # fmt: skip
    assert [r["draft_id"] for r in withdrawal.left(clean, rows).collect()] == ["ds1"]


def test_withdrawal_may_name_another_corpus(spark, tables):
    tables.written["corpus"] = stored(spark, TABLES["corpus"], {"source": "web", "licence": "ISC"})
    told = withdraw(
        tables, [(Withdrawable.SOURCE, "web"), (Withdrawable.LICENCE, "isc")], "ada", "revoked", dry_run=True
    )
    assert [row["value"] for row in told["withdrawn"]] == ["ISC", "web"] and (told["clean"], told["documents"]) == (
        0,
        0,
    )
