"""The same work on peers: what the cluster's own way of doing it is measured against."""
