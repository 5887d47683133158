"""What a text repeats of the prompts themselves: a model that copies its instructions into a field.

Runs of 6 words, in Chinese of 12 characters, of all templates and of terms.yaml. Measured against 11,490 exercises with
their solutions (OpenStax, chemistry in Chinese, MMLU, CMMLU, GSM8K, MATH): none holds one; 5 words and 8 characters
already meet ordinary words.
"""

import re
from functools import cache

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.languages import LANGUAGES
from boostqa.matching_text import grams

_WORDS, _CHARACTERS = 6, 12
_CHINESE = "[\u4e00-\u9fff]"


@cache
def runs() -> str:
    """The runs of all templates, a line each: words between single spaces, Chinese without any."""
    found: set[str] = set()
    for lang in LANGUAGES:
        chinese = lang == "zh"
        joint, size = ("", _CHARACTERS) if chinese else (" ", _WORDS)
        for text in prompts.own_texts(lang):
            words = re.sub(r"[\W_]+", " ", text.lower()).split()
            units = list("".join(words)) if chinese else words
            found |= {joint.join(units[i : i + size]) for i in range(len(units) - size + 1)}
    return "\n".join(sorted(run for run in found if " " in run or re.search(_CHINESE, run)))


def echo(everything: Column) -> Column:
    """The first run of a prompt that a text holds; empty where it holds none."""
    words = F.trim(F.regexp_replace(F.lower(everything), r"[^\p{L}\p{N}]+", " "))
    dense = F.regexp_replace(words, f"(?<={_CHINESE}) | (?={_CHINESE})", "")
    held = F.array_intersect(grams(dense, _WORDS, _CHARACTERS), F.split(F.lit(runs()), "\n"))
    return F.concat_ws("", F.get(held, F.lit(0)))
