"""cluster.toml: what is read, and that a wrong file is refused with file, line and key, all faults at once."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from broker.config import page
from broker.config.checks import NAME
from broker.config.faults import ConfigurationFaults, Fault
from broker.config.listing import listing
from broker.config.load import judge, load, parse
from broker.config.objects import Configuration
from broker.ids import node_code

PROJECT = Path(__file__).parents[2]
SHIPPED = (PROJECT / "cluster.toml").read_text()

GOOD = """\
[tenants.101]
name = "Bank"
media-types = { voice = {}, fax = { enabled = false } }
[tenants.7.media-types.email]

[nodes.n1]
database = "sqlite:///var/n1.db"
primary = { requests = "tcp://127.0.0.1:7101", events = "tcp://127.0.0.1:7102" }
backup = { requests = "tcp://127.0.0.1:7103", events = "tcp://127.0.0.1:7104" }
[nodes.n1.settings]
pull-hold-timeout = 5
[nodes.n1.licenses]
ics_multi_media_agent_seat = 30
[nodes.n2]
database = "sqlite:////srv/n2.db"
primary = { requests = "ipc://var/n2.requests", events = "ipc://var/n2.events" }
cluster-settings = { media-types = ["email", "voice"], tenants = [7, 101], enable-submit = false }

[clusters.servers]
cluster-type = "Interaction Server"
connections = ["n1", "n2"]
[clusters.proxies]
cluster-type = "Interaction Server Proxy"
connections = ["p1"]
[proxies.p1]
connections = ["n2", "servers"]
primary = { requests = "tcp://localhost:7001", events = "tcp://localhost:7002" }
tenants = [101]

[queues.Inbound]
tenant = 101
[views."Inbound/all"]
queue = "Inbound"
condition = "priority >= 2 and Subject = 'x'"
order = "priority desc, received_at"
[workbins.Drafts]
owner = "agent"
queue = "Inbound"
[custom-properties.Subject]
"""

Expected = list[tuple[str, str]]


def faults_of(text: str) -> list[Fault]:
    try:
        parse(text, "c.toml")
    except ConfigurationFaults as refused:
        return refused.faults
    return []


def edited(*edits: tuple[str, str]) -> str:
    """The good file with pieces replaced."""
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the good file"
        text = text.replace(old, new)
    return text


def marked(text: str) -> list[int]:
    """The numbers of the lines that end with ``#!``: a fault is expected there, one for each exclamation mark."""
    marks = ((number, re.search("#(!+)$", line)) for number, line in enumerate(text.split("\n"), 1))
    return [number for number, mark in marks if mark for _ in mark[1]]


def assert_faults(text: str, expected: Expected) -> None:
    """Exactly these keys are at fault, at the marked lines, and the text says what is expected here."""
    found = faults_of(text)
    assert [fault.key for fault in found] == [key for key, _ in expected], "\n".join(map(str, found))
    assert [fault.line for fault in found] == marked(text), "\n".join(map(str, found))
    assert {fault.file for fault in found} == {"c.toml"}
    for fault, (_, said) in zip(found, expected, strict=True):
        assert said in fault.text


def test_good_file() -> None:
    """Given a file without fault, when it is read, then the objects have what it says and the defaults."""
    configuration = parse(GOOD)
    assert configuration.tenants[101].name == "Bank"
    assert configuration.tenants[101].media_types["fax"].enabled is False
    assert configuration.nodes["n1"].settings.pull_hold_timeout == 5.0
    assert configuration.nodes["n1"].settings.delivering_timeout == 30.0
    assert configuration.nodes["n2"].backup is None
    assert configuration.nodes["n2"].cluster_settings.media_types == ["email", "voice"]
    assert configuration.nodes_of("p1") == ["n2", "n1"]
    assert configuration.custom_properties["Subject"].type == "string"


def test_defaults_are_not_shared() -> None:
    """Given two objects without settings, when one's are changed, then the other's are not."""
    one, other = (parse(GOOD).proxies["p1"] for _ in range(2))
    one.settings.max_clients = 1
    assert other.settings.max_clients != 1


