"""A chat with gql: a session whose token is renewed, and subscriptions that resume.

Copy this file. `gql` reads `after` once: with its own reconnecting sessions messages are lost or come
again when the connection breaks, without an error. Here `follow` gives each new connection the place
behind the last event.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

LOGIN = """
mutation Login($email: String!, $deviceToken: String) {
  login(input: { email: $email, deviceToken: $deviceToken }) {
    challenge
  }
}
"""
VERIFY_OTP = """
mutation VerifyOtp($challenge: String!, $code: String!) {
  verifyOtp(input: { challenge: $challenge, code: $code }) {
    deviceToken
    accessToken
    refreshToken
    user {
      id
    }
  }
}
"""
REFRESH_SESSION = """
mutation RefreshSession($refreshToken: String!) {
  refreshSession(input: { refreshToken: $refreshToken }) {
    accessToken
    refreshToken
  }
}
"""
START_CHAT = """
mutation StartChat($userId: ID!) {
  startChat(input: { userId: $userId }) {
    chat {
      id
      headCursor
    }
  }
}
"""
MESSAGES = """
query Messages($chatId: ID!, $before: String) {
  chat(id: $chatId) {
    headCursor
    messages(last: 50, before: $before) {
      nodes {
        id
        seq
        changeSeq
        text
      }
      pageInfo {
        hasPreviousPage
        startCursor
      }
    }
  }
}
"""
SEND_MESSAGE = """
mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
  sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
    message {
      id
      seq
    }
  }
}
"""
EDIT_MESSAGE = """
mutation EditMessage($messageId: ID!, $text: String!) {
  editMessage(input: { messageId: $messageId, text: $text }) {
    message {
      id
      changeSeq
    }
  }
}
"""
# Select `cursor` in all three: they resume by it.
MESSAGE_ADDED = """
subscription MessageAdded($chatId: ID!, $after: String) {
  messageAdded(chatId: $chatId, after: $after) {
    cursor
    node {
      id
      seq
      changeSeq
      text
    }
  }
}
"""
MESSAGE_UPDATED = """
subscription MessageUpdated($chatId: ID!, $after: String) {
  messageUpdated(chatId: $chatId, after: $after) {
    cursor
    message {
      id
      seq
      changeSeq
      text
    }
  }
}
"""
ACCOUNT_EVENTS = """
subscription AccountEvents($after: AccountPosition) {
  accountEvents(after: $after) {
    __typename
    cursor
    ... on MessageAdded {
      message {
        id
        seq
        changeSeq
        text
        chat {
          id
        }
      }
    }
    ... on MessageChange {
      message {
        id
        seq
        changeSeq
        text
        chat {
          id
        }
      }
    }
    ... on ChatChanged {
      chat {
        id
        title
      }
    }
    ... on ChatReset {
      chatId
    }
    ... on ChatRemoved {
      chatId
    }
    ... on ReceiptChanged {
      receipt {
        lastReadSeq
        chat {
          id
        }
      }
    }
  }
}
"""

Data = dict[str, Any]

# Made once: it takes a tenth of a second.
_TLS = ssl.create_default_context()


class Refused(Exception):
    """What the server refused, by the stable `code` that programs look at."""

    def __init__(self, error: Data) -> None:
        super().__init__(error.get("message"))
        extensions = error.get("extensions") or {}
        self.code: str | None = extensions.get("code")
        self.field: str | None = extensions.get("field")
        self.retry_after: float | None = extensions.get("retryAfter")

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in ("UNAVAILABLE", "RATE_LIMITED", "SLOW_CONSUMER")


async def backoff(tries: int, problem: BaseException | None) -> None:
    """Waits before a try, the longer the more there were."""
    if isinstance(problem, Refused) and problem.retry_after is not None:
        await asyncio.sleep(problem.retry_after)
    else:
        # The random part keeps all clients from meeting a restarted server at once.
        await asyncio.sleep(random.random() * min(0.1 * 2**tries, 10))


class _Bearer(httpx.Auth):
    """Sends the access token, and once more with another one where it has expired."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self.session.token()
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        await response.aread()
        if "json" in response.headers.get("content-type", "") and any(
            Refused(error).code == "TOKEN_EXPIRED" for error in response.json().get("errors") or []
        ):
            self.session.expired(token)
            request.headers["authorization"] = f"Bearer {await self.session.token()}"
            yield request


async def _execute(session: AsyncClientSession, document: str, variables: Data) -> Data:
    try:
        return await session.execute(GraphQLRequest(document, variable_values=variables))
    except TransportQueryError as error:
        raise Refused((error.errors or [{}])[0]) from None


@asynccontextmanager
async def _connect(url: str, auth: httpx.Auth | None = None) -> AsyncIterator[AsyncClientSession]:
    transport = HTTPXAsyncTransport(f"{url}/graphql", auth=auth, timeout=10, verify=_TLS)
    async with Client(transport=transport) as session:
        yield session


