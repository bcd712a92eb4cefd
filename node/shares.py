"""What a proxy asks of a workbin that other nodes have a part of, too: what a pull would take here, and then just what
comes first over all nodes of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from broker.messages.pulls import RequestPull
from broker.wire import Rows

from .calls import Call
from .views import View

if TYPE_CHECKING:
    from .core import NodeCore


def tell(node: NodeCore, call: Call, view: View | None) -> None:
    """Answers a pull with what it would take: ids, and the marks of their places. Nothing is granted.

    :param view: the workbin's; None: nothing is in it
    """
    request: RequestPull = call.request
    ids = view.take(request.count + 1, ignore_hold=request.ignore_hold) if view is not None else []
    first, more = ids[: request.count], len(ids) > request.count
    marks = [view.order.mark(node.memory.interactions[ident]) for ident in first] if view is not None else []
    rows = Rows(marks, [msgspec.json.encode(ident) for ident in first], more)
    node.outgoing.append((call.source, call.ref, rows, 0))


def still_there(node: NodeCore, view: View, share: Mapping[str, bytes], *, ignore_hold: bool) -> list[str]:
    """Those of a share that stand where they stood when the proxy was told of them."""
    known, mark = node.memory.interactions, view.order.mark
    hidden = set() if ignore_hold else view.held_ids
    return [ident for ident in share if ident in view.of and ident not in hidden and mark(known[ident]) == share[ident]]
