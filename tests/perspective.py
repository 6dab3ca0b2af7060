"""A real server that speaks Perspective's format, for tests."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service(ThreadingHTTPServer):
    """Scores a text by the share of its letters that are "a"; fails as it is told to.

    Attributes:
        requests: bodies, headers, paths and times of arrival.
        failures: statuses that the next requests are answered with, and further headers.
        answer: what is answered instead of a score.
        delay: seconds before an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[Any, dict[str, str], str, float]] = []
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.answer: bytes | None = None
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1alpha1/comments:analyze"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((body, dict(self.headers), self.path, time.monotonic()))
        time.sleep(self.server.delay)
        status, headers = self.server.failures.pop(0) if self.server.failures else (200, {})
        text = body["comment"]["text"]
        [attribute] = body["requestedAttributes"]
        score = {"summaryScore": {"value": text.count("a") / len(text), "type": "PROBABILITY"}}
        content = json.dumps({"attributeScores": {attribute: score}} if status == 200 else _error(status)).encode()
        if self.server.answer is not None:
            content = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


def _error(status: int) -> dict[str, Any]:
    return {"error": {"code": status, "message": "the language is not supported"}}
