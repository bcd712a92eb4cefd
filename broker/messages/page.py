"""The documentation pages of the messages, made of the classes: requests, events, errors.

``python -m broker.messages.page``, in the project's folder, writes them anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from broker.errors import Code

from . import EVENTS, FAMILIES, NOTIFICATIONS, REPLIES, REQUESTS
from .connection import RequestPing, RequestRegisterClient
from .kinds import ANYONE, Message, Record, ReportingEvent, Request, Route
from .refusals import GENERAL, OF_ROUTE, refusals
from .wording import default_of, in_words, kind_of, link, params, plain, story

UNREGISTERED = (RequestPing, RequestRegisterClient)
"""Served before registration."""

_MADE = "<!-- Made by `python -m broker.messages.page`; a test checks that it is up to date. -->"


# ---- tables


def _fields(fields: Iterable[FieldInfo], said: Mapping[str, str], *, asked: bool = False) -> Iterator[str]:
    """A table of fields. :param said: their meanings; :param asked: of a request: what must be given comes first"""
    ordered = sorted(fields, key=lambda field: not field.required) if asked else list(fields)
    if not ordered:
        return
    third, needed = ("default", "**must be given**") if asked else ("if left out", "always there")
    yield f"| field | value | {third} | meaning |\n|---|---|---|---|"
    for field in ordered:
        default = default_of(field)
        meaning = kind_of(field.type).description or said.get(field.name, "")
        shown = needed if default is None else default
        yield f"| `{field.encode_name}` | {in_words(field.type)} | {shown} | {meaning} |"
    yield ""


def _own_fields(cls: type[Struct], without: type[Struct]) -> list[FieldInfo]:
    inherited = set(without.__struct_fields__)
    return [field for field in msgspec.structs.fields(cls) if field.name not in inherited]


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "-"


def _tag(cls: type[Message]) -> str:
    return str(cls.__struct_config__.tag)


def _page(*parts: str) -> str:
    return "\n".join(parts).rstrip() + "\n"


# ---- requests


_REQUESTS = """\
# Requests

{made}

