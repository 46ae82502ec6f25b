"""People, chats and messages for operations to find.

The ids, cursors and secrets that `Seeded.values` has are what a user may send: their own chats and those of
others, messages that are there, deleted or nobody's, places in lists, codes that were mailed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

URL = os.environ["CHAT_URL"]
Data = dict[str, Any]


def control(action: str) -> str:
    """Asks what runs the server for a sign-in code or for its log."""
    answer = requests.post(f"{os.environ['CHAT_CONTROL']}{action}", timeout=40)
    answer.raise_for_status()
    return answer.text


NETWORKS = itertools.count()


def another_network() -> str:
    """An address of a /24 of its own: from one, codes for a mail address are sent only now and then."""
    high, low = divmod(next(NETWORKS), 256)
    return f"10.{high % 256}.{low}.1"


def ask(query: str, variables: Data, token: str | None = None) -> Data:
    """The data of an operation, which must not fail."""
    headers = {"x-forwarded-for": another_network()}
    if token:
        headers["authorization"] = f"Bearer {token}"
    body = {"query": query, "variables": variables}
    answer: Data = requests.post(f"{URL}/graphql", json=body, headers=headers, timeout=30).json()
    if "errors" in answer:
        raise AssertionError(answer["errors"])
    data: Data = answer["data"]
    return data


LOGIN = "mutation ($email: String!) { login(input: { email: $email }) { challenge } }"
VERIFY = """
  mutation ($challenge: String!, $code: String!) {
    verifyOtp(input: { challenge: $challenge, code: $code }) {
      accessToken refreshToken deviceToken session { id } user { id }
    }
  }
"""
REQUEST_DELETION = "mutation { requestAccountDeletion { challenge } }"
START = "mutation ($id: ID!) { startChat(input: { userId: $id }) { chat { id } } }"
GROUP = """
  mutation ($members: [ID!]!) {
    createGroup(input: { title: "Seeded", memberIds: $members }) { chat { id } }
  }
"""
SEND = """
  mutation ($chat: ID!, $text: String!) {
    sendMessage(input: { chatId: $chat, text: $text, clientMessageId: $text }) { message { id } }
  }
"""
EDIT = 'mutation ($id: ID!) { editMessage(input: { messageId: $id, text: "edited" }) { message { id } } }'
DELETE = "mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }"
REPORT = """
  mutation ($id: ID!) { reportMessage(input: { messageId: $id, reason: "seeded" }) { reportId } }
"""
READ = "mutation ($chat: ID!) { markRead(input: { chatId: $chat, seq: 3 }) { chat { id } } }"
PROMOTE = """
  mutation ($chat: ID!, $user: ID!) {
    setMemberRole(input: { chatId: $chat, userId: $user, role: OWNER }) { member { id } }
  }
"""
CURSORS = """
  query ($chat: ID!) {
    chat(id: $chat) {
      headCursor
      members { edges { cursor } }
      messages(last: 20) { edges { cursor } nodes { readBy { edges { cursor } } } }
      changes { edges { cursor } }
    }
    chats(first: 5) { edges { cursor } }
    users { edges { cursor } }
    sessions(first: 5) { edges { cursor } }
    moderation { reports(first: 5) { edges { cursor } } users(first: 5) { edges { cursor } } }
  }
