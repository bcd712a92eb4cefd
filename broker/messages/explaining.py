"""Why an interaction waits: which views have it, each term of their conditions, and what it waits for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from .kinds import OPERATORS, ClientType, Merge, Record, Reply, Request, Route
from .objects import Interaction, InteractionId


class RequestExplainInteraction(Request):
    """Says where an interaction is, what it waits for, and how each view of its queue judges it."""

    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.INTERACTION
    merge: ClassVar[Merge] = Merge.POSITIVE
    reply: ClassVar[str] = "EventInteractionExplained"
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}

    interaction_id: Annotated[InteractionId, Meta(description="which interaction")]


class Wait(Record):
    """Something that keeps an interaction where it is.

    :param reason: `agent`, `strategy`, `invitation`, `held`, `locked`, `scheduled`, `workbin`, `queue-paused`,
        `queue-disabled`, `no-queue`, `no-view` (its queue has none, or none that matches), `pull` (nobody has taken it)
    :param text: a sentence
    :param since: since when
    :param until: when that ends by itself
    """

    reason: str
    text: str
    since: float | None = None
    until: float | None = None


class Term(Record, omit_defaults=False):
    """A term of a condition.

    :param term: as it is written
    :param property: what it looks at
    :param value: its value in this interaction
    :param truth: whether it is true; null: unknown, because of a null
    """

    term: str
    property: str
    value: Any
    truth: bool | None


class ViewJudgement(Record, omit_defaults=False):
    """How a view of the interaction's queue judges it.

    :param matches: its condition is true of it
    :param position: its place among what pulls can take at this node, the first is 1; null: pulls do not see it
    :param depth: how many pulls can take at this node
    :param segment: in a view with segments: which one it is in; segments have turns, so the place is one in the segment
    :param key: the values that the view's order compares, for `RequestGetViewPosition`
    :param waiting_pulls: pulls that are held for the view at this node
    """

    view_id: str
    condition: str
    order: str
    matches: bool
    terms: list[Term]
    position: int | None
    depth: int
    segment: Any
    key: list[Any]
    waiting_pulls: int


class EventInteractionExplained(Reply):
    """Why an interaction is where it is.

    :param node: which node has it
    :param waits: what keeps it there, the most important first
    :param views: the views of its queue
    """

    node: str
    interaction: Interaction
    waits: list[Wait]
    views: list[ViewJudgement]
