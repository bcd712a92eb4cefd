"""``python -m tests.transcripts [FLOW …]`` plays transcripts at a node and writes anew what they lead to.

Look at the diff: it is what has changed for clients.

A new flow is a file in ``flows`` with its story, its cast and its steps.
"""

from __future__ import annotations

import sys

from tests.transcripts.play import FLOWS, STAGES, played, read


def main() -> None:
    """Rewrites the named flows, or all."""
    for path in sorted(FLOWS.glob("*.txt")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            path.write_text(played(read(path.read_text()), *STAGES["node"]).text())


if __name__ == "__main__":
    main()
