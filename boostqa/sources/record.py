"""RECORD: what a source delivers to the seed stage; not a stored table."""

from boostqa.schemas.table import ATTRIBUTION, CHOICES, LONG, SOURCE, STRING, Table, column
from boostqa.vocabulary import Kind

RECORD = Table(
    "record",
    "one record of a source file as read, before any rule",
    ("source", "file", "line"),
    (
        SOURCE,
        column("file", STRING, "path of the input file"),
        column("line", LONG, "1-based line (JSON Lines), row number in the file (Parquet, Delta), 1 for a text file"),
        column("raw", STRING, "the malformed line or field; null when the record could be read", null=True),
        column("kind", STRING, " | ".join(Kind)),
        column("doc_id", STRING, "id inside the source", null=True),
        column("title", STRING, "title of the document or section", null=True),
        column("subject", STRING, "subject or discipline, as the source writes it", null=True),
        column("text", STRING, "document text; null for QA items", null=True),
        column("question", STRING, "question text; null for documents", null=True),
        CHOICES,
        column("answer", STRING, "reference answer, or the option letter", null=True),
        column("unread_answer", STRING, "the answer as written where it means none of the options", null=True),
        column("lang", STRING, "language tag declared by the record or by the source section", null=True),
        column("licence", STRING, "licence declared by the record or by the source section", null=True),
        ATTRIBUTION,
    ),
)
