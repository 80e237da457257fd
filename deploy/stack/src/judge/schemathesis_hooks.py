"""How schemathesis gets in: as a person, or as a service that signs its own tokens."""

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
    for key in json.loads((SECRETS / "service_jwks.json").read_text())["keys"]
    if key["service"] == SERVICE
]


def access_token():
    """A new one each time: what is tried here ends sessions, and now and then in the middle of a login."""
    for _ in range(5):
        answer = requests.post(LOGIN, json=PERSON, timeout=10)
        if answer.ok:
            return answer.json()["access_token"]
    answer.raise_for_status()


def service_token():
    now = int(time.time())
    claims = {"iss": SERVICE, "sub": SERVICE, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    claims["jti"] = str(uuid.uuid4())
    return jwt.encode(claims, KEY, "EdDSA", {"typ": "svc+jwt", "kid": KID})


@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        schemes = case.operation.definition.raw.get("security", [])
        by_service = any("service_token" in scheme for scheme in schemes)
        return service_token() if by_service else access_token()

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """A login that is meant to succeed is that of somebody who exists."""
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
