"""rounds: the order of the steps, what a round sees of the conf, and the tokens that it plans."""

import pytest

from boostqa import config, pipeline
from boostqa.errors import ConfigError
from boostqa.rounds import Step, steps, wanted_tokens
from boostqa.vocabulary import ROUND_STAGES, STAGES
from tests.processes import DEMO


def conf(*settings):
    return config.load(DEMO, ["plan.tokens=1000", *settings])


def test_steps_serve_all_rounds_first_then_each_round_and_the_mix_last():
    assert [str(s) for s in steps(conf())] == ["seed", "annotate", *ROUND_STAGES, "mix"]
    two = steps(conf("rounds=[{name: pilot}, {name: rest}]"))
    assert (
        two[2:8] == [Step("pilot", s) for s in ROUND_STAGES] and str(two[8]) == "rest/probe" and str(two[-1]) == "mix"
    )


def test_a_round_plans_its_tokens_or_its_share_of_what_is_left_or_all_of_that():
    one = conf("rounds=[{name: pilot, tokens: 300}, {name: half, share: 0.5}, {name: rest}]")
    assert [wanted_tokens(one, name, 0) for name in ("pilot", "half", "rest")] == [300, 500, 1000]
    assert [wanted_tokens(one, name, 800) for name in ("pilot", "half", "rest")] == [200, 100, 200]
    assert wanted_tokens(one, "rest", 1200) == 0
    with pytest.raises(ConfigError, match="no round 'other': the conf declares pilot, half, rest"):
        one.round("other")


def test_a_round_sees_the_checkpoints_up_to_its_own():
    one = conf("probe.checkpoints=[a/b, c/d, e/f]", "rounds=[{name: first, checkpoint: c/d}, {name: last}]")
    assert [m.id for m in one.of_round("first").checkpoints()] == ["a/b", "c/d"]
    assert [m.id for m in one.of_round("last").checkpoints()] == ["a/b", "c/d", "e/f"]
    assert one.of_round("") is one and one.of_round("first").place("plan") == one.place("plan")


def test_a_run_of_an_unknown_round_and_a_force_in_no_round_are_mistakes():
    two = conf("rounds=[{name: pilot}, {name: rest}]")
    with pytest.raises(ConfigError, match="no round 'first': the conf declares pilot, rest"):
        pipeline.run(two, STAGES, in_round="first")
    with pytest.raises(ConfigError, match=r"--force plan: in which round\? add --round, one of pilot, rest"):
        pipeline.run(two, STAGES, force=["plan"])
