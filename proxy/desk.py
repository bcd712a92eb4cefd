"""What the parts of the core share: how nodes are asked, how clients are answered, what is known of the cluster."""

from __future__ import annotations

from typing import NamedTuple

from broker.config.objects import Configuration, ProxySettings
from broker.ledger import Ledger

from .calls import Calls
from .gather import Gather
from .links import Links
from .route import Routes
from .whereis import WhereIs


class Desk(NamedTuple):
    """The shared parts of one core.

    :param configuration: brought up to date in place when it is read again, so parts look into it when they need it
    :param settings: the proxy's own options, in the same way
    :param counts: what is counted, and what was dropped
    """

    configuration: Configuration
    settings: ProxySettings
    counts: Ledger
    links: Links
    gather: Gather
    calls: Calls
    routes: Routes
    whereis: WhereIs
