"""Headers that say which process has answered, and whether it had to load a history."""

import os
from contextvars import ContextVar

_loads = ContextVar("loads", default=False)


def say_that_it_loads():
    _loads.set(True)


def say_which_process(get_response):
    def middleware(request):
        _loads.set(False)
        response = get_response(request)
        response["X-Process"] = str(os.getpid())
        response["X-Cache"] = "miss" if _loads.get() else "hit"
        return response

    return middleware
