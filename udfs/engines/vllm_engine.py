"""One vLLM engine: request dict -> completion dict. The only module that imports vllm; it runs in the host process.

A request holds `prompt`, `continuation` (score its likelihood instead of generating), `sampling` (chat, reply_start: how
the assistant's turn begins, temperature, top_p, max_tokens) and `structured` ({"json": schema} | {"choice": [...]} | {"letters": [...]}), see host.py.
"""

import time
from typing import Any

THINK_END = "</think>"


class Refused(Exception):
    """A request that must not be sent; it costs one row, not the batch."""


class VllmEngine:
    """AsyncLLM with the model's own tokenizer and chat template."""

    def __init__(self, model: str, revision: str | None, engine: dict[str, Any]) -> None:
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        if (revision or "").startswith("local:"):  # a folder's fingerprint: tells requests apart, not for a hub
            revision = None
        settings = {k: v for k, v in engine.items() if k != "args"} | engine.get("args", {})
        # A weak model wanders in optional whitespace until it is cut off: allow none in structured output.
        settings.setdefault("structured_outputs_config", {"backend": "xgrammar", "disable_any_whitespace": True})
        self.tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        self.max_model_len = int(engine["max_model_len"])
        self.llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(model=model, revision=revision, disable_log_stats=True, **settings)
        )

    async def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """One completion; raises Refused for a request that cannot be served, anything else means a sick engine."""
        sampling, structured = request["sampling"], request.get("structured") or {}
        continuation = request.get("continuation")
        ids = self._tokens(request["prompt"], sampling)
        start = len(ids)
        if continuation is not None:
            ids, start = self._with_continuation(request["prompt"], ids, continuation)
        budget = 1 if continuation is not None or "letters" in structured else int(sampling["max_tokens"])
        if len(ids) + budget > self.max_model_len:
            raise Refused(
                f"prompt_too_long: {len(ids)} prompt + {budget} output tokens > {self.max_model_len} (max_model_len)"
            )
        began = time.monotonic()
        params = self._params(sampling, structured, continuation is not None, budget)
        final = None
        async for output in self.llm.generate({"prompt_token_ids": ids}, params, request["request_id"]):
            final = output
        assert final is not None and final.outputs
        result = self._result(final, structured, ids, start, continuation is not None)
        result["engine_seconds"] = time.monotonic() - began
        return result

    def _tokens(self, prompt: str, sampling: dict[str, Any]) -> list[int]:
        if sampling.get("chat") and self.tokenizer.chat_template:
            messages = [{"role": "user", "content": prompt}]
            ids = list(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
            return ids + list(self.tokenizer.encode(sampling.get("reply_start", ""), add_special_tokens=False))
        return list(self.tokenizer.encode(prompt))

    def _with_continuation(self, prompt: str, prompt_ids: list[int], continuation: str) -> tuple[list[int], int]:
        """Tokens of prompt + continuation, and the first position at which they differ from the prompt's own."""
        ids = list(self.tokenizer.encode(prompt + continuation))
        start = next((i for i, (a, b) in enumerate(zip(prompt_ids, ids, strict=False)) if a != b), len(prompt_ids))
        if start >= len(ids) or start == 0:
            raise Refused("empty_continuation: nothing to score")
        return ids, start

    def _letters(self, structured: dict[str, Any]) -> list[int]:
        tokens = [self.tokenizer.encode(letter, add_special_tokens=False) for letter in structured["letters"]]
        if any(len(t) != 1 for t in tokens):
            raise Refused(
                f"letters_not_single_tokens: {structured['letters']} under this tokenizer; use the cloze method"
            )
        return [t[0] for t in tokens]

    def _params(self, sampling: dict[str, Any], structured: dict[str, Any], score: bool, budget: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        final = RequestOutputKind.FINAL_ONLY
        if score:
            return SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=final)
        if "letters" in structured:
            letters = self._letters(structured)
            return SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=letters, output_kind=final)
        return SamplingParams(
            temperature=sampling["temperature"],
            top_p=sampling["top_p"],
            max_tokens=budget,
            logprobs=0,
            structured_outputs=StructuredOutputsParams(**structured) if structured else None,
            output_kind=final,
        )

    def _result(self, final: Any, structured: dict, ids: list[int], start: int, score: bool) -> dict[str, Any]:
        output = final.outputs[0]
        base = {"prompt_tokens": len(ids), "cached_tokens": final.num_cached_tokens or 0, "thinking_tokens": 0}
        if score:
            logprob = sum(row[i].logprob for i, row in list(zip(ids, final.prompt_logprobs, strict=True))[start:])
            return base | {"text": "", "finish_reason": "scored", "logprob": logprob, "generated_tokens": 0}
        if "letters" in structured:
            row = output.logprobs[0]
            letters = dict(zip(structured["letters"], self._letters(structured), strict=True))
            scores = {letter.strip(): row[token].logprob for letter, token in letters.items()}
            return base | {"text": "", "finish_reason": "scored", "choice_logprobs": scores, "generated_tokens": 0}
        thinking, closed, text = output.text.rpartition(THINK_END)
        if not closed and output.text.lstrip().startswith("<think>"):  # cut off while thinking
            thinking, text = output.text, ""
        return base | {
            "text": text.strip() if thinking else text,
            "finish_reason": output.finish_reason,
            "logprob": output.cumulative_logprob,
            "generated_tokens": len(output.token_ids),
            "thinking_tokens": len(self.tokenizer.encode(thinking, add_special_tokens=False)) if thinking else 0,
        }
