"""What every process and every client of an Interaction Server cluster shares.

Nothing here imports ``node`` or ``proxy``.
"""
