"""tags: the grammar of a draft lets through what prompts show, and ends what would not end."""

import json
import re

import pytest

from boostqa import prompts
from boostqa.languages import LANGUAGES
from boostqa.stages import tags
from boostqa.vocabulary import Format

EXAMPLES = {(lang, format): prompts.terms("example")[lang][format] for lang in LANGUAGES for format in Format}


@pytest.mark.parametrize(("lang", "format"), EXAMPLES)
def test_tags_example_of_a_prompt_is_read_whole(lang, format):
    question, solution, *options, answer = re.fullmatch(tags._DRAFT, EXAMPLES[lang, format]).groups()
    assert question and solution and answer
    assert all(options) == (format == Format.MULTIPLE_CHOICE)


def test_tags_answer_that_was_opened_before_the_solution_was_closed_is_left_out_of_it():
    text = "Well.\n<solution>2 + 2 < 5, so 4.\n<answer>4</solution>\n<answer>4</answer>"
    assert re.search(f"(?s){tags._SOLUTION}", text).groups() == ("2 + 2 < 5, so 4.\n", "4")


def test_tags_what_nobody_sees_is_dropped_from_a_draft_and_its_control_tokens_are_escaped(spark):
    text = "<question>Wh\u00adat is <\u2060/s>\u202e?</question><solution>\u200b</solution><answer>4\U000e0041</answer>"
    rows = spark.createDataFrame([(text, "short_answer")], "text string, format string")
    [row] = tags.with_fields(rows, ("</s>",)).collect()
    assert (row["question"], row["solution"], row["answer"]) == ("What is <\u2060/s>?", None, "4")


@pytest.mark.engine
def test_tags_grammar_takes_the_examples_and_latex_and_nothing_endless():
    xgrammar, testing = pytest.importorskip("xgrammar"), pytest.importorskip("xgrammar.testing")
    grammars = {f: xgrammar.Grammar.from_ebnf(json.loads(tags._grammar(f))["grammar"]) for f in Format}

    def accepted(text, format=Format.CALCULATION):
        return testing._is_grammar_accept_string(grammars[format], text)

    for (_, format), text in EXAMPLES.items():
        assert accepted(text, format), text
    for options, answer in (("ABCD", "B"), ("", "$1 < x$")):
        grammar = xgrammar.Grammar.from_ebnf(json.loads(tags._of_known_question(options, 150))["grammar"])
        for sentences, taken in ((9, True), (10, False)):
            reply = f"<solution>{'So it is. ' * sentences}Done.</solution>\n<answer>{answer}</answer>"
            assert testing._is_grammar_accept_string(grammar, reply) == taken
    draft = "<question>{}</question>\n<solution>{}</solution>\n<answer>{}</answer>"
    assert accepted(
        draft.format('Is $\\frac{1}{2} < 0.5$ "so"... or 是?', "It is 0.5. So\n\t\\therefore no.", "$\\neq$")
    )
    assert accepted(draft.format("A car of 1.5 t stops. Calculate its mass in kg.", "Yes.", "yes"))
    assert not accepted(draft.format("It is so", "Yes.", "yes"))
    assert not accepted(draft.format("Is it? Why?", "Yes.", "yes"))
    assert accepted(draft.format("It is 1.5. Is it?", "Yes. " * 8 + "So 0.5 it is.", "yes"))
    assert not accepted(draft.format("Is it?", "Yes. " * 9 + "So it is.", "yes"))
    assert accepted(draft.format("Is it?", "Yes. " * 8 + "So 0.25 < 3 holds, 1.5 of 2.", "yes"))
    for endless in ("So it is 0.5.5", "So it is m.5 m", "So it is 10.000.000", "So it is.."):
        assert not accepted(draft.format("Is it?", "Yes. " * 8 + endless, "yes"))
    assert not accepted(draft.format("Is it?", "Yes\n" * 10, "yes"))
    assert not accepted(draft.format("Is it?", "Yes.So " * 10, "yes"))
    assert not accepted(draft.format("It is. " * 5 + "Is it?", "Yes.", "yes"))
    assert not accepted(draft.format("Is it?", "Yes.", "A</answer>\n<answer>B"))
    assert accepted(draft.format("Is it?", "Yes.", "<yes " + "or no " * 19 + "<a>"))
    assert not accepted(draft.format("Is it?", "Yes.", "yes " + "or no " * 20))
    assert not accepted(draft.format("Is it?", "Yes.", ""))
