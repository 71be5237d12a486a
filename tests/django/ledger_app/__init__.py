"""Rows of business data for the tests of transactions and of the outbox."""
