"""Measuring: benches, and the real clusters that they and the live tests run on."""
