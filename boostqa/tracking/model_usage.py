"""What the model calls of one stage cost: counts of requests and tokens, times, and a row for each task on an
engine."""

from dataclasses import dataclass, field
from typing import Any

from boostqa.schemas import ENGINE_TASK
from udfs.in_flight import TASK_COUNTS

USAGE_COUNTS = (
    "requests", "reused", "failed", "prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens",
    "retry_tokens", "engine_starts", "conflicts",
)  # fmt: skip
_OF_TASKS = tuple(name for name in TASK_COUNTS if name in USAGE_COUNTS)  # summed over the tasks of a call


@dataclass
class ModelUsage:
    """Adds up the calls of one execution of a stage."""

    run_id: str
    stage: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE_COUNTS, 0))
    generation_seconds: float = 0.0  # wall time in which requests were in flight
    available_seconds: float = 0.0  # of all engines together, from the first request of a call to its last completion
    idle_seconds: float = 0.0  # of these lost because the end was near
    calls: int = 0
    engine_tasks: list[dict[str, Any]] = field(default_factory=list)  # ENGINE_TASK rows

    @property
    def idle_tail_share(self) -> float | None:
        """Share of the engines' time in which they had less to do than they could; None without a call."""
        return self.idle_seconds / self.available_seconds if self.available_seconds else None

    def add_call(self, model: str, tasks: list[dict[str, Any]]) -> None:
        """Add one call of `model`; `tasks`: a row of udfs.generate.TASK_SCHEMA for each task, times in seconds.

        Idle tail: inside a task what InFlight.drain counts; between engines the time from the last completion of one to
        the last one of all.
        """
        last_end: dict[tuple[str, str], float] = {}  # by engine
        for task in tasks:
            for name in _OF_TASKS:
                self.counts[name] += task[name]
            engine = (task["executor"], task["gpus"])
            last_end[engine] = max(last_end.get(engine, 0.0), task["ended"])
            seconds = task["ended"] - task["began"]
            rate = task["generated_tokens"] / seconds if seconds else 0.0
            about = {"run_id": self.run_id, "stage": self.stage, "call": self.calls, "model": model}
            row = task | about | {"seconds": seconds, "tokens_per_second": rate}
            self.engine_tasks.append({name: row[name] for name in ENGINE_TASK.schema.names})
        began, ended = min(task["began"] for task in tasks), max(last_end.values())
        waited = sum(ended - end for end in last_end.values())
        self.idle_seconds += waited + sum(task["idle_seconds"] for task in tasks)
        self.available_seconds += len(last_end) * (ended - began)
        self.calls += 1
