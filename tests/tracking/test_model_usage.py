"""model usage: the figures of tasks added up, and the idle tail of engines."""

import pytest

from boostqa.tracking.model_usage import ModelUsage
from udfs.in_flight import TASK_COUNTS


def task(executor, began, ended, idle_seconds=0.0, **counts):
    place = {"partition": 0, "executor": executor, "gpus": ""}
    return (
        dict.fromkeys(TASK_COUNTS, 0) | place | {"began": began, "ended": ended, "idle_seconds": idle_seconds} | counts
    )


def test_engine_that_ends_early_is_idle_until_the_last_one_ends():
    usage = ModelUsage("run", "synthesize")
    usage.add_call("m", [task("a", 0.0, 10.0, generated_tokens=100), task("b", 0.0, 6.0, idle_seconds=1.0)])
    assert (usage.idle_seconds, usage.available_seconds) == (4.0 + 1.0, 20.0)
    assert usage.idle_tail_share == pytest.approx(0.25)
    assert usage.counts["generated_tokens"] == 100 and usage.engine_tasks[0]["tokens_per_second"] == 10.0


def test_tasks_that_follow_each_other_on_an_engine_are_one_engine():
    usage = ModelUsage("run", "synthesize")
    usage.add_call("m", [task("a", 0.0, 4.0), task("a", 4.0, 10.0)])
    assert (usage.idle_seconds, usage.available_seconds, usage.calls) == (0.0, 10.0, 1)
    assert ModelUsage("run", "plan").idle_tail_share is None
