"""A mail server for the tests, made of aiosmtpd: python3 server.py PORT FOLDER.

`smtp.json` in the folder says how it is: `security` is "plain" (no TLS at all), "starttls" (TLS
required before anything else) or "tls" (from the first byte); with `user` and `password` it wants
those. Its certificate and key lie beside it as `certificate.pem` and `key.pem`.

What it does with a recipient stands in the name before the `@`: `busy-3` is refused with a 451
three times and then accepted, `gone` is refused with a 550, everybody else is accepted.

Each event becomes a line of JSON in `journal.jsonl`, which outlives the process: a greeting, a
sender, a refusal, a mail. Mails are taken apart by Python's own parser. The process ends with its
standard input, and takes the folder with it.
"""

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
import threading
from collections import Counter
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]


def inside(name):
    return os.path.join(FOLDER, name)


def end_with_input():
    sys.stdin.buffer.read()
    shutil.rmtree(FOLDER, ignore_errors=True)
    os._exit(0)


def note(event, **fields):
    # One write: whoever reads along sees whole lines.
    line = json.dumps({"event": event, **fields}) + "\n"
    journal = os.open(inside("journal.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


class Server(SMTP):
    """Notes what is said, and over what."""

    connections = 0
    number = None

    def where(self):
        if self.number is None:
            Server.connections += 1
            # Unlike any that the process before this one had.
            self.number = f"{os.getpid()}-{Server.connections}"
        encrypted = self.transport.get_extra_info("ssl_object") is not None
        return {"connection": self.number, "tls": encrypted}

    async def smtp_EHLO(self, hostname):
        note("greeting", **self.where())
        await super().smtp_EHLO(hostname)

    async def smtp_AUTH(self, arg):
        note("password", **self.where())
        await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg):
        note("sender", **self.where())
        await super().smtp_MAIL(arg)


class Handler:
    """Accepts and refuses."""

    def __init__(self):
        self.refusals = Counter()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.partition("@")[0]
        refusal = None
        if name == "gone":
            refusal = "550 5.1.1 nobody of this name"
        elif name.startswith("busy-") and self.refusals[address] < int(name[5:]):
            refusal = "451 4.3.2 come back later"
        if refusal:
            self.refusals[address] += 1
            note("refusal", to=address, code=int(refusal[:3]), **server.where())
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        texts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
        note(
            "mail",
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            headers=[[name, str(value)] for name, value in mail.items()],
            parts=[[part.get_content_type(), part.get_content()] for part in texts],
            user=session.auth_data,
            **server.where(),
        )
        return "250 2.0.0 taken"


async def main():
    with open(inside("smtp.json"), encoding="utf-8") as file:
        settings = json.load(file)
    security, user = settings["security"], settings.get("user")

    def authenticate(_server, _session, _envelope, _mechanism, given):
        expected = (user.encode(), settings["password"].encode())
        right = (given.login, given.password) == expected
        return AuthResult(success=right, handled=False, auth_data=user)

    context = None
    if security != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(inside("certificate.pem"), inside("key.pem"))
    handler = Handler()

    def connection():
        return Server(
            handler,
            hostname="localhost",
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            authenticator=authenticate,
            auth_required=user is not None,
            # It knows of STARTTLS alone.
            auth_require_tls=security == "starttls",
        )

    outer = context if security == "tls" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", PORT, ssl=outer)
    await server.serve_forever()


# Whoever stands still when nobody is left is sent one, and has a folder to take away yet.
signal.signal(signal.SIGHUP, signal.SIG_IGN)
threading.Thread(target=end_with_input, daemon=True).start()
asyncio.run(main())
