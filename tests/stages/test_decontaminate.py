from boostqa.config import Clean
from boostqa.stages.decontaminate import matches

ITEM = (
    "draft_id string, source string, generator string, question string, choices array<string>, answer string, "
    "passage string"
)
BENCHMARK = "benchmark string, item_id string, question string, choices array<string>, answer string"
CONF = Clean(benchmarks=[])
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
NUMBERS = LONG.split()
GASES = ["oxygen", "nitrogen", "argon", "carbon dioxide"]
CHINESE = "下列关于光合作用的叙述中错误的一项是哪个"


def found(spark, items: list[dict], benchmark: list[tuple]) -> set[tuple]:
    empty = {"source": "s", "generator": "g", "question": None, "choices": None, "answer": None, "passage": None}
    rows = spark.createDataFrame([empty | i for i in items], ITEM)
    result = matches(rows, spark.createDataFrame([("b", *b) for b in benchmark], BENCHMARK), CONF)
    return {(r["draft_id"], r["field"], r["benchmark_item"], r["match"]) for r in result.collect()}


def test_matches_thirteen_words_in_any_field_report_the_first_run(spark):
    leaks = [{"draft_id": f, f: f"It says: {LONG.upper()}!"} for f in ("question", "answer", "passage")]
    items = [*leaks, {"draft_id": "fine", "question": " ".join(NUMBERS[:12])}]
    first = " ".join(NUMBERS[:13])
    expected = {(f, f, "q", first) for f in ("question", "answer", "passage")}
    assert found(spark, items, [("q", f"count {LONG}", None, "14")]) == expected


def test_matches_against_options_and_long_answers_but_not_short_answers(spark):
    items = [{"draft_id": "a", "passage": LONG}, {"draft_id": "b", "answer": "the speed of light squared"}]
    benchmark = [
        ("options", "Which?", ["zero", *NUMBERS], None),
        ("answer", "Why?", None, LONG),
        ("short", "What else?", None, "The speed of light squared."),
    ]
    assert {(d, i) for d, _, i, _ in found(spark, items, benchmark)} == {("a", "options"), ("a", "answer")}


def test_matches_chinese_by_windows_of_characters_and_skip_formulas(spark):
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


def test_matches_short_question_as_a_whole_unless_differing_items_share_it(spark):
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


def test_matches_options_as_a_set_whatever_their_order(spark):
    items = [
        {"draft_id": "leak", "choices": [g.upper() for g in reversed(GASES)]},
        {"draft_id": "three of four", "choices": [*GASES[:3], "neon"]},
        {"draft_id": "numbers", "choices": ["1000", "2000", "3000", "4000"]},
    ]
    benchmark = [("q", "Which gas?", GASES, "A"), ("n", "How many?", ["4000", "3000", "2000", "1000"], "A")]
    assert {(d, f, i) for d, f, i, _ in found(spark, items, benchmark)} == {("leak", "choices", "q")}


def test_matches_window_of_more_than_ten_items_is_a_stock_phrase(spark):
    benchmark = [(str(i), f"{LONG} number{i}", None, None) for i in range(11)]
    items = [{"draft_id": "stock", "question": LONG}, {"draft_id": "leak", "question": f"{LONG} number3"}]
    assert {(d, i) for d, _, i, _ in found(spark, items, benchmark)} == {("leak", "3")}


def test_matches_options_wherever_they_stand_and_however_they_are_lettered(spark):
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


def test_matches_instruction_of_a_small_benchmark_is_a_stock_phrase_and_a_twin_is_not(spark):
    instruction = "Solve the following problem step by step and write the final answer in the box below."
    asks = [f"{instruction} Task {chr(97 + i) * 5}" for i in range(4)]
    items = [{"draft_id": "ours", "question": f"{instruction} What is heat?"}, {"draft_id": "leak", "question": LONG}]
    benchmark = [*((f"q{i}", ask, None, None) for i, ask in enumerate(asks)), ("t", f"{LONG} x", None, None)]
    assert {(d, i) for d, _, i, _ in found(spark, items, [*benchmark, ("u", f"{LONG} y", None, None)])} == {
        ("leak", "t"),
        ("leak", "u"),
    }
