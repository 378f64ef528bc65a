"""An SMTP server that keeps every mail as a file: mail_server.py FOLDER PORT [options].

Each mail becomes FOLDER/NUMBER.eml, with the envelope in its first lines (X-Envelope-From,
X-Envelope-To) and how it came (X-Lab-Tls, X-Lab-User).

  --tls smtps|starttls  --cert FILE --key FILE
  --user NAME --password WORD     mail is taken only from who gives them
  --refuse CODE                   every recipient is refused with this code
"""

import argparse
import os
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("port", type=int)
parser.add_argument("--tls", choices=["smtps", "starttls"])
parser.add_argument("--cert")
parser.add_argument("--key")
parser.add_argument("--user")
parser.add_argument("--password")
parser.add_argument("--refuse")
options = parser.parse_args()


class Keeper:
    number = 0

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if options.refuse:
            return f"{options.refuse} not wanted here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        Keeper.number += 1
        tls = session.ssl is not None or options.tls == "smtps"
        user = session.auth_data.login.decode() if session.authenticated else ""
        head = f"X-Envelope-From: {envelope.mail_from}\r\n"
        head += "".join(f"X-Envelope-To: {to}\r\n" for to in envelope.rcpt_tos)
        head += f"X-Lab-Tls: {'yes' if tls else 'no'}\r\nX-Lab-User: {user}\r\n"
        name = os.path.join(options.folder, f"{Keeper.number}.eml")
        with open(name + ".part", "wb") as file:
            file.write(head.encode() + envelope.original_content)
        os.rename(name + ".part", name)
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword)
    known = known and data.login == options.user.encode() and data.password == options.password.encode()
    return AuthResult(success=known, handled=False, auth_data=data if known else None)


context = None
if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)

arguments = {"hostname": "mail.lab.test", "decode_data": False}
if options.user:
    arguments |= {"authenticator": authenticate, "auth_required": True}
    # Behind smtps the whole connection is safe, which this library does not see as STARTTLS.
    arguments |= {"auth_require_tls": options.tls == "starttls"}
if options.tls == "starttls":
    arguments |= {"tls_context": context, "require_starttls": True}


class Door(Controller):
    def factory(self):
        return SMTP(self.handler, **arguments)


Door(
    Keeper(),
    hostname="127.0.0.1",
    port=options.port,
    ssl_context=context if options.tls == "smtps" else None,
    ready_timeout=30,
).start()
print("ready", flush=True)
while True:
    time.sleep(3600)
