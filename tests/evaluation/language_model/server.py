"""A server like OpenAI's, on this machine."""

import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """An OpenAI-compatible server that prefers the longer answer, after what ``problems`` says.

    Attributes:
        problems: responses given before it works: (status, headers, body), or seconds of silence.
        requests: (path, headers, body) of each.
    """

    def __init__(self) -> None:
        self.problems: list[Any] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append((self.path, dict(self.headers), body))
                problem = server.problems.pop(0) if server.problems else None
                if isinstance(problem, float):
                    time.sleep(problem)
                    problem = None
                status, headers, content = problem or (200, {}, answer(body["messages"][0]["content"]))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


def says(content: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


def answer(prompt: str) -> bytes:
    a, b = (re.search(rf"<answer_{x}>\n(.*?)\n</answer_{x}>", prompt, re.DOTALL)[1] for x in "ab")
    verdict = "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"
    return says(f'It says more; "Verdict: B" is no verdict of mine.\n**Verdict: {verdict}**')
