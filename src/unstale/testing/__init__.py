"""For those who test with unstale, or write a store: the conformance suite that every store must pass."""
