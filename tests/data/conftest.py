"""A mirror of our own on 127.0.0.1, and a data set small enough to serve from it."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minicnn.data.sets.idx_dataset import IdxDataset, idx_files

SHAPES = ((60, 28, 28), (60,), (20, 28, 28), (20,))


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


class Mirror:
    """A web server whose folders misbehave each in its own way.

    Attributes:
        files: name -> contents.
        requests: (folder, name, Range header) of every request so far.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.requests: list[tuple[str, str, str | None]] = []
        self.release = threading.Event()
        self.behaviours: dict[str, Callable[[BaseHTTPRequestHandler, str], None]] = {
            "good": self.good,
            "hanging": self.hanging,
            "slow": self.slow,
            "trickling": self.trickling,
            "page": self.page,
            "tampered": self.tampered,
            "repacked": self.repacked,
            "breaking": self.breaking,
            "stalling": self.stalling,
            "no-ranges": self.no_ranges,
            "endless": self.endless,
        }
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, folder, name = self.path.split("/")
                mirror.requests.append((folder, name, self.headers.get("Range")))
                if folder not in mirror.behaviours or name not in mirror.files:
                    self.send_error(404)
                    return
                mirror.behaviours[folder](self, name)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, address: object) -> None:
                """Clients here leave early on purpose."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{folder}"

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def send(self, handler: BaseHTTPRequestHandler, content: bytes, stop: int | None = None) -> None:
        """Answer as a good server does, ranges included, but hang up after `stop` bytes."""
        span = re.match(r"bytes=(\d+)-$", handler.headers.get("Range") or "")
        start = int(span.group(1)) if span else 0
        if start and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if span else 200)
        if span:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:][:stop])

    def good(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.send(handler, self.files[name])

    def hanging(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.release.wait(30)

    def slow(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.release.wait(0.2)
        self.send(handler, self.files[name])

    def trickling(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not self.release.wait(0.05):
            handler.wfile.write(b"\x1f")
            handler.wfile.flush()

    def page(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.send(handler, b"\n<!DOCTYPE html><html><head><title>Hotel  Wi-Fi</title></head><body>Pay!</body></html>")

    def tampered(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        content = bytearray(gzip.decompress(self.files[name]))
        content[-1] ^= 1
        self.send(handler, gzip.compress(bytes(content)))

    def repacked(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.send(handler, gzip.compress(gzip.decompress(self.files[name]), compresslevel=0))

    def breaking(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.send(handler, self.files[name], stop=len(self.files[name]) // 3)

    def stalling(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.send(handler, self.files[name], stop=1000)
        handler.wfile.flush()
        self.release.wait(30)

    def no_ranges(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        del handler.headers["Range"]
        self.send(handler, self.files[name])

    def endless(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(self.files[name] * 20)


@pytest.fixture(scope="session")
def arrays() -> list[np.ndarray]:
    """Pictures of noise, so that they do not compress away, and labels."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 10 if len(shape) == 1 else 256, shape, np.uint8) for shape in SHAPES]


@pytest.fixture(scope="session")
def packed(arrays: list[np.ndarray]) -> dict[str, bytes]:
    names = [file.name + ".gz" for file in idx_files(*"abcd")]
    return {name: gzip.compress(idx_bytes(array), mtime=0) for name, array in zip(names, arrays, strict=True)}


@pytest.fixture
def mirror(packed: dict[str, bytes]) -> Iterator[Mirror]:
    server = Mirror(dict(packed))
    yield server
    server.close()


@pytest.fixture
def dataset(arrays: list[np.ndarray], mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``dataset("good", "page")``: a small data set with those mirrors, an empty cache and no MINICNN_DATA."""
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache Müller"))
    digests = [hashlib.sha256(idx_bytes(array)).hexdigest() for array in arrays]

    def make(*mirrors: str) -> IdxDataset:
        return IdxDataset(
            name="tiny-digits",
            title="Tiny digits",
            files=idx_files(*digests, n_train=60, n_test=20),
            mirrors=tuple(mirror.url(name) for name in mirrors),
            class_names=tuple("0123456789"),
        )

    return make
