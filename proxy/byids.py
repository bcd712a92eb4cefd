"""Pulls by ids (view ``_system_``): each id is asked for where it is or may be, what is granted is put together.

What becomes of an id is decided as for any request about one interaction: 43 only when every node that could hold it
has said so, 2003 when some did not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from msgspec import Raw, Struct

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.pulls import PullParameters, RequestPull, Unpulled

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker
from .grants import Granted, granted_payload, id_of, read_granted
from .hints import without_hold
from .merge import lost, nobody_has_it, several_owners
from .route import checked_tenant


class _KeyValues(msgspec.Struct, gc=False):
    pull_parameters: dict[str, Raw] = {}


MAX_IDS = 1000
"""Ids in one pull, as many as a pull from a view may take."""

_PER_ID = {
    Code.UNKNOWN_INTERACTION,
    Code.LOCKED,
    Code.WRONG_STATE,
    Code.NOT_ACCESSIBLE,
    Code.SEVERAL_OWNERS,
    Code.CAPACITY_FULL,
}
"""What is said of an id; any other error is about the whole pull."""

_CODES = {int(code): code for code in Code}
_read_error = msgspec.json.Decoder(Unpulled).decode
_read_key_values = msgspec.json.Decoder(_KeyValues).decode


class _Pull(Struct):
    """A pull by ids under way.

    :param nodes: id -> the nodes that were asked for it; ``open``: nodes that have not answered
    :param parts: node -> the ids that it is still to be asked for
    :param granted: id -> the interactions that nodes gave, by node; ``refused``: id -> what nodes refused with
    :param silent: nodes that did not answer; ``errors``: whole refusals, as they came
    """

    call: Call
    nodes: Mapping[str, Sequence[str]]
    open: set[str]
    parts: dict[str, list[str]]
    granted: dict[str, dict[str, Raw]] = {}
    refused: dict[str, list[Unpulled]] = {}
    silent: set[str] = set()
    errors: list[tuple[int, bytes]] = []


class ByIds:
    """Pulls by ids."""

    def __init__(self, desk: Desk) -> None:
        self._gather = desk.gather
        self._calls = desk.calls
        self._whereis = desk.whereis
        self._counts = desk.counts

    def request(self, call: Call) -> None:
        """A client's pull by ids. :raises Refusal: no ids, foreign tenant, too many calls"""
        checked_tenant(call.head.tenant_id, call.session.tenants)
        nodes = {ident: self._whereis.find(ident).nodes for ident in ids_of(call)}
        self._calls.begin(call)
        parts: dict[str, list[str]] = {}
        for ident, names in nodes.items():
            for name in names:
                parts.setdefault(name, []).append(ident)
        pull = _Pull(call, nodes, set(parts), parts)
        while pull.parts:
            self._ask_next(pull)
            if call.limited:
                return

    def _ask_next(self, pull: _Pull) -> None:
        """Asks the next node for its ids."""
        call, name = pull.call, next(iter(pull.parts))
        idents = pull.parts.pop(name)
        done, asker = partial(self._pulled, pull, name, idents), Asker(call.session.client)
        self._gather.ask([name], _request(call.head, idents), call.deadline, done, asker)

    def _pulled(self, pull: _Pull, node: str, idents: list[str], now: float, answers: Answers) -> None:
        """A node has answered, or not."""
        pull.open.discard(node)
        reply = answers[node]
        granted = None
        if reply is None:
            pull.silent.add(node)
        elif reply.code:
            pull.errors.append((reply.code, reply.payload))
            said = _said(reply.code, reply.payload)
            for ident in idents:
                pull.refused.setdefault(ident, []).append(said)
        else:
            granted = _read(reply.payload)
            if granted is None:
                self._counts.drop(node, "garbage", pull.call.payload)
                pull.silent.add(node)
        if granted is not None:
            self._note(pull, node, granted)
        if pull.parts:
            self._ask_next(pull)
        elif not pull.open:
            self._finish(pull)

    def _note(self, pull: _Pull, node: str, granted: Granted) -> None:
        for raw in granted.interactions:
            ident = id_of(raw)
            self._whereis.learn(ident, node)
            pull.granted.setdefault(ident, {})[node] = raw
        for ident, error in granted.errors.items():
            pull.refused.setdefault(ident, []).append(error)

    def _finish(self, pull: _Pull) -> None:
        """All nodes have answered, or are known not to."""
        errors = {ident: error for ident in pull.nodes if (error := _error(pull, ident))}
        granted = [
            raw for ident in pull.nodes for raw in pull.granted.get(ident, {}).values()
        ]  # as they were asked for
        if not granted and (whole := _whole_refusal(pull, errors)):
            if isinstance(whole, Refusal):
                self._calls.refuse(pull.call, whole)
            else:
                self._calls.answer(pull.call, whole)
            return
        missing = {node for error in errors.values() for node in error.missing or ()}
        self._calls.answer(pull.call, granted_payload(granted, missing, errors))


