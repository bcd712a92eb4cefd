"""A recorded day of a call centre, played into a cluster, and counted from its event stream.

``calls`` reads the recording, ``play`` decides what to ask the cluster and when, ``tally`` counts; ``player`` is the
shell that has the clients.
"""
