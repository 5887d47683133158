"""A provider's batch interface (OpenAI's Batch API): files of requests, answered within a day at about half the price.

A file of requests and what is known of its batch lie in the staging folder from before it is sent until its answers are
there, so that whoever comes later takes them in:

    batch-<digest>.rows   REQUEST rows, Parquet
    batch-<digest>.json   {"id": of the batch, "requests": how many}; absent: it may not have been sent
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from udfs.engines.endpoint_client import api_client, without_key, without_key_in
from udfs.engines.messages import TOKEN_COUNTS, CallSettings, EngineResult, EngineUnusable, FinishReason
from udfs.engines.openai_protocol import http_request
from udfs.engines.replies import ReplyKind, reply, unanswered
from udfs.files import file_system
from udfs.in_flight import completion, engine_request
from udfs.staging import Staging, part_prefix

BATCH_COUNTS = ("requests", "answered", "failed", *TOKEN_COUNTS)
BATCH_SCHEMA = f"batch string, status string, {', '.join(f'{n} long' for n in BATCH_COUNTS)}, unusable string"
MOST_REQUESTS, MOST_BYTES = 50_000, 100_000_000  # of a file; the provider takes 50,000 requests and 200 MB
ABANDONED_SECONDS = 3600.0  # after which a file that the provider never got is one of a run that is over
_ENDED = ("completed", "failed", "expired", "cancelled")
_WAITS = (1.0, 5.0, 20.0, 60.0)  # before another try where the provider's trouble passes


class BatchFolder:
    """The batches of a staging folder, and the provider that answers them."""

    def __init__(self, settings: CallSettings) -> None:
        assert settings["endpoint"]
        self.settings, self.endpoint = settings, settings["endpoint"]
        self.filesystem, self.folder = file_system(settings["staging"])
        self.filesystem.create_dir(self.folder, recursive=True)
        self.schema = pa.ipc.read_schema(pa.BufferReader(settings["schema"]))
        self.client = api_client(httpx2.Client, self.endpoint)

    def staging(self, partition: str) -> Staging:
        """Where finished rows go."""
        prefix = part_prefix(self.settings["run_id"]) + f"{partition}-"
        return Staging(self.settings["staging"], prefix, self.schema, MOST_REQUESTS, 3600.0)

    def ask(self, method: str, path: str, **content: Any) -> Any:
        """A response of the provider, as JSON or, of a file's content, as text.

        Raises EngineUnusable with the provider's words for what it refuses, and for trouble that does not pass.
        """
        for wait in (*_WAITS, None):
            try:
                response = self.client.request(method, self.endpoint["url"].rstrip("/") + path, **content)
            except httpx2.RequestError as error:
                said, passing = f"{type(error).__name__}: {error}", True
            else:
                if response.status_code == 200:
                    return response.text if path.endswith("/content") else response.json()
                got = reply(response.status_code, response.headers, response.content)
                said, passing = f"{got.cause}: {got.message}", got.kind == ReplyKind.PASSING
                wait = wait and max(wait, got.wait)
            if not passing or wait is None:
                break
            time.sleep(wait)
        raise EngineUnusable(
            without_key(f"batch interface of {self.endpoint['url']}: {said}", self.endpoint["key_env"])
        )

    def send(self, rows: list[dict[str, Any]], lines: list[str], path: str) -> str:
        """One file of requests, all for `path`: sent once, whoever tries again; its name."""
        name = "batch-" + hashlib.sha256("".join(sorted(r["request_id"] for r in rows)).encode()).hexdigest()[:24]
        if self._exists(f"{name}.json"):
            return name
        fields = [field for field in self.schema if field.name in rows[0]]
        with self.filesystem.open_output_stream(f"{self.folder}/{name}.rows") as sink:
            pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), sink, compression="zstd")
        file = {"file": (f"{name}.jsonl", "\n".join(lines).encode(), "application/jsonl")}
        uploaded = self.ask("POST", "/files", files=file, data={"purpose": "batch"})
        about = {"input_file_id": uploaded["id"], "endpoint": f"/v1/{path}", "completion_window": "24h"}
        batch = self.ask("POST", "/batches", json=about | {"metadata": {"boostqa": name}})
        self._note(name, batch["id"], len(rows))
        return name

    def adopt(self, name: str) -> bool:
        """Find a batch whose sender died before it noted its id; whether the provider has it. A file that it never got goes,
        with nobody left to send it: its requests are asked as if for the first time."""
        after: dict[str, str] = {}
        while True:
            page = self.ask("GET", "/batches", params={"limit": "100", **after})
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get("boostqa") == name:
                    self._note(name, batch["id"], (batch.get("request_counts") or {}).get("total") or 0)
                    return True
            if not page.get("has_more"):
                break
            after = {"after": page["data"][-1]["id"]}
        info = self.filesystem.get_file_info(f"{self.folder}/{name}.rows")
        if info.is_file and time.time() - info.mtime.timestamp() > ABANDONED_SECONDS:
            self.filesystem.delete_file(info.path)
        return False

    def take(self, name: str) -> dict[str, Any]:
        """What became of a batch, a row of BATCH_SCHEMA; when it has ended its completions are staged and its files go."""
        row: dict[str, Any] = dict.fromkeys(BATCH_COUNTS, 0) | {"batch": name}
        if not self._exists(f"{name}.json") and not self.adopt(name):
            return row | {"status": "not sent"}
        with self.filesystem.open_input_file(f"{self.folder}/{name}.json") as file:
            noted = json.loads(file.read())
        batch = self.ask("GET", f"/batches/{noted['id']}")
        status, counts = batch["status"], batch.get("request_counts") or {}
        row |= {"status": status, "requests": noted["requests"], "answered": counts.get("completed") or 0}
        if status not in _ENDED:
            return row
        ended = batch.get("completed_at") or batch.get("expired_at") or batch.get("failed_at") or time.time()
        rows = pq.read_table(f"{self.folder}/{name}.rows", filesystem=self.filesystem).to_pylist()
        asked = {row["request_id"]: engine_request(row).get("structured") for row in rows}
        results, staging = self._results(batch, asked), self.staging(name)
        nothing: EngineResult = {"finish_reason": FinishReason.FAILED, "error": f"batch {noted['id']}: {status}"}
        for request in rows:
            result = results.get(request["request_id"], nothing)
            done = completion(request, result, 1, self.settings["run_id"], datetime.fromtimestamp(ended, UTC))
            staging.add(done)
            row["failed"] += done["finish_reason"] == FinishReason.FAILED
            for count in TOKEN_COUNTS:
                row[count] += done[count]
        staging.flush(force=True)
        for suffix in (".json", ".rows"):
            self.filesystem.delete_file(f"{self.folder}/{name}{suffix}")
        errors = [e.get("message") for e in ((batch.get("errors") or {}).get("data") or [])]
        refused = f"the provider refused a file of requests: {'; '.join(map(str, errors[:3]))}"
        return row | {"answered": len(results), "unusable": refused if status == "failed" and not results else None}

    def _results(self, batch: dict[str, Any], asked: dict[str, dict[str, Any] | None]) -> dict[str, EngineResult]:
        """request_id -> result, of a batch's file of answers and its file of errors; `asked`: the constraint of each."""
        found: dict[str, EngineResult] = {}
        for file_id in filter(None, (batch.get("output_file_id"), batch.get("error_file_id"))):
            for line in filter(str.strip, self.ask("GET", f"/files/{file_id}/content").split("\n")):
                answer = json.loads(line)
                request_id = answer["custom_id"]
                response = answer.get("response") or {"status_code": 500, "body": {"error": answer.get("error")}}
                body = json.dumps(response.get("body")).encode()
                got = reply(int(response["status_code"]), {}, body, structured=asked.get(request_id))
                answered = got.result if got.kind == ReplyKind.ANSWER else None
                result = answered or unanswered(got, refused=got.kind == ReplyKind.REFUSED)
                found[request_id] = without_key_in(result, self.endpoint["key_env"])
        return found

    def _exists(self, name: str) -> bool:
        return bool(self.filesystem.get_file_info(f"{self.folder}/{name}").is_file)

    def _note(self, name: str, batch_id: str, requests: int) -> None:
        with self.filesystem.open_output_stream(f"{self.folder}/{name}.json") as file:
            file.write(json.dumps({"id": batch_id, "requests": requests}).encode())


