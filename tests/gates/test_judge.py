"""Gates: broken tables fail by name, rows that fail are held back, people release them, later runs respect it."""

import re
from datetime import UTC, datetime

import pytest
from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.gates.expectations import unexpected, value_expectations
from boostqa.gates.judge import judge
from boostqa.gates.power_gates import power_gates
from boostqa.gates.row_gates import RowJudgement
from boostqa.schemas import TABLES
from boostqa.stages.quarantine import decisions, split, stamped, states
from boostqa.storage.contract import check
from boostqa.vocabulary import QuarantineEvent
from tests.gates.frames import CONF, A, B, C, D, conf, tables
from tests.rows import frame


def stored(frames, events, number=1):
    """The table quarantine after a gate run."""
    made = stamped(events, 7, "r", datetime(2026, 1, number, tzinfo=UTC))
    check(made, TABLES["quarantine"], "append")
    rows = frames["quarantine"].unionByName(made).collect()
    return frames["quarantine"].sparkSession.createDataFrame(rows, TABLES["quarantine"].schema)


def run(frames, folder, conf=CONF):
    """(verdicts, frames with the quarantine of this run)."""
    after = {}

    def hold(events):
        after["quarantine"] = stored(frames, events)
        return after["quarantine"]

    verdicts = judge(frames, dict.fromkeys(frames, 7), conf, folder, hold)
    return verdicts, frames | after


def failed(verdicts):
    return {(v["table"], v["gate"]): v["observed"] for v in verdicts if not v["success"]}


def outcomes(verdicts):
    return {v["gate"]: (v["outcome"], v["observed"]) for v in verdicts if v["outcome"] != "holds"}


def test_suites_name_only_columns_of_their_table():
    for name, expectations in value_expectations(CONF.seed, CONF.clean).items():
        assert {e.column for e in expectations} <= set(TABLES[name].schema.names), name


def test_rows_that_break_an_expectation_are_those_that_great_expectations_counts(spark):
    fit = frame(spark, TABLES["clean"], {}, {"draft_id": "no sha", "grade": "H9", "answer": "", "question": "x" * 4001})
    expectations = value_expectations(CONF.seed, CONF.clean)["clean"]
    fit = fit.withColumns({"lang": F.lit("en")})
    counts = fit.agg(*(F.count_if(unexpected(e)).alias(str(i)) for i, e in enumerate(expectations))).first()
    names = {f"{e.configuration.type}({e.column})" for e, n in zip(expectations, counts, strict=True) if n}
    assert names == {
        *("expect_column_values_to_match_regex(draft_id)", "expect_column_values_to_be_in_set(grade)"),
        *("expect_column_value_lengths_to_be_between(answer)", "expect_column_value_lengths_to_be_between(question)"),
    }


