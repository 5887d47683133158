"""placement: which profile a generation stage asks for."""

from types import SimpleNamespace

import pytest

from boostqa.calls.placement import profile, refuse_speculation
from boostqa.config import EngineSettings, Executors, Generation
from boostqa.errors import ConfigError

TASK, EXECUTOR = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"


def session(**settings):
    conf = {"spark.master": "spark://here:7077"} | {key.replace("_", "."): value for key, value in settings.items()}
    return SimpleNamespace(conf=SimpleNamespace(get=lambda key, default=None: conf.get(key, default)))


def gpus(spark, tensor_parallel_size=1, **generation):
    return profile(spark, Generation(**generation), EngineSettings(tensor_parallel_size=tensor_parallel_size))


def test_tasks_without_gpus_need_no_profile():
    assert gpus(session()) is None
    assert gpus(session(spark_master="local[2]")) is None


def test_conf_that_gives_every_task_its_gpus_decides():
    assert gpus(session(**{EXECUTOR: "4", TASK: "2"}), tensor_parallel_size=2) is None


@pytest.mark.parametrize(
    ("settings", "tensor_parallel_size", "says"),
    [
        ({TASK: "0.5"}, 1, "spark.task.resource.gpu.amount=0.5: several engines would share a GPU"),
        ({EXECUTOR: "2"}, 4, "an engine needs 4 GPUs .* an executor has 2: the stage would wait forever"),
        ({EXECUTOR: "4", TASK: "1"}, 2, "spark.task.resource.gpu.amount=1, but an engine needs 2"),
    ],
)
def test_placement_that_cannot_work_is_refused_with_an_explanation(settings, tensor_parallel_size, says):
    with pytest.raises(ConfigError, match=says):
        gpus(session(**settings), tensor_parallel_size)


def test_own_executors_need_dynamic_allocation():
    with pytest.raises(ConfigError, match=r"needs spark\.dynamicAllocation\.enabled=true"):
        gpus(session(), executors=Executors(gpus=8))


def test_profile_asks_for_the_engines_gpus_and_for_own_executors(spark):
    tasks = gpus(session(**{EXECUTOR: "8"}), tensor_parallel_size=4)
    assert tasks.taskResources["gpu"].amount == 4 and tasks.executorResources == {}
    own = gpus(session(**{"spark.dynamicAllocation.enabled": "true"}), executors=Executors(gpus=8, cores=6))
    assert own.taskResources["gpu"].amount == 1
    assert own.executorResources["gpu"].amount == 8 and own.executorResources["cores"].amount == 6


def test_speculation_is_refused_with_an_engine_or_without():
    refuse_speculation(session())
    with pytest.raises(ConfigError, match="pays for its tokens twice"):
        refuse_speculation(session(**{"spark.speculation": "true"}))
