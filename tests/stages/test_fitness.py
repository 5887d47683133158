"""Every rule on items that break it, in English and Chinese, and on their like that do not. One DataFrame for all."""

import re

import pytest

from boostqa import prompts
from boostqa.config import Clean
from boostqa.schemas import REFINED, SEED
from boostqa.stages import fitness
from tests.rows import frame, row

CONF = Clean(benchmarks=[])
LONG = "an electron that moves in a uniform magnetic field feels a force at right angles to its velocity"
CHOICE = {
    "format": "multiple_choice", "question": "What is the force on the block?", "choices": ["12 N", "24 N", "6 N", "48 N"],
    "answer": "B", "solution": "Force is mass times acceleration, so it is 24 N.",
}  # fmt: skip
SUM = {
    "format": "calculation",
    "question": "What is the sum of 12 and 30?",
    "answer": "42",
    "solution": "12 + 30 = 42.",
}
ZH = {
    "lang": "zh", "question": "什么是牛顿第二定律？", "answer": "力等于质量乘以加速度", "solution": "力使物体产生加速度，两者成正比。",
}  # fmt: skip
ZH_CHOICE = CHOICE | {"lang": "zh", "question": "物体所受的合力是多少？", "solution": "力等于质量乘以加速度，即 24 N。"}
WHY = {"format": "explanation", "question": "Why does an apple fall to the ground?", "answer": "Gravity pulls it down."}


def item(draft_id: str, **changes) -> dict:
    usual = {"seed_id": "s1", "question": "Which law relates force and acceleration?", "answer": "Newton's second law"}
    return row(REFINED, draft_id=draft_id, **usual | {"solution": "It follows.", "draft_answer": "a"} | changes)


def q(*questions: str, **changes) -> list[dict]:
    return [changes | {"question": question} for question in questions]


def instruction(template: str, lang: str) -> str:
    """The beginning of the longest text of a template."""
    text = max(re.split(r"\{\{\w+\}\}|\n", prompts.load(template).texts[lang]), key=len)
    return " ".join(text.split()[:12]) if lang == "en" else text[:30]


