"""The Interaction Server Proxy: presents all nodes of a cluster to its clients as one server.

It keeps no state that it could not ask for again.
"""
