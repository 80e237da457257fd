"""How schemathesis gets in: as a person, or as a service that signs its own tokens."""

import base64
import hashlib
import json
import os
import pathlib
import time
import uuid

import jwt
import requests
import schemathesis

PERSON = {"email": os.environ["EMAIL"], "password": os.environ["PASSWORD"]}
LOGIN = f"{os.environ['IDENTITY_URL']}/api/auth/login"
SERVICE, AUDIENCE = os.environ["SERVICE"], os.environ["AUDIENCE"]
SECRETS = pathlib.Path(os.environ["SECRETS"])
KEY = (SECRETS / f"{SERVICE}_service_key.pem").read_text()
[KID] = [
    key["kid"]
    for key in json.loads((SECRETS / "vault_service_jwks.json").read_text())["keys"]
    if key["service"] == SERVICE
]

# A file of lines goes out as the bytes that it is.
schemathesis.serializer.alias("application/x-ndjson", "application/octet-stream")

# Stands where a token for the one request will be.
UNBOUND = "unbound"


def access_token():
    """A new one each time: what is tried here ends sessions, and now and then in the middle of a login."""
    for _ in range(5):
        answer = requests.post(LOGIN, json=PERSON, timeout=10)
        if answer.ok:
            return answer.json()["access_token"]
    answer.raise_for_status()


def service_token(**bound):
    now = int(time.time())
    claims = {"iss": SERVICE, "sub": SERVICE, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    claims = {**claims, **bound, "jti": str(uuid.uuid4())}
    return jwt.encode(claims, KEY, "EdDSA", {"typ": "svc+jwt", "kid": KID})


def takes(case, scheme):
    return any(scheme in one for one in case.operation.definition.raw.get("security", []))


class Bound(requests.auth.AuthBase):
    """A token for this one request, which is whole only here."""

    def __call__(self, request):
        path = request.path_url.split("?")[0]
        body = request.body or b""
        digest = hashlib.sha256(body.encode() if isinstance(body, str) else body).digest()
        bh = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        token = service_token(op=f"{request.method} {path}", bh=bh)
        request.headers["Authorization"] = f"Bearer {token}"
        return request


@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        if takes(case, "bound_service_token"):
            return UNBOUND
        return service_token() if takes(case, "service_token") else access_token()

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """What could not be right before: a token for the request itself; and a login that is meant to succeed is that of
    somebody who exists."""
    if (case.headers or {}).get("Authorization") == f"Bearer {UNBOUND}":
        kwargs["auth"] = Bound()
    meant = case.meta is not None and case.meta.generation.mode.is_positive
    if case.operation.path.endswith("/login") and meant and isinstance(case.body, dict):
        case.body = {**case.body, **PERSON, "session": "token"}


LINKS = {
    ("/api/auth/login", "post", "refresh"): {
        "requestBody": {"refresh_token": "$response.body#/refresh_token"}
    },
    ("/api/auth/sessions", "get", "end_session"): {
        "parameters": {"id": "$response.body#/sessions/0/id"}
    },
}


def operations(schema):
    return [operation for path in schema["paths"].values() for operation in path.values()]


@schemathesis.hook
def before_load_schema(context, schema):
    """Only statuses that are named count; and what follows from what, where names alone do not tell."""
    for operation in operations(schema):
        operation["responses"].pop("default", None)
    for (path, method, target), link in LINKS.items():
        operation = schema["paths"].get(path, {}).get(method)
        if operation is not None:
            links = operation["responses"]["200"].setdefault("links", {})
            links[target] = {"operationId": target, **link}
