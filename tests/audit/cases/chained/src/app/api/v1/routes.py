import app.core.stores
import app.core.stores as stores
from db import store


def drop():
    app.core.stores.main.flushdb()  # expect: UNS003
    for key in stores.main.keys("x:*"):  # expect: UNS001
        stores.main.delete(key)
    return len(store.keys("y:*"))  # expect: UNS002
