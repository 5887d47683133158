from boostqa.config import Clean
from boostqa.stages.decontaminate import held_out, matches, verbatim

ITEM = (
    "draft_id string, source string, generator string, question string, choices array<string>, answer string, "
    "passage string"
)
BENCHMARK = "benchmark string, item_id string, lang string, question string, choices array<string>, answer string"
CONF = Clean(benchmarks=[])
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
NUMBERS = LONG.split()
GASES = ["oxygen", "nitrogen", "argon", "carbon dioxide"]
CHINESE = "下列关于光合作用的叙述中错误的一项是哪个"


def frames(spark, items: list[dict], benchmark: list[tuple]) -> tuple:
    empty = {"source": "s", "generator": "g", "question": None, "choices": None, "answer": None, "passage": None}
    rows = spark.createDataFrame([empty | i for i in items], ITEM)
    items = spark.createDataFrame([("b", item_id, "en", *b) for item_id, *b in benchmark], BENCHMARK)
    return rows, held_out(items, CONF)


def found(spark, items: list[dict], benchmark: list[tuple]) -> set[tuple]:
    rows = verbatim(*frames(spark, items, benchmark), CONF).collect()
    return {(r["draft_id"], r["field"], r["benchmark_item"], r["match"]) for r in rows}


def test_verbatim_thirteen_words_in_any_field_report_the_first_run(spark):
    leaks = [{"draft_id": f, f: f"It says: {LONG.upper()}!"} for f in ("question", "answer", "passage")]
    items = [*leaks, {"draft_id": "fine", "question": " ".join(NUMBERS[:12])}]
    first = " ".join(NUMBERS[:13])
    expected = {(f, f, "q", first) for f in ("question", "answer", "passage")}
    assert found(spark, items, [("q", f"count {LONG}", None, "14")]) == expected


def test_verbatim_against_options_and_long_answers_but_not_short_answers(spark):
    items = [{"draft_id": "a", "passage": LONG}, {"draft_id": "b", "answer": "the speed of light squared"}]
    benchmark = [
        ("options", "Which?", ["zero", *NUMBERS], None),
        ("answer", "Why?", None, LONG),
        ("short", "What else?", None, "The speed of light squared."),
    ]
    assert {(d, i) for d, _, i, _ in found(spark, items, benchmark)} == {("a", "options"), ("a", "answer")}


def test_verbatim_chinese_by_windows_of_characters_and_skip_formulas(spark):
    formula = "设向量组{}线性无关且其中的每个向量都属于{}则"
    vectors = "\\boldsymbol{a}_1,\\boldsymbol{a}_2,\\cdots"
    items = [
        {"draft_id": "leak", "question": f"题：{CHINESE[:16]}？"},
        {"draft_id": "short", "question": CHINESE[:15]},
        {"draft_id": "formula", "passage": f"现在我们来讨论矩阵的行与列以及秩{vectors}所张成的空间"},
    ]
    benchmark = [
        ("q", CHINESE.replace("光合", " 光合 "), None, None),
        ("f", formula.format(vectors, vectors), None, None),
    ]
    assert found(spark, items, benchmark) == {("leak", "question", "q", CHINESE[:16])}


def test_verbatim_short_question_as_a_whole_unless_differing_items_share_it(spark):
    items = [
        {"draft_id": "leak", "question": "What is noble gas?"},
        {"draft_id": "longer", "question": "In short, what is noble gas?"},
        {"draft_id": "stock", "question": "Which statement is true?"},
        {"draft_id": "three words", "question": "What is heat?"},
    ]
    benchmark = [
        ("q", "what is  Noble gas", None, None),
        ("s1", "Which statement is true?", ["red", "blue"], None),
        ("s2", "Which statement is true?", ["up", "down"], None),
        ("w", "What is heat?", None, None),
    ]
    assert found(spark, items, benchmark) == {("leak", "question", "q", "what is noble gas")}


