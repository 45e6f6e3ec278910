"""A plain NATS client in another language: it launches by request or by the durable subject.

usage: plain_client.py URL CREDENTIALS request|durable|raw SUBJECT [KEY] < body
Prints one JSON object: {"reply": ..., "headers": {...}} or {"stream": ..., "seq": ...}.
"""

import asyncio
import json
import sys

import nats


async def main() -> None:
    url, credentials, how, subject = sys.argv[1:5]
    key = sys.argv[5] if len(sys.argv) > 5 else None
    body = sys.stdin.buffer.read()
    with open(credentials) as file:
        secret = json.load(file)

    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_error(error: Exception) -> None:
        # the client goes on waiting for an answer to what the server has refused
        if "permissions violation" in str(error).lower() and not refused.done():
            refused.set_exception(error)

    client = await nats.connect(
        url,
        error_cb=on_error,
        nkeys_seed_str=secret["nkeySeed"],
        inbox_prefix=secret["inboxPrefix"].encode(),
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
