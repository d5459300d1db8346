"""A line to an MLflow server that fails as networks do: what it does is asked of itself.

`GET /__line__/<mode>` sets the mode: `ok`, `bad` (one request in three fails, in seven ways) or
`away` (nobody answers).
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("refuse", "hang", "500", "429", "cut", "drop", "slow")


class BadLine(ThreadingHTTPServer):
    """Passes requests on to `target`, or does not; `hangs` is how long a hang takes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, seed: int = 0, hangs: float = 4.0, slow: float = 0.3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.hangs, self.slow = hangs, slow
        self.mode = "ok"
        self.counts = dict.fromkeys(("ok", *FAULTS), 0)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what this is about."""

    def fault(self) -> str:
        with self._lock:
            chosen = "ok"
            if self.mode == "away":
                chosen = "refuse"
            elif self.mode == "bad" and self._random.random() < 1 / 3:
                weights = [5, 1, 5, 3, 4, 5, 4]  # a hang takes seconds: fewer of them
                chosen = self._random.choices(FAULTS, weights)[0]
            self.counts[chosen] += 1
            return chosen


class _Handler(BaseHTTPRequestHandler):
    server: BadLine
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def _do(self) -> None:
        self.close_connection = True
        if self.path.startswith("/__line__/"):
            self.server.mode = self.path.rpartition("/")[2]
            return self._answer(200, {}, b"")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault()
        if fault == "refuse":
            return None
        if fault == "hang":
            time.sleep(self.server.hangs)
            return None
        if fault in ("500", "429"):
            after = {"Retry-After": "1"} if fault == "429" else {}
            return self._answer(int(fault), after, b'{"error_code": "INTERNAL_ERROR"}')
        if fault == "slow":
            time.sleep(self.server.slow)
        status, headers, data = self._asked(body)
        if fault == "drop":  # the server did it, and nobody hears so
            return None
        return self._answer(status, headers, data, cut=fault == "cut")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _do

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        target = self.server.target
        line = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            headers["Host"] = target.netloc
            line.request(self.command, self.path, body, headers)
            answer = line.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() == "content-type"}
            return answer.status, kept, answer.read()
        finally:
            line.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
