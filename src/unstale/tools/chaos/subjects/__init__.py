"""What caches in the phases of `unstale chaos`: unstale in its forms, and what teams use in its place.

Each module imports what it needs, so that a phase needs only its own. `naming` is what all call things.
"""
