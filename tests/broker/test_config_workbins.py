"""Groups, workbins and segmentations in the configuration: what is refused, and where."""

from __future__ import annotations

import pytest

from broker.config.load import judge

BASE = """
[tenants.101]
media-types = { voice = {} }
[queues.Inbound]
tenant = 101
[views."Inbound/all"]
queue = "Inbound"
segmentation = "media_type"
[workbins.Team]
owner = "agent-group"
order = "priority desc"
[agent-groups.Support]
agents = ["VICKY", "ANAT"]
[place-groups.First]
places = ["P1"]
"""


def keys(text):
    verdict = judge(text, "cluster.toml")
    return [fault.key for fault in verdict.faults], [fault.key for fault in verdict.warnings]


def test_a_sound_file_has_no_faults():
    assert keys(BASE) == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"ANAT"]', '"VICKY"]', "agent-groups.Support.agents[1]"),
        ('["P1"]', '[""]', "place-groups.First.places[0]"),
        ('"media_type"', '"received_at"', 'views."Inbound/all".segmentation'),
        ('"media_type"', '"media_type, priority"', 'views."Inbound/all".segmentation'),
        ('"media_type"', '"nothing"', 'views."Inbound/all".segmentation'),
        ('"priority desc"', '"nothing"', "workbins.Team.order"),
        ('"Inbound/all"', '"Team/PrivateView"', 'views."Team/PrivateView"'),
    ],
)
def test_a_fault_is_found_at_its_key(old, new, key):
    assert keys(BASE.replace(old, new))[0] == [key]


def test_workbins_of_groups_without_a_group_are_warned_of():
    assert keys(
        BASE.replace('"agent-group"', '"place-group"').replace('[place-groups.First]\nplaces = ["P1"]\n', "")
    ) == (
        [],
        ["workbins.Team.owner"],
    )
