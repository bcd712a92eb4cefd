"""Two configurations beside each other: what differs, what a process takes on, and its fingerprint."""

from __future__ import annotations

import pytest

from broker.config.changes import Fixed, adopt, decode_document, differences, encode_document, fingerprint
from broker.config.load import parse
from broker.config.objects import Configuration

TEXT = """
[tenants.101]
name = "Bank"
[tenants.101.media-types]
email = {}
fax = { enabled = false }

[nodes.n1]
database = "sqlite:///n1.db"
primary = { requests = "tcp://127.0.0.1:7101", events = "tcp://127.0.0.1:7102" }
[nodes.n1.cluster-settings]
media-types = ["email"]

[proxies.p1]
connections = ["n1"]
primary = { requests = "tcp://127.0.0.1:7001", events = "tcp://127.0.0.1:7002" }

[queues.Inbound]
tenant = 101
[views."Inbound/all"]
queue = "Inbound"
"""


def edited(*edits: tuple[str, str]) -> Configuration:
    """The configuration with something in the place of something else."""
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return parse(text)


OLD = edited()


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ("fax = { enabled = false }", "fax = {}", ["tenants.101.media-types.fax.enabled: true, was false"]),
        ('media-types = ["email"]', "", ['nodes.n1.cluster-settings.media-types: not set, was ["email"]']),
        ('["email"]', '["email", "fax"]', ['nodes.n1.cluster-settings.media-types: ["email", "fax"], was ["email"]']),
        ("fax = { enabled = false }", "", ["tenants.101.media-types.fax: removed"]),
        ("email = {}", "email = {}\nsms = {}", ["tenants.101.media-types.sms: added"]),
        (
            'queue = "Inbound"\n',
            'queue = "Inbound"\norder = "priority"\n',
            ['views."Inbound/all".order: "priority", was ""'],
        ),
        (
            "[nodes.n1.cluster-settings]",
            "[nodes.n1.settings]\npull-hold-timeout = 2\n[nodes.n1.cluster-settings]",
            ["nodes.n1.settings.pull-hold-timeout: 2, was 10"],
        ),
        ("# no", "# no", []),
    ],
)
def test_differences_are_sentences(old: str, new: str, sentences: list[str]) -> None:
    """Given two files, when they are compared, then each option that differs is said, with both values."""
    changed = edited((old, new)) if old in TEXT else parse(TEXT)
    assert [str(change) for change in differences(OLD, changed)] == sentences


def test_what_is_fixed_stays_and_the_rest_is_taken_on() -> None:
    """Given an address and an option that differ, when the address is fixed, then only the option is taken on."""
    new = edited(("7101", "7109"), ("enabled = false", "enabled = true"))
    adopted = adopt(OLD, new, [Fixed(("nodes", "n1", "primary"), "it is bound")])
    assert [change.key for change in adopted.changed] == ["tenants.101.media-types.fax.enabled"]
    assert [(change.key, why) for change, why in adopted.kept] == [("nodes.n1.primary.requests", "it is bound")]
    assert adopted.configuration.nodes["n1"].primary.requests == "tcp://127.0.0.1:7101"
    assert adopted.configuration.tenants[101].media_types["fax"].enabled
    # And without anything fixed it is the new one itself
    assert adopt(OLD, new, []).configuration is new


def test_what_is_only_not_to_be_removed_may_change() -> None:
    """Given a media type that must not go, when it is another one it changes; when it is gone it stays."""
    rule = Fixed(("tenants", "*", "media-types", "*"), "in use", removal=True)
    changed = adopt(OLD, edited(("enabled = false", "enabled = true")), [rule])
    assert changed.configuration.tenants[101].media_types["fax"].enabled and not changed.kept
    gone = adopt(OLD, edited(("fax = { enabled = false }", "")), [rule])
    assert gone.configuration == OLD and [change.key for change, _ in gone.kept] == ["tenants.101.media-types.fax"]


def test_a_table_that_goes_takes_what_is_fixed_in_it_along() -> None:
    """Given an address that is fixed, when its whole node is gone from the file, then the node stays."""
    second = TEXT.replace("nodes.n1", "nodes.n2").partition("[nodes.n2]")[2].partition("[proxies")[0]
    second = second.replace("n1.db", "n2.db").replace("7101", "7111").replace("7102", "7112")
    old = parse(f"{TEXT}[nodes.n2]{second}")
    adopted = adopt(old, OLD, [Fixed(("nodes", "n2", "primary"), "bound")])
    assert adopted.configuration == old
    assert [str(change) for change, _ in adopted.kept] == ["nodes.n2: removed"]


def test_what_stays_and_what_is_new_may_contradict_each_other() -> None:
    """Given a database that stays and another node that wants it, when both are put together, then that is said."""
    other = TEXT.replace("nodes.n1", "nodes.n2").partition("[nodes.n2]")[2].partition("[proxies")[0]
    new = parse(TEXT.replace("n1.db", "n9.db") + "[nodes.n2]" + other.replace("7101", "7111").replace("7102", "7112"))
    with pytest.raises(ValueError, match=r"nodes\.n2\.database: is the same database"):
        adopt(OLD, new, [Fixed(("nodes", "n1", "database"), "open")])


def test_a_fingerprint_is_of_what_is_said_not_how() -> None:
    """Given the same configuration in another order and with a default spelt out, then the fingerprint is the same."""
    tenant, _, rest = TEXT.partition("[nodes.n1]")
    turned = "[nodes.n1]" + rest + tenant.replace("fax", "pager = {}\nfax").replace("pager = {}\n", "")
    assert fingerprint(parse(turned)) == fingerprint(OLD)
    assert fingerprint(edited(("email = {}", "email = { enabled = true }"))) == fingerprint(OLD)
    assert fingerprint(edited(("enabled = false", "enabled = true"))) != fingerprint(OLD)


def test_a_document_reads_back() -> None:
    """Given a configuration, when it is written as a document, then the same one is read."""
    assert decode_document(encode_document(OLD)) == OLD
