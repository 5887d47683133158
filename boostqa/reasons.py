"""What VERDICT rows say to a person: which come first, and why nothing is exported."""

from typing import Any

from boostqa.vocabulary import GateName, Outcome

_WEIGHT = {Outcome.BLOCKS: 0, Outcome.QUARANTINED: 1, Outcome.WARNS: 2, Outcome.HOLDS: 3}
_PLACE = {name: place for place, name in enumerate(GateName)}
SENTENCES = 2  # a person reads these; the others stand in the verdicts


def by_weight(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """VERDICT rows, what changes the export first; gates in the order of GateName, then expectations."""

    def weight(v: dict[str, Any]) -> tuple[int, int, str, str]:
        return _WEIGHT[v["outcome"]], _PLACE.get(v["gate"].partition("(")[0], len(_PLACE)), v["table"], v["gate"]

    return sorted(verdicts, key=weight)


def sentence(verdict: dict[str, Any]) -> str:
    """What a gate saw, as a sentence."""
    seen = verdict["observed"]
    return f"{seen[0].upper()}{seen[1:]}."


def why_nothing(verdicts: list[dict[str, Any]]) -> str:
    """Why a mix holds no row, in a sentence or two."""
    said = [sentence(v) for v in by_weight(verdicts) if v["outcome"] != Outcome.HOLDS]
    return " ".join(said[:SENTENCES]) or "All items were dropped: see the table reject."
