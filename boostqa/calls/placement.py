"""Where engines run: whole GPUs for each generation task, asked for by the stage or by the cluster's conf.

Two ways. With `generation.executors` a stage asks for executors of its own through a ResourceProfile (YARN, Kubernetes
and standalone with dynamic allocation), which come when it starts and go after it. Without, its tasks ask for their
GPUs on the executors there are (standalone, YARN, Kubernetes without dynamic allocation), so that other stages still
use every core; or `spark.task.resource.gpu.amount` says it for all tasks. A request that no executor can serve would
wait forever without a word: it is refused here.
"""

from pyspark.resource import ExecutorResourceRequests, ResourceProfile, ResourceProfileBuilder, TaskResourceRequests
from pyspark.sql import SparkSession

from boostqa.config import EngineSettings, Generation
from boostqa.errors import ConfigError
from udfs.engines.client import gpus_needed

_TASK, _EXECUTOR = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"


def refuse_speculation(spark: SparkSession) -> None:
    """Raises ConfigError where Spark may run a second copy of a slow task: of a served model, too."""
    if spark.conf.get("spark.speculation", "false") == "true":
        raise ConfigError(
            "spark.speculation is true: a second copy of a generation task pays for its tokens twice; unset it"
        )


def profile(spark: SparkSession, generation: Generation, engine: EngineSettings) -> ResourceProfile | None:
    """The profile of a generation stage; None where the session's conf decides or tasks have no GPUs.

    Raises ConfigError for a fraction of a GPU and for more GPUs than an executor has.
    """

    def get(key: str, default: str = "") -> str:
        return spark.conf.get(key, default) or default

    wanted = gpus_needed(engine.model_dump())
    task, executor = float(get(_TASK, "0")), int(get(_EXECUTOR, "0"))
    if task != int(task):
        raise ConfigError(
            f"{_TASK}={task:g}: several engines would share a GPU, and each takes a fixed part of its memory at start and "
            f"fails beside the other. One engine serves all requests of a GPU: set it to {wanted}, or leave it unset"
        )
    own = generation.executors
    if own:
        if get("spark.dynamicAllocation.enabled") != "true":
            raise ConfigError(
                "generation.executors asks for executors of its own, which needs spark.dynamicAllocation.enabled=true; "
                f"or leave it out and give all executors GPUs ({_EXECUTOR})"
            )
        executor = own.gpus
    if executor and wanted > executor:
        raise ConfigError(
            f"an engine needs {wanted} GPUs (tensor x pipeline parallel), an executor has {executor}: the stage would wait "
            f"forever; lower engine.tensor_parallel_size or raise {'generation.executors.gpus' if own else _EXECUTOR}"
        )
    if task and task != wanted:
        raise ConfigError(
            f"{_TASK}={task:g}, but an engine needs {wanted} GPU(s): set it to {wanted}, or leave it unset"
        )
    if spark.conf.get("spark.master", "local").startswith("local") or not executor or task:  # type: ignore[union-attr]
        return None
    tasks = TaskResourceRequests().cpus(1).resource("gpu", wanted)
    builder = ResourceProfileBuilder().require(tasks)
    if own:
        executors = ExecutorResourceRequests().cores(own.cores).memory(own.memory).memoryOverhead(own.memory_overhead)
        script = get("spark.executor.resource.gpu.discoveryScript")
        vendor = get("spark.executor.resource.gpu.vendor")
        builder.require(executors.resource("gpu", own.gpus, script, vendor))
    return builder.build
