"""The one right answer to a request through a proxy, by the way that it takes and what happens to it.

    ok          the reply of its class, with all that belongs into it
    part        the same of the nodes that answered: ``complete`` is false, ``missing`` names the others
    2001 …      this error; 2002, 2003 and 2006 name in ``missing`` the nodes that were needed and did not answer

*its* node is the first that is asked; *another* is one of the others that are asked, or one that is not.

    lost        nobody serves it, and the proxy has not noticed yet
    back        lost, and then its other member takes over
    away        nobody has served it for long
    slow, late  it answers within the request's time, or after that
    garbage     what comes of it is no answer
    doubled     its answers come twice
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from broker.messages import REQUESTS
from broker.messages.kinds import ClientType, Merge, Route

ITS_NODE = """
way         | well    | lost    | back    | away    | slow    | late    | garbage | doubled
here        | ok      | ok      | ok      | ok      | ok      | ok      | ok      | ok
proxies     | 2000    | 2000    | 2000    | 2000    | 2000    | 2000    | 2000    | 2000
holder      | ok      | 2003    | ok      | 2003    | ok      | 2003    | 2003    | ok
any holder  | ok      | 2003    | ok      | 2003    | ok      | 2003    | 2003    | ok
named       | ok      | 2002    | ok      | 2002    | ok      | 2002    | 2002    | ok
one of them | ok      | 2002    | ok      | ok      | ok      | 2002    | 2002    | ok
home        | ok      | 2002    | ok      | 2002    | ok      | 2002    | 2002    | ok
agent       | ok      | 2002    | ok      | ok      | ok      | 2002    | 2002    | ok
first, rest | ok      | ok      | ok      | ok      | ok      | ok      | ok      | ok
every part  | ok      | part    | ok      | part    | ok      | part    | part    | ok
any of them | ok      | ok      | ok      | ok      | ok      | ok      | ok      | ok
all or none | ok      | 2002    | ok      | 2002    | ok      | 2002    | 2002    | ok
snapshot    | ok      | 2006    | ok      | 2006    | ok      | 2006    | 2006    | ok
view        | ok      | 2002    | ok      | part    | ok      | 2002    | 2002    | ok
ids         | ok      | part    | ok      | part    | ok      | part    | part    | ok
workbin     | ok      | part    | ok      | part    | ok      | part    | part    | ok
heads       | ok      | part    | ok      | part    | ok      | part    | part    | ok
recalled    | ok      | 2002    | ok      | part    | ok      | 2002    | 2002    | ok
"""

ANOTHER = """
way         | lost    | back    | away    | late    | garbage
here        | ok      | ok      | ok      | ok      | ok
proxies     | 2000    | 2000    | 2000    | 2000    | 2000
holder      | ok      | ok      | ok      | ok      | ok
any holder  | ok      | ok      | ok      | ok      | ok
named       | ok      | ok      | ok      | ok      | ok
one of them | ok      | ok      | ok      | ok      | ok
home        | ok      | ok      | ok      | ok      | ok
agent       | ok      | ok      | ok      | ok      | ok
first, rest | ok      | ok      | ok      | ok      | ok
every part  | part    | ok      | part    | part    | part
any of them | ok      | ok      | ok      | ok      | ok
all or none | 2002    | ok      | 2002    | 2002    | 2002
snapshot    | 2006    | ok      | 2006    | 2006    | 2006
view        | part    | ok      | part    | part    | part
ids         | part    | ok      | part    | part    | part
workbin     | part    | ok      | part    | part    | part
heads       | part    | ok      | part    | part    | part
recalled    | 2002    | ok      | part    | 2002    | 2002
"""

ALL = """
way         | lost    | back    | away    | late
here        | ok      | ok      | ok      | ok
proxies     | 2000    | 2000    | 2000    | 2000
holder      | 2003    | ok      | 2003    | 2003
any holder  | 2003    | ok      | 2003    | 2003
named       | 2002    | ok      | 2002    | 2002
one of them | 2002    | ok      | 2002    | 2002
home        | 2002    | ok      | 2002    | 2002
agent       | 2002    | ok      | 2002    | 2002
first, rest | 2002    | ok      | 2002    | 2002
every part  | 2002    | ok      | 2002    | 2002
any of them | 2002    | ok      | 2002    | 2002
all or none | 2002    | ok      | 2002    | 2002
snapshot    | 2006    | ok      | 2006    | 2006
view        | 2002    | ok      | 2002    | 2002
ids         | 2003    | ok      | 2003    | 2003
workbin     | 2002    | ok      | 2002    | 2002
heads       | 2002    | ok      | 2002    | 2002
recalled    | 2002    | ok      | 2002    | 2002
"""

OF_ROUTE: dict[tuple[Route, Merge], str] = {
    (Route.HERE, Merge.PASS): "here",
    (Route.INTERACTION, Merge.POSITIVE): "holder",
    (Route.NODE, Merge.PASS): "named",
    (Route.REFERENCE, Merge.PASS): "named",
    (Route.SUBMIT, Merge.PASS): "one of them",
    (Route.SERVICE, Merge.PASS): "one of them",
    (Route.AGENT, Merge.ALL): "agent",
    (Route.RESERVE, Merge.ALL): "agent",
    (Route.ENGINE, Merge.ALL): "first, rest",
    (Route.SCATTER, Merge.ORDERED): "every part",
    (Route.SCATTER, Merge.COUNTS): "every part",
    (Route.SCATTER, Merge.TOTALS): "every part",
    (Route.SCATTER, Merge.QUEUES): "every part",
    (Route.SCATTER, Merge.AGENT): "every part",
    (Route.SCATTER, Merge.SNAPSHOT): "every part",
    (Route.SCATTER, Merge.PASS): "any of them",
    (Route.SCATTER, Merge.ALL): "all or none",
    (Route.STREAM, Merge.STATES): "every part",
    (Route.STREAM, Merge.EVENTS): "every part",
    (Route.SNAPSHOT, Merge.PLACES): "snapshot",
    (Route.SNAPSHOT, Merge.ALL): "snapshot",
    (Route.SNAPSHOT, Merge.SNAPSHOT): "snapshot",
    (Route.PULL, Merge.GRANTS): "view",
}
"""The way of a request by what its class says of itself; a route and merge that are not here have no rule yet."""


class Circumstance(NamedTuple):
    """What happens. :param whom: ``its``, ``another``, ``all``, or empty when all is well"""

    whom: str
    what: str

    def __str__(self) -> str:
        return f"{self.whom} {self.what}".strip()


def _read(text: str, whom: str) -> Iterator[tuple[str, Circumstance, str]]:
    """The cells of a table: way, circumstance, what is right."""
    names, *lines = ([cell.strip() for cell in line.split("|")] for line in text.strip().splitlines())
    for way, *cells in lines:
        for what, cell in zip(names[1:], cells, strict=True):
            yield way, Circumstance("" if what == "well" else whom, what), cell


WAYS: dict[str, dict[Circumstance, str]] = {}
for _text, _whom in ((ITS_NODE, "its"), (ANOTHER, "another"), (ALL, "all")):
    for _way, _circumstance, _cell in _read(_text, _whom):
        WAYS.setdefault(_way, {})[_circumstance] = _cell
CIRCUMSTANCES = list(WAYS["here"])


def way_of(name: str) -> str:
    """The way of a request class. :raises KeyError: there is no rule for its route and merge"""
    request = REQUESTS[name]
    if request.senders == {ClientType.PROXY}:
        return "proxies"
    return OF_ROUTE[request.route, request.merge]
