"""Calls: what clients have asked and not been answered yet. Each is answered exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import error_payload
from broker.messages.connection import EventError
from broker.messages.kinds import Request

from .sessions import Session

Answered = tuple[bytes, Any, bytes]
"""``(source, ref, payload)`` for the shell; ``ref`` None is a notification, whose frame is empty."""


Name = tuple[str, str]
"""A client's name and its dedup_id."""


class Call(Struct, gc=False):
    """One request of a client.

    :param ref: the shell's own, given back with the reply
    :param request: its class; ``head``: its routing attributes (:mod:`proxy.heads`); ``payload``: all of it, as it came
    :param deadline: when it is answered at the latest
    :param name: of a request that is known by its dedup_id; ``repeated``: the same request, asked again meanwhile
    :param dress: makes the payload that is sent of the one that is given, for a request inside another one
    :param after: is called when it is answered, with whether that is positive
    :param limited: its agent's capacity is limited: nodes that may give it something are asked one after the other
    """

    session: Session
    ref: Any
    request: type[Request]
    head: Any
    payload: bytes
    deadline: float
    open: bool = True
    name: Name | None = None
    repeated: list[Call] = []
    after: Callable[[bool], None] | None = None
    limited: bool = False
    dress: Callable[[bytes], bytes] | None = None


class Calls:
    """The open calls, counted against their bound, and the answers on their way out.

    :param proxy: its name, for refusals; :param limit: calls that may be open at once (``max-pending``)
    """

    def __init__(self, proxy: str, limit: int, counts: Ledger) -> None:
        self._proxy = proxy
        self.outgoing: list[Answered] = []
        self.limit = limit
        self._counts = counts
        self._open = 0
        self._named: dict[Name, Call] = {}

    def __len__(self) -> int:
        return self._open

    def begin(self, call: Call) -> None:
        """A call is taken on. :raises Refusal: ``BUSY``"""
        if self._open >= self.limit:
            call.open = False
            raise Refusal(Code.BUSY, f"{self._open} requests wait for an answer", retry_after=0.5)
        self._open += 1

    def joins(self, call: Call, name: Name) -> bool:
        """A call is taken on that is known by its dedup_id. True: the same is under way, and answers this one as well.

        :raises Refusal: ``BUSY``
        """
        self.begin(call)
        first = self._named.get(name)
        if first is not None:
            first.repeated.append(call)
            return True
        call.name = name
        self._named[name] = call
        return False

    def pass_on(self, call: Call, take: Callable[[Call], None]) -> None:
        """A call that was begun is given to who begins it himself."""
        self._open -= 1
        try:
            take(call)
        except Refusal as refusal:
            self._open += 1
            self.refuse(call, refusal)

    def answer(self, call: Call, payload: bytes) -> None:
        """The reply to a call that was begun. It is not sent to a client that has gone."""
        assert call.open, "a call is answered once"
        call.open = False
        self._open -= 1
        self.say(call, payload)
        if call.after is not None:
            call.after(not payload.startswith(_REFUSED))
        if call.name is not None:
            del self._named[call.name]
            for repeated in call.repeated:
                self.answer(repeated, payload)

    def refuse(self, call: Call, refusal: Refusal) -> None:
        """The negative reply to a call that was begun."""
        self.answer(call, self._refusal(call, refusal))

    def decline(self, call: Call, refusal: Refusal) -> None:
        """The negative reply to a call that was not begun."""
        self.say(call, self._refusal(call, refusal))

    def _refusal(self, call: Call, refusal: Refusal) -> bytes:
        self._counts["refused"] += 1
        return error_payload(refusal, str(call.request.__struct_config__.tag), self._proxy)

    def say(self, call: Call, payload: bytes) -> None:
        """Sends a reply to where the client is now."""
        source = call.session.source
        if source is None:
            self._counts.drop(call.session.name, "client gone", payload)
        else:
            self.outgoing.append((source, call.ref, payload if call.dress is None else call.dress(payload)))

    def tell(self, session: Session, payload: bytes) -> None:
        """A notification."""
        if session.source is None:
            self._counts.drop(session.name, "client gone", payload)
        else:
            self.outgoing.append((session.source, None, payload))


_REFUSED = b'{"message":"%b"' % EventError.__name__.encode()
"""How refusals begin: the name comes first in all that nodes say."""


Reply = Callable[[float, bytes | Refusal], None]
"""How a part that works for the core answers: ``reply(now, payload or refusal)``."""
