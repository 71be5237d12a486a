"""Stores: where entries and stamps live, and how they are reached. `urls.open_store` chooses one by its URL."""
