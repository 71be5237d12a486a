"""For those who write a store: the conformance suite that every store must pass. Needs pytest."""

from unstale.testing.conformance import StoreConformance

__all__ = ["StoreConformance"]
