"""Rates and prices of the machines that will run a line: a file of its own, for `boostqa forecast`.

price_per_gpu_hour: 2.5
currency: USD
models:
  Qwen/Qwen3-8B: {prompt_tokens_per_second: 20000, generated_tokens_per_second: 3000, gpus: 1}   # of one engine
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from boostqa.config.base import Positive, Section
from boostqa.errors import ConfigError

Rate = Annotated[float, Field(gt=0)]


class EngineRate(Section):
    """What an engine of a model does in a second under load, and the GPUs that it takes."""

    prompt_tokens_per_second: Rate
    generated_tokens_per_second: Rate
    gpus: Positive = 1


class Hardware(Section):
    """Rates by model id, and the price of a GPU for an hour."""

    models: dict[str, EngineRate]
    price_per_gpu_hour: Annotated[float, Field(ge=0)] | None = None
    currency: str = ""


def load_hardware(path: str) -> Hardware:
    """Read the file. Raises ConfigError that lists what is wrong."""
    try:
        return Hardware.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot read it: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        wrong = (
            f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}, got {e['input']!r:.80}" for e in error.errors()
        )
        raise ConfigError("\n".join((f"{path}: not a description of hardware:", *wrong))) from None