BAD = {
    "question_too_short": q("What is it?", "如图所示", "Why?", "", "求解"),
    "question_too_long": q(" ".join(f"w{i}" for i in range(1500))),
    "empty_answer": [{"answer": " "}],
    "choices_invalid": [
        CHOICE | {"answer": "E"}, CHOICE | {"choices": None}, CHOICE | {"choices": ["12 N", "24 N", "6 N"]},
        CHOICE | {"choices": ["12 N", "$12$ N", "6 N", "48 N"]}, ZH_CHOICE | {"choices": ["红", "蓝", "绿", "红 "]},
    ],
    "chat_turn": [
        {"solution": "<think>Let me see.</think> It follows."},
        {"question": "<|im_start|>user\nWhich law relates force and acceleration?"},
        {"solution": "It follows.\n<\u2060start_of_turn>model\nIt follows."},
        {"question": "<|user|> Which law relates force and acceleration?"},
        ZH | {"solution": "</think>力使物体产生加速度。"},
    ],
    "placeholder": [
        {"solution": "..."}, {"question": "Which law relates <question> and acceleration?"}, {"answer": "[your answer here]"},
        {"solution": "{{answer}}"}, ZH | {"solution": "答案。"},
    ],
    "prompt_echo": [
        {"question": f"{instruction('multi_grade', 'en')}?"}, {"solution": instruction("high_difficulty", "en")},
        {"answer": instruction("rewrite", "en")}, ZH | {"question": f"{instruction('multi_grade', 'zh')}？"},
        ZH | {"solution": instruction("rewrite", "zh")},
    ],
    "option_on_options": [
        CHOICE | {"choices": ["12 N", "24 N", "6 N", last]}
        for last in ("All of the above", "None of these options", "Both A and B", "A and C", "以上都不对", "都正确", "A和B", "上述三项均正确")
    ],
    "language_mismatch": [
        {"lang": "zh"}, {"question": "力和加速度之间的关系由哪一条定律给出？"},
        ZH | {"solution": "The net force on a body equals its mass times its acceleration."},
        {"solution": "合外力等于质量乘以加速度，因此两者成正比，方向相同，这就是牛顿第二定律的内容，也是经典力学的基础之一，适用于宏观低速物体。"},
        ZH | {"question": "What is Newton's second law?"},
    ],
    "refers_to_passage": [
        *q("According to the passage, which law relates force and acceleration?", "What does the source text call inertia?"),
        *q("What is the net force on the block shown in the figure?", "What is the speed of the car as shown?"),
        *q("Using the above equation, what is the acceleration of the block?", "What does the following code print?"),
        *q("What property of Ni changes from part (f) to part (g) in the item cited?", "Which of the works cited is the oldest?"),
        *q("What happens to the block in the previous example?", "Why does the author prefer a lighter block?"),
        *q("如图所示，物体沿斜面下滑时受到的摩擦力是多少？", "根据上述材料，什么是惯性？", "作者认为惯性是什么？", lang="zh", solution="力。"),
        *q("下面的代码输出什么？", "上述反应中哪个是氧化剂？", lang="zh", solution="力。"),
        {"solution": "According to the source text, force is mass times acceleration."}, {"answer": "See Figure 3.2"},
    ],
    "answer_given": [
        SUM | {"question": "What is the sum of 12 and 30? The answer is 42."}, SUM | {"question": "What is the sum of 12 and 30? 42"},
        CHOICE | {"question": "What is the force on the block? The answer is B."},
        CHOICE | {"question": "The answer is 24 N. What is the force on the block?"},
        {"question": "What is the force on the block if the force is 20 N?", "answer": "20 N"},
        WHY | {"question": f"Why is it that {LONG}?", "answer": LONG},
        ZH | {"format": "calculation", "question": "12与30的和是多少？答案是42。", "answer": "42", "solution": "和为42。"},
        ZH_CHOICE | {"question": "物体所受的合力是多少？（正确答案：B）"},
    ],
    "no_task": [
        *q("Question: Breadth-first search", "Newton's second law relates force and acceleration.", "State space search"),
        *q("An explanation of photosynthesis.", "Photosynthesis converts light into energy, which is stored in glucose."),
        *q("This is a short-answer question about forces.", "The second law describes how to find the acceleration."),
        *q("牛顿第二定律与广度优先搜索", "光合作用把光能转化为化学能。", "这是一道关于力的简答题。", lang="zh", solution="力。"),
        CHOICE | {"question": "Breadth-first search"}, CHOICE | {"question": "A force acts on a block."},
    ],
    "trivial": [
        *q("How does this answer work?", "What is the correct answer to this question?", "Which of the following is true?"),
        *q("下列说法正确的是什么？", "这个问题的答案是什么？", lang="zh", solution="力。"),
        {"question": "Which law is it now?", "answer": "which law is it now?"},
    ],
    "broken_latex": [
        {"question": question}
        for question in (
            r"What is $\frac{1}{2$ of 12?", r"What is $\left( x + 1$ for x = 2?", r"Solve \begin{align} x = 1 for x?",
            r"Given $x^2 + \sqrt{y, what is y?", r"What does Eq. \ref{eq:1} say about force?",
        )
    ] + [ZH | {"question": r"求 $\frac{1}{x$ 的值是多少？"}, {"answer": r"\frac{1}{2"}],
    "cut_off": [
        *q("What is the force on a block that slides down a", "Find the acceleration of a block of mass 2 kg and"),
        *q("Calculate the work done on a block with mass m (in kg", "Explain why a moving charge feels a force in a magnetic fie"),
        *q("Solve the equation x + 3 =", "What does this print?\n```python\nprint(1)"),
        *q("求物体的加速度，已知质量为2千克，并且", "计算一个质量为两千克的物体沿光滑斜面下滑时受", lang="zh", solution="力。"),
        {"solution": "The force is the product of the mass and the"}, {"solution": "Hence the acceleration is given by the ratio F /"},
        ZH | {"solution": "力等于质量乘以加速度，因此"},
    ],
    "answer_form": [
        SUM | {"answer": "the sum of both"}, SUM | {"answer": "word " * 30 + "42"}, {"answer": "word " * 50}, {"answer": "See the solution."},
        {"answer": "N/A"}, {"answer": "Which law is it?"}, WHY | {"answer": "Yes"}, {"format": "programming", "answer": "```python\n```"},
        {"format": "proof", "question": "Prove that every even number is divisible by two.", "answer": "Proved."},
        ZH | {"answer": "见解析"}, ZH | {"format": "calculation", "answer": "力与加速度"},
    ],
    "equal_options": [
        CHOICE | {"choices": choices}
        for choices in (
            ["1/2", "0.5", "2", "3"], ["12 N", "24 N", "12.0 N", "6 N"], ["1 km", "2 m", "3 m", "1000 m"],
            [r"$\frac{1}{2}$", "3", "1/2", "4"],
        )
    ] + [ZH_CHOICE | {"choices": ["1千米", "1 km", "1000 m", "3 m"]}],
    "solution_disagrees": [
        CHOICE | {"solution": solution}
        for solution in (
            "The answer is (C).", "Thus, option A is correct.", "So the answer is 12 N.", r"Hence \boxed{D}", "Answer: **C**",
            "The final answer is 13 N.",
        )
    ] + [
        ZH_CHOICE | {"solution": "力等于质量乘以加速度，故选C。"}, ZH_CHOICE | {"solution": "由牛顿第二定律可知答案是D。"},
        SUM | {"solution": "12 + 30 = 43, so the answer is 43."}, SUM | {"solution": "Add the two numbers."},
        SUM | {"solution": r"We get \boxed{41} of 42."},
    ],
    "repetition": [{"solution": "and so it goes on " * 10}],
}  # fmt: skip
GOOD = [
    {}, CHOICE, SUM, ZH, ZH_CHOICE, WHY,
    *q("Find the acceleration of a block of mass 2 kg under a force of 6 N.", "Given that $a = 2,$ find $a + 1$."),
    *q("Which is heavier, a proton or an electron?", "Prove or disprove: every set has a smallest element."),
    *q("Describe the passage of time near a heavy mass such as a black hole.", "Find the smallest prime", "Balance the equation: H2 + O2 → H2O"),
    *q("Use Lenz's law to explain why the current dies out.", "What does the following code print?\n```\nprint(1)\n```"),
    *q("Which two tags of HTML strike a text through, <s> and </s> or <del> and </del>?"),
    *q("What is the expectation value $<|x|>$ of a particle in a box of length L?"),
    *q("Solve for x:\n\n(a) x + 1 = 2\n\n(b) x - 1 = 2", "A shirt costs $5 and a hat costs $6. How much do both cost?"),
    {"question": "What does ChatML write before a turn of the user?", "answer": "<|im_start|>"},
    {"format": "proof", "question": "Show that x = 5 solves x + 1 = 6.", "answer": "x = 5 solves x + 1 = 6."},
    {"format": "programming", "question": "What does print(1 + 1) print in Python?", "answer": "2"},
    {"solution": "As shown above, the given information suffices."}, {"solution": ""},
    CHOICE | {"question": "The force on a block of 2 kg that accelerates at 12 m/s^2 is"}, CHOICE | {"answer": "D", "solution": ""},
    CHOICE | {"question": "Which option is not correct?", "solution": "Option A is correct. So B is wrong."},
    CHOICE | {"choices": ["AA", "Aa", "aa", "vitamin A and vitamin D"], "solution": ""},
    CHOICE | {"solution": "Option A is 12 N, too small. The answer is B."}, CHOICE | {"question": "A force of 12 N acts.", "choices": ["True", "False", "Yes", "No"], "solution": ""},
    SUM | {"question": "How much is left of 42 apples when none is eaten?", "solution": "All: 42."},
    SUM | {"question": r"What is 1.2 times 1000?", "answer": r"$1.2 \times 10^3$", "solution": "It is 1200."},
    *q("求函数 $f(x)=x^2$ 在 $x=1$ 处的导数。", "请说明惯性的含义。", "2，3，7，22，155，____，3，7", lang="zh", solution="力。"),
    *q(r"若 $\left(x+\frac{1}{2}\right)^2=\frac{\pi}{2}\sin\theta$，求 $x$。", lang="zh", solution="开方。"),
    ZH_CHOICE | {"question": "下列各力中最大的是"}, ZH_CHOICE | {"question": "下列说法错误的是（  ）", "solution": "A项正确，C项正确，故选B。"},
]  # fmt: skip


