"""What names mean in conditions and orders: an interaction's own properties, and what a custom one is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from broker.config.objects import CustomProperty
from broker.messages.kinds import Workbin
from broker.messages.objects import Interaction

Kind = Literal["string", "number", "timestamp", "state"]
Custom = frozenset[tuple[str, str, Kind]]
"""The custom properties that are configured, by every spelling of each: spelling, key and kind."""
NO_CUSTOM: Mapping[str, CustomProperty] = MappingProxyType({})


def spellings(custom: Mapping[str, CustomProperty]) -> Custom:
    """A custom property is meant by its key and, where it is mapped to one, by its column.

    A configuration's are asked for with every request, so they are remembered: nobody changes them, a reload brings
    others in their place.
    """
    if not custom:
        return _NONE
    known = _remembered.get(id(custom))
    if known is None:
        if len(_remembered) >= _MAPPINGS:
            _remembered.clear()
        known = _remembered[id(custom)] = (custom, _spellings(custom))
    return known[1]


_NONE: Custom = frozenset()
_MAPPINGS = 100
_remembered: dict[int, tuple[Mapping[str, CustomProperty], Custom]] = {}
"""By identity, which is theirs as long as they are kept here."""


def _spellings(custom: Mapping[str, CustomProperty]) -> Custom:
    return frozenset(
        (spelling, key, it.type) for key, it in custom.items() for spelling in (key, it.column) if spelling is not None
    )


class Property(NamedTuple):
    """What a name in a condition or order means.

    :param name: its canonical spelling, snake_case; a custom property's key
    :param kind: which values it is compared with
    :param attribute: the Interaction's attribute that it is read from
    :param code: Python expression of its value, of the interaction ``x``
    :param nullable: the value may be None
    """

    name: str
    kind: Kind
    attribute: str
    code: str
    nullable: bool


_KINDS: dict[Any, Kind] = {str: "string", int: "number", float: "timestamp"}
ALIASES = {
    "id": "interaction_id",
    "type": "interaction_type",
    "subtype": "interaction_subtype",
    "state": "interaction_state",
    "destinations": "in_queues",
    "workbin": "workbin_type",
    "workbin_agent_group_id": "workbin_agent_group",
    "workbin_place_group_id": "workbin_place_group",
}
"""Database columns and further published names -> canonical names."""


def _properties_of(name: str, annotation: Any) -> Iterable[Property]:
    """The properties that one attribute of Interaction gives: one, none (``user_data``), or a workbin's parts."""
    types = set(get_args(annotation)) if type(None) in get_args(annotation) else {annotation}
    nullable = type(None) in types
    plain = (types - {type(None)}).pop()
    if plain in _KINDS:
        kind = "state" if name == "interaction_state" else _KINDS[plain]
        yield Property(name, kind, name, f"x.{name}", nullable)
    elif plain == list[str]:
        yield Property(name, "string", name, f"(','.join(w) if (w := x.{name}) is not None else None)", True)
    elif plain is Workbin:
        for part in Workbin.__struct_fields__:
            code = f"(w.{part} if (w := x.{name}) is not None else None)"
            yield Property(f"{name}_{part}", "string", name, code, True)


def _system_properties() -> dict[str, Property]:
    """Every spelling of every system property -> the property: snake_case and CamelCase."""
    attributes = msgspec.structs.fields(Interaction)
    known = {it.name: it for attribute in attributes for it in _properties_of(attribute.name, attribute.type)}
    known |= {alias: known[name] for alias, name in ALIASES.items()}
    return known | {"".join(word.capitalize() for word in name.split("_")): it for name, it in known.items()}


SYSTEM = _system_properties()
FOLDED = {spelling.lower(): it for spelling, it in SYSTEM.items()}
"""Every spelling, and every spelling in lower case."""


def is_system_name(name: str) -> bool:
    """Whether ``name``, spelt exactly so, means a system property: a custom one of this name could never be meant."""
    return name in SYSTEM
