"""Changing properties and user data of an interaction, alone or on the way with another request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.interactions import (
    ChangingRequest,
    EventPropertiesChanged,
    InteractionChanged,
    RequestChangeProperties,
)
from broker.messages.objects import MAX_NAME, MAX_NUMBER, SETTABLE, Interaction

from . import holdings
from .calls import Call, Cause

if TYPE_CHECKING:
    from .core import NodeCore


def change_properties(node: NodeCore, call: Call) -> EventAck:
    """RequestChangeProperties: reported, and told to whoever else handles the interaction."""
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    changed = changed_properties(interaction, call.request)
    report_change(node, interaction, call.request, changed, holdings.cause_of(node, call, holding))
    if holding is not None:
        note = InteractionChanged(interaction_id=interaction.interaction_id, interaction=interaction)
        asking = holdings.holder_of(node, call, holding)
        for holder in holding.holders:
            if holder is not asking:
                node.tell_holder(holder, note)
    return EventAck(interaction_id=interaction.interaction_id)


def changed_properties(interaction: Interaction, request: ChangingRequest) -> dict[str, Any]:
    """The request's property changes as new values of the interaction's fields; nothing is changed yet.

    :raises Refusal: ``WRONG_VALUE`` for a fixed property with a value of another type
    """
    fields: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for given, where in ((request.added_properties, "added"), (request.changed_properties, "changed")):
        for name, value in given.items():
            if name in SETTABLE:
                fields[name] = _value(name, value, f"{where}_properties")
            else:
                data[name] = value
    deleted = [name for name in request.deleted_properties if name not in SETTABLE]
    for name in request.deleted_properties:
        if name in SETTABLE:
            if name in _ALWAYS:
                raise Refusal(Code.WRONG_VALUE, f"{name} cannot be deleted", field="deleted_properties")
            fields[name] = None
    if data or deleted:
        merged = _members(interaction.user_data) | {name: Raw(encode(value)) for name, value in data.items()}
        for name in deleted:
            merged.pop(name, None)
        fields["user_data"] = Raw(encode(merged))
    return fields


_members = msgspec.json.Decoder(dict[str, Raw]).decode
"""A JSON object -> its members by name, each byte for byte as it came: nobody has to be able to read them."""

_ALWAYS = frozenset({"priority", "is_online", "interaction_type"})
"""Settable properties that every interaction has."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME


def _value(name: str, value: Any, field: str) -> Any:
    expected = SETTABLE[name]
    if isinstance(value, str) and not _is_name(value):
        raise Refusal(Code.WRONG_VALUE, f"{name} has 1 to {MAX_NAME} characters", field=field)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if expected is list and isinstance(value, list) and all(_is_name(item) for item in value):
        return value
    if expected is int and isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_NUMBER:
        raise Refusal(Code.WRONG_VALUE, f"{name} is from -{MAX_NUMBER} to {MAX_NUMBER}", field=field)
    if expected is not list and isinstance(value, expected) and not isinstance(value, bool):
        if name == "is_online" and value not in (0, 1):
            raise Refusal(Code.WRONG_VALUE, "is_online is 0 or 1", field=field)
        return value
    raise Refusal(Code.WRONG_VALUE, f"{name} is of type {expected.__name__}", field=field)


def report_change(
    node: NodeCore, interaction: Interaction, request: ChangingRequest, fields: dict[str, Any], cause: Cause
) -> None:
    """Writes changed properties and reports what the request said."""
    if fields.get("is_online") == 0 and interaction.is_online and interaction.abandoned_at is None:
        fields["abandoned_at"] = node.now
    if fields:
        node.memory.update(interaction, **fields)
    body = {
        "added_properties": request.added_properties,
        "changed_properties": request.changed_properties,
        "deleted_properties": list(request.deleted_properties),
    }
    node.event(EventPropertiesChanged, interaction, cause, shows_data=True, body=Raw(encode(body)))


def merge_user_data(node: NodeCore, interaction: Interaction, data: Raw, cause: Cause) -> None:
    """Writes keys into the user data of an interaction, none of them a fixed property, and says so to all who handle
    it. :param data: a JSON object, known to be one"""
    added = _members(data)
    request = RequestChangeProperties(interaction_id=interaction.interaction_id, added_properties=dict(added))
    merged = Raw(encode(_members(interaction.user_data) | added))
    report_change(node, interaction, request, {"user_data": merged}, cause)
    holding = node.memory.holdings.get(interaction.interaction_id)
    note = InteractionChanged(interaction_id=interaction.interaction_id, interaction=interaction)
    for holder in holding.holders if holding is not None else ():
        node.tell_holder(holder, note)


HANDLERS = {RequestChangeProperties: change_properties}
