"""Capacity rules: which of an agent's, its groups' and its tenant's holds."""

from __future__ import annotations

from broker.capacity import CapacityRules
from broker.config.objects import Agent, AgentGroup, Configuration, MediaType, Tenant


def rules() -> CapacityRules:
    media = {"chat": MediaType(capacity=3), "email": MediaType(), "voice": MediaType(capacity=0)}
    return CapacityRules(
        Configuration(
            tenants={101: Tenant(media_types=media), 102: Tenant(media_types={"chat": MediaType()})},
            agents={"VICKY": Agent(capacity={"chat": 1}), "TOVA": Agent()},
            agent_groups={
                "Day": AgentGroup(agents=["VICKY", "ANAT"], capacity={"chat": 5, "email": 10}),
                "Night": AgentGroup(agents=["ANAT"], capacity={"chat": 2}),
            },
        )
    )


def test_the_agents_own_goes_first_then_the_most_of_its_groups_then_the_media_type() -> None:
    # given rules of all kinds, then each agent has the nearest one of each media type
    assert dict(rules().of(101, "VICKY")) == {"chat": 1, "email": 10, "voice": 0}
    assert dict(rules().of(101, "ANAT")) == {"chat": 5, "email": 10, "voice": 0}
    assert dict(rules().of(101, "TOVA")) == {"chat": 3, "voice": 0}


def test_a_place_has_what_the_media_types_say() -> None:
    assert dict(rules().of(101, None)) == {"chat": 3, "voice": 0}


def test_another_tenants_media_types_do_not_count() -> None:
    assert dict(rules().of(102, "TOVA")) == {}
    assert dict(rules().of(999, "TOVA")) == {}


def test_without_rules_nobody_has_a_limit() -> None:
    none = CapacityRules(Configuration(tenants={101: Tenant(media_types={"chat": MediaType()})}))
    assert (none.any, rules().any) == (False, True)
