"""Who is asked: the conf's models as a call needs them, and the target tokenizer."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from boostqa.config import Config, EngineSettings, Model

FINGERPRINT_BYTES = 65536  # at each end of a file
# Engine arguments that change speed or placement, not the text.
_EXECUTION_ARGS = {
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "enable_prefix_caching",
}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class ModelSpec:
    """A model with the engine settings it runs under; what a stage needs to know of it."""

    model: Model
    engine: EngineSettings

    @property
    def output_settings(self) -> str:
        """Engine settings that change output, canonical JSON; those of an endpoint are its own and not known here."""
        if self.model.endpoint:
            return canonical_json({"endpoint": True})
        settings = self.engine.model_dump(exclude={"args"}) | self.engine.args
        return canonical_json({k: v for k, v in settings.items() if k not in _EXECUTION_ARGS})


@cache
def fingerprint(folder: Path) -> str:
    """What a local model folder holds, `local:` and 16 hex digits: new weights under an old path are a new model.

    Names, sizes and the first and last 64 KiB of each file; reading all weights would take minutes.
    """
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\0{size}\0".encode())
        with open(file, "rb") as content:
            digest.update(content.read(FINGERPRINT_BYTES))
            content.seek(max(0, size - FINGERPRINT_BYTES))
            digest.update(content.read(FINGERPRINT_BYTES))
    return f"local:{digest.hexdigest()[:16]}"


def local_folder(model: Model) -> Path | None:
    """The folder of a local model, absolute; None for an id of a hub or of an endpoint."""
    folder = Path(model.id).expanduser()
    return folder.resolve() if folder.is_dir() and not model.endpoint else None


def model_spec(config: Config, model: Model) -> ModelSpec:
    """A model with its engine settings; a local folder gets its content as revision."""
    folder = local_folder(model)
    pinned = model.model_copy(update={"revision": fingerprint(folder)}) if folder else model
    return ModelSpec(pinned, config.engine_for(model))


def model_of_role(config: Config, role: str) -> ModelSpec:
    """The model that plays `role` (generator | annotator | refiner), with its engine settings."""
    return model_spec(config, config.role(role))


def target_tokenizer(config: Config) -> str:
    """The target model's tokenizer as the JSON of a `tokenizer.json`, from a file, a model folder or Hugging Face."""
    path = Path(config.tokenizer).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.exists():
        return file.read_text(encoding="utf-8")
    from tokenizers import Tokenizer

    return str(Tokenizer.from_pretrained(config.tokenizer).to_str())
