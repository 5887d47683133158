"""Made-up texts, the same for whoever is measured; needs nothing but Python."""

import random
from collections.abc import Iterator

TOKENS_A_TEXT = 220
WORDS = (
    "force mass energy the of a velocity 9.8 m/s^2 derivative $x^2$ heat ion therefore equals charge 质量 能量 field"
)


def texts(tokens: int) -> Iterator[str]:
    """Texts that hold about so many tokens."""
    words, draw = WORDS.split(), random.Random(1)
    for _ in range(tokens // TOKENS_A_TEXT):
        yield " ".join(draw.choices(words, k=TOKENS_A_TEXT // 2))
