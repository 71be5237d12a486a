"""Integrations: each translates a framework's words into a cache's verbs, and imports that framework itself."""
