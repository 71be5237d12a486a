"""`unstale chaos`: readers and writers on a real server and a real database, while things break; judged afterwards.

    plan       what is tried: phases, and how long, with which seeds
    subject    what caches: unstale, and what teams use without it (`subjects`)
    rows       the database: rows with versions
    world      the servers of a phase, and the faults that can be done to them
    record     what each reader and writer has seen; recording: in files
    worker     a process of a phase: reader, writer, replica, settler; crew: all of them
    judge      what of that breaks the promise: pure
    course     one phase from its beginning to its end; striking: its faults
    run        one phase after the other; results, table, live: what came of it

The judge decides in the cache's favour: whatever can be explained by another order of what overlapped is no fault. A
hit rate stands beside the counts, so that a cache that never hits does not pass.
"""