def test_verbatim_options_as_a_set_whatever_their_order(spark):
    items = [
        {"draft_id": "leak", "choices": [g.upper() for g in reversed(GASES)]},
        {"draft_id": "three of four", "choices": [*GASES[:3], "neon"]},
        {"draft_id": "numbers", "choices": ["1000", "2000", "3000", "4000"]},
    ]
    benchmark = [("q", "Which gas?", GASES, "A"), ("n", "How many?", ["4000", "3000", "2000", "1000"], "A")]
    assert {(d, f, i) for d, f, i, _ in found(spark, items, benchmark)} == {("leak", "choices", "q")}


def test_verbatim_window_of_more_than_ten_items_is_a_stock_phrase(spark):
    benchmark = [(str(i), f"{LONG} number{i}", None, None) for i in range(11)]
    items = [{"draft_id": "stock", "question": LONG}, {"draft_id": "leak", "question": f"{LONG} number3"}]
    assert {(d, i) for d, _, i, _ in found(spark, items, benchmark)} == {("leak", "3")}


def test_verbatim_options_wherever_they_stand_and_however_they_are_lettered(spark):
    question, options = "Which gas is most of the air?", ["argon", "nitrogen", "oxygen", "helium"]
    inside = f"{question} A. helium B. argon C. oxygen D. nitrogen"
    items = [
        {"draft_id": "bare", "question": question, "choices": options[::-1]},
        {"draft_id": "lettered", "question": question, "choices": [f"{c}. {o}" for c, o in zip("ABCD", options, strict=True)]},
        {"draft_id": "inside", "question": inside},
        {"draft_id": "lines", "question": f"{question}\n(A) argon\n(B) nitrogen\n(C) oxygen\n(D) helium"},
        {"draft_id": "other", "question": "Which gas is lightest?", "choices": ["argon", "neon", "xenon", "helium"]},
    ]  # fmt: skip
    leaks = {"bare", "lettered", "inside", "lines"}
    for benchmark in ([("q", question, options, "B")], [("q", inside, None, "D")]):
        assert {draft for draft, *_ in found(spark, items, benchmark)} == leaks


def test_verbatim_instruction_of_a_small_benchmark_is_a_stock_phrase_and_a_twin_is_not(spark):
    instruction = "Solve the following problem step by step and write the final answer in the box below."
    asks = [f"{instruction} Task {chr(97 + i) * 5}" for i in range(4)]
    items = [{"draft_id": "ours", "question": f"{instruction} What is heat?"}, {"draft_id": "leak", "question": LONG}]
    benchmark = [*((f"q{i}", ask, None, None) for i, ask in enumerate(asks)), ("t", f"{LONG} x", None, None)]
    assert {(d, i) for d, _, i, _ in found(spark, items, [*benchmark, ("u", f"{LONG} y", None, None)])} == {
        ("leak", "t"),
        ("leak", "u"),
    }


def test_verbatim_item_inside_a_text_by_its_options_and_the_end_of_its_question(spark):
    question, options = "Which gas is most of the air?", ["argon", "nitrogen", "oxygen", "helium"]
    text = f"Here is one. {question}\nA. {{}}\nB. {{}}\nC. {{}}\nD. {{}}\nAnswer: B. And so on."
    items = [
        {"draft_id": "lines", "passage": text.format(*options)},
        {"draft_id": "shuffled", "passage": text.format(*options[::-1])},
        {
            "draft_id": "one line",
            "answer": f"Ask: {question} (A) helium (B) argon (C) oxygen (D) nitrogen. It was easy.",
        },
        {"draft_id": "second", "passage": f"Is it? A. yes B. no C. perhaps {text.format(*options)}"},
        {"draft_id": "other", "passage": text.format(*options[:3], "neon")},
    ]
    leaks = {(d, i) for d, _, i, _ in found(spark, items, [("q", question, options, "B"), ("r", "Why?", None, "so")])}
    assert leaks == {("lines", "q"), ("shuffled", "q"), ("one line", "q"), ("second", "q")}


def test_verbatim_runs_of_words_from_a_question_into_its_options(spark):
    question, options = "The most abundant gas of the air is", ["nitrogen alone", "oxygen alone", "some argon"]
    benchmark = [("q", question, options, "A"), ("z", CHINESE[:10], [CHINESE[10:15], CHINESE[15:]], "A")]
    items = [
        {"draft_id": "leak", "passage": f"{question}\n1) nitrogen alone\n2) oxygen alone\n3) some argon"},
        {"draft_id": "chinese", "passage": f"问：{CHINESE}。"},
        {"draft_id": "fine", "passage": f"{question} nitrogen, as everybody knows."},
    ]
    leaks = {(d, i) for d, _, i, _ in found(spark, items, benchmark)}
    assert leaks == {("leak", "q"), ("chinese", "z")}


