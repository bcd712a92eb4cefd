"""cluster.toml -> typed objects; options with range and default. A file is read by :mod:`broker.config.load`."""

from .faults import ConfigurationFaults, Fault
from .objects import Configuration, Node, Proxy

__all__ = ["Configuration", "ConfigurationFaults", "Fault", "Node", "Proxy"]
