"""The documentation page of the configuration, made of the classes.

``python -m broker.config.page > docs/configuration.md`` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from .kinds import expected, kind_of, options_class
from .listing import default_of, spelt
from .objects import LICENSES, Configuration
from .symmetry import RECOMMENDED, RESERVATION, SAME

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m broker.config.page > docs/configuration.md`; a test checks that it is up to date. -->

One file, `cluster.toml`, describes the whole cluster; every process reads the same one (`--config`, or `IXN_CONFIG`).
The file at the top of this project is a complete example. A wrong file is refused with file, line and key, all
faults at once, and exit code 78:

```
$ ixn config check
cluster.toml:31: nodes.n1.settings.pull-hold-timeout: expected a number from 0 to 600, got 900
cluster.toml:58: views."PS/all".queue: there is no queue "PSS"; did you mean "PS"?
```

`ixn config show` prints what is in force, defaults filled in and differences marked.

Besides the single options, these are refused: names that refer to nothing (nodes, proxies, clusters, tenants, queues,
media types, ESP servers); an address or a database that is used twice; conditions and orders that cannot be read; two
nodes whose interaction ids could not be told apart; names of nodes and proxies other than 1 to 31 of
`a-z 0-9 _ . -`; and what this release does not serve: TCP beyond loopback, PostgreSQL, event loggers.
"""

_FIRST_PARAGRAPH = re.compile(r".*?(?=\n\s*\n|\Z)", re.DOTALL)
_NAMES = {"tenants": "NUMBER", "media-types": "NAME"}


def page() -> str:
    """The whole page, in Markdown."""
    described: dict[type[Struct], str] = {}
    lines = [_INTRODUCTION, *_tables(Configuration, "", described), *_licences(), *_cluster()]
    return "\n".join(lines).rstrip() + "\n"


def _tables(cls: type[Struct], path: str, described: dict[type[Struct], str]) -> Iterator[str]:
    """The sections below ``path``; ``described`` notes where a class was, for the next that has it too."""
    for field in msgspec.structs.fields(cls):
        inner, name = _inner(field)
        if inner is None:
            continue
        below = f"{path}.{field.encode_name}".removeprefix(".") + name
        if inner in described:
            yield f"## `[{below}]`\n\nAs `[{described[inner]}]`.{_absent(field)}\n"
            continue
        described[inner] = below
        yield f"## `[{below}]`\n\n{_story(inner)}{_absent(field)}\n"
        yield from _options(inner)
        yield from _tables(inner, below, described)


def _inner(field: FieldInfo) -> tuple[type[Struct] | None, str]:
    """The class of the section a field is, and what stands for the names in it."""
    core = kind_of(field.type).core
    if options_class(core):
        return core, ""
    values = get_args(core)[-1] if get_args(core) else None
    return options_class(values), f".{_NAMES.get(field.encode_name, 'NAME')}"


def _story(cls: type[Struct]) -> str:
    found = _FIRST_PARAGRAPH.match(cls.__doc__ or "")
    return " ".join(found[0].split()) if found else ""


def _absent(field: FieldInfo) -> str:
    if field.required:
        return " Must be given."
    return " May be left out: there is none then." if kind_of(field.type).optional else ""


def _options(cls: type[Struct]) -> Iterator[str]:
    """The table of the options of one class."""
    own = [field for field in msgspec.structs.fields(cls) if _inner(field)[0] is None]
    if not own:
        return
    yield "| option | value | default | meaning |\n|---|---|---|---|"
    for field in own:
        meaning = kind_of(field.type).meta.description
        yield f"| `{field.encode_name}` | {_value(field)} | {_default(field)} | {meaning} |"
    yield ""


def _value(field: FieldInfo) -> str:
    return expected(field.type).replace('"', "`")


def _default(field: FieldInfo) -> str:
    if field.required:
        return "must be given"
    default: Any = default_of(field)
    return f"`{spelt(default)}`" if default not in (None, [], {}, "") else "-"


def _licences() -> Iterator[str]:
    yield "## Licences\n\n| licence | counts |\n|---|---|"
    for name, counts in LICENSES.items():
        yield f"| `{name}` | {counts} |"
    yield _POOL


_POOL = """
With `licence-pool = "node"`, as published, every node counts against its own `licenses`: an agent is logged in at all
nodes, so the lowest count is the cluster's. With `licence-pool = "cluster"` the counts of all nodes are added up, and
every node counts against the sum. A licence that no node names has no limit.

The pool needs no book of its own: every agent is at every node, so each node knows how many seats are taken. Proxies
ask the same node first (while it is there) and leave it last, so of two logins for the last seat one gets it; every
other node checks, too, so the pool is held also while proxies do not agree which node is first. Therefore every proxy
has to connect to all nodes, all nodes serve all tenants, and agents log in through proxies; a node that is one of
several refuses (30) those that come to it directly. The seats of a node that is down stay in the pool. Proxies that
reach no node in common (the network is cut in two) fill the pool twice; when the cut is over, agents that find no seat
at a node that is back are logged out. An agent that logs out while a node is away, through a proxy that dies before it
can tell that node, has its seat there until `login-session-timeout`.
"""


def _cluster() -> Iterator[str]:
    """What ``ixn config check --cluster`` looks at."""
    yield "## `ixn config check --cluster`\n\nMust be the same on all nodes:\n"
    yield from (f"- `{name.replace('_', '-')}`" for name in SAME)
    yield from (f"- `{name}`" for name in RESERVATION)
    yield "- the ESP servers in `connections`, for nodes that serve the same tenant and media type"
    yield "\nWarned of, because the cluster guide recommends otherwise:\n"
    yield from (f"- `{name.replace('_', '-')}` other than `{spelt(value)}`" for name, value in RECOMMENDED.items())
    yield "- a node without a backup"
    yield "- licence counts that differ: the lowest is the limit of the whole cluster"


if __name__ == "__main__":
    print(page(), end="")