@pytest.fixture(scope="module")
def found(spark):
    """Rule by item: those of BAD are named rule#i, those of GOOD good#i."""
    bad = [item(f"{rule}#{i}", **changes) for rule, cases in BAD.items() for i, changes in enumerate(cases)]
    good = [item(f"good#{i}", **changes) for i, changes in enumerate(GOOD)]
    seeds = frame(spark, SEED, row(SEED, seed_id="s1", text="Forces change motion."))
    return {r["key"]: r for r in fitness.rejects(frame(spark, REFINED, *bad, *good), seeds, CONF, "clean").collect()}


@pytest.mark.parametrize("rule", BAD)
def test_rule_rejects_what_breaks_it(found, rule):
    keys = [f"{rule}#{i}" for i in range(len(BAD[rule]))]
    assert {key: (found[key]["rule"] if key in found else None) for key in keys} == dict.fromkeys(keys, rule)


def test_every_rule_has_examples():
    assert [rule.name for rule in fitness.RULES] == list(BAD)


def test_good_items_pass_every_rule(found):
    assert {key: (r["rule"], r["evidence"]) for key, r in found.items() if key.startswith("good")} == {}


def test_reject_says_what_the_rule_saw(found):
    evidence = {key: r["evidence"] for key, r in found.items()}
    assert evidence["refers_to_passage#0"] == "According to the passage" and evidence["chat_turn#0"] == "<think>"
    assert evidence["repetition#0"] == "0.90 > 0.40 of the seeds"
    assert evidence["solution_disagrees#0"] == "ends in C, the answer is B"
    assert evidence["solution_disagrees#9"] == "never comes to 42"
    assert {(r["stage"], r["request_ids"]) for r in found.values()} == {("clean", None)}


def test_repetition_is_measured_against_the_seeds_of_the_language(spark):
    words = [f"word{i}" for i in range(60)]
    seeds = [row(SEED, seed_id=f"s{i}", text=" ".join(words[:30] * 2)) for i in range(9)]  # half of it repeats
    seeds.append(row(SEED, seed_id="zh", lang="zh", text="力是改变运动的原因。"))
    items = [
        item("en", solution=" ".join(words[:30] * 2)),
        item("zh", **ZH | {"solution": "因为力等于质量乘以加速度。" * 3}),
        item("loop", solution="It follows. " * 20),
    ]
    rows, known = frame(spark, REFINED, *items), frame(spark, SEED, *seeds)
    got = {r["key"]: r["evidence"] for r in fitness.rejects(rows, known, CONF, "clean").collect()}
    assert got == {"loop": "0.95 > 0.58 of the seeds", "zh": "0.61 > 0.40 of the seeds"}
    fixed = Clean(benchmarks=[], max_repetition=0.9)
    assert [r["evidence"] for r in fitness.rejects(rows, known, fixed, "clean").collect()] == ["0.95 > 0.90"]
