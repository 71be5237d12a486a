"""One header: which of the shop's processes has answered."""

import os
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def say_which_process(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Say `X-Process`."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["X-Process"] = str(os.getpid())
        return response

    return middleware
