"""Requests that run once: their replies are kept, and given again to whoever asks again.

A reply is kept under the number of the proxy's link that asked, and under the client's dedup_id. It is kept until the
proxy says that it has it, or for the dedup window; its key is kept longer, so that a late repetition is refused rather
than done a second time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Raw

from broker.clock import to_seconds, to_us
from broker.errors import Code, Refusal

from .calls import Call
from .records import Answer
from .tables import answer_key

if TYPE_CHECKING:
    from .core import NodeCore

REFUSED_WINDOWS = 10
"""How many dedup windows long a repetition is known as one; the reply itself is kept for the first."""

EVERY_NUMBER = 1 << 62
"""Above all numbers of a link's requests."""


def keys_of(node: NodeCore, call: Call) -> list[str]:
    """Under which keys the reply to this call is kept: of the link's number, of the client's dedup_id."""
    keys = []
    if isinstance(call.ref, int):
        link = node.sessions.link_of(call.source)
        if link is not None:
            keys.append(answer_key(link.session_id, call.ref))
    if call.request.dedup_id is not None and call.session is not None:
        part = getattr(call.request, "part", 0)
        keys.append(answer_key(call.session.name, call.request.dedup_id, part))
    return keys


def answered(node: NodeCore, call: Call) -> bool:
    """Whether the request was executed before; then its first reply is sent again.

    :raises Refusal: executed, but the reply is no longer kept
    """
    for key in call.keys:
        answer = node.memory.answers.get(key)
        if answer is not None:
            if answer.payload is UNSET:
                raise Refusal(Code.DUPLICATE_EXPIRED, f"dedup_id {call.request.dedup_id}", field="dedup_id")
            node.counts["repeated"] += 1
            node.outgoing.append((call.source, call.ref, bytes(answer.payload), answer.code))
            return True
    return False


def keep(node: NodeCore, keys: list[str], payload: bytes, code: int = 0) -> None:
    """Keeps a reply. :param code: of a refusal; 0: it is a positive one"""
    us = to_us(node.now)  # not the clock's: its last tick may be long ago
    for key in keys:
        node.memory.put(node.memory.answers, key, Answer(us=us, payload=Raw(payload), code=code))
        if key[0] == "@":
            node.deadline(node.now + node.settings.dedup_window, _forget, key)


def forget_link(node: NodeCore, link: str) -> None:
    """A link is gone: what is kept for it is forgotten when it has not come back for long. A proxy that stood still
    may come back late, and asks again for what it has no reply to."""
    node.deadline(node.now + REFUSED_WINDOWS * node.settings.dedup_window, _forget_link, link)


def resume(node: NodeCore) -> None:
    """The times of all that is kept run on at a member that has become active."""
    for key, answer in node.memory.answers.rows.items():
        windows = REFUSED_WINDOWS if answer.payload is UNSET else 1
        if key[0] == "@":
            node.deadline(to_seconds(answer.us) + windows * node.settings.dedup_window, _forget, key)
    for link in node.memory.answers.links:
        forget_link(node, link)


def _forget_link(node: NodeCore, link: str) -> None:
    """A deadline: a link has been gone for long. Nobody asks again for what it has no replies to."""
    if link not in node.sessions.by_id:
        node.memory.settle(link, EVERY_NUMBER)


def _forget(node: NodeCore, key: str) -> None:
    """A deadline: the dedup window of a stored reply is over. Its key is kept longer, to refuse repetitions by."""
    answer = node.memory.answers.get(key)
    if answer is None:
        return
    if answer.payload is UNSET:
        node.memory.drop(node.memory.answers, key)
    else:
        node.memory.put(node.memory.answers, key, Answer(us=answer.us))
        node.deadline(to_seconds(answer.us) + REFUSED_WINDOWS * node.settings.dedup_window, _forget, key)