BEHIND = """
[proxies.p2]
connections = ["p1"]
primary = { requests = "tcp://localhost:7011", events = "tcp://localhost:7012" }
[proxies.p3]
connections = ["n1", "proxies"]
primary = { requests = "tcp://localhost:7021", events = "tcp://localhost:7022" }
"""


def test_a_proxy_behind_another_has_its_nodes() -> None:
    """Given proxies that connect to a proxy and to a cluster of proxies, when the file is read, then they work with the
    nodes that those connect to, each once."""
    configuration = parse(GOOD + BEHIND)
    assert configuration.nodes_of("p2") == configuration.nodes_of("p1") == ["n2", "n1"]
    assert configuration.nodes_of("p3") == ["n1", "n2"]
    assert configuration.reached("p3") == ["n1", "proxies", "p1", "n2", "servers"]


def test_shipped_file() -> None:
    """Given the file at the top of the project, when it is read, then it has the cluster that the Procfile starts."""
    configuration = load(str(PROJECT / "cluster.toml"))
    assert list(configuration.nodes) == ["n1", "n2"]
    assert configuration.nodes_of("p1") == configuration.nodes_of("p2") == ["n1", "n2"]
    assert {f"{name}/all" for name in configuration.queues} == set(configuration.views)
    assert set(configuration.queues) == {"Inbound", "PS", "PE", "IN", "NE", "NW", "TT"}


def test_empty_file() -> None:
    """Given nothing, when it is read, then it is a configuration of nothing."""
    assert parse("") == Configuration()


def test_published_true_and_false() -> None:
    """Given an option with the published values true and false, when TOML's false stands there, it is meant."""
    text = edited(("pull-hold-timeout = 5", "allow-multiple-agent-connections = false"))
    assert parse(text).nodes["n1"].settings.allow_multiple_agent_connections == "false"


# ---- single options ----------------------------------------------------------------------------------------------

HOLD = "nodes.n1.settings.pull-hold-timeout"
CONNECTIONS = '["n2", "servers"]'

