"""Two users chat while the server is stopped and killed. Run it beside a server that may be:

node ../harness/with-server.mjs python -m unittest
"""

from __future__ import annotations

import asyncio
import os
import secrets
import unittest
from collections.abc import Callable
from pathlib import Path

import httpx
from graphql import build_schema, parse, validate

import talksy
from talksy import Data, Session, follow

SERVER = os.environ.get("CHAT_URL", "http://127.0.0.1:4000")


async def control(action: str) -> str:
    """Asks what runs the server to stop or start it, or for a sign-in code."""
    async with httpx.AsyncClient(timeout=40) as client:
        answer = await client.post(f"{os.environ['CHAT_CONTROL']}{action}")
    if answer.is_error:
        raise AssertionError(answer.text)
    return answer.text


async def sign_in(name: str) -> Session:
    email = f"{name}-{secrets.token_hex(4)}@example.org"
    await control(f"/expect?email={email}")
    return await Session.sign_in(SERVER, email, lambda: control(f"/code?email={email}"))


async def eventually(check: Callable[[], bool], what: str) -> None:
    for _ in range(1500):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never: {what}")


class ChatTest(unittest.IsolatedAsyncioTestCase):
    def test_the_documents_fit_the_schema(self) -> None:
        schema = build_schema((Path(__file__).parent / "schema.graphql").read_text())
        documents = {
            name: text
            for name, text in vars(talksy).items()
            if name.isupper() and isinstance(text, str)
        }
        self.assertGreater(len(documents), 8)
        for name, text in documents.items():
            self.assertEqual(validate(schema, parse(text)), [], name)

    async def test_a_chat_goes_on_when_the_server_is_stopped_and_killed(self) -> None:
        ada, grace = await sign_in("ada"), await sign_in("grace")
        started = await ada.execute(talksy.START_CHAT, {"userId": grace.user_id})
        chat = started["startChat"]["chat"]
        network = asyncio.Event()
        network.set()

        async def online() -> None:
            await network.wait()

        added: list[Data] = []
        changed: dict[int, Data] = {}
        told: dict[int, Data] = {}
        caught_up = asyncio.Event()

        async def follow_added() -> None:
            variables = {"chatId": chat["id"], "after": chat["headCursor"]}
            async for data in follow(grace, talksy.MESSAGE_ADDED, variables, online):
                added.append(data["messageAdded"]["node"])

        async def follow_changed() -> None:
            variables = {"chatId": chat["id"], "after": chat["headCursor"]}
            async for data in follow(grace, talksy.MESSAGE_UPDATED, variables, online):
                message = data["messageUpdated"]["message"]
                changed[message["seq"]] = message

        async def follow_account() -> None:
            async for data in follow(grace, talksy.ACCOUNT_EVENTS, {}, online):
                event = data["accountEvents"]
                if event["__typename"] == "AccountCheckpoint":
                    caught_up.set()
                elif "message" in event:
                    message = event["message"]
                    known = told.get(message["seq"])
                    # Of two states the one with the greater `changeSeq` is the newer.
                    if not known or known["changeSeq"] <= message["changeSeq"]:
                        told[message["seq"]] = message

        feeds = [
            asyncio.create_task(feed()) for feed in (follow_added, follow_changed, follow_account)
        ]
        await caught_up.wait()
        first = await ada.send(chat["id"], "Hello, Grace")
        await eventually(lambda: len(added) == 1, "the first message, live")
        last = {}
        for signal in ("SIGTERM", "SIGKILL"):
            network.clear()
            await control(f"/stop?signal={signal}")
            pending = asyncio.create_task(ada.send(chat["id"], f"While the server was away, {signal}"))
            await control("/start")
            await pending
            # All this happens while Grace is away.
            await ada.send(chat["id"], f"While Grace was away, {signal}")
            text = f"Edited, {signal}"
            await ada.execute(talksy.EDIT_MESSAGE, {"messageId": first["id"], "text": text})
            # As over night: the new connection needs another token.
            grace.expired()
            network.set()
            last = await grace.send(chat["id"], f"Back again, {signal}")
            await eventually(lambda: added[-1]["seq"] == last["seq"], "what was missed")
            await eventually(lambda: changed.get(1, {}).get("text") == text, "the edit")
        answer = await grace.execute(talksy.MESSAGES, {"chatId": chat["id"]})
        stored: list[Data] = answer["chat"]["messages"]["nodes"]
        self.assertEqual([message["seq"] for message in stored], list(range(1, 8)))
        self.assertEqual([m["seq"] for m in added], list(range(1, 8)), "once and in order")
        self.assertEqual(stored[0], changed[1])

        def shown() -> list[Data]:
            return [
                {name: told[seq][name] for name in ("id", "seq", "changeSeq", "text")}
                for seq in sorted(told)
            ]

        await eventually(lambda: shown() == stored, "accountEvents tell what the server has")
        for feed in feeds:
            self.assertFalse(feed.done(), "a feed ended")
            feed.cancel()
        await asyncio.gather(*feeds, return_exceptions=True)


if __name__ == "__main__":
    unittest.main()
