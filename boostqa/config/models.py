"""Who is asked: models by role, the settings of their engines, and servers for models too large for a node."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from boostqa.config.base import NotNegative, Positive, PositiveSeconds, Section, is_secret


def _model(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class EngineSettings(Section):
    """Settings of one vLLM engine; `args` passes any other vLLM engine argument through.

    `dtype` auto is the model's own on a GPU; on a CPU bfloat16 where it has instructions for it (AVX-512 BF16, AMX),
    else float32. A request's identity holds the word of the conf, not what an executor makes of it.
    `repetition_detection` are vLLM's parameters of that name: by default a text ends that says the same 10 to 40 tokens
    four times in a row (every shorter pattern repeats within such a one); {} lets it go on to max_tokens.
    """

    max_model_len: Positive = 4096
    dtype: str = "auto"
    tensor_parallel_size: Positive = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    repetition_detection: dict[str, NotNegative] = {"min_pattern_size": 10, "max_pattern_size": 40, "min_count": 4}
    args: dict[str, Any] = {}

    @field_validator("args")
    @classmethod
    def _no_secret(cls, args: dict[str, Any]) -> dict[str, Any]:
        if found := sorted(filter(is_secret, args)):
            raise ValueError(f"{', '.join(found)} is a secret: set it in the environment of the executors instead")
        return args


class Endpoint(Section):
    """An OpenAI-compatible server, for models too large for one node. Its key comes from the environment of the
    executors."""

    url: str  # up to and including /v1
    key_env: str | None = None  # name of the environment variable that holds the key
    max_concurrency: Positive = 256  # requests in flight of one task; adapts below this to what the server bears
    max_retries: NotNegative = 6
    timeout_seconds: PositiveSeconds = 600.0

    @field_validator("key_env")
    @classmethod
    def _names_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(
            "[A-Z][A-Z0-9_]{0,63}", name
        ):  # and not say it: it may be the key itself
            raise ValueError("wants the name of an environment variable, in capitals, such as TEACHER_KEY, never a key")
        return name

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if "@" in self.url or "?" in self.url:
            raise ValueError(
                "the url holds credentials or parameters: give the key by the name of a variable (key_env)"
            )
        return self


class Model(Section):
    """A Hugging Face id or local folder; `engine` overrides single engine settings for this model.

    With `endpoint` the model of that name is asked at a server and no engine is started.
    """

    id: str
    revision: str | None = None
    engine: dict[str, Any] = {}
    endpoint: Endpoint | None = None


ModelRef = Annotated[Model, BeforeValidator(_model)]


class Models(Section):
    """Who plays which role; annotator and refiner default to the generator. `fluency` scores how questions read;
    without one nothing is rejected for that."""

    generator: ModelRef
    annotator: ModelRef | None = None
    refiner: ModelRef | None = None
    fluency: ModelRef | None = None
