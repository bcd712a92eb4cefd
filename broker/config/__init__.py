"""cluster.toml -> typed objects; options with range and default."""

from .objects import Configuration, Node, Proxy

__all__ = ["Configuration", "Node", "Proxy"]
