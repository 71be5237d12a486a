"""What the processes of an application have found by verifying, summed up: `unstale verify`. Here nothing is verified.

`summary` reads their logs (`unstale.verifiers`), `wording` says what may be quoted, `table` draws. All return data.
"""
