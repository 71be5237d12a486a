"""The protocol as it is built, explored exhaustively in small bounds: `python -m model`. See docs/model.md."""