def _error(pull: _Pull, ident: str) -> Unpulled | None:
    """What became of an id that was not granted; or was at two nodes."""
    granted = pull.granted.get(ident, {})
    if granted:
        return Unpulled.of(several_owners(granted)) if len(granted) > 1 else None
    refused = pull.refused.get(ident, [])
    said = next((error for error in refused if error.code != Code.UNKNOWN_INTERACTION), None)
    if said is not None:
        return said
    asked = pull.nodes[ident]
    silent = pull.silent.intersection(asked)
    if silent:
        return Unpulled.of(lost(RequestPull, silent, Code.NOT_ACCESSIBLE))
    return refused[0] if len(asked) == 1 else Unpulled.of(nobody_has_it(asked))


def _said(code: int, payload: bytes) -> Unpulled:
    """A node's refusal of all that it was asked for, as it holds for each."""
    try:
        return _read_error(payload)
    except (ValueError, RecursionError):
        return Unpulled(code=code)


def _whole_refusal(pull: _Pull, errors: dict[str, Unpulled]) -> Refusal | bytes | None:
    """Nothing was granted: the one error that says it all, if there is one; in a node's own words, if it has any."""
    codes = {error.code for error in errors.values()}
    if len(errors) != 1 and (len(codes) != 1 or codes <= _PER_ID):
        return None
    code = codes.pop()
    error = next(iter(errors.values()))
    if code != Code.NOT_ACCESSIBLE and (own := next((payload for said, payload in pull.errors if said == code), None)):
        return own
    return Refusal(
        _CODES.get(code, Code.WRONG_STATE),
        error.detail or "",
        missing=tuple(error.missing or ()),
        retry_after=error.retry_after,
    )


def _read(payload: bytes) -> Granted | None:
    """A node's positive reply; None when it cannot be read."""
    try:
        granted = read_granted(payload)
        for raw in granted.interactions:
            id_of(raw)
    except (ValueError, RecursionError):
        return None
    return granted


def ids_of(call: Call) -> list[str]:
    """The ids that are asked for, each once: a list, or the keys of the published kv list.

    :raises Refusal: there are none
    """
    parameters: PullParameters | None = call.head.pull_parameters
    idents = parameters.interaction_ids if parameters is not None else None
    if idents is None and parameters is not None:
        idents = list(_read_key_values(call.payload).pull_parameters)
    if not idents:
        raise Refusal(Code.NOT_ACCESSIBLE, "interaction_ids names no interaction", field="pull_parameters")
    if len(idents) > MAX_IDS:
        raise Refusal(Code.WRONG_VALUE, f"at most {MAX_IDS} ids", field="pull_parameters")
    return list(dict.fromkeys(idents))


def _request(request: RequestPull, idents: list[str]) -> bytes:
    """What one node is asked."""
    return encode(
        RequestPull(
            dedup_id=request.dedup_id,
            extension=without_hold(request.extension),
            tenant_id=request.tenant_id,
            view_id=request.view_id,
            count=request.count,
            pull_parameters=PullParameters(interaction_ids=idents),
            ignore_hold=request.ignore_hold,
            agent_id=request.agent_id,
            place_id=request.place_id,
            strategy_id=request.strategy_id,
            reason=request.reason,
        )
    )
