"""What the checks made of known items, and what follows for what they let through."""

import pytest

from boostqa.config import Gate
from boostqa.gates.power_gates import most_wrong, power_gates
from boostqa.wilson import interval

RATES = ("max_degradation_rate", "min_high_difficulty_share", "max_truncation_rate", "max_duplicate_rate")
GATE = Gate(**dict.fromkeys(RATES, 0.5))


def row(check, defect, passed, items, **more):
    low, high = interval(passed, items)
    shares = {"share": passed / items, "wilson_low": low, "wilson_high": high, "chance": None, "model": None}
    return {"check": check, "defect": defect, "passed": passed, "items": items} | shares | more


GOOD = [
    row("line", "none", 54, 60),
    row("line", "wrong_answer", 1, 40),
    row("line", "cut_off", 2, 30),
    row("voter", "none", 48, 60, chance=0.25, model="big"),
    row("judge", "equal", 38, 40, model="judge"),
    row("judge", "different", 1, 40, model="judge"),
]


def failed(power, drafts=(80, 100), gate=GATE):
    return {str(f.gate): f.observed for f in power_gates(power, drafts, gate) if not f.holds}


def test_checks_that_tell_good_from_bad_hold_every_gate():
    assert failed(GOOD) == {}
    assert len(power_gates(GOOD, (80, 100), GATE)) == 7


def test_without_controls_nothing_is_known_and_a_limit_of_null_switches_off():
    assert failed([]) == {
        "controls_present": "0 known good items went through the checks: whether these can tell good from bad is not known "
        "(conf section controls)"
    }
    assert failed([], gate=GATE.model_copy(update={"min_controls": None})) == {}
    assert set(failed([row("line", "none", 40, 40)])) == {"negatives_stopped", "precision"}


@pytest.mark.parametrize(
    ("changed", "gate", "sentence"),
    [
        (
            row("voter", "none", 3, 40, chance=0.125, model="M"),
            "voter_better_than_chance",
            "voter M answered 3 of 40 known questions right, guessing gives 5.0 of them: its votes are no evidence",
        ),
        (
            row("judge", "different", 9, 40, model="judge"),
            "judge_tells_apart",
            "judge judge calls equal 38 of 40 equal pairs and 9 of 40 different pairs: it was not used as evidence",
        ),
        (row("judge", "equal", 0, 40, model="no"), "judge_tells_apart", "judge no calls equal 0 of 40 equal pairs"),
        (row("line", "none", 5, 60), "positives_survive", "5 of 60 known good items pass all checks (8%)"),
        (row("line", "cut_off", 20, 30), "each_defect_stopped", "of the defects, cut_off passes most often: 20 of 30"),
        (
            row("line", "cut_off", 11, 30),
            "negatives_stopped",
            "12 of 70 spoilt items pass all checks, so up to 27.6% may",
        ),
        (
            row("line", "wrong_answer", 20, 40),
            "precision",
            (
                "at least 37.1% of the accepted answers are right: the checks pass 20 of 40 known items with a wrong "
                "answer and 80 of 100 drafts"
            ),
        ),
    ],
)
def test_checks_that_cannot_tell_fail_by_name_with_a_sentence(changed, gate, sentence):
    same = (changed["check"], changed["defect"])
    power = [changed if (r["check"], r["defect"]) == same else r for r in GOOD]
    assert failed(power)[gate].startswith(sentence)


def test_wrong_share_of_what_is_accepted_is_bounded_by_what_the_checks_pass():
    # If every right draft passes and 10% of the wrong ones, 0.58 = p + 0.1 (1 - p): p = 0.533, and 0.047 / 0.58 are wrong.
    assert most_wrong(0.1, 58_000, 100_000) == pytest.approx(0.0467 / 0.58, abs=0.002)
    assert most_wrong(0.1, 10, 100) == most_wrong(0.9, 50, 100) == 1.0  # no more drafts than wrong items get through
    assert most_wrong(0.1, 30, 100) > most_wrong(0.1, 300, 1000) > 0.2  # few accepted, few of them certain
    assert most_wrong(0.02, 30, 100) < 0.1


def test_the_generators_own_errors_count_where_they_pass_more_often():
    own = row("line", "writer_error", 5, 20)
    sentence = "the checks pass 5 of 20 known items of the generator's own wrong answers"
    assert sentence in failed([*GOOD, own])["precision"]
    few = row("line", "writer_error", 2, 8)
    assert "3 of 48 known items with a wrong answer" in failed([*GOOD, few], (20, 100))["precision"]


def test_wilson_interval_of_nothing_is_everything():
    assert interval(0, 0) == (0.0, 1.0)
    low, high = interval(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
