"""Scores checkpoints over HTTP: GET /health, POST /score?epoch=N with the bytes of a checkpoint.

Each score is one line on stdout, with the SHA-256 of the bytes as they came.
"""

import argparse
import hashlib
import io
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

import torch

from digits import load_digits_split, make_network

CHECKPOINT_BYTES_MAX = 16 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    test_x: torch.Tensor
    test_y: torch.Tensor

    def do_GET(self) -> None:
        known = urlparse(self.path).path == "/health"
        self.answer(200 if known else 404, "ok" if known else "no such path")

    def do_POST(self) -> None:
        url = urlparse(self.path)
        size = int(self.headers.get("Content-Length", "0"))
        if url.path != "/score" or not 0 < size <= CHECKPOINT_BYTES_MAX:
            self.answer(400, "POST a checkpoint to /score?epoch=N")
            return
        query = parse_qs(url.query)
        epoch, last = int(query["epoch"][0]), query.get("last", ["0"])[0] == "1"
        body = self.rfile.read(size)
        digest = hashlib.sha256(body).hexdigest()
        network = make_network()
        network.load_state_dict(torch.load(io.BytesIO(body), weights_only=True))  # never a pickle
        with torch.no_grad():
            right = (network(self.test_x).argmax(dim=1) == self.test_y).sum().item()
        accuracy = 100.0 * right / len(self.test_y)
        print(f"epoch {epoch} checkpoint sha256 {digest} test accuracy {accuracy:.1f} %{' (final)' if last else ''}", flush=True)
        self.answer(200, f"test accuracy {accuracy:.1f} %")

    def answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing for each request: stdout is for scores."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    _, _, Handler.test_x, Handler.test_y = load_digits_split()
    print(f"evaluator: {len(Handler.test_x)} test images, listening on {options.host}:{options.port}", flush=True)
    HTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
