"""A Hugging Face Hub on this machine: a server that a test gives its answers, and a process of its
own that asks it. huggingface_hub, transformers and datasets are the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answers(BaseHTTPRequestHandler):
    """What is asked for with GET or HEAD is answered by `answer`; nothing is printed."""

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """headers: X_Error_Code for X-Error-Code."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(answers: type[Answers]) -> Iterator[str]:
    """The server's address, for as long as this lasts."""
    server = HTTPServer(("127.0.0.1", 0), answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def said(code: str, *arguments: str, address: str, offline: bool = False, **env: str) -> str:
    """What Python code prints in a process of its own whose hub is at `address`."""
    own = {"HF_ENDPOINT": address, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | own | {"HF_HUB_OFFLINE": str(int(offline))} | env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
