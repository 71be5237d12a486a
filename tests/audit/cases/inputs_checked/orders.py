from sqlalchemy.orm import DeclarativeBase


class Order(DeclarativeBase):
    pass


def create_order(address):
    return Order(address=address)


def name_of_list(words):
    return f"list:{words}"
