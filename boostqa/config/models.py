"""Who is asked: models by role, the settings of their engines, and servers for models too large for a node."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from boostqa.config.base import Flag, NotNegative, PlaceText, Positive, PositiveSeconds, Section, is_secret

_SET_HERE = {"model", "revision", "disable_log_stats"}  # engine arguments that have one value, whatever the conf says


def _model(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


@cache
def engine_arguments(package: str = "vllm") -> frozenset[str]:
    """Names of the arguments of vLLM's AsyncEngineArgs, empty where vLLM is not installed.

    They are read off its source: to import vLLM takes seconds, and only its engine may (udfs/engines/vllm_engine.py).
    """
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    file = next((f for folder in folders if (f := Path(folder, "engine", "arg_utils.py")).is_file()), None)
    if file is None:
        return frozenset()
    classes = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    fields = [line for c in classes if c.name in ("EngineArgs", "AsyncEngineArgs") for line in c.body]
    return frozenset(f.target.id for f in fields if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name))


class EngineSettings(Section):
    """Settings of one vLLM engine; `args` passes any other vLLM engine argument through.

    `dtype` auto is the model's own on a GPU; on a CPU bfloat16 where it has instructions for it (AVX-512 BF16, AMX),
    else float32. A request's identity holds the word of the conf, not what an executor makes of it.
    `repetition_detection` are vLLM's parameters of that name: by default a text ends that says the same 10 to 40 tokens
    four times in a row (every shorter pattern repeats within such a one); {} lets it go on to max_tokens.
    """

    max_model_len: Positive = 4096
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] = "auto"
    tensor_parallel_size: Positive = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.9
    repetition_detection: dict[Literal["min_pattern_size", "max_pattern_size", "min_count"], NotNegative] = {
        "min_pattern_size": 10, "max_pattern_size": 40, "min_count": 4
    }  # fmt: skip
    args: dict[str, Any] = {}

    @field_validator("repetition_detection")
    @classmethod
    def _sizes_are_in_order(cls, sizes: dict[str, int]) -> dict[str, int]:
        least, most = sizes.get("min_pattern_size", 0), sizes.get("max_pattern_size", 0)
        if least > most:
            raise ValueError(f"min_pattern_size {least} is above max_pattern_size {most}")
        return sizes

    @field_validator("args")
    @classmethod
    def _args_are_known(cls, args: dict[str, Any]) -> dict[str, Any]:
        if secret := sorted(filter(is_secret, args)):
            raise ValueError(f"{', '.join(secret)} is a secret: set it in the environment of the executors instead")
        own = sorted(args.keys() & (_SET_HERE | cls.model_fields.keys()))
        unknown = sorted(args.keys() - engine_arguments() - set(own)) if engine_arguments() else []
        wrong = [f"{name} is a key of its own, beside args or in the model's section" for name in own]
        wrong += [f"{name} is no engine argument of this vLLM" for name in unknown]
        if wrong:
            raise ValueError("; ".join(wrong))
        return args

    def of(self, model: "Model") -> "EngineSettings":
        """The settings of a model's engine: these with the model's own overrides."""
        return EngineSettings(**{**self.model_dump(), **model.engine})


class Endpoint(Section):
    """An OpenAI-compatible server, for models too large for one node. Its key comes from the environment of the
    executors."""

    url: str  # up to and including /v1
    key_env: str | None = None  # name of the environment variable that holds the key
    batch: Flag = False  # by files of the batch interface: half the price, up to a day
    vllm: Flag = True  # takes constraints and a reply's beginning; elsewhere the prompt alone asks for a form
    max_concurrency: Positive = 256  # requests in flight, of all tasks; adapts below this to what the server bears
    max_retries: NotNegative = 6  # of a request; one more where no other was answered meanwhile
    timeout_seconds: PositiveSeconds = 600.0  # of one try
    patience_seconds: PositiveSeconds = 600.0  # without any answer before the call ends; a minute before the first one

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("wants http://HOST:PORT/v1 or https://HOST/v1")
        return url

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

    id: PlaceText
    revision: str | None = None
    engine: dict[str, Any] = {}
    endpoint: Endpoint | None = None

    @field_validator("engine")
    @classmethod
    def _engine_is_valid(cls, engine: dict[str, Any]) -> dict[str, Any]:
        EngineSettings(**engine)  # its mistakes have their own keys
        return engine


ModelRef = Annotated[Model, BeforeValidator(_model, json_schema_input_type=str | Model)]


class Models(Section):
    """Who plays which role; annotator and refiner default to the generator. `fluency` scores how questions read;
    without one nothing is rejected for that. `student` answers what is left for the mix, which tells how difficult it is
    without the annotator; without one that is not measured. `rubric_judge` says of each item whether it is correct,
    self-contained, clear and at its level; what it says counts as far as it tells known good items from spoilt ones."""

    generator: ModelRef
    annotator: ModelRef | None = None
    refiner: ModelRef | None = None
    fluency: ModelRef | None = None
    student: ModelRef | None = None
    rubric_judge: ModelRef | None = None