def test_verbatim_text_that_one_item_repeats_or_few_share_is_no_stock_phrase(spark):
    passage = " ".join(f"p{i}" for i in range(80))
    benchmark = [
        ("repeats", " ".join([LONG] * 15), None, None),
        *[(f"twin{i}", "A twin is no other item, however often it stands in one and the same benchmark.", None, None) for i in range(12)],
        *[(f"p{i}", f"{passage} Question {chr(97 + i) * 4}?", None, None) for i in range(5)],
        *[(f"o{i}", f"Another short question about {chr(97 + i) * 5}", None, None) for i in range(5)],
    ]  # fmt: skip
    items = [
        {"draft_id": "repeats", "question": LONG},
        {"draft_id": "twin", "question": benchmark[1][1]},
        {"draft_id": "passage", "passage": passage},
    ]
    leaks = {(d, i) for d, _, i, _ in found(spark, items, benchmark)}
    expected = {("repeats", "repeats")} | {("twin", f"twin{i}") for i in range(12)}
    assert leaks == expected | {("passage", f"p{i}") for i in range(5)}


TRAIN = "Anna buys 3 boxes of apples for the school party; each box holds 12 apples and costs $7. How much does she pay for {}?"


def test_matches_similar_questions_apart_from_verbatim_ones(spark):
    copy = (
        TRAIN.format("all of them")
        .replace("Anna", "Omar")
        .replace("3", "five")
        .replace("12", "30")
        .replace("she", "he")
    )
    photo = "下列关于绿色植物光合作用与呼吸作用的叙述正确的是"
    benchmark = [
        ("t", TRAIN.format("all of them"), None, "21"),
        ("zh", f"某班有40名学生，{photo}", None, "A"),
        (
            "other",
            "A train of 4 coaches with 60 seats each leaves the station; how many people may sit in it?",
            None,
            "240",
        ),
        ("short", "Compute the sum of 4 and 5 and 6.", None, "15"),
    ]
    items = [
        {"draft_id": "copy", "question": copy, "answer": "35"},
        {
            "draft_id": "words",
            "question": copy.replace("boxes", "crates").replace("party", "feast"),
            "choices": ["21", "35"],
        },
        {
            "draft_id": "same",
            "question": TRAIN.format("all of them"),
            "passage": "before " * 300 + TRAIN + " after" * 300,
        },
        {"draft_id": "chinese", "question": f"某校有35个学生，{photo.replace('叙述', '说法').replace('与', '和')}"},
        {"draft_id": "sum", "question": "Compute the sum of 7 and 8."},
        {
            "draft_id": "fine",
            "question": "Anna plants 3 rows of beans; each row takes 12 seeds. How many seeds does she need?",
        },
    ]
    rows, benchmarks = frames(spark, items, benchmark)
    # Of a copy's fields the passage comes last.
    rows = {
        (r["draft_id"], r["benchmark_item"]): r
        for r in matches(rows, benchmarks, CONF).orderBy("field", ascending=False).collect()
    }
    kinds = {key: r["kind"] for key, r in rows.items()}
    expected = {
        ("copy", "t"): "similar",
        ("words", "t"): "similar",
        ("same", "t"): "verbatim",
        ("chinese", "zh"): "similar",
    }
    assert kinds == expected
    assert rows["copy", "t"]["score"] == 1.0 and 0.3 <= rows["words", "t"]["score"] < 0.8
    assert (
        rows["words", "t"]["item_text"].endswith("\nA. 21\nB. 35")
        and rows["words", "t"]["benchmark_text"] == benchmark[0][1]
    )
    assert rows["copy", "t"]["match"].startswith("buys boxes apples school party")
    assert len(rows["same", "t"]["item_text"]) == 500 and TRAIN[:90] in rows["same", "t"]["item_text"]
