"""The one right answer to a request through a proxy, by the way that it takes and what happens to it.

    ok          the reply of its class, with all that belongs into it
    part        the same of the nodes that answered: ``complete`` is false, ``missing`` names the others
    2001 …      this error; 2002, 2003 and 2006 name in ``missing`` the nodes that were needed and did not answer

*its* node is the first that is asked; *another* is one of the others that are asked, or one that is not. *lost*: nobody
serves it, and the proxy has not noticed yet; *away*: the proxy has; *slow*: it answers in time; *late*: after the
request's deadline; *garbage*: what comes is no answer; *doubled*: its answers come twice.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.messages import REQUESTS
from broker.messages.kinds import ClientType, Merge, Route

TABLE = """
                   | its node                                    | another node                 | all
way         | well | lost | away | slow | late | garbage| doubled | lost | away | late | garbage | lost | away | late
here        | ok   | ok   | ok   | ok   | ok   | ok     | ok      | ok   | ok   | ok   | ok      | ok   | ok   | ok
proxies     | 2000 | 2000 | 2000 | 2000 | 2000 | 2000   | 2000    | 2000 | 2000 | 2000 | 2000    | 2000 | 2000 | 2000
holder      | ok   | 2003 | 2003 | ok   | 2003 | 2003   | ok      | ok   | ok   | ok   | ok      | 2003 | 2003 | 2003
any holder  | ok   | 2003 | 2003 | ok   | 2003 | 2003   | ok      | ok   | ok   | ok   | ok      | 2003 | 2003 | 2003
named       | ok   | 2002 | 2002 | ok   | 2002 | 2002   | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
one of them | ok   | 2002 | ok   | ok   | 2002 | 2002   | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
home        | ok   | 2002 | 2002 | ok   | 2002 | 2002   | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
agent       | ok   | 2002 | ok   | ok   | 2002 | 2002   | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
first, rest | ok   | ok   | ok   | ok   | ok   | ok     | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
every part  | ok   | part | part | ok   | part | part   | ok      | part | part | part | part    | 2002 | 2002 | 2002
any of them | ok   | ok   | ok   | ok   | ok   | ok     | ok      | ok   | ok   | ok   | ok      | 2002 | 2002 | 2002
all or none | ok   | 2002 | 2002 | ok   | 2002 | 2002   | ok      | 2002 | 2002 | 2002 | 2002    | 2002 | 2002 | 2002
snapshot    | ok   | 2006 | 2006 | ok   | 2006 | 2006   | ok      | 2006 | 2006 | 2006 | 2006    | 2006 | 2006 | 2006
view        | ok   | 2002 | part | ok   | 2002 | 2002   | ok      | part | part | part | part    | 2002 | 2002 | 2002
ids         | ok   | part | part | ok   | part | part   | ok      | part | part | part | part    | 2003 | 2003 | 2003
workbin     | ok   | 2002 | part | ok   | 2002 | part   | ok      | part | part | part | part    | 2002 | 2002 | 2002
heads       | ok   | part | part | ok   | part | part   | ok      | part | part | part | part    | 2002 | 2002 | 2002
recalled    | ok   | 2002 | part | ok   | 2002 | 2002   | ok      | 2002 | part | 2002 | 2002    | 2002 | 2002 | 2002
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


def _read() -> tuple[list[Circumstance], dict[str, dict[Circumstance, str]]]:
    """The table's columns, and its lines by way."""
    _, _, names, *lines = ([cell.strip() for cell in line.split("|")] for line in TABLE.splitlines())
    whom = ["", *["its"] * 6, *["another"] * 4, *["all"] * 3]
    columns = [Circumstance(*pair) for pair in zip(whom, names[1:], strict=True)]
    return columns, {way: dict(zip(columns, cells, strict=True)) for way, *cells in lines}


CIRCUMSTANCES, WAYS = _read()


def way_of(name: str) -> str:
    """The way of a request class. :raises KeyError: there is no rule for its route and merge"""
    request = REQUESTS[name]
    if request.senders == {ClientType.PROXY}:
        return "proxies"
    return OF_ROUTE[request.route, request.merge]
