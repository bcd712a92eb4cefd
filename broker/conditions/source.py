"""Python source for the tree of a text: the names and values that it sees, and the functions made of it."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from lark import Token

from broker.errors import Refusal

from .grammar import Field, refusal, shown
from .literals import parse_time
from .properties import ALIASES, FOLDED, SYSTEM, Custom, Kind, Property
from .user_data import reader

MAX_TERMS = 200
"""Terms of a condition or of an order."""
CACHED = 1024
"""How many compiled conditions, and as many orders, are kept."""


class Writer:
    """Collects what the generated functions of one text need: names with their values, attributes, custom keys."""

    def __init__(self, field: Field, text: str, custom: Custom) -> None:
        self.field: Field = field
        self.text = text
        self.custom = {spelling: (key, kind) for spelling, key, kind in custom}
        self.fields: set[str] = set()
        self.names: dict[str, Any] = {"when": parse_time}
        self.keys: dict[str, Kind] = {}

    def property(self, token: Token) -> Property:
        """What a name means; it is taken note of. :raises Refusal: nothing"""
        name = token[1:-1].replace("]]", "]") if token.startswith("[") else str(token)
        it = SYSTEM.get(name) or self._custom(name) or FOLDED.get(name.lower())
        if it is None:
            known = [*(it.name for it in SYSTEM.values()), *ALIASES, *self.custom]
            near = get_close_matches(name[:64].lower(), known, n=1)
            hint = (
                f"; did you mean {shown(near[0])}?" if near else ", neither of an interaction nor configured as custom"
            )
            raise self.fault(token, f"there is no property {shown(name)}{hint}")
        self.fields.add(it.attribute)
        return it

    def _custom(self, name: str) -> Property | None:
        if name not in self.custom:
            return None
        key, kind = self.custom[name]
        self.keys.setdefault(key, kind)
        code = f"(data or (data := read(x.user_data))).f{list(self.keys).index(key)}"
        return Property(key, kind, "user_data", f"when({code})" if kind == "timestamp" else code, True)

    def constant(self, value: object) -> str:
        """The name under which generated code sees ``value``."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def fault(self, token: Token, sentence: str) -> Refusal:
        """A refusal of this text that points at a token."""
        return refusal(self.field, self.text, token.start_pos or 0, sentence)

    def build(self, **bodies: str) -> dict[str, Callable[..., Any]]:
        """Functions of one argument ``x``: name=expression.

        What ``exec`` sees is made of this package's templates, attribute names and ``k7`` …; never of a user's text.
        """
        if self.keys:
            self.names["read"] = reader(self.keys)
        start = " data = None\n" if self.keys else ""
        source = "".join(f"def {name}(x):\n{start} return {body}\n" for name, body in bodies.items())
        exec(compile(source, f"<{self.field}>", "exec"), self.names)
        return {name: self.names[name] for name in bodies}


def all_of(parts: list[str]) -> str:
    """Source that is true where all parts are."""
    return f"({' and '.join(parts)})"


def any_of(parts: list[str]) -> str:
    """Source that is true where any part is."""
    return f"({' or '.join(parts)})"
