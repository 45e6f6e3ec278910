"""An HTTP server on the port given, which answers 200: a service that must bind, or die saying why."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


class Server(HTTPServer):
    allow_reuse_address = False


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
