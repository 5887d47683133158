"""A table's contract: grain, key, and the meaning of each column; and the columns that several tables share.

A contract is checked on every write and on every read (storage). Columns marked `volatile` (clock, run, placement, and
likelihoods, whose last digits depend on what else was in the engine's batch) do not count in a table's content hash.
Aim (`grade`) and measurement (`difficulty`) never share a column.

Tables `by_round` are stored with a column `round` in front, part of their key: a stage replaces the rows of its round
only. Stages see the rows of one round, without it.
"""

from dataclasses import dataclass, field

from pyspark.sql import types as T

from boostqa.vocabulary import FORMATS, STRATEGIES

STRING, INT, LONG, DOUBLE, BOOLEAN = T.StringType(), T.IntegerType(), T.LongType(), T.DoubleType(), T.BooleanType()
STRINGS = T.ArrayType(STRING, containsNull=False)
LONGS = T.ArrayType(LONG, containsNull=False)
SPANS = T.ArrayType(
    T.StructType(
        [T.StructField("part", STRING), *(T.StructField(n, INT) for n in ("start", "end", "token_start", "token_end"))]
    )
)
MEASURES = T.MapType(STRING, DOUBLE, valueContainsNull=False)
COUNTS = T.MapType(STRING, LONG, valueContainsNull=False)


def column(name: str, kind: T.DataType, meaning: str, null: bool = False, volatile: bool = False) -> T.StructField:
    """One column of a contract; `meaning` becomes the Delta column comment."""
    return T.StructField(name, kind, null, {"comment": meaning, "volatile": volatile})


ROUND = column("round", STRING, "round of the conf that wrote the row; empty: of no round, all of them share it")


@dataclass(frozen=True)
class Table:
    """A table's contract: `key` is unique, every column not marked `null` is never null."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[T.StructField, ...] = field(repr=False)
    by_round: bool = False
    made_anew: bool = False  # by its stage, whole: of an earlier release with other columns no row counts

    @property
    def schema(self) -> T.StructType:
        """The columns as Spark's schema."""
        return T.StructType(list(self.columns))

    @property
    def stored(self) -> T.StructType:
        """The columns as they are stored: with `round` of a table by round."""
        return T.StructType([ROUND, *self.columns] if self.by_round else list(self.columns))

    @property
    def stored_key(self) -> tuple[str, ...]:
        """What is unique in the stored table."""
        return (ROUND.name, *self.key) if self.by_round else self.key

    @property
    def stable_columns(self) -> list[str]:
        """Columns that count in the content hash."""
        return [c.name for c in self.columns if not c.metadata["volatile"]]


LANG = column("lang", STRING, "ISO 639-1 language code, ISO 639-3 where there is none")
LICENCE = column(
    "licence", STRING, "SPDX licence used, of the conf's list; several that hold together are joined by AND"
)
ATTRIBUTION = column("attribution", STRING, "attribution text the licence asks for", null=True)
SOURCE = column("source", STRING, "name of the source section in the conf")
QUESTION = column("question", STRING, "question text, self-contained")
CHOICES = column(
    "choices", STRINGS, "options of a multiple-choice item, in order A, B, ...; null for open items", null=True
)
DISCIPLINE = column("discipline", STRING, "ISCED-F 2013 detailed field, four digits")
DIFFICULTY = column("difficulty", STRING, "measured difficulty H1..H5, given by the annotator")
GRADE = column("grade", STRING, "education stage H1..H5 that the request aims at")
STRATEGY = column("strategy", STRING, " | ".join(STRATEGIES))
FORMAT = column("format", STRING, " | ".join(FORMATS))
SEED_ID = column("seed_id", STRING, "sha256 over source, document id and chunk text")
