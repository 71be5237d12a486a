"""The shop: models, API, settings."""