def submit(batches: Iterable[pd.DataFrame], settings: CallSettings) -> Iterator[pd.DataFrame]:
    """REQUEST rows of a partition -> batches at the provider; yields a row of BATCH_SCHEMA for each, and one with `unusable`
    where the provider takes none."""
    folder = BatchFolder(settings)
    staging = folder.staging("unsent")
    waiting: dict[str, tuple[list[dict[str, Any]], list[str], int]] = {}  # by path: rows, lines and their bytes
    is_vllm = folder.endpoint["vllm"]

    def sent(path: str) -> pd.DataFrame:
        rows, lines, _ = waiting.pop(path)
        return _frame({"batch": folder.send(rows, lines, path), "status": "sent", "requests": len(rows)})

    try:
        for batch in batches:
            for record in batch.astype(object).mask(batch.isna(), None).to_dict("records"):
                row = {str(name): value for name, value in record.items()}
                try:
                    path, body = http_request(settings["model"], engine_request(row), is_vllm)
                    about = {"custom_id": row["request_id"], "method": "POST", "url": f"/v1/{path}", "body": body}
                    line = json.dumps(about, ensure_ascii=False, allow_nan=False)
                    size = len(line.encode())
                except ValueError as error:
                    refused: EngineResult = {"finish_reason": FinishReason.REFUSED, "error": str(error)}
                    staging.add(completion(row, refused, 1, settings["run_id"]))
                    continue
                if path in waiting and (len(waiting[path][0]) >= MOST_REQUESTS or waiting[path][2] + size > MOST_BYTES):
                    yield sent(path)
                rows, lines, bytes_before = waiting.get(path, ([], [], 0))
                rows.append(row)
                lines.append(line)
                waiting[path] = (rows, lines, bytes_before + size)
        for path in list(waiting):
            yield sent(path)
    except EngineUnusable as error:
        yield _frame({"unusable": str(error)})
    finally:
        staging.flush(force=True)


def take_in(batches: Iterable[pd.DataFrame], settings: CallSettings) -> Iterator[pd.DataFrame]:
    """Names of batches (column `name`) -> a row of BATCH_SCHEMA each; completions of those that ended are staged."""
    folder = BatchFolder(settings)
    for batch in batches:
        for name in batch["name"]:
            try:
                yield _frame(folder.take(name))
            except EngineUnusable as error:
                yield _frame({"batch": name, "unusable": str(error)})


def _frame(row: dict[str, Any]) -> pd.DataFrame:
    known = dict.fromkeys(BATCH_COUNTS, 0) | row
    return pd.DataFrame([{name: known.get(name) for name in ("batch", "status", *BATCH_COUNTS, "unusable")}])
