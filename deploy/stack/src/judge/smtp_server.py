"""A mail server that is not ours (aiosmtpd): takes mail after STARTTLS and AUTH only, and puts it into a folder."""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

PORT, CERTIFICATE, KEY, FOLDER, USER, PASSWORD = sys.argv[1:]


class Folder:
    """Keeps every mail as a file of its own."""

    taken = 0

    async def handle_DATA(self, server, session, envelope):
        Folder.taken += 1
        unfinished = pathlib.Path(FOLDER) / f"{Folder.taken}.part"
        unfinished.write_bytes(envelope.original_content)
        unfinished.rename(unfinished.with_suffix(".eml"))
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    expected = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == expected)


async def main():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE, KEY)
    serving = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            Folder(),
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        ),
        "127.0.0.1",
        int(PORT),
    )
    await serving.serve_forever()


asyncio.run(main())
