"""Every stored table's contract, by subject: items, ledger, control. `TABLES` holds them all by name, in flow order."""

from boostqa.schemas.control import (
    BUDGET,
    CONTAMINATION,
    NOVELTY,
    POWER,
    PROBE,
    QUARANTINE,
    REJECT,
    RUN,
    VERDICT,
    WITHDRAWAL,
)
from boostqa.schemas.items import (
    ANNOTATION,
    CLEAN,
    CONTROL,
    CORPUS,
    DRAFT,
    HELD_OUT,
    MEASURED,
    MIX,
    PLAN,
    REFINED,
    RUBRIC,
    SEED,
    STUDENT,
)
from boostqa.schemas.ledger import COMPLETION, CONFLICT, ENGINE_TASK, TOKEN_USAGE
from boostqa.schemas.table import ROUND, Table, column

__all__ = [
    "ANNOTATION", "BUDGET", "CLEAN", "COMPLETION", "CONFLICT", "CONTAMINATION", "CONTROL", "CORPUS", "DRAFT", "ENGINE_TASK", "HELD_OUT", "MEASURED", "MIX", "NOVELTY", "PLAN",
    "POWER", "PROBE", "QUARANTINE", "REFINED", "REJECT", "ROUND", "RUBRIC", "RUN", "SEED", "STUDENT", "TABLES", "TOKEN_USAGE", "VERDICT", "WITHDRAWAL", "Table", "column",
]  # fmt: skip

TABLES = {
    table.name: table
    for table in (
        *(HELD_OUT, SEED, ANNOTATION, PROBE, BUDGET, PLAN, COMPLETION, CONFLICT, ENGINE_TASK, MEASURED, DRAFT, CONTROL),
        *(REFINED, RUBRIC, CLEAN, STUDENT, CONTAMINATION, NOVELTY, POWER, QUARANTINE, VERDICT, WITHDRAWAL, CORPUS, MIX),
        *(TOKEN_USAGE, REJECT, RUN),
    )
}
