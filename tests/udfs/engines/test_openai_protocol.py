"""openai_protocol: what an endpoint is sent, seen through the engine."""

from pathlib import Path

import boostqa
from boostqa.schemas import COMPLETION
from tests.fakes import chat_answer
from tests.udfs.engines.conftest import KEY, ask, request
from udfs.control_tokens import CHAT_MARKUP


def test_completion_has_the_text_the_counts_and_only_columns_of_the_ledger(connect):
    usage = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": None}
    engine, server = connect(lambda *_: chat_answer("Paris", usage=usage))
    assert engine.started is False
    result = ask(engine, request())["hi"]
    assert result.pop("engine_seconds") > 0
    assert result == {
        "request_id": "id-hi", "text": "Paris", "finish_reason": "stop", "error": None, "logprob": None,
        "prompt_tokens": 7, "generated_tokens": 10, "thinking_tokens": 0, "cached_tokens": 4,
    }  # fmt: skip
    assert set(result) <= set(COMPLETION.schema.names)
    assert server.tries[0][2] == "/v1/chat/completions" and server.tries[0][4] == f"Bearer {KEY}"


def test_body_carries_sampling_reply_start_and_constraint(connect):
    engine, server = connect(lambda *_: chat_answer())
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    ask(
        engine,
        request("chat", top_k=5),
        request("start", reply_start="The level is ", structured={"choice": ["A", "B"]}),
        request("schema", structured={"json": schema}),
        request("plain", chat=False),
        request("plain choice", chat=False, structured={"choice": ["A"]}),
    )
    bodies = {t[1]: t[3] for t in server.tries}
    sampling = {"model": "teacher", "temperature": 0.7, "top_p": 0.95, "max_tokens": 32}
    assert bodies["chat"] == sampling | {"top_k": 5, "messages": [{"role": "user", "content": "chat"}]}
    assert bodies["start"] == sampling | {
        "messages": [{"role": "user", "content": "start"}, {"role": "assistant", "content": "The level is "}],
        "add_generation_prompt": False,
        "continue_final_message": True,
        "structured_outputs": {"choice": ["A", "B"]},
        "logprobs": True,
    }
    assert bodies["schema"]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert bodies["plain"] == sampling | {"prompt": "plain"}
    assert bodies["plain choice"]["logprobs"] == 0
    assert {t[2] for t in server.tries if t[1].startswith("plain")} == {"/v1/completions"}


MARKUP = (
    "<|im_end|>", "<|start_header_id|>", "<｜User｜>", "<｜end▁of▁sentence｜>", "<start_of_turn>", "</tool_call>", "<s>",
    "</s>", "<eos>", "<think>", "<<SYS>>", "<</SYS>>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[gMASK]", "<unused12>",
)  # fmt: skip
PLAIN = "<question>Is a<b, b>c in [0, 1]? <b>⟨0|1⟩</b> [x] <x|y> \\[x\\]</question><A>1</A>"


def test_markup_of_chats_in_a_prompt_reaches_no_server_as_it_is(connect):
    engine, server = connect(lambda *_: chat_answer())
    quoting = f"{PLAIN} {''.join(MARKUP)} <<|im_end|>"
    ask(engine, request(quoting), request(quoting + " plain", chat=False))
    sent = [
        body["messages"][0]["content"] if "messages" in body else body["prompt"] for _, _, _, body, *_ in server.tries
    ]
    assert len(sent) == 2
    for text in sent:
        assert text.startswith(PLAIN) and text.replace("\u2060", "").startswith(quoting)
        assert [token for token in MARKUP if token in text] == []


def test_templates_hold_no_markup_of_chats():
    for file in (Path(boostqa.__file__).parent / "prompts").iterdir():
        if file.suffix in (".md", ".yaml"):
            assert CHAT_MARKUP.search(file.read_text(encoding="utf-8")) is None, file


def test_logprob_is_the_sum_over_generated_tokens_of_either_api(connect):
    def script(prompt, _):
        if prompt == "chat":
            logprobs = {"content": [{"token": "A", "logprob": -0.5}, {"token": "B", "logprob": -0.25}]}
            choice = {"message": {"content": "AB"}, "finish_reason": "stop", "logprobs": logprobs}
        else:
            choice = {"text": "AB", "finish_reason": "length", "logprobs": {"token_logprobs": [-1.0, -0.5]}}
        return 200, {}, {"choices": [choice]}  # and no usage

    results = ask(connect(script)[0], request("chat"), request("plain", chat=False))
    assert (results["chat"]["logprob"], results["plain"]["logprob"]) == (-0.75, -1.5)
    assert (results["plain"]["text"], results["plain"]["finish_reason"]) == ("AB", "length")
    assert results["chat"]["generated_tokens"] == 0


def test_scoring_and_text_that_is_no_unicode_are_refused_without_asking(connect):
    engine, server = connect(lambda *_: chat_answer())
    score = request("score") | {"continuation": " Paris"}
    results = ask(engine, score, request("letters", structured={"letters": [" A"]}), request("\ud800"))
    assert {r["finish_reason"] for r in results.values()} == {"refused"}
    assert results["score"]["error"].startswith("not_supported_by_endpoint")
    assert results["letters"]["error"].startswith("not_supported_by_endpoint")
    assert server.tries == []


def test_server_that_is_no_vllm_is_sent_openais_fields_alone(connect):
    engine, server = connect(lambda *_: chat_answer("The answer is **B**."), vllm=False)
    asked = request("label", reply_start="It is ", structured={"choice": ["A", "B"]})
    assert ask(engine, asked)["label"]["text"] == "B"
    [body] = [t[3] for t in server.tries]
    assert set(body) == {"model", "temperature", "top_p", "max_tokens", "messages"} and len(body["messages"]) == 1
