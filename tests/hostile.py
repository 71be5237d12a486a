"""Texts that somebody may have put into a key or a tag, to make the server or a scan do what it should not."""

from __future__ import annotations

VICTIM = "victim"

WORKING = {
    "a star": "*",
    "stars": "v*m",
    "a question mark": "victi?",
    "a set": "[v]ictim",
    "a negated set": "[^x]ictim",
    "an open set": "[victim",
    "a backslash": "victim\\",
    "backslashes": "\\v\\i\\c\\t\\i\\m",
    "braces": "{victim}",
    "braces that do not close": "{",
    "braces the wrong way": "}{",
    "empty braces": "{}victim",
    "percent signs": "%s%n%7Bvictim%7D",
    "a format": "{0.__class__}",
    "our own names": "test:e:victim",
    "our own stamps": "s:{t}",
    "a hashed key's name": "#:victim",
    "paths": "../../victim",
    "a status": "+OK",
    "an error": "-ERR",
    "a nil": "$-1",
    "an array": "*3",
    "quotes": "'\"`; DROP",
    "Lua": "]] redis.call('FLUSHALL') --",
    "written right to left": "\u202emitciv",
    "marks of direction": "\u200fvictim\u200e",
    "of no width": "vic\u200btim",
    "of another script": "viсtim",
    "composed of two": "victim\u0301",
    "a byte order mark": "\ufeffvictim",
    "a separator of lines": "victim\u2028",
    "spaces": " victim ",
    "beyond the first plane": "😀" * 20,
}
"""What is as good a name as any."""
REFUSED = {
    "a line's end": "victim\r\nFLUSHALL\r\n",
    "a command": "*1\r\n$8\r\nFLUSHALL\r\n",
    "a zero byte": "victim\0",
    "a zero byte first": "\0victim",
    "an escape": "\x1b[2Jvictim",
    "a tabulator": "victim\t",
    "delete": "victim\x7f",
    "a next line": "victim\x85",
    "a lone surrogate": "victim\ud800",
    "a surrogate of bytes": b"victim\xff".decode("utf-8", "surrogateescape"),
    "nothing": "",
}
"""What is no name."""