def test_judge_broken_tables_fail_by_name_all_else_holds_and_the_page_needs_no_network(spark, tmp_path):
    frames = tables(
        spark,
        completion=[{}, {"request_id": B, "stage": "seed"}, {"request_id": B, "stage": "seed"}],
        draft=[{"difficulty": "H3"}, {"draft_id": B}, {"draft_id": C, "answer": ""}],
        refined=[{}, {"draft_id": B}, {"draft_id": C}],
        clean=[
            {"licence": "secret", "lang": "fr", "refiner": "other"},
            {"draft_id": B, "difficulty": "H1", "grade": "H9", "licence": "MIT AND CC-BY-4.0", "attribution": " "},
            {"draft_id": D, "difficulty": "H1", "refiner": "other", "licence": "CC-BY-4.0", "attribution": "N. N."},
        ],
        reject=[
            {"stage": "clean", "key": C, "rule": "near_duplicate"},
            {"stage": "synthesize", "key": "easy", "rule": "below_aim"},
        ],
        contamination=[
            {"match": "why is", "kind": "verbatim", "benchmark": "mmlu"},
            {"draft_id": D, "kind": "similar"},
        ],
    )
    frames["budget"] = frames["budget"].drop("deficit")
    verdicts, after = run(frames, tmp_path)
    found = failed(verdicts)
    not_evaluated = {gate for gate, observed in found.items() if observed.startswith("not evaluated: ")}
    assert not_evaluated == {("budget", "expect_column_values_to_be_between(deficit)")}
    assert {gate: found[gate] for gate in found.keys() - not_evaluated} == {
        ("budget", "expect_table_columns_to_match_set"): "missing: deficit",
        ("completion", "expect_column_values_to_be_unique(request_id)"): f"2 of 3 rows break it: {B} (2)",
        ("draft", "degradation_rate"): "2 of 4 drafts are easier than the request aimed at",
        ("draft", "expect_column_value_lengths_to_be_between(answer)"): "1 of 3 rows break it:  (1)",
        ("refined", "duplicate_rate"): "1 of 3 refined items repeat another one",
        ("clean", "expect_column_values_to_be_in_set(grade)"): "1 of 3 rows break it: H9 (1)",
        ("clean", "contaminated"): "1 of 3 items hold text of a benchmark",
        ("clean", "contaminated_similar"): "1 of 3 items resemble a benchmark item",
        ("clean", "licence_allowed"): "1 of 3 items have a licence that seed.licences does not list",
        ("clean", "attribution_present"): "1 of 3 items name nobody though their licence asks for it",
        ("clean", "languages"): "1 of 3 items are in a language that seed.languages does not list",
        (
            "clean",
            "writer_is_voter",
        ): "1 of 3 items were checked by the model that wrote them: its agreement with itself is weaker evidence",
        ("clean", "min_rows"): "0 items are left for the mix",
        ("clean", "budget_met"): "0 tokens are left for the mix, 0% of the 5 that the round is to give",
    }
    assert {(v["gate"], v["outcome"]) for v in verdicts if v["outcome"] not in ("blocks", "holds")} == {
        *(("writer_is_voter", "warns"), ("budget_met", "warns"))
    }
    assert {v["version"] for v in verdicts} == {7}
    assert len({(v["table"], v["gate"]) for v in verdicts}) == len(verdicts)
    events = {(r["draft_id"], r["gate"]): r["evidence"] for r in after["quarantine"].collect()}
    assert events == {
        (A, "contaminated"): f"text of a benchmark: mmlu/{A} answer: why is",
        (A, "languages"): "language fr",
        (A, "licence_allowed"): "licence secret",
        (B, "attribution_present"): "MIT AND CC-BY-4.0 without attribution",
        (B, "expect_column_values_to_be_in_set(grade)"): "grade: H9",
        (D, "contaminated_similar"): f"like a benchmark item: {A}/{A} answer: {A}",
    }
    page = (tmp_path / "verdicts.html").read_text()
    assert re.search(r"nothing is exported, the pipeline stops here\.\s+\d+ items are left", page)
    assert page.index('"blocks">blocks</td>') < page.index('"holds">holds</td>')
    assert f"<code>{A}</code></td><td>asked for H4, measured H3</td>" in page
    assert not re.search(r"https?://|<script|<link|src=", page)
    assert "<td>expect_column_values_to_be_in_set(grade)</td>" in page and "1 of 3 rows break it: H9 (1)" in page
    assert f"<code>{A}</code></td><td>language fr</td>" in page
    assert {v["gate"] for v in verdicts} <= set(re.findall(r"<tr><td>(\S+)</td>", page))
    gx = tmp_path / "gx"
    assert list(gx.glob("uncommitted/validations/**/clean/**/*.json")) and not list(gx.rglob("*.html"))
    assert not (gx / "uncommitted" / "data_docs").exists()


