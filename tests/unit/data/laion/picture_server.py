"""A server of pictures on this host, good ones and what the web has in their place."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

PAGE = b"<!DOCTYPE html><html><body>This picture is gone.</body></html>"
SLOW = 30
"""Seconds that nobody waits for."""


def picture(form: str = "JPEG", size: tuple[int, int] = (80, 64), mode: str = "RGB", seed: int = 0) -> bytes:
    """A picture's file, smooth as photos are."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(buffer, form)
    return buffer.getvalue()


@cache
def bomb() -> bytes:
    """A small PNG of 400 million pixels."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of a path."""

    def do_GET(self) -> None:
        kind, _, rest = self.path[1:].partition("/")
        getattr(self, f"_{kind}", self._missing)(rest)

    def log_message(self, *words: object) -> None:
        pass

    def _send(self, body: bytes, kind: str = "image/jpeg", code: int = 200, size: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        self.wfile.write(body)

    def _missing(self, rest: str) -> None:
        self._send(PAGE, "text/html", 404)

    def _good(self, rest: str) -> None:
        self._send(picture(seed=int(rest.partition(".")[0])))

    def _slow(self, rest: str) -> None:
        time.sleep(SLOW)

    def _moved(self, rest: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"/good/{rest}")
        self.end_headers()

    def _loop(self, rest: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"/loop/{rest}")
        self.end_headers()

    def _truncated(self, rest: str) -> None:
        body = picture()
        self._send(body[: len(body) // 2], size=len(body))

    def _page(self, rest: str) -> None:
        self._send(PAGE)

    def _huge(self, rest: str) -> None:
        self._send(bomb(), "image/png")

    def _mislabelled(self, rest: str) -> None:
        self._send(picture("WEBP" if rest.startswith("webp") else "PNG"))

    def _grey(self, rest: str) -> None:
        self._send(picture(mode="L"))

    def _tiny(self, rest: str) -> None:
        self._send(picture("PNG", (1, 1)), "image/png")

    def _unwanted(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("X-Robots-Tag", "noai")
        self.end_headers()
        self.wfile.write(picture())


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server that runs inside the block."""
    bomb()  # which takes a while to make
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
