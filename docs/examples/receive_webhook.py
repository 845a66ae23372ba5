"""Receives the webhook's events and verifies them; the standard library is enough.

    WEBHOOK_SECRET=whsec_… python receive_webhook.py 8080
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
seen: set[str] = set()  # in a database, for as long as deliveries are repeated


def verify(headers, body: bytes) -> dict:
    sent = headers["webhook-timestamp"]
    signed = f"{headers['webhook-id']}.{sent}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    if not any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split()):
        raise ValueError("no signature matches this secret and this body")
    if abs(time.time() - int(sent)) > 300:
        raise ValueError("sent too long ago")
    return json.loads(body)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = verify(self.headers, body)
        except (KeyError, TypeError, AttributeError, ValueError):
            self.send_response(401)
        else:
            if event["id"] not in seen:
                print(event["type"], event["data"]["text"], flush=True)
            seen.add(event["id"])
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
