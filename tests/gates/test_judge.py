import re

from boostqa.config import Clean, Gate, Seed, Source
from boostqa.gates.expectations import value_expectations
from boostqa.gates.judge import judge
from boostqa.gates.table_gates import table_gates
from boostqa.schemas import TABLES
from tests.rows import frame

GATE = Gate(max_degradation_rate=0.4, min_high_difficulty_share=0.5, max_truncation_rate=0.2, max_duplicate_rate=0.2)
SEED = Seed(sources=[Source(name="book", path="-")], licences=["MIT"], languages=["en"])
# What expectations of values want beyond the contract.
FIT = {"budget": {"tokens": 1}, "refined": {"votes": 1}}
A, B, C = "a" * 64, "b" * 64, "c" * 64


def tables(spark, **changed: list[dict]):
    one, none = ("budget", "plan", "completion", "draft", "refined", "clean"), ("reject", "contamination")
    found = {name: [{}] for name in one} | {name: [] for name in none} | changed
    fit = {name: [FIT.get(name, {}) | change for change in changes] for name, changes in found.items()}
    return {name: frame(spark, TABLES[name], *changes) for name, changes in fit.items()}


def test_suites_name_only_columns_of_their_table():
    for name, expectations in value_expectations(SEED, Clean(benchmarks=[])).items():
        assert {e.column for e in expectations} <= set(TABLES[name].schema.names), name


def test_judge_broken_tables_fail_by_name_all_else_holds_and_the_page_needs_no_network(spark, tmp_path):
    frames = tables(
        spark,
        completion=[
            {},
            {"request_id": B, "stage": "seed"},
            {"request_id": B, "stage": "seed"},
        ],
        draft=[{"difficulty": "H3"}, {"draft_id": B}, {"draft_id": C, "answer": ""}],
        refined=[{}, {"draft_id": B}, {"draft_id": C}],
        clean=[{"licence": "secret", "lang": "fr"}, {"draft_id": B, "difficulty": "H1", "grade": "H9"}],
        reject=[
            {"stage": "clean", "key": C, "rule": "near_duplicate"},
            {"stage": "synthesize", "key": A, "rule": "truncated"},
            {"stage": "synthesize", "key": "easy", "rule": "below_aim"},
        ],
        contamination=[{}],
    )
    frames["budget"] = frames["budget"].drop("deficit")
    verdicts = judge(frames, dict.fromkeys(frames, 7), GATE, SEED, Clean(benchmarks=[]), tmp_path)
    failed = {(v["table"], v["gate"]): v["observed"] for v in verdicts if not v["success"]}
    not_evaluated = {gate for gate, observed in failed.items() if observed.startswith("not evaluated: ")}
    assert not_evaluated == {("budget", "expect_column_values_to_be_between(deficit)")}
    assert {gate: failed[gate] for gate in failed.keys() - not_evaluated} == {
        ("budget", "expect_table_columns_to_match_set"): "missing: deficit",
        ("completion", "expect_column_values_to_be_unique(request_id)"): f"2 of 3 rows break it: {B} (2)",
        ("plan", "truncation_rate"): "1.0000 (1 of 1)",
        ("draft", "degradation_rate"): "0.5000 (2 of 4)",
        ("draft", "expect_column_value_lengths_to_be_between(answer)"): "1 of 3 rows break it:  (1)",
        ("refined", "duplicate_rate"): "0.3333 (1 of 3)",
        ("clean", "expect_column_values_to_be_in_set(grade)"): "1 of 2 rows break it: H9 (1)",
        ("clean", "contaminated"): "1 of 2 rows",
        ("clean", "licence_allowed"): "1 of 2 rows",
        ("clean", "languages"): "0.5000 (1 of 2)",
    }
    assert {v["version"] for v in verdicts} == {7}
    assert len({(v["table"], v["gate"]) for v in verdicts}) == len(verdicts)
    page = (tmp_path / "verdicts.html").read_text()
    assert page.index("FAILED</td>") < page.index("holds</td>")
    assert not re.search(r"https?://|<script|<link|src=", page)
    assert list(tmp_path.glob("gx/uncommitted/data_docs/local_site/validations/clean/**/*.html"))


def test_judge_rows_lost_without_a_reject_are_unexplained(spark, tmp_path):
    frames = tables(
        spark,
        draft=[{}, {"draft_id": B}, {"draft_id": C}],
        refined=[{}, {"draft_id": C}],
        reject=[{"stage": "clean", "key": B}, {"stage": "refine", "key": C}],
    )
    rows, gates = table_gates(frames, GATE, SEED)["draft"]
    [unexplained] = [gate for gate in gates if gate.name == "unexplained"]
    assert [r["draft_id"] for r in rows.where(unexplained.counts).collect()] == [B]
