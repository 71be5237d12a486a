"""`unstale doctor`: from an alarm on a Redis or Valkey server to its cause, without writing to it.

    gate        the one place through which every command goes: what is not on its list is not sent
    facts       what a server says about itself: version, memory, settings, rights, slow log
    watching    what its engine did between two looks at it
    pace        how fast the keyspace may be looked at: a share of the engine's time
    sampling    some keys, with their types, sizes and ttls; unstale's entries and stamps among them
    monitoring  with --monitor: a second or two of all commands, of which only shapes are kept
    names       names to shapes: what stands for a number, a digest or a user
    costs       what invalidation costs, and would cost with stamps: pure
    findings    what follows for whoever runs the server: pure
    results     all of it, as data; JSON with a format number
    course      one server after its plan, all servers at the same time
    table, charts, page    what a person sees of it

The servers behind a URL are found by `tools.places`. Whatever a server hides or refuses is said, and the rest still
reported. Only `unstale.tools.cli` prints.
"""
