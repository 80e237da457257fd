"""Somebody's days with Keystead, told with nothing but the clients that openapi-python-client made of the documents.

Every answer is of the type that the client says; what it holds is asked of its fields."""

import email
import email.policy
import importlib
import io
import json
import pathlib
import pkgutil
import re
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import date
from types import ModuleType
from typing import Any, Protocol, TypeVar

import httpx

import identity_client
import journal_client
from identity_client import models as identity_models
from identity_client.api.accounts import get_me, signup, verify_email
from identity_client.api.sessions import (
    list_key_records,
    list_security_events,
    list_sessions,
    login,
    logout,
    refresh,
)
from journal_client import models
from journal_client.api.changes import list_changes
from journal_client.api.entries import (
    create_entry,
    get_entry,
    list_entries,
    list_entry_revisions,
    replace_entry,
)
from journal_client.api.feels import get_evening, get_morning, list_feels, put_evening, put_morning
from journal_client.api.files import export_journal, import_journal
from journal_client.api.pillars import create_pillar, list_pillars, reorder_pillars
from journal_client.api.weekly import get_week, put_week_note
from journal_client.types import File

IDENTITY, JOURNAL, MAILS, DOCUMENTS = sys.argv[1:]
TUESDAY, WEDNESDAY, WEEK = date(2026, 11, 24), date(2026, 11, 25), "2026-W48"
PASSWORD = f"plough candle orbit {uuid.uuid4()}"
ADDRESS = f"generated.{uuid.uuid4().hex}@example.test"
# Seconds; longer than the way of a mail from the outbox to its file.
MAIL_LIMIT = 30

Kind = TypeVar("Kind")
calls = 0


