"""Groq's files and batches, in memory: a file is taken, made into a batch, done after some looks, and handed out.

It refuses what the API refuses (facts/groq.md 2, https://console.groq.com/docs/batch): another purpose, broken lines,
another URL, ids that stand twice, more than 50,000 lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.llm_api.scripts import Fail

MAX_LINES = 50_000


@dataclass(slots=True)
class _Batch:
    id: str
    file: str
    looks: int = 0
    output: str = ""
    errors: str = ""
    failed: int = 0
    total: int = 0
    problem: str = ""


class Batches:
    """The state behind the routes.

    Args:
        answer: What one body is answered with: a completion, or a refusal.
        looks: How often a batch is looked at before it is done.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Mapping[str, Any] | Fail], *, looks: int = 1) -> None:
        self._answer = answer
        self.looks = looks
        self.files: dict[str, bytes] = {}
        self.made: dict[str, _Batch] = {}

    def upload(self, purpose: str, content: bytes) -> dict[str, Any] | Fail:
        if purpose != "batch":
            return Fail(400, {"error": {"message": "purpose must be batch", "type": "invalid_request_error"}})
        return {"id": self._keep(content), "object": "file", "bytes": len(content), "purpose": "batch"}

    def create(self, body: Mapping[str, Any]) -> dict[str, Any] | Fail:
        file, window = str(body.get("input_file_id")), str(body.get("completion_window"))
        if file not in self.files or body.get("endpoint") != "/v1/chat/completions" or window not in ("24h", "7d"):
            return Fail(400, {"error": {"message": "invalid batch", "type": "invalid_request_error"}})
        batch = _Batch(f"batch_{len(self.made):04d}", file)
        self.made[batch.id] = batch
        return self.shown(batch)

    def look(self, batch_id: str) -> dict[str, Any] | None:
        batch = self.made.get(batch_id)
        if batch is None:
            return None
        batch.looks += 1
        if batch.looks > self.looks and not batch.output and not batch.problem:
            self._run(batch)
        return self.shown(batch)

    def shown(self, batch: _Batch) -> dict[str, Any]:
        done = bool(batch.output or batch.errors)
        status = "failed" if batch.problem else "completed" if done else "in_progress"
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1_795_000_000,
            "input_file_id": batch.file,
            "status": status,
            "output_file_id": batch.output or None,
            "error_file_id": batch.errors or None,
            "request_counts": {"total": batch.total, "completed": batch.total - batch.failed, "failed": batch.failed},
            "errors": {"object": "list", "data": [{"message": batch.problem, "line": 1}]} if batch.problem else None,
        }

    def _run(self, batch: _Batch) -> None:
        lines = self.files[batch.file].splitlines()
        good, bad, seen = [], [], set[str]()
        if len(lines) > MAX_LINES:
            batch.problem = "too many lines"
            return
        for raw in lines:
            entry = json.loads(raw)
            if entry.keys() != {"custom_id", "method", "url", "body"} or entry["custom_id"] in seen:
                batch.problem = "a line is not in the batch form"
                return
            if entry["body"].get("stream"):
                batch.problem = "a batch does not stream"
                return
            seen.add(entry["custom_id"])
            answered = self._answer(entry["body"])
            result: dict[str, Any] = {"id": f"batch_req_{len(seen)}", "custom_id": entry["custom_id"], "error": None}
            if isinstance(answered, Fail):
                result["response"] = {"status_code": answered.status, "request_id": "req_b", "body": answered.body}
                bad.append(result)
            else:
                result["response"] = {"status_code": 200, "request_id": "req_b", "body": dict(answered)}
                good.append(result)
        batch.total, batch.failed = len(lines), len(bad)
        batch.output = self._keep(_jsonl(reversed(good)))  # the order is not promised
        batch.errors = self._keep(_jsonl(bad)) if bad else ""

    def _keep(self, content: bytes) -> str:
        file = f"file_{len(self.files):04d}"
        self.files[file] = content
        return file


def _jsonl(results: Any) -> bytes:
    return b"".join(json.dumps(result).encode() + b"\n" for result in results)