Every request of this release, by family. How requests travel is in [protocol.md](protocol.md); replies, notifications
and events are in [events.md](events.md), the error codes in [errors.md](errors.md). The examples can be sent as they
are, with `ixn request` or from [a bare socket](../README.md#from-bare-pyzmq); ids and tickets have to be real ones.

- `message` names the request. Unknown fields are ignored.
- Nothing but {unregistered} is served before registration.
- *once: yes* means: the positive reply is kept, and a repetition under the same `dedup_id` gets the same bytes while
  nothing is done a second time, also after a failover. A refusal is not kept.
- Where a field that a proxy routes by is absent or wrong, the proxy answers 2003 if it is the interaction, 2001 if it
  is the tenant or the media type, and names the `field` (cluster guide, "Implementation Limitations"). Asked directly,
  a node answers 2 or 3.

Every request may carry:

{common}
Any request may be refused with:

| code | when |
|---|---|
{general}
"""


def requests_page() -> str:
    """The page of requests, in Markdown."""
    introduction = _REQUESTS.format(
        made=_MADE,
        unregistered=" and ".join(f"`{_tag(cls)}`" for cls in UNREGISTERED),
        common="\n".join(_fields(msgspec.structs.fields(Request), {}, asked=True)),
        general="\n".join(f"| {_code(code)} | {when} |" for code, when in GENERAL.items()),
    )
    return _page(introduction, *(part for family in FAMILIES for part in _family(family)))


_SOURCE = re.compile(r" \((?:protocol|domain) [^)]*\)")
"""Where a docstring names the source of a rule, which says nothing to readers of the page."""


def _family(family: ModuleType) -> Iterator[str]:
    classes = [cls for cls in REQUESTS.values() if cls.__module__ == family.__name__]
    if classes:
        heading, _, more = plain(_SOURCE.sub("", family.__doc__ or "")).partition(". ")
        yield f"## {heading.rstrip('.')}\n" + (f"\n{more}\n" if more else "")
        for cls in classes:
            yield from _request(cls)


def _request(cls: type[Request]) -> Iterator[str]:
    yield f"### {_tag(cls)}\n\n{story(cls)}\n\n| | |\n|---|---|"
    for title, text in _record(cls):
        yield f"| {title} | {text} |"
    yield ""
    yield from _fields(_own_fields(cls, Request), params(cls), asked=True)
    example = json.dumps({"message": _tag(cls), **cls.example}, ensure_ascii=False)
    yield f"```json\n{example}\n```\n"


def _record(cls: type[Request]) -> Iterator[tuple[str, str]]:
    """What the class says of itself."""
    yield "sent by", "any client" if cls.senders == ANYONE else _listed(sorted(f"`{one}`" for one in cls.senders))
    yield "reply", link(cls.reply)
    yield "causes", _listed(map(link, cls.causes))
    yield "through a proxy", cls.route.value
    if cls.route is not Route.HERE:
        yield "reply of a proxy", cls.merge.value
    yield "once", "yes" if cls.once else "no"
    yield "refused with", _listed(map(_code, refusals(cls)))


def _code(code: Code) -> str:
    return f"[{int(code)}](errors.md) {code.text}"


def _to_request(cls: type[Request]) -> str:
    return f"[{_tag(cls)}](requests.md#{_tag(cls).lower()})"


# ---- events, notifications, replies


_EVENTS = """\
# Events, notifications, replies

{made}

A field that has its default is left out on the wire; the tables say what that is. Where they say nothing, the field
is just not there.

## Reporting events

Published on the event sockets as `[topic, cursor, payload]`, kept in the node's journal and replayed from there. How
the stream works is in [protocol.md](protocol.md#6-the-event-stream). The topic is `<tenant>/<class>/<message>`, with
tenant 0 for the cluster's own events. Classes in this release: {classes}.

All of them have these fields; the parts are described under [Parts](#parts).

{common}"""

_NOTIFICATIONS = """\
## Notifications

Told to a registered client unasked, with an empty `ref`. Some have the name of a reporting event: they are about the
same thing, and have other fields.
"""


def events_page() -> str:
    """The page of everything a server says, in Markdown."""
    topics = list(dict.fromkeys(cls.topic for cls in EVENTS.values()))
    introduction = _EVENTS.format(
        made=_MADE,
        classes=", ".join(f"`{topic}`" for topic in topics),
        common="\n".join(_fields(msgspec.structs.fields(ReportingEvent), params(ReportingEvent))),
    )
    notes = (part for cls in NOTIFICATIONS.values() for part in _said(cls, "Caused by", _causing(_tag(cls))))
    replies = (part for cls in REPLIES.values() for part in _said(cls, "Answers", _answered_with(_tag(cls))))
    parts = (part for cls in _parts() for part in _said(cls))
    events = (part for topic in topics for part in _topic(topic))
    return _page(introduction, *events, _NOTIFICATIONS, *notes, "## Replies\n", *replies, "## Parts\n", *parts)


def _topic(topic: str) -> Iterator[str]:
    yield f"### Class `{topic}`\n"
    for cls in EVENTS.values():
        if cls.topic == topic:
            yield f"#### {_tag(cls)}\n\n{story(cls)}\n\nCaused by: {_causing(_tag(cls)) or 'the server itself'}.\n"


def _causing(name: str) -> str:
    """The requests that may cause an event or a notification."""
    return ", ".join(_to_request(cls) for cls in REQUESTS.values() if name in cls.causes)


def _answered_with(reply: str) -> str:
    if reply == "EventError":
        return "any request that is refused"
    return ", ".join(_to_request(cls) for cls in REQUESTS.values() if cls.reply == reply)


def _said(cls: type[Struct], relation: str = "", others: str = "") -> Iterator[str]:
    """A notification, reply or part: its name, story and fields; of a part with a parent part only its own ones."""
    name = _tag(cls) if issubclass(cls, Message) else cls.__name__
    yield f"### {name} (notification)\n" if name in EVENTS else f"### {name}\n"
    yield story(cls) + "\n" + (f"\n{relation}: {others}.\n" if others else "")
    parent: type[Struct] = Record if cls.__base__ is None or issubclass(cls, Message) else cls.__base__
    yield from _fields(_own_fields(cls, parent), params(cls))


def _parts() -> list[type[Record]]:
    """The structs that fields of messages are of, in the order in which they are met."""
    found: dict[type[Record], None] = {}
    for cls in (*EVENTS.values(), *NOTIFICATIONS.values(), *REPLIES.values(), *REQUESTS.values()):
        _collect(cls, found)
    return list(found)


def _collect(cls: type[Struct], found: dict[type[Record], None]) -> None:
    for field in msgspec.structs.fields(cls):
        for part in _structs_in(field.type):
            if part not in found:
                found[part] = None
                _collect(part, found)


def _structs_in(annotation: Any) -> Iterator[type[Record]]:
    core = kind_of(annotation).core
    if isinstance(core, type) and issubclass(core, Record):
        yield core
    for part in get_args(core):
        yield from _structs_in(part)


# ---- errors


_ERRORS = """\
# Error codes

{made}

A request that is refused is answered with [EventError](events.md#eventerror): `code`, `text` (the one of the table),
`request`, `server` (the node or proxy that refuses), and where they help `detail`, `field`, `missing` (the nodes that
did not answer) and `retry_after` (seconds).

43 and 2000 to 2006 have the numbers of the Genesys products; the rest of their table is not published, so all other
codes are this cluster's own. A code that nothing is refused with in this release keeps its number for what is to come.

| code | text | what to know | what is refused with it |
|---|---|---|---|
{rows}
"""

_ABOUT = {Route.INTERACTION: "all requests about an interaction", Route.AGENT: "all requests about an agent"}
"""Routes of many requests, in short."""


def errors_page() -> str:
    """The page of error codes, in Markdown."""
    rows = "\n".join(f"| {int(code)} | {code.text} | {code.note} | {_refused_with(code)} |" for code in sorted(Code))
    return _page(_ERRORS.format(made=_MADE, rows=rows))


def _refused_with(code: Code) -> str:
    if code in GENERAL:
        return "any request"
    whole = [route for route in _ABOUT if code in OF_ROUTE[route]]
    named = [_to_request(cls) for cls in REQUESTS.values() if cls.route not in whole and code in refusals(cls)]
    return ", ".join([*(_ABOUT[route] for route in whole), *named]) or "nothing in this release"


PAGES: dict[str, Callable[[], str]] = {"requests": requests_page, "events": events_page, "errors": errors_page}
"""Name of a page, as in ``docs/NAME.md`` -> what makes it."""


if __name__ == "__main__":
    for name, make in PAGES.items():
        with open(f"docs/{name}.md", "w", encoding="utf-8") as file:
            file.write(make())