OPTIONS: dict[str, tuple[list[tuple[str, str]], Expected]] = {
    "out of range": ([("= 5\n", "= 900 #!\n")], [(HOLD, "expected a number from 0 to 600, got 900")]),
    "string for number": ([("= 5\n", '= "5" #!\n')], [(HOLD, 'got "5"')]),
    "bool for number": ([("= 5\n", "= true #!\n")], [(HOLD, "got true")]),
    "not a number": ([("= 5\n", "= nan #!\n")], [(HOLD, "got nan")]),
    "very large number": ([("= 5\n", f"= {'9' * 400} #!\n")], [(HOLD, "got a number of very many digits")]),
    "array for number": ([("= 5\n", "= [ #!\n5]\n")], [(HOLD, "got an array")]),
    "table for number": ([("= 5\n", "= { a = 1 } #!\n")], [(HOLD, "got a table")]),
    "date for number": ([("= 5\n", "= 2020-01-01 #!\n")], [(HOLD, "got 2020-01-01")]),
    "fraction for whole number": (
        [("= 5\n", "= 5\nmax-clients = 1.5 #!\n")],
        [("nodes.n1.settings.max-clients", "expected a whole number from 1 to 100000, got 1.5")],
    ),
    "none of the values": (
        [("= 5\n", '= 5\nsynchronous = "off" #!\n')],
        [("nodes.n1.settings.synchronous", 'expected "full" or "normal", got "off"')],
    ),
    "bool for one of the values": (
        [("= 5\n", "= 5\nagent-login-control = true #!\n")],
        [("nodes.n1.settings.agent-login-control", 'expected "none" or "ignore", got true')],
    ),
    "unknown option": (
        [("= 5\n", "= 5\npull-hold-timeot = 2 #!\n")],
        [("nodes.n1.settings.pull-hold-timeot", 'is not a known option; did you mean "pull-hold-timeout"?')],
    ),
    "unknown option like none": ([("= 5\n", "= 5\nzzz = 2 #!\n")], [("nodes.n1.settings.zzz", "not a known option")]),
    "unknown section": (
        [("[nodes.n1.settings]", "[nodes.n1.setings] #!")],
        [("nodes.n1.setings", 'is not a known section; did you mean "settings"?')],
    ),
    "unknown section at the top": (
        [("[workbins.", "[workbin.Notes] #!\n[workbins.")],
        [("workbin", 'is not a known section; did you mean "workbins"?')],
    ),
    "no table": (
        [("[nodes.n1]", "[nodes]\nn3 = 1 #!\n[nodes.n1]")],
        [("nodes.n3", "expected a table with database and primary, got 1")],
    ),
    "missing string": (
        [("[nodes.n1]", "[nodes.n1] #!"), ('database = "sqlite:///var/n1.db"\n', "")],
        [("nodes.n1.database", "is missing: expected a string")],
    ),
    "missing address": (
        [('{ requests = "ipc://var/n2.requests", events', "{ events"), ('n2.events" }', 'n2.events" } #!')],
        [("nodes.n2.primary.requests", "is missing")],
    ),
    "missing table": (
        [("[proxies.p1]", "[proxies.p1] #!"), ('primary = { requests = "tcp://localhost:7001', "#")],
        [("proxies.p1.primary", "is missing: expected a table with requests and events")],
    ),
    "missing choice": (
        [("[workbins.Drafts]", "[workbins.Drafts] #!"), ('owner = "agent"\n', "")],
        [("workbins.Drafts.owner", 'is missing: expected "agent" or "agent-group"')],
    ),
    "empty array": ([(CONNECTIONS, "[] #!")], [("proxies.p1.connections", "an array of strings, at least one")]),
    "no array": ([(CONNECTIONS, '"servers" #!')], [("proxies.p1.connections", 'got "servers"')]),
    "wrong element": (
        [(CONNECTIONS, '["n2",\n 5, #!\n"servers"]')],
        [("proxies.p1.connections[1]", "expected a string, got 5")],
    ),
    "wrong number in an array": (
        [("tenants = [101]\n", "tenants = [101, true] #!\n")],
        [("proxies.p1.tenants[1]", "expected a whole number, got true")],
    ),
    "tenant that is no number": (
        [("[tenants.7.", '[tenants."x y"] #!\n[tenants.7.')],
        [('tenants."x y"', "expected a whole number from 1 to 2147483647 as the key")],
    ),
    "tenant in a second spelling": (
        [("[tenants.7.", "[tenants.007] #!\n[tenants.7.")],
        [("tenants.007", "as the key")],
    ),
    "tenant too large": ([("[tenants.7.", "[tenants.2147483648] #!\n[tenants.7.")], [("tenants.2147483648", "key")]),
    "media type that is no table": (
        [("{ voice = {}, fax = { enabled = false } }", "{ voice = {}, fax = false } #!")],
        [("tenants.101.media-types.fax", "expected a table, got false")],
    ),
    "licence below zero": (
        [("= 30\n", "= -1 #!\n")],
        [("nodes.n1.licenses.ics_multi_media_agent_seat", "a whole number from 0 to 1000000, got -1")],
    ),
    "custom property of no type": (
        [("[custom-properties.Subject]", '[custom-properties.Subject]\ntype = "text" #!')],
        [("custom-properties.Subject.type", '"string" or "number" or "timestamp", got "text"')],
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_option(case: str) -> None:
    """Given a file with one wrong option, when it is read, then just that is refused, with its line and key."""
    edits, expected = OPTIONS[case]
    assert_faults(edited(*edits), expected)


# ---- between options ---------------------------------------------------------------------------------------------

N1_REQUESTS = '"tcp://127.0.0.1:7101"'
N1_DATABASE = '"sqlite:///var/n1.db"\n'


def address(new: str, said: str) -> tuple[list[tuple[str, str]], Expected]:
    """A case: node n1's first address is ``new``."""
    edits = [(N1_REQUESTS, f'"{new}"'), ('127.0.0.1:7102" }', '127.0.0.1:7102" } #!')]
    return edits, [("nodes.n1.primary.requests", said)]


def database(new: str, said: str) -> tuple[list[tuple[str, str]], Expected]:
    """A case: node n1's database is ``new``."""
    return [(N1_DATABASE, f'"{new}" #!\n')], [("nodes.n1.database", said)]


CROSS: dict[str, tuple[list[tuple[str, str]], Expected]] = {
    "host beyond loopback": address("tcp://10.0.0.1:7101", "10.0.0.1 is not a loopback address"),
    "any host": address("tcp://0.0.0.0:7101", "needs CURVE; not in this release"),
    "star for host": address("tcp://*:7101", "needs CURVE; not in this release"),
    "name for host": address("tcp://example.org:7101", "example.org is not a loopback address"),
    "loopback of the other family": address("tcp://[::1]:7101", "[::1] is not a loopback address"),
    "port 0": address("tcp://127.0.0.1:0", "expected a port from 1 to 65535, got 0"),
    "port too large": address("tcp://127.0.0.1:65536", "expected a port from 1 to 65535, got 65536"),
    "no port": address("tcp://127.0.0.1", "expected tcp://HOST:PORT or ipc://PATH"),
    "star for port": address("tcp://127.0.0.1:*", "expected tcp://HOST:PORT"),
    "other transport": address("inproc://x", 'expected tcp://HOST:PORT or ipc://PATH, got "inproc://x"'),
    "no address": address("", "expected tcp://HOST:PORT"),
    "ipc without path": address("ipc://", "expected ipc://PATH of a file"),
    "ipc path too long": address("ipc://" + "x" * 108, "at most 107 bytes"),
    "same address, spelt otherwise": (
        [('"tcp://127.0.0.1:7103"', '"tcp://localhost:07101"'), ('127.0.0.1:7104" }', '127.0.0.1:7104" } #!')],
        [("nodes.n1.backup.requests", "is the same address as nodes.n1.primary.requests (line 8)")],
    ),
    "same address of node and proxy": (
        [('"tcp://localhost:7001"', N1_REQUESTS.replace("127.0.0.1", "localhost")), ('7002" }', '7002" } #!')],
        [("proxies.p1.primary.requests", "is the same address as nodes.n1.primary.requests (line 8)")],
    ),
    "same path of ipc": (
        [('"ipc://var/n2.events" }', '"ipc://./var//n2.requests" } #!')],
        [("nodes.n2.primary.events", "is the same address as nodes.n2.primary.requests")],
    ),
    "PostgreSQL": database("postgresql://u:secret@h/d", "PostgreSQL is not in this release yet"),
    "other database": database("mysql://h/d", 'expected sqlite:///PATH of a file, got "mysql://h/d"'),
    "database without path": database("sqlite:///", "expected sqlite:///PATH"),
    "database with two slashes": database("sqlite://var/n1.db", "expected sqlite:///PATH"),
    "database in memory": database("sqlite:///:memory:", "that both members can open"),
    "same database, spelt otherwise": (
        [('"sqlite:////srv/n2.db"', '"sqlite:///var/./n1.db" #!')],
        [("nodes.n2.database", "is the same database as nodes.n1.database (line 7)")],
    ),
    "capacity of no media type": (
        [("[custom-properties.Subject]", "[agents.VICKY.capacity]\nchat = 3 #!\n[custom-properties.Subject]")],
        [("agents.VICKY.capacity.chat", 'there is no media type "chat"')],
    ),
    "unknown licence": (
        [("ics_multi_media_agent_seat = 30", "ics_multimedia_agent_seat = 30 #!")],
        [("nodes.n1.licenses.ics_multimedia_agent_seat", 'did you mean "ics_multi_media_agent_seat"?')],
    ),
    "queue of no tenant": (
        [("tenant = 101\n", "tenant = 102 #!\n")],
        [("queues.Inbound.tenant", "there is no tenant 102; known: 101, 7")],
    ),
    "node of no tenant": (
        [("tenants = [7, 101], enable-submit = false }", "tenants = [7, 101, 8] } #!")],
        [("nodes.n2.cluster-settings.tenants[2]", "there is no tenant 8")],
    ),
    "proxy of no tenant": ([("tenants = [101]\n", "tenants = [1] #!\n")], [("proxies.p1.tenants[0]", "no tenant 1")]),
    "unknown media type": (
        [('["email", "voice"], tenants = [7, 101], enable-submit = false }', '["emial"] } #!')],
        [("nodes.n2.cluster-settings.media-types[0]", 'has a media type "emial"; did you mean "email"?')],
    ),
    "media type of another tenant": (
        [('["email", "voice"], tenants = [7, 101], enable-submit = false }', '["voice", "email"], tenants = [7] } #!')],
        [("nodes.n2.cluster-settings.media-types[0]", 'no tenant of this node has a media type "voice"')],
    ),
    "cluster of an unknown node": (
        [('["n1", "n2"]', '["n1", "n3", "n2"] #!')],
        [("clusters.servers.connections[1]", 'there is no node "n3"')],
    ),
    "proxy in a cluster of nodes": (
        [('["n1", "n2"]', '["n1", "p1"] #!')],
        [("clusters.servers.connections[1]", 'there is no node "p1"; it is a proxy')],
    ),
    "node in a cluster of proxies": (
        [('["p1"]', '["p1", "n1"] #!')],
        [("clusters.proxies.connections[1]", 'there is no proxy "n1"; it is a node')],
    ),
    "proxy connects to nothing known": (
        [(CONNECTIONS, '["server"] #!')],
        [("proxies.p1.connections[0]", 'there is no node, proxy or cluster "server"; did you mean "servers"?')],
    ),
    "proxy behind itself": (
        [(CONNECTIONS, '["n1", "proxies"] #!')],
        [("proxies.p1.connections", 'lead back to "p1" itself')],
    ),
    "proxy that leads to no node": (
        [
            (
                "[clusters.proxies]",
                '[clusters.none]\ncluster-type = "Interaction Server"\nconnections = []\n[clusters.proxies]',
            ),
            (CONNECTIONS, '["none"] #!'),
        ],
        [("proxies.p1.connections", "lead to no node")],
    ),
    "cluster named as a node": (
        [
            (
                "[clusters.proxies]",
                '[clusters.n1] #!\ncluster-type = "Interaction Server"\nconnections = []\n[clusters.proxies]',
            )
        ],
        [("clusters.n1", "is also the name of nodes.n1")],
    ),
    "view of no queue": (
        [('queue = "Inbound"\ncondition', 'queue = "Inbond" #!\ncondition')],
        [('views."Inbound/all".queue', 'there is no queue "Inbond"; did you mean "Inbound"?')],
    ),
    "workbin of no queue": (
        [('queue = "Inbound"\n[custom', 'queue = "" #!\n[custom')],
        [("workbins.Drafts.queue", 'there is no queue ""')],
    ),
    "custom properties spelt like system ones": (
        [
            (
                "[custom-properties.Subject]",
                "[custom-properties]\nSubject = {}\nqueue = {} #!\nMediaType = {} #!\nstate = {} #!\nSTATE = {}",
            )
        ],
        [
            ("custom-properties.queue", "is spelt like a property of every interaction"),
            ("custom-properties.MediaType", "choose another key"),
            ("custom-properties.state", "choose another key"),
        ],
    ),
    "custom property whose column is taken": (
        [("[custom-properties.Subject]", '[custom-properties.Subject]\ncolumn = "flexible_properties" #!')],
        [("custom-properties.Subject.column", "is the name of another property")],
    ),
    "wrong condition": (
        [("\"priority >= 2 and Subject = 'x'\"", '"priority >" #!')],
        [('views."Inbound/all".condition', "cannot be understood: column 11")],
    ),
    "condition over a property that is not custom": (
        [("Subject = 'x'\"", "Sender = 'x'\" #!")],
        [('views."Inbound/all".condition', "column 19")],
    ),
    "wrong order": (
        [('"priority desc, received_at"', '"priority downward" #!')],
        [('views."Inbound/all".order', "cannot be understood: column 10")],
    ),
    "name of a node": (
        [("[nodes.n2]", '[nodes."n;2"] #!'), ('"n1", "n2"', '"n1"'), ('"n2", ', "")],
        [('nodes."n;2"', "a-z 0-9")],
    ),
    "name of a proxy": (
        [("[proxies.p1]", '[proxies."P1"] #!'), ('["p1"]', '["P1"]')],
        [("proxies.P1", "expected a name")],
    ),
}


@pytest.mark.parametrize("case", CROSS)
def test_wrong_between_options(case: str) -> None:
    """Given options of which each is right by itself, when they do not fit, then the one to change is refused."""
    edits, expected = CROSS[case]
    assert_faults(edited(*edits), expected)


@pytest.mark.parametrize("text", ["tcp://127.9.9.9:1", "tcp://localhost:65535", "ipc://@abstract", "ipc:///tmp/x y"])
def test_good_addresses(text: str) -> None:
    """Given an address of an allowed form, when it is read, then there is no fault."""
    assert not faults_of(edited((N1_REQUESTS, f'"{text}"')))


def test_password_is_not_shown() -> None:
    """Given a database URL with a password, when it is refused, then the password is not in the text."""
    assert "secret" not in str(faults_of(edited((N1_DATABASE, '"postgresql://u:secret@h/d"\n'))))


def test_nodes_of_one_code() -> None:
    """Given two nodes whose names give the same code of ids, when they are read, then the second is refused."""
    first, second = same_code()
    text = edited(("[nodes.n2]", f"[nodes.{second}] #!"), ('"n1", "n2"', '"n1"'), ('["n2", "servers"]', '["servers"]'))
    text = text.replace("nodes.n1", f"nodes.{first}").replace('["n1"]', f'["{first}"]')
    assert_faults(text, [(f"nodes.{second}", f"makes the same interaction ids as nodes.{first}")])


def same_code() -> tuple[str, str]:
    """Two names with the same code."""
    seen: dict[str, str] = {}
    for name in map("n{}".format, count()):
        other = seen.setdefault(node_code(name), name)
        if other != name:
            return other, name
    raise AssertionError("there are more names than codes")


def test_names_fit_into_cursors() -> None:
    """Given what may be a name, then neither a cursor's own marks nor a line end are."""
    assert not any(NAME.fullmatch(f"n{mark}") for mark in ";=/ \n\té")


# ---- all at once -------------------------------------------------------------------------------------------------


def test_all_faults_at_once() -> None:
    """Given a file with faults of every kind, when it is read, then all are there, in order; none hides another."""
    text = edited(
        ('name = "Bank"', "name = 5 #!"),
        (N1_REQUESTS, '"tcp://10.0.0.1:1"'),
        ('127.0.0.1:7102" }', '127.0.0.1:7102" } #!'),
        ("= 5\n", "= 900 #!\n"),
        ('"sqlite:////srv/n2.db"', '"sqlite:///var/n1.db" #!'),
        (CONNECTIONS, '["n4"] #!'),
        ("tenant = 101\n", "tenant = 102 #!\n"),
        ('order = "priority desc, received_at"', "order = 5 #!\nordr = 6 #!"),
    )
    keys = [
        "tenants.101.name",
        "nodes.n1.primary.requests",
        HOLD,
        "nodes.n2.database",
        "proxies.p1.connections[0]",
        "queues.Inbound.tenant",
        'views."Inbound/all".order',
        'views."Inbound/all".ordr',
    ]
    assert_faults(text, [(key, "") for key in keys])


def test_a_wrong_object_is_still_known_by_its_name() -> None:
    """Given a node with wrong options, when others refer to it, then only the options are refused."""
    text = edited(
        ("[nodes.n1]", "[nodes.n1] #!"),
        (N1_DATABASE, "5\n"),
        ("database = 5\n", ""),
        ('"Interaction Server"\n', '"Interaction Servr" #!\n'),
        ('"Interaction Server Proxy"\n', '"Proxy" #!\n'),
    )
    wrong = [(f"clusters.{name}.cluster-type", '"Interaction Server"') for name in ("servers", "proxies")]
    assert_faults(text, [("nodes.n1.database", "missing"), *wrong])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[a]\n[b]\n[a]\n", 3, "Cannot declare ('a',) twice"),
        ("a = 1\na = 2\n", 2, "Cannot overwrite a value"),
        ("a = 1\na = 2", 2, "Cannot overwrite a value"),
        ("[queues.x\n", 1, "not TOML"),
        ("\n\nx = 'abc", 3, "not TOML"),
        ("x = 1\n\x0b\u2028= 1", 2, "not TOML"),
        ("x = " + "1" * 5000, 1, "not TOML"),
        ("x = " + "[" * 5000, 1, "nested too deep"),
    ],
)
def test_not_toml(text: str, line: int, said: str) -> None:
    """Given a text that is not TOML, when it is read, then the parser's fault comes with its line."""
    (fault,) = faults_of(text)
    assert (fault.file, fault.line, fault.key) == ("c.toml", line, "")
    assert said in fault.text