class Session:
    """A signed-in user."""

    def __init__(self, url: str, signed_in: Data) -> None:
        self.url = url
        self.user_id: str = signed_in["user"]["id"]
        # For the next `sign_in` on this device; an application keeps it.
        self.device_token: str = signed_in["deviceToken"]
        self._tokens = signed_in
        self._is_expired = False
        self._refreshing = asyncio.Lock()

    @classmethod
    async def sign_in(
        cls,
        url: str,
        email: str,
        read_code: Callable[[], Awaitable[str]],
        device_token: str | None = None,
    ) -> Session:
        """`read_code` asks the user for the digits that were mailed."""
        async with _connect(url) as server:
            variables = {"email": email, "deviceToken": device_token}
            answer = await _execute(server, LOGIN, variables)
            challenge = answer["login"]["challenge"]
            code = await read_code()
            answer = await _execute(server, VERIFY_OTP, {"challenge": challenge, "code": code})
        return cls(url, answer["verifyOtp"])

    async def token(self) -> str:
        """An access token. The server tells when it has expired: clocks differ."""
        # A refresh token is good for one use, and a second use ends the session. So all who need
        # a new token wait for the same refresh.
        async with self._refreshing:
            if self._is_expired:
                variables = {"refreshToken": self._tokens["refreshToken"]}
                async with _connect(self.url) as server:
                    answer = await _execute(server, REFRESH_SESSION, variables)
                self._tokens = answer["refreshSession"]
                self._is_expired = False
        return str(self._tokens["accessToken"])

    def expired(self, token: str | None = None) -> None:
        """Call it when the server says that the token has expired."""
        if token in (None, self._tokens["accessToken"]):
            self._is_expired = True

    async def execute(self, document: str, variables: Data) -> Data:
        """One operation; a network that is away and a backend that is down are waited for."""
        for tries in range(1, 11):
            try:
                async with _connect(self.url, _Bearer(self)) as server:
                    return await _execute(server, document, variables)
            except (TransportError, httpx.TransportError, Refused) as error:
                if tries == 10 or (isinstance(error, Refused) and not error.may_pass):
                    raise
                await backoff(tries, error)
        raise AssertionError("unreachable")

    async def send(self, chat_id: str, text: str) -> Data:
        """Sends a message, once, however often that has to be tried."""
        # One id for the message, not for the try: a retry gets the first message, not a second.
        variables = {"chatId": chat_id, "text": text, "clientMessageId": str(uuid.uuid4())}
        answer = await self.execute(SEND_MESSAGE, variables)
        message: Data = answer["sendMessage"]["message"]
        return message


@dataclass
class Place:
    """The place behind the last event of a subscription."""

    after: Any = None
    _since: dict[str, str] = field(default_factory=dict)

    def advance(self, data: Data) -> None:
        (name, told), *_ = data.items()
        cursor = told.get("cursor")
        if name in ("messageAdded", "messageUpdated"):
            self.after = cursor
        elif name == "accountEvents" and told["__typename"] == "AccountCheckpoint":
            self._since.clear()
            self.after = {"checkpoint": cursor, "since": []}
        elif name == "accountEvents" and self.after:
            concerned = told.get("message") or told.get("receipt") or told
            chat_id = told.get("chatId") or concerned.get("chat", {}).get("id")
            # A kind that is not known comes again, as does the viewer's own profile.
            if chat_id:
                self._since[chat_id] = cursor
                self.after = {**self.after, "since": list(self._since.values())}


async def follow(
    session: Session,
    document: str,
    variables: Data,
    online: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Data]:
    """The events of a subscription, across any number of connections.

    Ends with `Refused` where the server refuses for good; at `RESYNC_REQUIRED` load anew, then follow
    without `after`. An event counts as applied when the next one is asked for.
    """
    place = Place(variables.get("after"))
    tries = 0
    while True:
        problem: BaseException | None = None
        token = ""
        try:
            if online:
                await online()
            token = await session.token()
            transport = WebsocketsTransport(
                f"{session.url.replace('http', 'ws', 1)}/graphql",
                init_payload={"authorization": f"Bearer {token}"},
                subprotocols=["graphql-transport-ws"],
                # A connection can die without a sign: ask, and give up on one that does not answer.
                ping_interval=10,
                pong_timeout=5,
            )
            async with Client(transport=transport) as socket:
                now = {**variables, "after": place.after}
                request = GraphQLRequest(document, variable_values=now)
                async for data in socket.subscribe(request):
                    tries = 0
                    yield data
                    place.advance(data)
            return
        except TransportQueryError as error:
            problem = Refused((error.errors or [{}])[0])
        except Refused as error:
            problem = error
        except (TransportError, httpx.TransportError, ConnectionClosed, OSError) as error:
            # The token has expired: the next connection brings another.
            if _close_code(error) == 4403:
                session.expired(token)
            problem = error
        if isinstance(problem, Refused) and not problem.may_pass:
            raise problem
        tries += 1
        await backoff(tries, problem)


def _close_code(error: BaseException | None) -> int | None:
    while error:
        if isinstance(error, ConnectionClosed):
            return error.rcvd.code if error.rcvd else None
        error = error.__cause__ or error.__context__
    return None
