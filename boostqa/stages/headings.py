"""A draft as plain text under headings: the grammar that makes a model write it, and how it is read.

    Question: ...?
    A. ...            (the options of a multiple-choice question, to D.)

    Solution: ...
    ...

    Answer: ...

Plain text leaves LaTeX as it is; in JSON a small model confuses its escapes with the quotes that end a field. The grammar
is deterministic (no text can be read in two ways), so that an engine finds the allowed tokens in microseconds; and it
ends what would not end: a question at its first question mark, a solution after so many sentences and lines, where a
model that has finished, and may not end before its answer, would go on.
"""

import json
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.control_tokens import escaped
from boostqa.languages import LANGUAGES, in_language
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Format

_WORDS = {"en": ("Question: ", "Solution: ", "Answer: "), "zh": ("题目：", "解答：", "答案：")}
# Sentences and line ends: of a question, of a solution, of one with a program.
_IN_QUESTION, _IN_SOLUTION, _IN_PROGRAM = 6, 20, 50
_TELLING = 3  # characters that tell a heading from another beginning of a line
# A claim is stated, everything else is asked; only a programming problem needs several lines for its question.
_QUESTION = {Format.PROOF: r"[^\n]+", Format.PROGRAMMING: r"[^?？]+ [?？]"}
_INVALID = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]"  # with what stands for bytes that are no UTF-8
_BLANK = " \t\n"


def _question_rules() -> list[str]:
    """Rules q0 ...: one line that ends at its first question mark; p: behind a full stop."""
    rules = []
    for n in range(_IN_QUESTION + 1):
        next_sentence = (f' | "。" q{n + 1}', f' | " " q{n + 1}') if n < _IN_QUESTION else ("", "")
        rules.append(rf'q{n} ::= [^.。?？\n]* ([?？] | "." p{n}{next_sentence[0]})')
        rules.append(rf'p{n} ::= [?？] | "." p{n} | [^ .。?？\n] q{n}{next_sentence[1]}')
    return rules


def _solution_rules(heading: str, most: int) -> list[str]:
    """Rules s0 ...: at most `most` sentences and line ends, no line that begins like the heading, then the heading and
    `end`; d: behind a full stop, l: the beginning of a line."""
    telling = heading[:_TELLING]
    rules = []
    for n in range(most + 1):
        next_line = rf'"\n" ("\n" l{n + 1} | l{n + 1})'
        next_sentence = (f' | "。" s{n + 1}', f' | " " s{n + 1}')
        if n == most:
            next_line, next_sentence = r'"\n" "\n"? z', (r' | "。" "\n" "\n"? z', "")
        begun = [f'"{telling[:i]}" ' if i else "" for i in range(len(telling))]
        others = " | ".join(rf'{b}([^{c}.。\n] s{n} | "." d{n})' for b, c in zip(begun, telling, strict=True))
        rules.append(rf's{n} ::= [^.。\n]* ("." d{n} | {next_line}{next_sentence[0]})')
        rules.append(rf'd{n} ::= "." d{n} | [^ .。\n] s{n} | {next_line}{next_sentence[1]}')
        if n:
            rules.append(f"l{n} ::= z | {others}")
    return [*rules, f'z ::= "{heading}" end']


@cache
def _grammar(format: Format, lang: str) -> str:
    """The constraint, as udfs/engines/messages.py has it, of drafts of a format."""
    question, solution, answer = _WORDS[lang]
    options = DRAFT_LETTERS if format == Format.MULTIPLE_CHOICE else ""
    parts = [f'"{question}"', _QUESTION.get(format, "q0"), *(f'"\\n{letter}. " [^\\n]+' for letter in options)]
    root = " ".join([*parts, f'"\\n\\n{solution}" s0'])
    most = _IN_PROGRAM if format == Format.PROGRAMMING else _IN_SOLUTION
    rules = [f"root ::= {root}", *(() if format in _QUESTION else _question_rules()), *_solution_rules(answer, most)]
    end = rf"[{options}]" if options else r"[^\n]+"
    return json.dumps({"grammar": "\n".join([*rules, f"end ::= {end}"])}, ensure_ascii=False)


def constraint() -> Column:
    """The constraint of a row's `format` in its `lang`."""
    by_lang = {
        lang: F.create_map(*(F.lit(x) for format in Format for x in (str(format), _grammar(format, lang))))[
            F.col("format")
        ]
        for lang in LANGUAGES
    }
    return in_language(F.col("lang"), by_lang["zh"], by_lang["en"])


def _form(lang: str) -> str:
    """A regular expression with the question, four options, the solution and the answer as groups; headings may be set
    in Markdown, as engines without grammars write them."""
    question, solution, answer = (rf"[#*]*{word.strip(' :：')}[*]*\s*[:：][*]*\s*" for word in _WORDS[lang])
    options = "".join(rf"\n+{letter}[.)] *([^\n]*)" for letter in DRAFT_LETTERS)
    return rf"(?s)\A\s*{question}(.*?)(?:{options})?\s*\n{solution}(.*)\n{answer}(.*)\z"


def with_fields(rows: DataFrame, control_tokens: tuple[str, ...]) -> DataFrame:
    """Rows with `text` (a reply), `lang` and `format` -> the same and question, choices (of multiple-choice rows),
    solution, answer, trimmed, null where there is none, and `broken`: the first character that is no text, else null.

    `control_tokens` are those of the target tokenizer, escaped in every field.
    """
    broken = F.regexp_extract("text", _INVALID, 0)

    def group(number: int) -> Column:
        chinese, english = (F.regexp_extract("text", _form(lang), number) for lang in ("zh", "en"))
        found = F.btrim(in_language(F.col("lang"), chinese, english), F.lit(_BLANK))
        return F.nullif(escaped(found, control_tokens), F.lit(""))

    options = F.array(*(group(number) for number in range(2, 2 + len(DRAFT_LETTERS))))
    return rows.withColumns(
        {
            "question": group(1),
            "choices": F.when(is_multiple_choice(), F.array_compact(options)),
            "solution": group(2 + len(DRAFT_LETTERS)),
            "answer": group(3 + len(DRAFT_LETTERS)),
            "broken": F.when(broken != "", F.format_string("U+%04X", F.ascii(broken))),
        }
    )
