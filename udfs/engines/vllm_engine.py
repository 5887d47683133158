"""One vLLM engine: EngineRequest -> EngineResult. The only module that imports vllm; it runs in the host process."""

import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from math import exp, log
from typing import Any

from udfs.control_tokens import as_text, is_control, markup
from udfs.engines.messages import (
    LOCAL_REVISION,
    STRUCTURED_OUTPUTS,
    WRITTEN,
    EngineRequest,
    EngineResult,
    FinishReason,
    RequestRefused,
)
from udfs.engines.thinking import THINK_START, split_thinking

UNLIKELY = log(0.01)  # of the choices that share a token: what is below is shared evenly among them
STREAM_INTERVAL = 32  # tokens between two reports of an unfinished request; each costs a wake-up in the host


def cpu_dtype() -> str:
    """What `dtype: auto` means on this CPU: bfloat16 where it has instructions for it (AVX-512 BF16 or AMX), else
    float32.

    Emulated bfloat16 is slower by far: 53 tokens/s against 236 in float32 (SmolLM2-135M, 32 sequences, 2 AVX2 cores).
    """
    import torch

    found = torch.cpu.get_capabilities()
    return "bfloat16" if found.get("avx512_bf16") or found.get("amx_bf16") else "float32"


def seed_of(request_id: str) -> int:
    """The seed of a request, 63 bits of its id: asked again, it draws the same numbers."""
    return int(hashlib.sha256(request_id.encode()).hexdigest()[:16], 16) >> 1


def _not_taken(error: Exception) -> EngineResult:
    return {"finish_reason": FinishReason.FAILED, "error": f"not_taken: {type(error).__name__}: {error}"[:500]}


