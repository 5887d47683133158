"""Gates on what the checks made of the controls (table power): can they tell a good item from a bad one?

Green must mean good whatever the models are, and agreement of a weak voter with a weak writer proves nothing. So the
checks are measured on known items, and what they say of drafts is believed only as far as that goes.

The bound of `precision`. Let p be the unknown share of right drafts, FAR the share of items with a wrong answer that the
checks let through, and TAR that of right ones. Of all drafts the share A = p TAR + (1 - p) FAR is accepted, so
1 - p = (TAR - A) / (TAR - FAR), and of the accepted ones the share

    wrong = (1 - p) FAR / A = FAR (TAR - A) / (A (TAR - FAR))

is wrong. It grows with TAR, which for drafts nobody knows: with TAR = 1 the bound is FAR (1 - A) / (A (1 - FAR)). FAR is
the upper end of a one-sided 95% Wilson interval, A the lower end of one; where A <= FAR all that was accepted may be wrong.
FAR is that of all controls with a wrong answer, or that of the generator's own wrong answers where it is higher: these are
the mistakes that drafts have, and a voter of the same kind may share them. It takes for granted that a wrong draft passes
no more often than a wrong control.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from boostqa.config import Gate
from boostqa.gates.verdict import Finding
from boostqa.stages.power import DIFFERENT, EQUAL, JUDGE, LINE, VOTER, judge_is_trusted
from boostqa.vocabulary import Defect, GateName
from boostqa.wilson import interval

ONE_SIDED = 1.6448536269514722  # 95% quantile of the normal distribution: one end of an interval
WRONG_ANSWERS = (Defect.WRITER_ERROR, Defect.WRONG_ANSWER, Defect.WRONG_LETTER)
FEWEST_OWN_ERRORS = 10  # of the generator, to say what the checks do with them
FEWEST_OF_A_DEFECT = 5  # below, one control more or less turns the share of a defect


@dataclass(frozen=True)
class PowerFinding(Finding):
    """A finding about the checks: it condemns all items of `model` (as refiner), or all there are where it is null."""

    model: str | None = None


def most_wrong(far: float, accepted: int, drafts: int) -> float:
    """Upper bound of the share of wrong answers among the `accepted` of `drafts`; `far` (0..1): most that the checks let
    through of wrong ones."""
    share = interval(accepted, drafts, ONE_SIDED)[0]
    return 1.0 if share <= far else far * (1 - share) / (share * (1 - far))


def power_gates(power: list[dict[str, Any]], drafts: tuple[int, int], conf: Gate) -> list[PowerFinding]:
    """POWER rows and (drafts that the checks accepted, drafts) -> findings; `drafts` leaves out what was dropped as
    duplicate or leak, which says nothing about right and wrong."""
    line = {r["defect"]: (r["passed"], r["items"]) for r in power if r["check"] == LINE}
    good = line.pop(Defect.NONE, (0, 0))
    found = []
    if conf.min_controls is not None:
        seen = f"{good[1]} known good items went through the checks"
        if good[1] < conf.min_controls:
            seen += ": whether these can tell good from bad is not known (conf section controls)"
        found = [PowerFinding("power", GateName.CONTROLS_PRESENT, good[1], "at least", conf.min_controls, seen)]
    if line or good[1]:
        found += [*_line_gates(good, line, conf), *_precision(line, drafts, conf)]
    return [*found, *_voter(power), *_judge(power)]


def _line_gates(good: tuple[int, int], line: dict[str, tuple[int, int]], conf: Gate) -> Iterator[PowerFinding]:
    if conf.min_positives_kept is not None and good[1]:
        share = good[0] / good[1]
        seen = f"{good[0]} of {good[1]} known good items pass all checks ({share:.0%})"
        yield PowerFinding("power", GateName.POSITIVES_SURVIVE, share, "at least", conf.min_positives_kept, seen)
    if conf.max_negatives_passed is not None:
        passed, items = (sum(counts) for counts in zip(*line.values(), strict=True)) if line else (0, 0)
        high = interval(passed, items)[1]
        seen = f"{passed} of {items} spoilt items pass all checks, so up to {high:.1%} may"
        yield PowerFinding("power", GateName.NEGATIVES_STOPPED, high, "at most", conf.max_negatives_passed, seen)
    seen_enough = {d: passed / items for d, (passed, items) in line.items() if items >= FEWEST_OF_A_DEFECT}
    if conf.max_defect_passed is not None and seen_enough:
        worst = max(seen_enough, key=lambda d: (seen_enough[d], d))
        passed, items = line[worst]
        seen = f"of the defects, {worst} passes most often: {passed} of {items} such items"
        share = seen_enough[worst]
        yield PowerFinding("power", GateName.EACH_DEFECT_STOPPED, share, "at most", conf.max_defect_passed, seen)


def _far(wrong: tuple[int, int]) -> float:
    return interval(*wrong, ONE_SIDED)[1]


def _precision(line: dict[str, tuple[int, int]], drafts: tuple[int, int], conf: Gate) -> Iterator[PowerFinding]:
    if conf.min_precision is None or not drafts[1]:
        return
    of_wrong = [line[d] for d in WRONG_ANSWERS if d in line]
    wrong = (sum(passed for passed, _ in of_wrong), sum(items for _, items in of_wrong))
    own = line.get(Defect.WRITER_ERROR, (0, 0))
    worst = max([wrong, *([own] if own[1] >= FEWEST_OWN_ERRORS else [])], key=_far)
    least = 1 - most_wrong(_far(worst), *drafts)
    whose = "of the generator's own wrong answers" if worst == own else "with a wrong answer"
    seen = (
        f"at least {least:.1%} of the accepted answers are right: the checks pass {worst[0]} of {worst[1]} known items "
        f"{whose} and {drafts[0]} of {drafts[1]} drafts"
    )
    yield PowerFinding("power", GateName.PRECISION, least, "at least", conf.min_precision, seen)


def _voter(power: list[dict[str, Any]]) -> Iterator[PowerFinding]:
    for row in power:
        if row["check"] == VOTER:
            low, chance = row["wilson_low"], row["chance"]  # as stages.power.voter_is_trusted has it
            guessed = f"guessing gives {chance * row['items']:.1f} of them"
            seen = f"voter {row['model']} answered {row['passed']} of {row['items']} known questions right, {guessed}"
            seen += "" if low > chance else ": its votes are no evidence"
            gate = GateName.VOTER_BETTER_THAN_CHANCE
            yield PowerFinding("power", gate, low, "more than", chance, seen, model=row["model"])


def _judge(power: list[dict[str, Any]]) -> Iterator[PowerFinding]:
    rows = {r["defect"]: r for r in power if r["check"] == JUDGE}
    if not rows:
        return
    trusted = judge_is_trusted(power)
    called = [f"{rows[d]['passed']} of {rows[d]['items']} {d} pairs" for d in (EQUAL, DIFFERENT) if d in rows]
    seen = f"judge {next(iter(rows.values()))['model']} calls equal {' and '.join(called)}"
    seen += "" if trusted else ": it was not used as evidence"
    yield PowerFinding("power", GateName.JUDGE_TELLS_APART, float(trusted), "at least", 1.0, seen)
