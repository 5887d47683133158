"""Gates on tables as a whole: what is unexplained, labels that collapse, requests that fail, what is left for the mix."""

from boostqa.gates.table_gates import counted_gates, export_findings, label_findings, request_findings
from boostqa.schemas import TABLES
from tests.gates.frames import CONF, B, C, tables
from tests.rows import frame


def test_judge_rows_lost_without_a_reject_are_unexplained(spark):
    frames = tables(
        spark,
        draft=[{}, {"draft_id": B}, {"draft_id": C}],
        refined=[{}, {"draft_id": C}],
        reject=[{"stage": "clean", "key": B}, {"stage": "refine", "key": C}],
    )
    rows, gates = counted_gates(frames, CONF.gate)["draft"]
    [unexplained] = [gate for gate in gates if gate.name == "unexplained"]
    assert [r["draft_id"] for r in rows.where(unexplained.counts).collect()] == [B]


def test_disciplines_that_source_or_request_name_are_no_labels_that_collapse(spark):
    def rows(by):
        return ({"item_id": f"{by}{i}", "annotator": by, "difficulty": f"H{i % 5 + 1}"} for i in range(25))

    annotation = frame(spark, TABLES["annotation"], *rows("plan + m"), *rows("given + m"))
    assert {f.gate for f in label_findings(annotation, CONF.gate)} == {"labels_collapse(seed difficulty)"}
    [found] = [f for f in label_findings(frame(spark, TABLES["annotation"], *rows("m")), CONF.gate) if not f.holds]
    assert found.gate == "labels_collapse(seed discipline)"


def test_labels_that_collapse_requests_that_fail_and_texts_cut_off_are_told_by_stage(spark):
    label = {"annotator": "m", "item_table": "draft", "request_ids": ["a"]}
    ends = {"b": "length", "c": "failed", "d": "stop", "e": "refused", "f": "failed", "g": "length"}
    frames = tables(
        spark,
        annotation=[
            *({**label, "item_id": str(i), "discipline": f"05{i}1"} for i in range(24)),
            {**label, "item_id": "24", "difficulty": "H1", "discipline": "0531"},
            *({**label, "item_id": f"s{i}", "item_table": "seed"} for i in range(19)),
            *({**label, "item_id": f"p{i}", "annotator": "given"} for i in range(50)),
        ],
        draft=[{"request_id": "b"}],
        refined=[{"request_ids": ["d", "g"]}],
        control=[{"request_ids": ["e"]}],
        reject=[{"stage": "synthesize", "request_ids": ["c"]}, {"stage": "seed", "request_ids": None}],
        completion=[
            {"request_id": "a", "stage": "annotate", "structured": '{"choice": ["x"]}', "finish_reason": "length"},
            *({"request_id": x, "finish_reason": ends[x], "error": "quota spent"} for x in "deg"),
            *({"request_id": x, "finish_reason": ends[x], "stage": "synthesize"} for x in "bc"),
            {"request_id": "f", "stage": "synthesize", "finish_reason": "failed"},  # of an earlier conf
        ],
        probe=[{"items": 30}],
    )
    [labels] = [f for f in label_findings(frames["annotation"], CONF.gate) if not f.holds]
    assert (labels.gate, labels.observed) == (
        "labels_collapse(draft difficulty)", "24 of 25 drafts have the difficulty H4 (96%)"
    )  # fmt: skip
    found = {f.gate: f for f in request_findings(frames, CONF.gate)}
    assert {gate: (f.observed, f.holds) for gate, f in found.items()} == {
        "failed_requests(annotate)": ("0 of 1 requests of stage annotate failed or were refused (0.0%)", True),
        "failed_requests(probe)": ("0 of 30 requests of stage probe failed or were refused (0.0%)", True),
        "failed_requests(refine)": ("1 of 3 requests of stage refine failed or were refused (33.3%)", False),
        "failed_requests(synthesize)": ("1 of 2 requests of stage synthesize failed or were refused (50.0%)", False),
        "truncation_rate(refine)": ("1 of 2 texts asked for by stage refine were cut off (50.0%)", False),
        "truncation_rate(synthesize)": ("1 of 1 texts asked for by stage synthesize were cut off (100.0%)", False),
    }
    assert [tuple(r) for r in found["failed_requests(refine)"].rows.collect()] == [("e", "quota spent")]


def test_tokens_left_are_set_against_what_the_round_is_to_give(spark):
    clean = frame(spark, TABLES["clean"], {"draft_id": "a", "tokens": 10}, {"draft_id": "b", "tokens": 20})
    wanted = frame(spark, TABLES["budget"], {"round_tokens": 100}, {"round_tokens": 100})
    *_, budget = export_findings(clean, wanted, CONF.gate)
    assert budget.observed.startswith("30 tokens are left for the mix, 30% of the 100")
    assert not budget.holds


def test_answers_of_multiple_choice_items_that_are_nearly_all_one_letter_fail(spark):
    def items(letters):
        return frame(spark, TABLES["clean"], *({"format": "multiple_choice", "answer": x} for x in letters))

    wanted = frame(spark, TABLES["budget"], {"round_tokens": 5})
    for letters, holds in (("A" * 11 + "BCD" * 3, False), ("ABCD" * 5, True), ("A" * 19, None)):
        found = {f.gate: f for f in export_findings(items(letters), wanted, CONF.gate)}
        assert (found["letters_balanced"].holds if "letters_balanced" in found else None) is holds, letters
    assert found["min_rows"].holds
