"""Changing properties and user data of an interaction, alone or on the way with another request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.faults import came
from broker.messages.interactions import (
    ChangingRequest,
    EventPropertiesChanged,
    InteractionChanged,
    RequestChangeProperties,
)
from broker.messages.objects import MAX_ID, MAX_NAME, MAX_NUMBER, MAX_TIME, PROPERTIES, SETTABLE, Interaction

from . import attributes, holdings
from .calls import Call, Cause

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session


def change_properties(node: NodeCore, call: Call) -> EventAck:
    """RequestChangeProperties: reported, and told to whoever else handles the interaction."""
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    changed = changed_properties(node, call, interaction)
    report_change(node, call, interaction, changed, holdings.cause_of(node, call, holding))
    if holding is not None:
        note = InteractionChanged(interaction_id=interaction.interaction_id, interaction=interaction)
        asking = holdings.holder_of(node, call, holding)
        for holder in holding.holders:
            if holder is not asking:
                node.tell_holder(holder, note)
    return EventAck(interaction_id=interaction.interaction_id)


def changed_properties(node: NodeCore, call: Call, interaction: Interaction) -> dict[str, Any]:
    """The request's property changes as new values of the interaction's fields; nothing is changed yet.

    :raises Refusal: ``WRONG_VALUE`` for a system property that cannot be changed, or not to this value;
        ``ACCESS_DENIED`` for one that this client may not change
    """
    request: ChangingRequest = call.request
    fields: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for given, where in (
        (request.added_properties, "added_properties"),
        (request.changed_properties, "changed_properties"),
    ):
        for key, value in given.items():
            name = PROPERTIES.get(key)
            if name is None:
                data[key] = value
            else:
                _check_settable(call, name, where)
                fields[name] = _value(name, value, where)
                _check_types(node, interaction, fields, where)
    deleted = []
    for key in request.deleted_properties:
        name = PROPERTIES.get(key)
        if name is None:
            deleted.append(key)
        else:
            _check_settable(call, name, "deleted_properties")
            if name in _ALWAYS:
                raise Refusal(Code.WRONG_VALUE, f"{name} cannot be deleted", field="deleted_properties")
            fields[name] = None
    if data or deleted:
        fields["user_data"] = _merged(interaction, data, deleted)
    return fields


def _check_settable(call: Call, name: str, field: str) -> None:
    """System properties are the server's, but for some (domain facts, 2.1)."""
    if name not in SETTABLE:
        raise Refusal(Code.WRONG_VALUE, f"{name} is a system property that no client may change", field=field)
    if name == "is_online" and call.session.type not in holdings.SERVERS:
        raise Refusal(Code.ACCESS_DENIED, "is_online is for media servers and capture points", field=field)


def _check_types(node: NodeCore, interaction: Interaction, fields: dict[str, Any], where: str) -> None:
    kind, subtype = fields.get("interaction_type"), fields.get("interaction_subtype")
    attributes.check_types(node, interaction.tenant_id, kind, subtype, where)


def _merged(interaction: Interaction, data: dict[str, Any], deleted: list[str]) -> Raw:
    """The user data with changes."""
    merged = _members(interaction.user_data) | {name: Raw(encode(value)) for name, value in data.items()}
    for name in deleted:
        merged.pop(name, None)
    return Raw(encode(merged))


_members = msgspec.json.Decoder(dict[str, Raw]).decode
"""A JSON object -> its members by name, each byte for byte as it came: nobody has to be able to read them."""

_ALWAYS = frozenset({"priority", "is_online", "interaction_type"})
"""Settable properties that every interaction has."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_TIME


_KINDS: dict[type, tuple[Callable[[Any], bool], str]] = {
    str: (_is_name, f"a string of 1 to {MAX_NAME} characters"),
    int: (_is_number, f"a whole number from -{MAX_NUMBER} to {MAX_NUMBER}"),
    float: (_is_time, f"a time in seconds since 1970, a number from 0 to {MAX_TIME}"),
    list: (
        lambda value: isinstance(value, list) and all(map(_is_name, value)),
        f"an array of strings of 1 to {MAX_NAME} characters",
    ),
}
"""Types of settable properties: whether a value is one, and that in words."""

_NARROW: dict[str, tuple[Callable[[Any], bool], str]] = {
    "is_online": (lambda value: _is_number(value) and value in (0, 1), "0 or 1"),
    "parent_id": (
        lambda value: _is_name(value) and len(value) <= MAX_ID,
        f"an interaction's identifier, a string of 1 to {MAX_ID} characters",
    ),
}
"""The same of properties that are narrower than their type; in a submit their fields are so, too."""


def _value(name: str, value: Any, field: str) -> Any:
    """A settable property's new value. :raises Refusal: ``WRONG_VALUE``, with what was expected"""
    fits, words = _NARROW.get(name) or _KINDS[SETTABLE[name]]
    if not fits(value):
        clear = "" if name in _ALWAYS or value is not None else "; deleted_properties clears it"
        raise Refusal(Code.WRONG_VALUE, f"{name}: expected {words}, got {came(value)}{clear}", field=field)
    return float(value) if SETTABLE[name] is float else value


def report_change(node: NodeCore, call: Call, interaction: Interaction, fields: dict[str, Any], cause: Cause) -> None:
    """Writes changed properties, reports what the request said, and tells the media server that wants to know."""
    request: ChangingRequest = call.request
    if "is_online" in fields and fields["is_online"] != interaction.is_online:
        fields["abandoned_at"] = None if fields["is_online"] else node.now
    if fields:
        node.memory.update(interaction, **fields)
    body = {
        "added_properties": request.added_properties,
        "changed_properties": request.changed_properties,
        "deleted_properties": list(request.deleted_properties),
    }
    _say(node, interaction, body, cause, call.session)


def _say(
    node: NodeCore, interaction: Interaction, body: dict[str, Any], cause: Cause, asking: Session | None = None
) -> None:
    """Says what was changed to reporting, and to the media server that has submitted it and wants to know."""
    node.event(EventPropertiesChanged, interaction, cause, shows_data=True, body=Raw(encode(body)))
    note = None
    for session in node.sessions.followers.get(interaction.submitted_by or "", ()):
        if session is not asking and interaction.tenant_id in session.tenants:
            note = note or InteractionChanged(interaction_id=interaction.interaction_id, interaction=interaction)
            node.tell(session.session_id, note)


def merge_user_data(node: NodeCore, interaction: Interaction, data: Raw, cause: Cause) -> None:
    """Writes keys into the user data of an interaction, none of them a system property, and says so to all who handle
    it. :param data: a JSON object, known to be one"""
    added = _members(data)
    node.memory.update(interaction, user_data=Raw(encode(_members(interaction.user_data) | added)))
    _say(node, interaction, {"added_properties": added, "changed_properties": {}, "deleted_properties": []}, cause)
    holding = node.memory.holdings.get(interaction.interaction_id)
    note = InteractionChanged(interaction_id=interaction.interaction_id, interaction=interaction)
    for holder in holding.holders if holding is not None else ():
        node.tell_holder(holder, note)


HANDLERS = {RequestChangeProperties: change_properties}
