"""`unstale top`: what a server's engine works for, second by second.

    following   one thread for each server: a window, then a look at the stamps; it goes on when the server is away
    tags        which of unstale's stamps change: the hottest tags, as far as a sample shows them
    metrics     what only the application knows (stale hits, refused fills), from its page for Prometheus
    view        what is on the screen, and what a key changes in it
    keyboard    keys, as they are pressed

It stands on the doctor's gate, places, window and sampling: so it only reads, too. Only `unstale.tools.cli` prints.
"""
