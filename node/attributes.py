"""What an interaction may be: values of the tenant's business attributes, and for a child the queues that its parent
names (``out_queues``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.config.faults import quoted
from broker.errors import Code, Refusal
from broker.messages.faults import came
from broker.messages.objects import Interaction
from broker.messages.wording import any_of

if TYPE_CHECKING:
    from .core import NodeCore

_SHOWN = 12
"""So many values are named."""


def check_types(node: NodeCore, tenant_id: int, kind: str | None, subtype: str | None, field: str = "") -> None:
    """Holds types against the tenant's business attributes; None is not looked at.

    :param field: the request's field that has them; empty: they are fields themselves
    :raises Refusal: ``WRONG_VALUE``
    """
    attributes = node.configuration.tenants[tenant_id].business_attributes
    given = (
        ("interaction_type", "InteractionType", kind, attributes.interaction_type),
        ("interaction_subtype", "InteractionSubtype", subtype, attributes.interaction_subtype),
    )
    for name, published, value, known in given:
        if value is not None and known is not None and value not in known:
            values = any_of([quoted(one) for one in known[:_SHOWN]]) + ("…" if len(known) > _SHOWN else "")
            text = f"{name}: expected {values} (tenant {tenant_id}'s business attribute {published}), got {came(value)}"
            raise Refusal(Code.WRONG_VALUE, text, field=field or name)


def check_child_queue(node: NodeCore, tenant_id: int, parent_id: str | None, queue: str | None) -> None:
    """A child goes only where its parent, if this node has it, lets its children go.

    :raises Refusal: ``WRONG_VALUE``
    """
    parent = node.memory.interactions.get(parent_id) if parent_id is not None else None
    if queue is None or parent is None or parent.tenant_id != tenant_id or parent.out_queues is None:
        return
    if queue not in parent.out_queues:
        known = ", ".join(parent.out_queues) or "none"
        raise Refusal(Code.WRONG_VALUE, f"children of {parent_id} go to its out_queues: {known}", field="queue")


def check_placing(node: NodeCore, interaction: Interaction, queue: str | None) -> None:
    """The first placement of what an agent has submitted; later ones are the business process's own affair.

    :raises Refusal: ``WRONG_VALUE``
    """
    if interaction.placed_in_queue_at is None:
        check_child_queue(node, interaction.tenant_id, interaction.parent_id, queue)
