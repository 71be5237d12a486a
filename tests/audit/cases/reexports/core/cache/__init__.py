from .client import *
from .keys import ORDER_KEY, order_key
from .redis import connection as redis_connection
