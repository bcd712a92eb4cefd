"""Every attribute of every request class, missing, of a wrong type, or of a value that nobody knows, through a proxy.

What a proxy routes by it judges itself, without asking a node: 2003 where an interaction was asked for, 2001 where a
tenant or a media type was (cluster guide, "Implementation Limitations"). All else is 2 (missing) or 3 (wrong), and
always ``field`` names the attribute. A value that is none is refused as what it is a value of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from broker.errors import Code
from broker.ids import make_id, node_code
from broker.messages import REQUESTS
from broker.messages.kinds import Route
from tests.proxy.table.rest import leftovers
from tests.proxy.table.right import assert_right
from tests.proxy.table.rows import NODES, ROWS, Row, Scene

USUAL = {row.name: row for row in reversed(ROWS) if row.way != "proxies"}
"""A row of each class that clients may send; of several the first."""

TENANT = {"tenant_id": Code.NO_SERVERS}
MEDIA = {**TENANT, "media_type": Code.NO_SERVERS}
ROUTED_BY: dict[Route, dict[str, Code]] = {
    Route.INTERACTION: {"interaction_id": Code.NOT_ACCESSIBLE},
    Route.SUBMIT: MEDIA,
    Route.SCATTER: MEDIA,
    Route.AGENT: TENANT,
    Route.RESERVE: TENANT,
    Route.ENGINE: TENANT,
    Route.PULL: {**MEDIA, "pull_parameters": Code.NOT_ACCESSIBLE},
    Route.SERVICE: {**MEDIA, "interaction_id": Code.NOT_ACCESSIBLE},
}
"""What a proxy says of an attribute that it routes by; of all others 2 and 3."""

OF_ANY_TYPE: tuple[Any, ...] = ([["no"]], {"no": "such"}, 5.5, True, "no such")

NOT_HERE = make_id(node_code("n1"), 4711)
ANY = {"view_id": ("No/such", Code.UNKNOWN_VIEW), "queue": ("No such", Code.UNKNOWN_QUEUE)}
NO_TENANT = {"tenant_id": (999, Code.NO_SERVERS)}
NO_MEDIA = {**NO_TENANT, "media_type": ("carrier pigeon", Code.NO_SERVERS)}
UNKNOWN: dict[Route, dict[str, tuple[Any, Code]]] = {
    Route.INTERACTION: {"interaction_id": (NOT_HERE, Code.UNKNOWN_INTERACTION), **ANY},
    Route.SUBMIT: {**NO_MEDIA, **ANY},
    Route.SCATTER: {**NO_MEDIA, **ANY, "workbin": ({"type": "No", "agent_id": "VICKY"}, Code.UNKNOWN_WORKBIN)},
    Route.AGENT: {
        **NO_TENANT,
        "agent_id": ("NOBODY", Code.NOT_LOGGED_IN),
        "media_type": ("carrier pigeon", Code.MEDIA_ABSENT),
    },
    Route.RESERVE: {**NO_TENANT, "agent_id": ("NOBODY", Code.NOT_LOGGED_IN)},
    Route.ENGINE: NO_TENANT,
    Route.PULL: {**NO_TENANT, **ANY},
    Route.SERVICE: NO_MEDIA,
    Route.SNAPSHOT: {"snapshot_id": (NOT_HERE + "*1", Code.UNKNOWN_SNAPSHOT), **ANY},
    Route.NODE: {"node": ("n9", Code.WRONG_VALUE)},
    Route.REFERENCE: {"esp_server_refid": ("no such", Code.BAD_TICKET)},
    Route.STREAM: {"tenant_id": (999, Code.UNKNOWN_TENANT)},
}
"""A value that nobody knows of the attributes that say where a request goes, and what is said of it."""

OTHERWISE: dict[tuple[str, str], Code | None] = {
    ("RequestAgentLogin", "agent_id"): None,  # agents need not be configured
    ("RequestAddMedia", "media_type"): Code.UNKNOWN_MEDIA,  # the others ask for one that the agent has
}
"""Where something else is said, or (None) any value is right: class and attribute."""


def mistyped(field: msgspec.structs.FieldInfo) -> Iterator[Any]:
    """A value that is of none of a field's types; none for fields that take any JSON."""
    for value in OF_ANY_TYPE:
        try:
            msgspec.json.decode(msgspec.json.encode(value), type=field.type)
        except msgspec.ValidationError:
            yield value
            return


def said_of(name: str, field: str, otherwise: Code) -> Code:
    """What is said of an attribute of a class."""
    return ROUTED_BY.get(REQUESTS[name].route, {}).get(field, otherwise)


@pytest.fixture(params=sorted(USUAL))
def row(request: pytest.FixtureRequest) -> Row:
    """A row of every class."""
    return USUAL[request.param]


def assert_refused(scene: Scene, fields: dict[str, Any], field: str, code: Code) -> None:
    """A request is refused at once, for this attribute; by the proxy itself if it routes by it."""
    scene.world.asked.clear()
    answer = scene.client.ask(scene.row.name, **fields)
    said = (answer["message"], answer.get("code"), answer.get("field"))
    assert said == ("EventError", int(code), field), (answer, fields.get(field))
    assert answer["text"] == code.text and answer["detail"]
    if code > 2000:
        assert not scene.world.asked, "no node has to be asked for that"


def test_missing_or_mistyped(row: Row) -> None:
    """Given a request, when any of its attributes is missing or of a wrong type, then it is named, with the one code;
    and the request itself works after that as ever."""
    scene = Scene(row)
    scene.world.watch((row.name, *row.on))
    for field in msgspec.structs.fields(scene.request):
        name = field.encode_name
        if field.required:
            left = {key: value for key, value in scene.fields.items() if key != name}
            assert_refused(scene, left, name, said_of(row.name, name, Code.MISSING_ATTRIBUTE))
        for value in mistyped(field):
            assert_refused(scene, {**scene.fields, name: value}, name, said_of(row.name, name, Code.WRONG_VALUE))
    assert_works(scene)
    rest(scene)


def assert_works(scene: Scene) -> None:
    """The request itself, as it should be."""
    number = scene.client.send(scene.row.name, **scene.fields)
    while not scene.client.answers[number]:
        scene.world.settle()
        scene.help()
        scene.world.run(0.1)
    assert_right(scene, scene.client.answer(number), NODES)


def test_a_value_that_nobody_knows(row: Row) -> None:
    """Given a request, when an attribute has a value that nobody knows, then it is refused as what it is."""
    scene = Scene(row)
    scene.world.watch((row.name, *row.on))
    for name, (value, usual) in UNKNOWN.get(scene.request.route, {}).items():
        code = OTHERWISE.get((row.name, name), usual)
        if code is None or name not in scene.request.__struct_encode_fields__:
            continue
        scene.world.asked.clear()
        answer = scene.client.ask(row.name, **{**scene.fields, name: value})
        assert (answer["message"], answer.get("code"), answer.get("text")) == ("EventError", int(code), code.text), name
        if code is Code.NO_SERVERS:
            assert answer["field"] == name and not scene.world.asked
    rest(scene)


def rest(scene: Scene) -> None:
    """Nothing is left over."""
    scene.answer_calls()
    scene.world.run(2.0)
    assert leftovers(scene.core) == {}
