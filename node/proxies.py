"""What proxies ask for themselves: to bring an agent into a state, and what was executed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages.agents import (
    AgentRequest,
    RequestAddMedia,
    RequestAgentLogin,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from broker.messages.connection import EventAck
from broker.messages.kinds import Reply
from broker.messages.proxies import EventRecalled, RequestAlignAgent, RequestRecall
from broker.messages.states import RequestChangeAgentStateReason, RequestChangeMediaStateReason
from broker.wire import ECHO

from . import agents, states
from .calls import Call
from .records import AgentRow
from .tables import answer_key

if TYPE_CHECKING:
    from .core import NodeCore


def align(node: NodeCore, call: Call) -> EventAck:
    """RequestAlignAgent: what is not so already is done by the requests that agents themselves would ask."""
    request: RequestAlignAgent = call.request
    agent, flags = _logged_in(node, call), call.flags
    if agent is None and request.spoke:
        flags &= ~ECHO  # the stream has the logout of this node
    if agent is None or agent.vanished_us:
        login = RequestAgentLogin(
            **_ids(request), tenant_id=request.tenant_id, media_list=request.media_list, reason=request.reason
        )
        _do(node, call, login, flags)
        agent = agents.asking(node, call)
    if agent.returned:
        flags = 0
    for step in _steps(agent, request):
        _do(node, call, step, flags)
    agent = agents.asking(node, call)
    if agent.echo is not call.echo or agent.returned:
        agent = replace(agent, echo=call.echo, returned=False)
        node.memory.put(node.memory.agents, agent.key, agent)
    node.tell(call.session.session_id, states.status_of(node, agent))
    return EventAck()


def _logged_in(node: NodeCore, call: Call) -> AgentRow | None:
    """The agent, if this client's session has it."""
    try:
        return agents.asking(node, call)
    except Refusal as refusal:
        if refusal.code is not Code.NOT_LOGGED_IN:
            raise
        return None


def _steps(agent: AgentRow, to_be: RequestAlignAgent) -> Iterator[AgentRequest]:
    """What leads from what an agent is to what it is to be."""
    who, reasons = _ids(to_be), to_be.media_reasons
    for media_type in sorted(agent.media.keys() - to_be.media_list.keys()):
        yield RequestRemoveMedia(**who, media_type=media_type)
    for media_type, state in to_be.media_list.items():
        if media_type not in agent.media:
            yield RequestAddMedia(**who, media_type=media_type, state=state, reason=reasons.get(media_type, UNSET))
        elif agent.media[media_type] != state:
            change = RequestCancelNotReadyForMedia if state else RequestNotReadyForMedia
            yield change(**who, media_type=media_type, reason=reasons.get(media_type, UNSET))
        elif agent.media_reasons.get(media_type) != reasons.get(media_type):
            reason = reasons.get(media_type, UNSET)
            yield RequestChangeMediaStateReason(**who, media_type=media_type, reason=reason)
    if agent.donot_disturb is not to_be.donot_disturb:
        yield (RequestDoNotDisturbOn if to_be.donot_disturb else RequestDoNotDisturbOff)(**who, reason=to_be.reason)
    elif agent.state_reason != to_be.reason:
        yield RequestChangeAgentStateReason(**who, reason=to_be.reason)


def _ids(request: AgentRequest) -> dict[str, Any]:
    return {"agent_id": request.agent_id, "place_id": request.place_id}


def _do(node: NodeCore, call: Call, step: AgentRequest, flags: int) -> None:
    """One of the agent's own requests, asked by the same client."""
    _STEPS[type(step)](node, Call(call.source, call.ref, flags, call.session, step))


def recall(node: NodeCore, call: Call) -> EventRecalled:
    """RequestRecall: the replies to what was executed here of this client's requests under a ``dedup_id``."""
    kept: list[Raw] = []
    for part in count():
        answer = node.memory.answers.get(answer_key(call.session.name, call.request.asked_as, part))
        if answer is None:
            return EventRecalled(answers=kept)
        if answer.payload is UNSET:
            return EventRecalled(expired=True)
        kept.append(answer.payload)
    raise AssertionError("numbers do not end")


_STEPS: dict[Any, Callable[[NodeCore, Call], Reply]] = {**agents.HANDLERS, **states.HANDLERS}

HANDLERS = {RequestAlignAgent: align, RequestRecall: recall}