"""


NAMES = ["ada", "bob", "eve", "ida", "joe", "kim", "leo", "max", "nia", "oda"]


@dataclass
class Account:
    """A user, and a session of theirs."""

    email: str
    id: str
    access_token: str
    refresh_token: str
    device_token: str
    session_id: str

    def ask(self, query: str, **variables: Any) -> Data:
        return ask(query, variables, self.access_token)


def challenge_for(email: str) -> tuple[str, str]:
    """A challenge, with the code that was mailed for it."""
    control(f"/expect?email={email}")
    challenge = ask(LOGIN, {"email": email})["login"]["challenge"]
    return challenge, control(f"/code?email={email}")


def sign_in(email: str) -> Account:
    challenge, code = challenge_for(email)
    auth = ask(VERIFY, {"challenge": challenge, "code": code})["verifyOtp"]
    return Account(
        email,
        auth["user"]["id"],
        auth["accessToken"],
        auth["refreshToken"],
        auth["deviceToken"],
        auth["session"]["id"],
    )


def cursors_in(data: object) -> Iterator[str]:
    """All cursors, wherever they are."""
    if isinstance(data, list):
        for item in data:
            yield from cursors_in(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            if key in ("cursor", "headCursor"):
                yield value
            else:
                yield from cursors_in(value)


def leaver(email: str) -> tuple[str, str, Account]:
    """Somebody who is about to delete their account, with the challenge and its code."""
    account = sign_in(email)
    control(f"/expect?email={email}")
    challenge = account.ask(REQUEST_DELETION)["requestAccountDeletion"]["challenge"]
    return challenge, control(f"/code?email={email}"), account


@dataclass
class Seeded:
    """What there is."""

    # As whom the operations are sent.
    viewer: Account
    # As whom accounts are deleted, by the challenge.
    leavers: dict[str, Account]
    # The values that arguments take, by what they are.
    values: dict[str, list[str]]

    def write(self, folder: Path) -> None:
        """Writes the values to files, as the dictionaries of `schemathesis.toml` name them."""
        folder.mkdir(exist_ok=True)
        for name, values in self.values.items():
            quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
            lines = "".join(f'"{value}"\n' for value in quoted)
            (folder / f"{name}.dict").write_text(lines, encoding="utf-8")


def cursors(data: Data) -> dict[str, list[str]]:
    """The cursors of each list, and with them one of each of the others, which it refuses."""
    chat = data["chat"]
    lists = {
        "chat_cursors": data["chats"],
        "user_cursors": data["users"],
        "session_cursors": data["sessions"],
        "report_cursors": data["moderation"]["reports"],
        "account_cursors": data["moderation"]["users"],
        "member_cursors": chat["members"],
        "receipt_cursors": [message["readBy"] for message in chat["messages"]["nodes"]],
        "message_cursors": [{"cursor": chat["headCursor"]}, chat["messages"]["edges"], chat["changes"]],
    }
    of_each = {name: sorted(set(cursors_in(found))) for name, found in lists.items()}
    others = [found[0] for found in of_each.values()]
    return {name: [*found * 3, *others] for name, found in of_each.items()}


def seed() -> Seeded:
    """Makes it all."""
    ada, bob, eve, *more = (sign_in(f"{name}@example.org") for name in NAMES)
    users = [account.id for account in (bob, eve, *more)]
    direct = ada.ask(START, id=bob.id)["startChat"]["chat"]["id"]
    foreign = bob.ask(START, id=eve.id)["startChat"]["chat"]["id"]
    # Many of them: operations leave some.
    own = [ada.ask(GROUP, members=[bob.id, eve.id])["createGroup"]["chat"]["id"] for _ in range(80)]
    joined = [bob.ask(GROUP, members=[ada.id, more[0].id])["createGroup"]["chat"]["id"] for _ in range(8)]
    for chat in own[:30]:
        ada.ask(PROMOTE, chat=chat, user=bob.id)
    messages = []
    senders = [(ada, direct), (bob, direct), (bob, joined[0]), (eve, foreign)]
    senders += [(account, chat) for chat in own[:8] for account in (ada, eve)]
    for account, chat in senders:
        for turn in range(4):
            sent = account.ask(SEND, chat=chat, text=f"number {turn} of {account.email}")
            messages.append(sent["sendMessage"]["message"]["id"])
    ada.ask(EDIT, id=messages[0])
    ada.ask(DELETE, id=messages[1])
    for account, chat in [(ada, direct), (bob, direct), (eve, own[0]), (ada, own[0])]:
        account.ask(READ, chat=chat)
    # What Bob has sent to Ada, who is an operator, and what Ada has sent to Eve.
    reports = [ada.ask(REPORT, id=message)["reportMessage"]["reportId"] for message in messages[4:8]]
    of_ada = [message for message, (account, _) in zip(messages[16::4], senders[4:]) if account is ada]
    reports += [eve.ask(REPORT, id=message)["reportMessage"]["reportId"] for message in of_ada]
    found = ada.ask(CURSORS, chat=direct)
    codes = [challenge_for("mia@example.org"), challenge_for("mia@example.org")]
    # Of the viewer, and of somebody else.
    ended = [account.session_id for account in (*(sign_in(ada.email) for _ in range(4)), bob)]
    refreshed = [account.refresh_token for account in (*(sign_in(ada.email) for _ in range(8)), bob)]
    leavers = [leaver(f"leaver{number}@example.org") for number in range(2)]
    chats = [direct, foreign, *own, *joined]
    return Seeded(
        viewer=ada,
        leavers={challenge: account for challenge, _, account in leavers},
        values={
            "chats": chats,
            "messages": messages,
            "users": [*users, ada.id],
            # Others go on being written to.
            "blockable": [users[-1]],
            "sessions": ended,
            "reports": reports,
            "ids": [*chats[:4], *messages[:6], *users, *ended, *reports],
            **cursors(found),
            "emails": ["ada@example.org", "mia@example.org", "nobody@example.org"],
            "challenges": [challenge for challenge, _ in codes],
            "codes": [code for _, code in codes],
            "deletion_challenges": [challenge for challenge, _, _ in leavers],
            "deletion_codes": [code for _, code, _ in leavers],
            "refresh_tokens": refreshed,
            "device_tokens": [ada.device_token, bob.device_token],
            "names": ["Seeded", "a", "ada", "e\N{COMBINING ACUTE ACCENT}\N{FAMILY}", "x" * 64, "x" * 101],
            "emojis": ["\N{THUMBS UP SIGN}", "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}", "no emoji"],
            "texts": ["Hello", "two\\nlines", "\N{FAMILY}\N{ZERO WIDTH JOINER}", "x" * 4000, "x" * 4001],
        },
    )
