"""A plain NATS client in another language: it launches by request or by the durable subject.

usage: plain_client.py URL CREDENTIALS request|durable SUBJECT [KEY] < body
CREDENTIALS is a file of ours, as JSON. For a .creds file the inbox prefix stands in INBOX_PREFIX; an
authority for TLS, if there is one, in CA.
Prints one JSON object: {"reply": ..., "headers": {...}} or {"stream": ..., "seq": ...}.
"""

import asyncio
import json
import logging
import os
import ssl
import sys

import nats
from nats.aio.client import RawCredentials

# over TLS it warns of the client library's own protocol when the link is closed
logging.getLogger("asyncio").setLevel(logging.ERROR)

CREDS = """-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{nkeySeed}
------END USER NKEY SEED------
"""


def sign_in(file: str) -> dict:
    if file.endswith(".creds"):
        return {"user_credentials": file, "inbox_prefix": os.environ["INBOX_PREFIX"].encode()}
    with open(file) as opened:
        secret = json.load(opened)
    return {
        "user_credentials": RawCredentials(CREDS.format(**secret)),
        "inbox_prefix": secret["inboxPrefix"].encode(),
    }


async def main() -> None:
    url, credentials, how, subject = sys.argv[1:5]
    key = sys.argv[5] if len(sys.argv) > 5 else None
    body = sys.stdin.buffer.read()
    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_error(error: Exception) -> None:
        # the client goes on waiting for an answer to what the server has refused
        if "permissions violation" in str(error).lower() and not refused.done():
            refused.set_exception(error)

    client = await nats.connect(
        url,
        error_cb=on_error,
        tls=ssl.create_default_context(cafile=os.environ["CA"]) if "CA" in os.environ else None,
        **sign_in(credentials),
        allow_reconnect=False,
        connect_timeout=5,
    )
    headers = {"Troupe-Key": key} if key else None
    if how == "durable":
        ack = await client.jetstream().publish(subject, body, headers=headers, timeout=5)
        print(json.dumps({"stream": ack.stream, "seq": ack.seq}))
    else:
        asking = asyncio.ensure_future(client.request(subject, body, headers=headers, timeout=5))
        await asyncio.wait({asking, refused}, return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            asking.cancel()
            refused.result()
        answer = await asking
        print(json.dumps({"reply": json.loads(answer.data), "headers": dict(answer.headers or {})}))
    await client.close()


asyncio.run(main())