def test_rows_held_back_stay_out_until_released_and_are_judged_afresh_when_replayed_or_changed(spark):
    leaks = [{"draft_id": x, "kind": "verbatim", "benchmark": "mmlu"} for x in (A, B)]
    clean = [{"refiner": "other"}, {"draft_id": B, "refiner": "other"}, {"draft_id": C, "refiner": "other"}]
    first = tables(spark, clean=clean, contamination=leaks)

    def judged(frames):
        rows = RowJudgement(frames, CONF, [], [])
        failing = [f.observed for f in rows.findings() if not f.holds]
        return failing, frames | {"quarantine": stored(frames, rows.events())}

    def mixed(frames):
        kept, rejects = split(frames["clean"], frames["quarantine"])
        kept, out = ({r[c][0] for r in df.collect()} for df, c in ((kept, "draft_id"), (rejects, "key")))
        return "".join(sorted(kept)), "".join(sorted(out))

    def last(frames):
        return {(r["draft_id"][0], r["event"], r["number"]) for r in states(frames["quarantine"]).collect()}

    def decide(frames, draft_id, event, day):
        rows = decisions(states(frames["quarantine"]).where(F.col("draft_id") == draft_id), event)
        return frames | {"quarantine": stored(frames, rows.drop("clean_version", "run_id"), day)}

    found, frames = judged(first)
    assert found == ["2 of 3 items hold text of a benchmark"]
    assert mixed(frames) == ("c", "ab")
    _, again = judged(frames)
    assert again["quarantine"].count() == frames["quarantine"].count() == 2  # no second event
    found, held = judged(frames | {"contamination": frames["contamination"].limit(0)})
    assert found == [] and mixed(held) == ("c", "ab")  # the gate holds, the rows wait for a person

    released = decide(frames, A, QuarantineEvent.RELEASED, 2)
    assert mixed(released) == ("ac", "b")
    found, later = judged(released)
    assert found == ["1 of 3 items hold text of a benchmark; 1 more released by name"]
    assert mixed(later) == ("ac", "b") and last(later) == {("a", "released", 2), ("b", "quarantined", 1)}
    found, _ = judged(decide(released, B, QuarantineEvent.RELEASED, 2))
    assert found == []

    replayed = decide(decide(later, A, QuarantineEvent.REPLAYED, 3), B, QuarantineEvent.REPLAYED, 3)
    assert mixed(replayed) == ("c", "ab")  # not judged yet
    only_a = replayed | {"contamination": replayed["contamination"].where(F.col("draft_id") == A)}
    _, fresh = judged(only_a)
    assert mixed(fresh) == ("bc", "a")
    assert last(fresh) == {("a", "quarantined", 4), ("b", "cleared", 3)}

    changed = released | tables(spark, clean=[clean[0] | {"answer": "new"}, *clean[1:]], contamination=leaks)
    changed["quarantine"] = released["quarantine"]
    _, fresh = judged(changed)
    assert mixed(fresh) == ("c", "ab") and ("a", "quarantined", 3) in last(fresh)


def test_checks_that_cannot_tell_condemn_what_they_let_through(spark, tmp_path):
    voter = {
        "check": "voter",
        "defect": "none",
        "items": 40,
        "passed": 3,
        "chance": 0.125,
        "model": "weak",
        "wilson_low": 0.03,
    }
    clean = [{"refiner": "weak"}, {"draft_id": B, "refiner": "other"}]
    frames = tables(spark, clean=clean, power=[voter])
    verdicts, after = run(frames, tmp_path, conf("gate.quarantine=true"))
    sentence = (
        "voter weak answered 3 of 40 known questions right, guessing gives 5.0 of them: its votes are no evidence"
    )
    assert outcomes(verdicts) == {"voter_better_than_chance": ("quarantined", sentence)}
    assert [(r["draft_id"], r["evidence"]) for r in after["quarantine"].collect()] == [(A, sentence)]
    assert sentence in (tmp_path / "verdicts.html").read_text()
    warning = conf("gate.quarantine=true", "gate.severity.voter_better_than_chance=warn")
    rows = RowJudgement(
        frames, warning, [], power_gates([r.asDict() for r in frames["power"].collect()], (0, 0), warning.gate)
    )
    assert rows.events().isEmpty()  # said, and nothing is held back


def test_severity_of_an_expectation_there_is_not_is_a_mistake_of_the_conf(spark, tmp_path):
    wrong = conf("gate.severity={clean.expect_column_values_to_be_odd: warn}")
    with pytest.raises(ConfigError, match=r"no expectation clean.expect_column_values_to_be_odd; there are"):
        run(tables(spark), tmp_path, wrong)


def test_items_that_may_not_go_out_under_the_licence_of_the_export_are_held_back(spark, tmp_path):
    licences = {A: "MIT", B: "CC-BY-SA-4.0 AND MIT", C: "MIT"}
    rows = [{"draft_id": d, "licence": name, "generator": "m" if d == C else "n"} for d, name in licences.items()]
    settings = ("seed.licences=[MIT, CC-BY-SA-4.0]", "gate.quarantine=true", "mix.licence=CC-BY-4.0")
    held = conf(*settings, "mix.output_terms={m: LicenseRef-terms}")
    verdicts, after = run(tables(spark, clean=rows), tmp_path, held)
    assert failed(verdicts)["clean", "licence_compatible"] == "2 of 3 items may not go out under CC-BY-4.0"
    found = {r["draft_id"]: r["evidence"] for r in after["quarantine"].where("gate = 'licence_compatible'").collect()}
    assert found == {
        B: "CC-BY-SA-4.0 wants its own licence for what is made from it",
        C: "LicenseRef-terms is not known to permit it",
    }
    assert "licence_compatible" not in {v["gate"] for v in run(tables(spark, clean=rows), tmp_path)[0]}
