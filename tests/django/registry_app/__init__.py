"""Models for the tests of the registry."""
