from .one import store

__all__ = ["store"]
