"""openai_engine against a real vLLM server on the CPU: every kind of request, an over-long prompt, a wrong key."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.processes import HANG, MODEL, free_port, wait_until
from tests.udfs.engines.conftest import KEY, KEY_ENV, collect, request
from udfs.engines.messages import EngineDied
from udfs.engines.openai_engine import OpenAIEngine
from udfs.engines.vllm_engine import cpu_dtype


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory):
    """URL of a vLLM server on the CPU with the demo's model; its processes end with the tests."""
    port = free_port()
    log = tmp_path_factory.mktemp("vllm") / "log"
    cpu = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    quiet = {"TORCHDYNAMO_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | cpu | quiet
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", "demo", "--dtype", cpu_dtype(), "--max-model-len", "2048"]
    command += ["--enforce-eager", "--generation-config", "vllm", "--enable-prompt-tokens-details"]
    with open(log, "wb") as out:
        server = subprocess.Popen(
            command, env=environment | {"VLLM_API_KEY": KEY}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_until(lambda: healthy(port) or server.poll() is not None)
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def healthy(port):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/health"):
            return True
    except OSError:
        return False


@pytest.mark.cluster
def test_vllm_server_answers_every_kind_of_request(vllm_server, monkeypatch):
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    endpoint = {
        "url": vllm_server,
        "key_env": KEY_ENV,
        "max_concurrency": 64,
        "max_retries": 3,
        "timeout_seconds": HANG,
        "patience_seconds": HANG,
        "vllm": True,
    }
    engine = OpenAIEngine({"model": "demo", "endpoint": endpoint, "tasks": 1})
    labels = ["easy", "medium", "hard"]
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "maxLength": 8}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    greedy = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 24}
    kinds = {
        "chat": ({}, None),
        "json": ({"max_tokens": 64}, {"json": schema}),
        "label": ({"reply_start": 'The level is "'}, {"choice": labels}),
        "plain": ({"chat": False}, None),
        "plain label": ({"chat": False}, {"choice": labels}),
    }
    asked = [
        request(f"{kind} {i}: What is {i} + {i}?", structured=structured, **greedy | sampling)
        for kind, (sampling, structured) in kinds.items()
        for i in range(4)
    ]
    long = request("word " * 4000, **greedy)
    for each in [*asked, long]:
        engine.submit(each)
    results = collect(engine, 21)
    refused = results.pop(long["prompt"])
    assert refused["finish_reason"] == "refused" and "HTTP 400" in refused["error"] and "2048" in refused["error"]
    for prompt, result in results.items():  # what the model says is its own affair
        kind = prompt[: prompt.rindex(" ", 0, prompt.index(":"))]
        assert result["finish_reason"] in ("stop", "length"), result
        assert 0 < result["prompt_tokens"] < 100 and result["generated_tokens"] > 0
        if kind.endswith("label"):
            assert result["text"] in labels and result["logprob"] < 0
        if kind == "json" and result["finish_reason"] == "stop":
            assert set(json.loads(result["text"])) == {"answer"}
    monkeypatch.setenv(KEY_ENV, "sk-wrong-key-of-some-length")
    engine.close()
    stranger = OpenAIEngine({"model": "demo", "endpoint": endpoint, "tasks": 1})
    stranger.submit(request())
    with pytest.raises(EngineDied, match=f"HTTP 401.*{KEY_ENV}"):
        collect(stranger, 1)
    stranger.close()
