"""The fakes of all tests: an engine that answers at once, one in vLLM's place inside the real host, and an HTTP server."""

import hashlib
import json
import math
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from udfs.engines.messages import EngineDied
from udfs.engines.openai_protocol import HARMLESS

SUM_EN, SUM_ZH = r"What is (\d+) plus (\d+)", r"计算(\d+)加(\d+)的和"


def capitals(request):
    """Answers with the prompt in capitals."""
    return {"text": request["prompt"].upper(), "finish_reason": "stop", "prompt_tokens": 2, "generated_tokens": 3}


class EchoEngine:
    """Answers newest first, one a poll; can log what it was asked, refuse to start, and die after some answers."""

    started = True
    progress = 0
    in_flight_tokens = 7
    capacity = None

    def __init__(self, answer=capitals, log=None, starts=True, dies_after=None, poison=None):
        if not starts:
            raise EngineDied("vLLM did not start: no such model")
        self.answer, self.log, self.dies_after, self.poison = answer, log, dies_after, poison
        self.in_flight, self.most, self.answered, self.killed = [], 0, 0, False

    def submit(self, request):
        if self.log:
            with open(self.log, "a") as log:
                log.write(request["prompt"] + "\n")
        if request["prompt"] == self.poison:
            self.dies_after = self.answered
        self.in_flight.append(request)
        self.most = max(self.most, len(self.in_flight))

    def poll(self, timeout):
        if self.dies_after is not None and self.answered >= self.dies_after:
            raise EngineDied("engine host ended: killed")
        if not self.in_flight:
            return []
        request = self.in_flight.pop()
        self.answered += 1
        return [{"request_id": request["request_id"], **self.answer(request)}]

    def kill(self):
        self.killed = True

    def close(self):
        pass


def _number(*parts, below):
    return int(hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest(), 16) % below


