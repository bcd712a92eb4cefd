"""Licences: how many seats are in use."""

from __future__ import annotations

from .reporting import SystemEvent


class EventLicenceUsage(SystemEvent):
    """The use of a licence at the node has reached its limit, has come below it again, or the limit was changed. With
    ``licence-pool = cluster`` the use is the cluster's, and one node says it.

    ``body``: ``licence``, ``used``, ``limit`` (null: none), and ``why``: `limit reached`, `below the limit`, `changed`.
    """
