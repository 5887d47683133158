import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from boostqa.config import Clean, Seed, Source
from boostqa.schemas import SEED
from boostqa.sources import RECORD
from boostqa.stages import decontaminate, seed
from boostqa.storage.contract import violations

CONF = Seed(
    sources=[Source(name="s", path="p")],
    licences=["MIT", "CC-BY-4.0"],
    max_tokens=12,
    min_characters=10,
    min_question_characters=5,
)
PROSE = "A lever is a rigid bar that turns about a fixed point."


@pytest.fixture(scope="module")
def word_tokenizer() -> str:
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


@pytest.fixture
def staged(spark, word_tokenizer):
    """Runs the stage on records given as dicts over a document's or a QA item's defaults; line = position."""

    def run(*records: dict, held_out: tuple[str, ...] = ()):
        rows = []
        for line, given in enumerate(records, 1):
            base = dict.fromkeys(RECORD.schema.names) | {"source": "s", "file": "f", "line": line, "lang": "en"}
            kind = "qa" if "question" in given else "document"
            rows.append(base | {"kind": kind, "licence": "MIT", "doc_id": f"d{line}"} | given)
        questions = spark.createDataFrame([(q,) for q in held_out], "question string")
        judged = seed.judged(spark.createDataFrame(rows, RECORD.schema), questions, CONF, word_tokenizer)
        kept, rejects = seed.split_kept_and_rejected(judged)
        assert violations(kept, SEED) == []
        assert rejects.columns == ["stage", "key", "rule", "evidence", "request_ids"]
        return kept.orderBy("line", "chunk").collect(), rejects.orderBy("key").collect()

    return run


def test_seeds_each_rule_drops_its_record_with_evidence(staged):
    cases = [
        ({"raw": "{oops", "licence": None, "lang": None}, "malformed", "{oops"),
        ({"text": " \n"}, "missing_field", "text"),
        ({"question": "Which one is it?", "choices": ["a", ""]}, "missing_field", "choices"),
        ({"text": PROSE, "licence": " "}, "licence_missing", "no licence"),
        ({"text": PROSE, "licence": "GPL-3.0"}, "licence_not_allowed", "GPL-3.0"),
        ({"text": PROSE, "licence": '["MIT", "GPL-3.0"]'}, "licence_not_allowed", '["MIT", "GPL-3.0"]'),
        ({"text": PROSE, "licence": "CC-BY-4.0"}, "attribution_missing", "CC-BY-4.0"),
        ({"text": PROSE, "licence": "CC-BY-4.0", "attribution": " \u200b"}, "attribution_missing", "CC-BY-4.0"),
        (
            {"question": "Which?", "choices": ["a", "b"], "unread_answer": "7"},
            "unread_answer",
            "answer `7` is letter, ",
        ),
        ({"question": "Find the current in the circuit shown below."}, "figure_only", "circuit shown"),
        ({"question": "What is it? [Figure 1.2: a wheel]"}, "figure_only", "[Figure 1.2: a wheel]"),
        ({"question": "Name each compound: (a)\n\n(b)\n\n(c)"}, "figure_only", "(a)\n\n(b)"),
        ({"question": "如图所示，求电流的大小。", "lang": "zh"}, "figure_only", "如图"),
        ({"text": "# Wheels\n\n![wheel](w.png)\n[Figure 1: a wheel]"}, "figure_only", "# Wheels\n\n![wheel](w.png)\n"),
        ({"question": "Why?"}, "too_short", "Why?"),
        ({"text": "=> [] {} ## ?? !! << >> ++ -- ab"}, "symbol_ratio", "0.909"),
        ({"text": "the same line again\n" * 9 + "an end"}, "repetition", "0.859"),
        ({"text": "Ein Hebel ist ein starrer Stab.", "lang": "de-DE"}, "language", "de"),
        ({"text": "Ein Hebel ist ein starrer Stab, der sich dreht.", "lang": None}, "language", "de"),
        ({"text": "Ein Hebel ist ein starrer Stab, der sich dreht.", "lang": "und"}, "language", "de"),
        ({"question": "Whаt\u00ad is 2+\u200b3?"}, "probe_item", "What is 2+3?"),
        ({"question": "what is 2 + 3 ?"}, "probe_item", "What is 2+3?"),
    ]
    kept, rejects = staged(*(record for record, _, _ in cases), held_out=("What is 2+3?", "What is 2-3?"))
    assert kept == []
    got = {
        r.key: (r.rule, r.evidence[: len(evidence)])
        for r in rejects
        for _, _, evidence in [cases[int(r.key.rsplit(":", 1)[1]) - 1]]
    }
    assert got == {f"s:f:{line}": case[1:] for line, case in enumerate(cases, 1)}