class Answer(Protocol):
    """What both clients answer in detail."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def parsed(self) -> object: ...


def is_a(kind: type[Kind], value: object) -> Kind:
    assert isinstance(value, kind), f"{value!r} is no {kind.__name__}"
    return value


def answered(answer: Answer, status: int, kind: type[Kind]) -> Kind:
    assert answer.status_code == status, f"{answer.status_code}: {answer.parsed!r}"
    return is_a(kind, answer.parsed)


def count(_: httpx.Request) -> None:
    global calls
    calls += 1


def transport() -> dict[str, Any]:
    """What the clients hand on to httpx; no proxy of the environment is between us and the stack."""
    return {"trust_env": False, "event_hooks": {"request": [count]}}


def stranger() -> identity_client.Client:
    return identity_client.Client(base_url=IDENTITY, httpx_args=transport())


def member(token: str) -> identity_client.AuthenticatedClient:
    return identity_client.AuthenticatedClient(base_url=IDENTITY, token=token, httpx_args=transport())


def writer(token: str) -> journal_client.AuthenticatedClient:
    return journal_client.AuthenticatedClient(base_url=JOURNAL, token=token, httpx_args=transport())


def operations(package: ModuleType, document: str) -> int:
    """Imports every module; how many operations there are, which are those of the document."""
    found = set()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if hasattr(importlib.import_module(module.name), "sync_detailed"):
            found.add(module.name.rsplit(".", 1)[1])
    paths = json.loads((pathlib.Path(DOCUMENTS) / document).read_text())["paths"]
    named = {one["operationId"] for path in paths.values() for one in path.values()}
    assert found == named, f"made or documented only: {found ^ named}"
    return len(found)


def mailed_token() -> str:
    until = time.monotonic() + MAIL_LIMIT
    while time.monotonic() < until:
        for file in pathlib.Path(MAILS).glob("*.eml"):
            mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            text = mail.get_body(("plain",))
            token = re.search(r"token=([\w.~%-]+)", text.get_content() if text else "")
            if ADDRESS in mail["to"] and token:
                return token[1]
        time.sleep(0.1)
    raise AssertionError("no mail with a token")


def gets_an_account() -> None:
    body = identity_models.Signup(email=ADDRESS, password=PASSWORD)
    sent = answered(signup.sync_detailed(client=stranger(), body=body), 202, identity_models.MailSent)
    assert sent.status is identity_models.MailStatus.VERIFICATION_SENT
    confirmation = identity_models.Confirmation(token=mailed_token())
    answer = verify_email.sync_detailed(client=stranger(), body=confirmation)
    verified = answered(answer, 200, identity_models.Verified)
    assert verified.status is identity_models.AccountStatus.VERIFIED


def logs_in() -> tuple[str, str]:
    """The access token and the refresh token."""
    wrong = identity_models.Login(email=ADDRESS, password="not this one")
    refused = login.sync_detailed(client=stranger(), body=wrong)
    assert answered(refused, 401, identity_models.Problem).code == "invalid_credentials"
    right = identity_models.Login(email=ADDRESS, password=PASSWORD)
    answer = login.sync_detailed(client=stranger(), body=right)
    session = answered(answer, 200, identity_models.LoginAnswerNewSession)
    assert session.status == "authenticated" and session.expires_in > 0
    assert session.token_type is identity_models.TokenType.BEARER
    token = is_a(str, session.access_token)
    me = answered(get_me.sync_detailed(client=member(token)), 200, identity_models.Me)
    assert me.email == ADDRESS and me.email_verified and not me.mfa_enabled
    return token, is_a(str, session.refresh_token)


def makes_pillars(journal: journal_client.AuthenticatedClient) -> list[uuid.UUID]:
    made: list[uuid.UUID] = []
    for name in ["Health", "Craft"]:
        draft = models.PillarDraft(name=name, target=8.0, unit="hours")
        pillar = answered(create_pillar.sync_detailed(client=journal, body=draft), 201, models.Pillar)
        assert (pillar.name, pillar.target, pillar.position) == (name, 8.0, len(made))
        made.append(pillar.id)
    order = models.PillarOrder(ids=made[::-1])
    answer = reorder_pillars.sync_detailed(client=journal, body=order)
    reordered = answered(answer, 200, models.PillarList)
    assert [pillar.id for pillar in reordered.pillars] == made[::-1]
    listed = answered(list_pillars.sync_detailed(client=journal), 200, models.PillarList)
    assert [pillar.name for pillar in listed.pillars] == ["Craft", "Health"]
    return made


def writes(journal: journal_client.AuthenticatedClient, pillar: uuid.UUID) -> models.Entry:
    """Two entries; the one of Tuesday."""
    draft = models.EntryDraft(
        date=TUESDAY,
        title="A quiet day",
        body="Walked along the river.",
        mood=7,
        tags=["outside"],
        pillar_ids=[pillar],
    )
    written = create_entry.sync_detailed(client=journal, body=draft)
    quiet = answered(written, 201, models.Entry)
    assert (quiet.date, quiet.mood, quiet.pillar_ids) == (TUESDAY, 7, [pillar])
    assert written.headers["etag"] == f'"{quiet.revision}"'
    draft = models.EntryDraft(date=WEDNESDAY, title="Rain", body="Stayed in.", completed=True)
    rain = answered(create_entry.sync_detailed(client=journal, body=draft), 201, models.Entry)
    assert rain.completed and not rain.mood and rain.tags == []
    read = get_entry.sync_detailed(quiet.id, client=journal)
    assert answered(read, 200, models.Entry) == quiet

    first = answered(list_entries.sync_detailed(client=journal, limit=1), 200, models.EntryPage)
    assert first.entries == [rain] and first.unreadable == []
    rest = list_entries.sync_detailed(client=journal, after=is_a(str, first.next_))
    assert answered(rest, 200, models.EntryPage).entries == [quiet]
    return quiet


def edits(journal: journal_client.AuthenticatedClient, entry: models.Entry) -> None:
    """Once in time, and once too late: the refusal shows what is there."""
    tag = f'"{entry.revision}"'
    draft = models.EntryDraft(date=entry.date, title=entry.title, body="Swam in the river.")
    answer: Answer = replace_entry.sync_detailed(
        entry.id, client=journal, body=draft, if_match=tag
    )
    edited = answered(answer, 200, models.Entry)
    assert edited.revision == entry.revision + 1 and edited.created_at == entry.created_at

    draft.body = "Looked at the river."
    answer = replace_entry.sync_detailed(entry.id, client=journal, body=draft, if_match=tag)
    conflict = answered(answer, 412, models.ReplaceEntryResponse412)
    assert conflict.status == 412 and conflict.code == "revision_conflict"
    assert is_a(models.Entry, conflict.current) == edited

    answer = list_entry_revisions.sync_detailed(entry.id, client=journal)
    kept = answered(answer, 200, models.RevisionPage).revisions
    assert entry.body in [revision.body for revision in kept]
    missing = get_entry.sync_detailed(uuid.uuid4(), client=journal)
    assert answered(missing, 404, models.Problem).status == 404


def searches(journal: journal_client.AuthenticatedClient) -> None:
    page = answered(list_entries.sync_detailed(client=journal, q="swam"), 200, models.EntryPage)
    [entry] = page.entries
    pieces = is_a(models.Found, entry.found).body
    assert [piece.text for piece in pieces if piece.hit] == ["Swam"]
    assert "".join(piece.text for piece in pieces) == entry.body


def feels(journal: journal_client.AuthenticatedClient) -> None:
    dawn = models.MorningDraft(mental_state=6, strongest_emotion="calm")
    answer: Answer = put_morning.sync_detailed(TUESDAY, client=journal, body=dawn)
    morning = answered(answer, 200, models.Morning)
    assert (morning.date, morning.mental_state, morning.revision) == (TUESDAY, 6, 1)
    answer = get_morning.sync_detailed(TUESDAY, client=journal)
    assert answered(answer, 200, models.Morning) == morning

    dusk = models.EveningDraft(energy_gave="the walk", note="Early to bed.")
    answer = put_evening.sync_detailed(TUESDAY, client=journal, body=dusk)
    evening = answered(answer, 200, models.Evening)
    assert (evening.energy_gave, evening.note) == ("the walk", "Early to bed.")
    answer = get_evening.sync_detailed(TUESDAY, client=journal)
    assert answered(answer, 200, models.Evening) == evening
    [day] = answered(list_feels.sync_detailed(client=journal), 200, models.FeelPage).days
    assert (day.date, day.morning, day.evening) == (TUESDAY, morning, evening)


def looks_back(journal: journal_client.AuthenticatedClient) -> None:
    body = models.WeekNoteDraft(note="Less screen, more river.")
    note = answered(put_week_note.sync_detailed(WEEK, client=journal, body=body), 200, models.WeekNote)
    week = answered(get_week.sync_detailed(WEEK, client=journal), 200, models.WeeklyRecap)
    assert (week.iso_week, week.from_, week.to) == (WEEK, date(2026, 11, 23), date(2026, 11, 29))
    assert (week.entries, week.completed, week.written_days) == (2, 1, 2)
    assert week.note == note and week.mental_states.average == 6.0
    assert [day.date for day in week.days if day.morning and day.evening] == [TUESDAY]

    page = answered(list_changes.sync_detailed(client=journal), 200, models.ChangePage)
    assert {change.state for change in page.changes} == {models.RecordState.WRITTEN}
    assert {change.kind for change in page.changes} == set(models.RecordKind) - {models.RecordKind.SCORE}
    titles = [change.entry.title for change in page.changes if change.entry]
    assert sorted(titles) == ["A quiet day", "Rain"]
    news = list_changes.sync_detailed(client=journal, since=is_a(str, page.next_))
    assert answered(news, 200, models.ChangePage).changes == []


def takes_everything_along(journal: journal_client.AuthenticatedClient) -> None:
    """Two entries, two pillars, a morning, an evening and a week's note are all there already."""
    answer: Answer = export_journal.sync_detailed(client=journal, format_=models.ExportFormat.NDJSON)
    exported = answered(answer, 200, File).payload.read()
    assert all(json.loads(line) for line in exported.splitlines())
    again = File(payload=io.BytesIO(exported))
    answer = import_journal.sync_detailed(client=journal, body=again, dry_run=True)
    report = answered(answer, 200, models.ImportReport)
    assert (report.dry_run, report.created, report.unchanged) == (True, 0, 7)


