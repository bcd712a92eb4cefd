"""How long things may take on a machine that others use as well.

What must happen at all is waited for with patience. What was promised in seconds was promised of two cores with nothing
else to do; so the limit is stretched by how many want each core.
"""

from __future__ import annotations

import os

PATIENCE_S = 90.0
"""For what must happen, however slow the machine is."""


def stretched(seconds: float) -> float:
    """A promised time, as it may be here and now."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
