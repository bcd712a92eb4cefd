"""Past events for RequestReplayEvents, read from the journal: packed for a proxy, as JSON for a client. A shell."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from broker.errors import Code, Refusal
from broker.messages import encode, error_payload
from broker.messages.reporting import EventReplayedEvents
from broker.wire import PackedEvent, Replayed, make_cursor, pack

from .calls import Read
from .store import Store, StoreFailure


def replay(store: Store, node: str, read: Read, promise_us: int) -> tuple[bytes, int]:
    """The reply's payload and code.

    :param promise_us: everything up to this time has been said
    """
    try:
        past = store.events(read.after_us, read.limit)
    except StoreFailure as fault:
        refusal = Refusal(Code.DATABASE_FAILURE, str(fault))
        return error_payload(refusal, "RequestReplayEvents", node), int(refusal.code)
    considered = past.events[-1].us if past.more else max(promise_us, read.after_us)
    events = past.events if read.interaction_id is None else _about(read.interaction_id, past.events)
    if read.binary:
        return pack(Replayed(past.first_seq, events, considered, past.more)), 0
    shown = [Raw(event.payload) for event in events if _visible(event, read.tenants)]
    cursor = make_cursor(past.events[-1].us if past.events else read.after_us, node)
    return encode(EventReplayedEvents(events=shown, cursor=cursor, more=past.more)), 0


class _Interaction(msgspec.Struct):
    interaction_id: str = ""


class _Event(msgspec.Struct):
    interaction: _Interaction = msgspec.field(default_factory=_Interaction)


_read_event = msgspec.json.Decoder(_Event).decode


def _about(interaction_id: str, events: list[PackedEvent]) -> list[PackedEvent]:
    """The events about one interaction. Most others are passed over without being decoded."""
    needle = msgspec.json.encode(interaction_id)
    return [
        event
        for event in events
        if needle in event.payload and _read_event(event.payload).interaction.interaction_id == interaction_id
    ]


def _visible(event: PackedEvent, tenants: frozenset[int] | None) -> bool:
    """Events of the cluster (tenant 0) are for everybody, the others for clients of their tenant."""
    tenant = int(event.topic.partition(b"/")[0])
    return tenants is None or tenant == 0 or tenant in tenants
