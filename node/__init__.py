"""The Interaction Server: one node pair of the cluster."""
