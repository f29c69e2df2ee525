"""A mail server on loopback for tests/mail.rs: STARTTLS, TLS and plain, each with log-in.

usage: smtp_server.py FOLDER

Makes a certificate authority and a certificate for "localhost" in FOLDER, prints "ready STARTTLS TLS PLAIN" with the
three ports, and serves until its standard input is closed. A mail is kept in FOLDER under the notice's key, the left
side of its message id without the instant at its end. The recipient decides what happens: rcpt550@, rcpt451@, data550@, data451@, data530@.
"""

import asyncio
import base64
import logging
import re
import ssl
import subprocess
import sys
import warnings
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

NAME, PASSWORD, TOKEN = b"stock", b"correct horse", b"ya29.good"


def certificates(folder):
    """Returns a server context; FOLDER/ca.pem is the authority behind it."""

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


class Handler:
    """Keeps mails, and refuses what the recipient's name asks it to refuse."""

    def __init__(self, folder):
        self.folder = folder

    async def auth_XOAUTH2(self, server, args):
        said = base64.b64decode(args[1])
        good = said == b"user=" + NAME + b"\1auth=Bearer " + TOKEN + b"\1\1"
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        asked = re.match(r"rcpt(\d{3})@", address)
        if asked:
            return f"{asked[1]} mailbox {address} refused"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            asked = re.match(r"data(\d{3})@", address)
            if asked:
                return f"{asked[1]} content refused"
        message_id = message_from_bytes(envelope.content)["Message-ID"]
        key = re.fullmatch(r"<([A-Za-z0-9._-]+)\.\d+@.*>", message_id)[1]
        (self.folder / f"{key}.eml").write_bytes(envelope.content)
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    # handled=False makes aiosmtpd answer a bad password; without it there is no answer at all.
    return AuthResult(success=(data.login, data.password) == (NAME, PASSWORD), handled=False)


async def main(folder):
    context = certificates(folder)
    handler = Handler(folder)
    loop = asyncio.get_running_loop()

    async def listen(tls=None, **options):
        def session():
            return SMTP(handler, hostname="localhost", authenticator=authenticate, auth_required=True, **options)

        server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
        return server, server.sockets[0].getsockname()[1]

    servers = [
        await listen(tls_context=context, require_starttls=True),
        await listen(tls=context, auth_require_tls=False),
        await listen(auth_require_tls=False),
    ]
    print("ready", *(port for _, port in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


# Broken handshakes and log-in without TLS are what the tests are about, not news.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
asyncio.run(main(Path(sys.argv[1])))