def test_fault_as_a_line() -> None:
    """Given a fault, when it is printed, then it reads FILE:LINE: KEY: TEXT, without the parts it does not have."""
    assert str(Fault("c.toml", 3, "a.b", "is wrong")) == "c.toml:3: a.b: is wrong"
    assert str(Fault("c.toml", 3, "", "is wrong")) == "c.toml:3: is wrong"
    assert str(Fault("c.toml", 0, "", "is wrong")) == "c.toml: is wrong"


def test_unreadable_files(tmp_path: Path) -> None:
    """Given no file, a directory, or bytes that are no text, when it is loaded, then that is a fault like any other."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# fine\nname = '\xe9'\n")
    for path, said in ((tmp_path / "none", "cannot be read"), (tmp_path, "cannot be read"), (latin, "UTF-8")):
        with pytest.raises(ConfigurationFaults, match=said) as refused:
            load(str(path))
        assert refused.value.faults[0].line == (2 if path == latin else 0)


# ---- what is made of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SHIPPED, GOOD, ""])
def test_listing_reads_back(text: str) -> None:
    """Given a configuration, when it is listed with its defaults, then the listing reads back as the same."""
    assert parse(listing(parse(text))) == parse(text)


def test_page_is_up_to_date() -> None:
    """Given the classes, when the documentation page is made, then it is the one in docs/."""
    made = page.page()
    assert (PROJECT / "docs" / "configuration.md").read_text() == made, "run `python -m broker.config.page`"
    assert "| None |" not in made, "every option says what it means"


def test_event_logs_are_accepted_with_a_warning_that_nothing_is_written_there():
    text = GOOD.replace(N1_DATABASE, N1_DATABASE + 'event-logs = ["sqlite:///var/events.db"]\n')
    verdict = judge(text, "cluster.toml")
    assert not verdict.faults
    assert [(warning.key, "nothing is written there" in warning.text) for warning in verdict.warnings] == [
        ("nodes.n1.event-logs", True)
    ]


def test_a_media_type_that_no_node_serves_is_warned_of() -> None:
    """Given nodes that serve some media types, when another one is enabled, then it is said that nobody serves it; of
    a disabled one, and of one that any node serves, nothing is said."""
    text = GOOD.replace("media-types = { voice = {},", "media-types = { voice = {}, sms = {},")
    assert judge(text, "cluster.toml").warnings == []  # n1 serves any
    only = text.replace(
        "[nodes.n1.settings]", '[nodes.n1.cluster-settings]\nmedia-types = ["voice"]\n[nodes.n1.settings]'
    )
    warnings = judge(only, "cluster.toml").warnings
    assert [(one.key, one.text) for one in warnings] == [
        ("tenants.101.media-types.sms", "no node serves it: see media-types of the nodes")
    ]