def tokenizer_of(model: str, revision: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Arguments of AutoTokenizer.from_pretrained for the tokenizer that vLLM takes under these engine arguments."""
    own = settings.get("tokenizer")
    return {
        "pretrained_model_name_or_path": own or model,
        "revision": settings.get("tokenizer_revision") or (None if own else revision),
        "trust_remote_code": bool(settings.get("trust_remote_code")),
    }


class VllmEngine:
    """AsyncLLM with the model's own tokenizer and chat template."""

    def __init__(self, model: str, revision: str | None, engine: dict[str, Any]) -> None:
        import vllm
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.sampling_params import RepetitionDetectionParams
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        if (revision or "").startswith(LOCAL_REVISION):
            revision = None
        settings = {k: v for k, v in engine.items() if k != "args"} | engine.get("args", {})
        if current_platform.is_cpu():
            if settings["dtype"] == "auto":
                settings["dtype"] = cpu_dtype()
            settings.setdefault("enable_chunked_prefill", False)  # as fast as with it, and bears seeds, see below
        settings.setdefault("structured_outputs_config", dict(STRUCTURED_OUTPUTS))
        repetition = settings.pop("repetition_detection", {})
        self.repetition_detection = RepetitionDetectionParams(**repetition) if repetition else None
        self.tokenizer = AutoTokenizer.from_pretrained(**tokenizer_of(model, revision, settings))
        self.version = f"vllm {vllm.__version__}"
        self.max_model_len = int(engine["max_model_len"])
        args = AsyncEngineArgs(model=model, revision=revision, disable_log_stats=True, **settings)
        # The context of offline work: without it the batch is a server's, 2,048 tokens instead of 16,384 on an H100.
        self.llm = AsyncLLM.from_engine_args(args, usage_context=UsageContext.LLM_CLASS)
        scheduler, cache = self.llm.vllm_config.scheduler_config, self.llm.vllm_config.cache_config
        # A CPU engine dies of a seed when it splits the prompt of its request: torch's CPU generator knows no offset.
        self.takes_seeds = not (current_platform.is_cpu() and scheduler.enable_chunked_prefill)
        self.capacity = cache.num_gpu_blocks * cache.block_size if cache.num_gpu_blocks else None

    async def complete(self, request: EngineRequest, report: Callable[[int], None]) -> EngineResult:
        """One completion; `report` is told how many tokens it has so far.

        Raises RequestRefused for a request that can never be served; what vLLM does not take for any other reason is
        failed: settings, another version or a mended engine may bring it. Anything else raised means a sick engine.
        """
        from vllm.exceptions import VLLMClientError

        structured = request.get("structured") or {}
        score = request.get("continuation") is not None
        try:
            ids, start, params = self._prepare(request, structured)
        except RequestRefused:
            raise
        except Exception as error:  # noqa: BLE001  nothing was sent yet: a parameter that this version does not know
            return _not_taken(error)
        began = time.monotonic()
        tokens: list[int] = []
        final = None
        try:
            if "choice" in structured:
                labelled = await self._choice(request["request_id"], ids, structured["choice"], report)
                labelled["engine_seconds"] = time.monotonic() - began
                return labelled
            async for final in self.llm.generate({"prompt_token_ids": ids}, params, request["request_id"]):
                tokens.extend(final.outputs[0].token_ids)
                report(len(tokens))
        except VLLMClientError as error:
            return _not_taken(error)
        assert final is not None and final.outputs
        if score:
            result = self._likelihood(final, ids, start)
        elif "letters" in structured:
            result = self._letter_scores(final, structured)
        else:
            result = self._text(final.outputs[0], tokens, self._opens_thinking(request["sampling"]))
        result["prompt_tokens"], result["cached_tokens"] = len(ids), final.num_cached_tokens or 0
        result["engine_seconds"] = time.monotonic() - began
        return result

    def _prepare(self, request: EngineRequest, structured: dict[str, Any]) -> tuple[list[int], int, Any]:
        """(tokens to send, first scored position, SamplingParams); the whole must fit the context."""
        sampling, continuation = request["sampling"], request.get("continuation")
        ids = self._tokens(request["prompt"], sampling)
        start = len(ids)
        if not ids:
            raise RequestRefused("empty_prompt: nothing to answer")
        if continuation is not None:
            ids, start = self._with_continuation(request["prompt"], ids, continuation)
        budget = 1 if continuation is not None or "letters" in structured else int(sampling["max_tokens"])
        if len(ids) + budget > self.max_model_len:
            raise RequestRefused(
                f"prompt_too_long: {len(ids)} prompt + {budget} output tokens > {self.max_model_len} (max_model_len)"
            )
        params = self._params(sampling, structured, continuation is not None)
        if self.takes_seeds and params.temperature > 0:
            params.seed = seed_of(request["request_id"])
        return ids, start, params

    @cached_property
    def _markup(self) -> Any:
        added = self.tokenizer.added_tokens_decoder.values()
        return markup(token.content for token in added if is_control(token.content, token.special))

    @cached_property
    def _template_opens_thinking(self) -> bool:
        """Whether the chat template ends in the opening of a section of thinking."""
        turn = [{"role": "user", "content": ""}]
        text = self.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        return str(text).rstrip().endswith(THINK_START)

    def _opens_thinking(self, sampling: dict[str, Any]) -> bool:
        chat = sampling.get("chat") and self.tokenizer.chat_template and not sampling.get("reply_start")
        return bool(chat and self._template_opens_thinking)

    def _encoded(self, text: str) -> list[int]:
        """A text that quotes others: a control token in it is text."""
        return list(self.tokenizer.encode(as_text(text, self._markup)))

    def _tokens(self, prompt: str, sampling: dict[str, Any]) -> list[int]:
        if sampling.get("chat") and self.tokenizer.chat_template:
            messages = [{"role": "user", "content": as_text(prompt, self._markup)}]
            ids = list(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
            return ids + list(self.tokenizer.encode(sampling.get("reply_start", ""), add_special_tokens=False))
        return self._encoded(prompt)

    def _with_continuation(self, prompt: str, prompt_ids: list[int], continuation: str) -> tuple[list[int], int]:
        """Tokens of prompt + continuation, and the first position at which they differ from the prompt's own."""
        ids = self._encoded(prompt + continuation)
        start = next((i for i, (a, b) in enumerate(zip(prompt_ids, ids, strict=False)) if a != b), len(prompt_ids))
        if start >= len(ids) or start == 0:
            raise RequestRefused("empty_continuation: nothing to score")
        return ids, start

    def _letters(self, structured: dict[str, Any]) -> list[int]:
        tokens = [self.tokenizer.encode(letter, add_special_tokens=False) for letter in structured["letters"]]
        if any(len(t) != 1 for t in tokens):
            raise RequestRefused(
                f"letters_not_single_tokens: {structured['letters']} under this tokenizer; use the cloze method"
            )
        return [t[0] for t in tokens]

    def _params(self, sampling: dict[str, Any], structured: dict[str, Any], score: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        one = {"temperature": 0, "max_tokens": 1, "detokenize": False, "output_kind": RequestOutputKind.FINAL_ONLY}
        # What is scored reads no prefix cache: what was in it moves the last digits, and a tie with them.
        one["skip_reading_prefix_cache"] = True
        if score:
            return SamplingParams(prompt_logprobs=0, **one)
        if "letters" in structured:
            return SamplingParams(logprob_token_ids=self._letters(structured), **one)
        return SamplingParams(
            **{k: v for k, v in sampling.items() if k not in ("chat", "reply_start")},
            structured_outputs=StructuredOutputsParams(**structured) if structured else None,
            repetition_detection=self.repetition_detection,
            detokenize=False,  # token by token is the larger part of the host's work; the whole text once is not
            output_kind=RequestOutputKind.DELTA,
            stream_interval=STREAM_INTERVAL,
        )

    async def _choice(
        self, request_id: str, ids: list[int], choices: list[str], report: Callable[[int], None]
    ) -> EngineResult:
        """The likeliest of the choices, and the log-probability of each among them (they sum to 1)."""
        end = self.tokenizer.eos_token_id
        endings = {c: [*self.tokenizer.encode(c, add_special_tokens=False), end] for c in choices}
        asked: list[int] = []  # of each request its prompt tokens from the prefix cache
        scores = await self._spread(request_id, ids, endings, asked, report)
        best = max(scores, key=lambda choice: scores[choice])
        return {
            "text": best,
            "finish_reason": FinishReason.STOP,
            "logprob": scores[best],
            "choice_logprobs": scores,
            "prompt_tokens": len(ids),
            "cached_tokens": asked[0] if asked else 0,
            "generated_tokens": len(asked),
        }

    async def _spread(
        self, request_id: str, ids: list[int], endings: dict[str, list[int]], asked: list[int],
        report: Callable[[int], None],
    ) -> dict[str, float]:  # fmt: skip
        """The log-probability of each choice among `endings`, which has the tokens that are left of it after `ids`.

        Read along the tree of their tokens, as decoding that allows nothing else would go: one request where the first
        tokens differ, and one more for each likely token that several share.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if len(endings) == 1:
            return dict.fromkeys(endings, 0.0)
        branches: dict[int, dict[str, list[int]]] = {}
        for choice, (first, *rest) in endings.items():
            branches.setdefault(first, {})[choice] = rest
        params = SamplingParams(temperature=0, max_tokens=1, detokenize=False, logprob_token_ids=list(branches),
                                output_kind=RequestOutputKind.FINAL_ONLY)  # fmt: skip
        async for final in self.llm.generate({"prompt_token_ids": ids}, params, f"{request_id}-{len(asked)}"):
            row, cached = final.outputs[0].logprobs[0], final.num_cached_tokens or 0
        asked.append(cached)
        report(len(asked))
        most = max(row[token].logprob for token in branches)
        total = most + log(sum(exp(row[token].logprob - most) for token in branches))
        scores: dict[str, float] = {}
        for token, rests in branches.items():
            share = min(0.0, row[token].logprob - total)  # a sum rounds
            if share > UNLIKELY:
                within = await self._spread(request_id, [*ids, token], rests, asked, report)
            else:
                within = dict.fromkeys(rests, -log(len(rests)))
            scores |= {choice: share + one for choice, one in within.items()}
        return scores

    def _likelihood(self, final: Any, ids: list[int], start: int) -> EngineResult:
        logprob = sum(row[i].logprob for i, row in list(zip(ids, final.prompt_logprobs, strict=True))[start:])
        return {"text": "", "finish_reason": FinishReason.SCORED, "logprob": logprob, "generated_tokens": 0}

    def _letter_scores(self, final: Any, structured: dict[str, Any]) -> EngineResult:
        row = final.outputs[0].logprobs[0]
        letters = dict(zip(structured["letters"], self._letters(structured), strict=True))
        scores = {letter.strip(): row[token].logprob for letter, token in letters.items()}
        return {"text": "", "finish_reason": FinishReason.SCORED, "choice_logprobs": scores, "generated_tokens": 0}

    def _text(self, output: Any, tokens: list[int], opened: bool) -> EngineResult:
        """Text and counts; `opened`: the prompt opened a section of thinking."""
        whole = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        thinking, text = split_thinking(whole, opened)
        ended = output.finish_reason in WRITTEN  # else the engine gave the request up
        return {
            "text": text.strip() if thinking else text,
            "finish_reason": output.finish_reason if ended else FinishReason.FAILED,
            "error": None if ended else f"finish_reason {output.finish_reason}",
            "logprob": output.cumulative_logprob,
            "generated_tokens": len(tokens),
            "thinking_tokens": len(self.tokenizer.encode(thinking, add_special_tokens=False)) if thinking else 0,
        }