def scholar(request):
    """Answers what any stage asks: labels and likelihoods by hash, sums as questions, and the right sum as answer.

    Deterministic. About one text in twelve is cut off, one blind answer in six is wrong in one of three ways.
    """
    prompt, structured = request["prompt"], request.get("structured") or {}
    usage = {"prompt_tokens": len(prompt) // 4, "generated_tokens": 8}
    if request.get("continuation") is not None:
        score = -1.0 - _number(prompt, request["continuation"], below=100) / 25
        return {"finish_reason": "scored", "logprob": score * len(request["continuation"])}
    if "letters" in structured:
        scores = {x.strip(): -_number(prompt, x, below=1000) / 100 for x in structured["letters"]}
        return {"finish_reason": "scored", "choice_logprobs": scores}
    if "choice" in structured:
        choices = structured["choice"]
        title = re.match("(?:Title: |标题：).*\n", prompt)  # the chunks of a document are of one discipline
        told = title[0] if title and len(choices) > 10 else prompt
        return usage | {"finish_reason": "stop", **_spread(choices, _number(told, below=len(choices)))}
    identity = (prompt, request["request_id"])
    reply = (_draft if "<question>" in structured["grammar"] else _reply)(prompt, structured["grammar"], identity)
    if _number("cut", *identity, below=12) == 0:
        return usage | {"text": reply[:20], "finish_reason": "length"}
    return usage | {"text": reply, "finish_reason": "stop"}


def _spread(choices, place):
    """A choice as our engines make it: the one at `place` has 0.94, the others share the rest."""
    scores = {x: math.log(0.94 if i == place else 0.06 / (len(choices) - 1)) for i, x in enumerate(choices)}
    return {"text": choices[place], "logprob": math.log(0.94), "choice_logprobs": scores}


def _reply(prompt, grammar, identity):
    stated = re.search(SUM_EN, prompt) or re.search(SUM_ZH, prompt)
    total = sum(map(int, stated.groups())) if stated else 0
    wrong = 0 if _number("wrong", *identity, below=6) else 1 + _number("which", *identity, below=3)
    if "[ABCD]" in grammar:
        options = dict(re.findall(r"^([A-D])\. (-?\d+)$", prompt, re.MULTILINE))
        letter = next((x for x, value in options.items() if value == str(total)), "A")
        answer = "ABCD"[("ABCD".index(letter) + wrong) % 4]
    else:
        answer = str(total + wrong)
    return f"<solution>Adding the two numbers gives {total}.</solution>\n<answer>{answer}</answer>"


def _question(fields, chinese, identity):
    """A sum as a question, with its solution and answer, and with options where `fields` has them."""
    a, b = _number("a", *identity, below=900), _number("b", *identity, below=900)
    digest = hashlib.sha256("|".join(identity).encode()).hexdigest()
    scene = " ".join(digest[i : i + 4] for i in range(0, 40, 4))
    question = (
        f"计算{a}加{b}的和等于多少，已知情形为{scene}？" if chinese else f"What is {a} plus {b} when {scene} holds?"
    )
    reply = {"question": question, "solution": f"{a} + {b} = {a + b}, which is the sum."}
    if "choices" not in fields:
        return reply | {"answer": str(a + b)}
    place = _number("place", *identity, below=4)
    return reply | {"choices": [str(a + b + i - place) for i in range(4)], "answer": "ABCD"[place]}


def _draft(prompt, grammar, identity):
    """A question as text between the tags that the grammar asks for, in the language of the prompt."""
    fields = {"choices"} if "<A>" in grammar else set()
    reply = _question(fields, "Now write your own" not in prompt, identity)
    options = "".join(f"<{x}>{text}</{x}>\n" for x, text in zip("ABCD", reply.get("choices", ()), strict=False))
    question, solution, answer = (f"<{tag}>{reply[tag]}</{tag}>" for tag in ("question", "solution", "answer"))
    return f"{question}\n{solution}\n{options}{answer}"


def known_sums(count):
    """Labelled items that `scholar` can answer, as a source of controls: English, a third of them with options."""
    forms = [{"choices"}, set(), set()]
    return [{"id": str(n), "choices": None, **_question(forms[n % 3], False, ("known", str(n)))} for n in range(count)]


# What a sitecustomize module puts in vLLM's place inside the real host; it has a child process as vLLM has one.
FAKE_VLLM = """
import multiprocessing, sys, time, types
import asyncio

class VllmEngine:
    version, capacity = "fake 1", 1000

    def __init__(self, model, revision, engine):
        time.sleep(engine.get("load", 0))
        if engine.get("broken"):
            raise RuntimeError("no memory left on the card")
        self.core = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
        self.core.start()

    async def complete(self, request, report):
        for token in range(request["sampling"]["max_tokens"]):
            await asyncio.sleep(0.01)
            report(token + 1)
            if not self.core.is_alive():
                raise RuntimeError("the core is dead")
        return {"text": request["prompt"], "finish_reason": "stop", "generated_tokens": token + 1}

module = types.ModuleType("udfs.engines.vllm_engine")
module.VllmEngine = VllmEngine
sys.modules["udfs.engines.vllm_engine"] = module
"""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of 5, the default, a burst of connections waits a second

    def handle_error(self, *_):
        pass  # a client that leaves in the middle is part of the tests


class ScriptedServer:
    """An OpenAI-compatible server on loopback.

    Answers the n-th try of a prompt with what `script(prompt, n)` returns: (status, headers, body[, seconds]). The harmless
    request of an engine is answered, or as `probe(n)` says; it is not among the tries.
    """

    def __init__(self, script, probe=None):
        self.script, self.tries, self.at_once, self.most = script, [], 0, 0  # tries: (time, prompt, path, body, key)
        self.files, self.batches, self.batch_ends = {}, {}, "completed"
        self.probe, self.probes = probe or (lambda n: chat_answer("2")), []
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                asks = re.match("/v1/(?:files|batches)", self.path)
                server.serve_batches(self) if asks else server.serve(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.http = _Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def serve(self, handler):
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        if not handler.path.endswith("completions"):
            return handler.send_error(404, "no such place")
        body = json.loads(raw)
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        with self.lock:
            seen = self.probes if prompt == HARMLESS else self.tries
            seen.append((time.monotonic(), prompt, handler.path, body, handler.headers["Authorization"]))
            number = sum(t[1] == prompt for t in seen)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        status, headers, content, *seconds = self.probe(number) if seen is self.probes else self.script(prompt, number)
        time.sleep(sum(seconds))
        with self.lock:
            self.at_once -= 1
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(raw)
        except OSError:
            handler.close_connection = True  # the client waits no longer

    def serve_batches(self, handler):
        """The batch interface: a batch ends as `batch_ends` says when it is looked at the second time."""
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        kind, *rest = handler.path.removeprefix("/v1/").split("?")[0].split("/")
        with self.lock:
            if kind == "files" and not rest:
                lines = re.findall(rb'^\{"custom_id".*$', raw, re.MULTILINE)
                answer = {"id": f"in{len(self.files)}"}
                self.files[answer["id"]] = [json.loads(line) for line in lines]
            elif kind == "files":
                answer = "\n".join(json.dumps(line) for line in self.files[rest[0]])
            elif rest:
                answer = self._batch(self.batches[rest[0]])
            elif raw:
                answer = json.loads(raw) | {"id": f"b{len(self.batches)}", "status": "in_progress", "looked": 0}
                self.batches[answer["id"]] = answer
            else:
                answer = {"data": list(self.batches.values()), "has_more": False}
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _batch(self, batch):
        batch["looked"] += 1
        if batch["looked"] == 2:
            batch |= {"status": self.batch_ends, "completed_at": 1_700_000_000, "output_file_id": f"out{batch['id']}"}
            answers = self.files[batch["output_file_id"]] = []
            for line in self.files[batch["input_file_id"]] if self.batch_ends == "completed" else ():
                status, _, body = self.script(line["body"]["messages"][0]["content"], 1)
                answers.append({"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}})
        return batch

    def times(self, prompt):
        return [t[0] for t in self.tries if t[1] == prompt]

    def end(self):
        self.http.shutdown()
        self.http.server_close()


def chat_answer(text="yes", finish_reason="stop", usage=None, **message):
    """A chat completion as a server gives it."""
    usual = {"prompt_tokens": 7, "completion_tokens": 10}
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}
    return 200, {}, {"choices": [choice], "usage": usual | (usage or {})}


def failure(status, message="busy", **headers):
    """An error response; `retry_after="1"` is the header Retry-After."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"error": {"message": message}}
