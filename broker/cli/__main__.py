"""``python -m broker.cli``: the same as ``ixn``."""

from . import main

main()