def test_seeds_question_that_carries_its_own_data_is_kept(staged):
    questions = [
        "The data are shown below.\n\n| P | V |\n| --- | --- |\n| 1 | 2 |\n\nFind the law.",
        "Predict the direction of the reaction shown here.\n\n$$A + B = C$$",
        "Draw the graph of y = x on the same diagram.",
        "如图书馆有三层，以下图形的面积是多少？",
    ]
    kept, rejects = staged(*({"question": q} for q in questions))
    assert rejects == [] and [r.question for r in kept] == questions


def test_seeds_tables_matrices_and_sums_are_neither_symbols_nor_repetition(staged):
    rows = "\n".join(f"| {a} | {b} | {'T' if a == b else 'F'} |" for a in "TF" for b in "TF")
    questions = [
        f"Which connective?\n\n| p | q | ? |\n| --- | --- | --- |\n{rows}",
        "Find the rank of\n0 0 0 0\n0 0 0 0\n0 0 0 0\n0 0 0 0",
        r"Find $$\begin{pmatrix} 1 & 0 & 0 \\ 0 & 1 & 0 \\ 0 & 0 & 1 \end{pmatrix}^{-1}$$",
        "Divide:\n10011 ) 11010110110000\n        10011\n        -----\n        10011\n        10011\n        -----",
        "What does it print?\n```c\nx++;\nx++;\nx++;\nx++;\n```",
    ]
    kept, rejects = staged(*({"question": q} for q in questions))
    assert rejects == [] and [r.question for r in kept] == questions


def test_seeds_control_tokens_of_the_target_tokenizer_are_escaped(spark, word_tokenizer):
    tokenizer = Tokenizer.from_str(word_tokenizer)
    tokenizer.add_special_tokens(["</s>", "<filename>"])
    given = {"title": "<filename>", "choices": ["</s>", "</b>"], "answer": "</s>", "lang": "en", "licence": "MIT"}
    record = (
        dict.fromkeys(RECORD.schema.names)
        | {"source": "s", "file": "f", "line": 1, "kind": "qa", "doc_id": "d"}
        | given
    )
    record["question"] = "Which tag ends <s> of HTML, </s> or </b>?"
    records = spark.createDataFrame([record], RECORD.schema)
    held_out = spark.createDataFrame([], "question string")
    (row,) = seed.judged(records, held_out, CONF, tokenizer.to_str()).collect()
    assert row.broken_rule is None and (row.title, row.answer, row.choices[0]) == (
        "<\u2060filename>",
        "<\u2060/s>",
        "<\u2060/s>",
    )
    assert row.question == "Which tag ends <s> of HTML, <\u2060/s> or </b>?"
    assert row.text == f"{row.question}\nA. <\u2060/s>\nB. </b>\nAnswer: <\u2060/s>"
    assert not {1, 2} & set(tokenizer.encode(row.text).ids)


def test_seeds_language_and_licence_in_any_spelling_are_known(staged):
    given = [("eng_Latn", "mit"), ("English", "MIT OR GPL-3.0"), ("zho_Hans", '["MIT"]'), ("und", "The MIT License")]
    kept, rejects = staged(*({"question": f"Question {i}?", "lang": t, "licence": n} for i, (t, n) in enumerate(given)))
    assert rejects == []
    assert [(r.lang, r.licence) for r in kept] == [("en", "MIT"), ("en", "MIT"), ("zh", "MIT"), ("en", "MIT")]


