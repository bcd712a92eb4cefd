"""One change of one agent under way. No decisions."""

from __future__ import annotations

from typing import Any

from broker.errors import Code
from broker.messages.agents import RequestAgentLogin, RequestAgentLogout
from broker.messages.kinds import Request

from .arrears import Doubt
from .calls import Call
from .gather import Answers
from .roster import UNSURE, Agent, Name, State
from .sessions import Session


class Change:
    """One change of one agent under way.

    :param call: who is answered; None when the proxy itself logs the agent out
    :param names: what it keeps other changes away from
    :param speaking: the node that speaks for the agent; :param others: the other nodes that are there
    :param before: the state that the agent was in; :param told: what nodes have said of it since the change began
    :param doubted: nodes that were to log it out because of what was before
    :param left: nodes that have logged it out; ``notes``: what the client is told because of it, after its answer
    """

    __slots__ = (
        "agent", "before", "call", "deadline", "doubted", "head", "left", "names", "notes", "others", "payload",
        "request", "session", "speaking", "told",
    )  # fmt: skip

    def __init__(self, session: Session, request: type[Request], head: Any, payload: bytes, deadline: float) -> None:
        self.session = session
        self.request = request
        self.head = head
        self.payload = payload
        self.deadline = deadline
        self.call: Call | None = None
        self.agent: Agent | None = None
        self.names: frozenset[Name] = frozenset()
        self.speaking = ""
        self.others: list[str] = []
        self.before: State | None = None
        self.told: dict[str, State] = {}
        self.doubted: list[tuple[str, Doubt]] = []
        self.left: set[str] = set()
        self.notes: list[bytes] = []

    @property
    def is_logout(self) -> bool:
        """Whether the other nodes come first."""
        return self.request is RequestAgentLogout

    @property
    def is_login(self) -> bool:
        """Whether it brings the agent to nodes that do not have it."""
        return self.request is RequestAgentLogin


def unsettled(answers: Answers) -> list[str]:
    """The nodes that may not have done what they were asked."""
    return [node for node, reply in answers.items() if reply is None or reply.code in UNSURE]


def may_be_same(head: Any, other: Any) -> bool:
    """Whether two requests of one client may mean the same agent."""
    if head.agent_id is None and head.place_id is None:
        return True
    return head.agent_id in (None, other.agent_id) and head.place_id in (None, other.place_id)


def is_unaware(change: Change, code: int) -> bool:
    """Whether a node does not know the agent that the speaking node knows: it missed the login."""
    return code == Code.NOT_LOGGED_IN and not change.is_login and not change.is_logout
