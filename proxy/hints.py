"""The hint of routing engines in a pull's extension that an empty view is to hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from broker.messages.kinds import ClientType

from .calls import Call

HOLD = "pull-for-strategy"


def holds_on(call: Call) -> bool:
    """Whether an empty view holds the pull: only a routing engine's, with ``pull-for-strategy``."""
    if call.session.type is not ClientType.ROUTING or call.head.extension is UNSET:
        return False
    hints = _hints(call.head.extension)
    return hints is not None and hints.get(HOLD) in (1, True, "1")


def without_hold(extension: Any) -> Any:
    """The extension for a node, which is never to hold: the proxy does."""
    hints = None if extension is UNSET else _hints(extension)
    if hints is None or HOLD not in hints:
        return extension
    left = {key: value for key, value in hints.items() if key != HOLD}
    return Raw(msgspec.json.encode(left)) if left else UNSET


def _hints(extension: Raw) -> Mapping[str, Any] | None:
    try:
        hints = msgspec.json.decode(extension)
    except (ValueError, RecursionError):
        return None
    return hints if isinstance(hints, dict) else None