def test_seeds_document_is_split_within_the_token_limit(staged):
    kept, rejects = staged(
        {"text": f"{PROSE}\r\n\r\n# Too\n\nok.", "title": "⼀", "doc_id": None, "lang": "en-GB", "answer": "unused"}
    )
    assert [(r.chunk, r.text, r.tokens) for r in kept] == [
        (0, "A lever is a rigid bar that", 7),
        (1, "turns about a fixed point.\n\n# Too\n\nok.", 10),
    ]
    assert {(r.doc_id, r.title, r.lang, r.question, r.answer) for r in kept} == {("f:1", "一", "en", None, None)}
    assert rejects == []


def test_seeds_items_become_text_with_options_and_answer(staged):
    kept, _ = staged(
        {"question": "Which is prime?", "choices": ["4", "5"], "answer": "B", "text": "unused", "lang": None},
        {"question": "哪一个数是质数？", "answer": "五", "lang": None},
        {"question": "What is heat?", "answer": " "},
    )
    assert [(r.lang, r.text, r.answer) for r in kept] == [
        ("en", "Which is prime?\nA. 4\nB. 5\nAnswer: B", "B"),
        ("zh", "哪一个数是质数？\n答案：五", "五"),
        ("en", "What is heat?", None),
    ]


def test_seeds_equal_texts_the_first_acceptable_one_stays(staged):
    item = {"question": "How long is a metre?"}
    kept, rejects = staged(
        item | {"licence": None}, item | {"source": "t"}, item | {"file": "g"}, item | {"file": "e"}, item
    )
    assert [(r.source, r.file, r.line) for r in kept] == [("s", "e", 4)]
    assert [(r.key, r.rule, r.evidence) for r in rejects] == [
        ("s:f:1", "licence_missing", "no licence"),
        ("s:f:5#0", "duplicate", kept[0].seed_id),
        ("s:g:3#0", "duplicate", kept[0].seed_id),
        ("t:f:2#0", "duplicate", kept[0].seed_id),
    ]


def test_seeds_every_record_ends_as_seed_or_reject(staged):
    records = [
        {"text": f"{PROSE}\n\n# Too\n\n{PROSE}"},
        {"text": "short"},
        {"text": "short", "licence": None},
        {"question": "How long is a metre?", "lang": None},
        {"question": "How long is a metre?"},
        {"raw": "x", "licence": None},
    ]
    kept, rejects = staged(*records)
    ends = {r.line for r in kept} | {int(r.key.split(":")[2].split("#")[0]) for r in rejects}
    assert ends == set(range(1, 7))
    assert len({r.seed_id for r in kept}) == len(kept) and len({(r.key, r.rule) for r in rejects}) == len(rejects)


def test_seed_that_shares_text_with_a_benchmark_or_resembles_it_is_rejected_with_the_match(spark):
    question = "A train leaves the station at noon and travels ninety kilometres in every hour; how far from it is it at four o'clock?"
    close = "The train leaves the station at noon and travels 70 kilometres in every hour; how far from it is it at 3 o'clock?"
    columns = "seed_id string, source string, question string, choices array<string>, text string, broken_rule struct<rule string, evidence string>"
    rows = spark.createDataFrame(
        [
            ("leak", "s", question.upper(), None, question.upper(), None),
            ("close", "s", close, None, close, None),
            ("fine", "s", "How long is a metre?", None, "How long is a metre?", None),
            ("gone", "s", question, None, question, ("licence_missing", "no licence")),
        ],
        columns,
    )
    item = ("b", "7", "en", question, None, "360 km")
    benchmarks = spark.createDataFrame(
        [item], "benchmark string, item_id string, lang string, question string, choices array<string>, answer string"
    )
    conf = Clean(benchmarks=[])
    held = decontaminate.held_out(benchmarks, conf)
    leaks = decontaminate.leaked_seeds(rows.where("broken_rule is null"), held, conf)
    got = {r["seed_id"]: r["broken_rule"] for r in seed.without_leaks(rows, leaks).collect()}
    assert got["fine"] is None and tuple(got["gone"]) == ("licence_missing", "no licence")
    assert got["leak"][0] == "contaminated" and got["leak"][1].startswith("b/7 passage: a train leaves the station")
    assert got["close"][0] == "similar_to_benchmark" and got["close"][1].startswith("b/7 question (0.")
