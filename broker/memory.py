"""What the C library does with memory that is given back. A shell: it changes the whole process."""

from __future__ import annotations

import ctypes

KEPT = 32 * 1024 * 1024
"""Bytes at the end of a heap that stay with the process."""
FROM_HEAP = 4 * 1024 * 1024
"""Blocks up to here come from a heap; longer ones are the system's own and go back to it at once."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Lets this process keep what it frees, up to :data:`KEPT`, and use it again.

    A batch of replies is a frame of some 100 kB and hundreds of payloads. glibc gives such memory back to the system
    as soon as the batch is over, and asks for it anew for the next one, page by page: a sixth of the time of a proxy
    under replies of 16 kB.

    :returns: whether the C library is one that can be told so
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(_M_MMAP_THRESHOLD, FROM_HEAP))
