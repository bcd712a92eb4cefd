"""Strategies and routing engines in the configuration: what is refused, and where."""

from __future__ import annotations

import pytest

from broker.config.load import judge, parse

BASE = """
[tenants.101]
media-types = { voice = {} }
[tenants.102]
[queues.Inbound]
tenant = 101
[queues.Shop]
tenant = 102
[views."Inbound/all"]
queue = "Inbound"
[views."Inbound/urgent"]
queue = "Inbound"
[views."Shop/all"]
queue = "Shop"
[strategies.Greeting]
views = ["Inbound/all", "Inbound/urgent"]
max-submitted-interactions = 20
max-submission-rate = "90/minute"
[strategies.Selling]
views = ["Shop/all"]
[routing-engines.urs]
max-submitted-interactions = 50000
max-submission-rate = "0"
"""


def keys(text):
    verdict = judge(text, "cluster.toml")
    return [fault.key for fault in verdict.faults], [fault.key for fault in verdict.warnings]


def test_a_sound_file_has_no_faults():
    assert keys(BASE) == ([], [])
    configuration = parse(BASE)
    assert configuration.strategies["Greeting"].max_submission_rate == "90/minute"
    assert configuration.routing_engines["urs"].max_submitted_interactions == 50_000


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (', "Inbound/urgent"]', ', "Inbound/all"]', "strategies.Greeting.views[1]"),
        (', "Inbound/urgent"]', ', "Nowhere/all"]', "strategies.Greeting.views[1]"),
        ('["Inbound/all", "Inbound/urgent"]', '["Inbound/all", "Shop/all"]', "strategies.Greeting.views[1]"),
        ('["Inbound/all", "Inbound/urgent"]', "[]", "strategies.Greeting.views"),
        ("= 20", "= 50001", "strategies.Greeting.max-submitted-interactions"),
        ("90/minute", "90/day", "strategies.Greeting.max-submission-rate"),
        ("90/minute", "-1/second", "strategies.Greeting.max-submission-rate"),
        ('"0"', "0", "routing-engines.urs.max-submission-rate"),
    ],
)
def test_a_fault_is_found_at_its_key(old, new, key):
    assert keys(BASE.replace(old, new))[0] == [key]


def test_a_rate_that_is_none_is_told_how_to_be_spelt():
    (fault,) = judge(BASE.replace("90/minute", "often"), "cluster.toml").faults
    assert 'such as "10/second", "90/minute", "500/hour", "0", got "often"' in str(fault)


def test_a_view_of_two_strategies_is_warned_of():
    twice = BASE.replace('["Shop/all"]', '["Inbound/urgent"]')
    assert keys(twice) == ([], ["strategies.Selling.views[0]"])