def goes(refresh_token: str) -> None:
    body = identity_models.Refresh(refresh_token=refresh_token)
    answer = refresh.sync_detailed(client=stranger(), body=body)
    session = answered(answer, 200, identity_models.Session)
    assert session.status is identity_models.LoginStatus.AUTHENTICATED
    person = member(is_a(str, session.access_token))

    security = list_security_events.sync_detailed(client=person)
    events = answered(security, 200, identity_models.SecurityEvents).events
    assert identity_models.Kind.LOGGED_IN in {event.kind for event in events}
    keys = answered(list_key_records.sync_detailed(client=person), 200, identity_models.KeyRecords)
    assert "journal" in {record.service for record in keys.records}
    mine = answered(list_sessions.sync_detailed(client=person), 200, identity_models.MySessions)
    assert [one.current for one in mine.sessions] == [True]

    answered(logout.sync_detailed(client=person), 204, type(None))
    body = identity_models.Refresh(refresh_token=is_a(str, session.refresh_token))
    over = refresh.sync_detailed(client=stranger(), body=body)
    assert answered(over, 401, identity_models.Problem).status == 401


def main() -> None:
    made = operations(identity_client, "identity.json") + operations(journal_client, "journal.json")
    gets_an_account()
    access_token, refresh_token = logs_in()
    journal = writer(access_token)
    [health, _] = makes_pillars(journal)
    entry = writes(journal, health)
    edits(journal, entry)
    searches(journal)
    feels(journal)
    looks_back(journal)
    takes_everything_along(journal)
    goes(refresh_token)
    print(f"{made} operations, story of {calls} calls")


main()
