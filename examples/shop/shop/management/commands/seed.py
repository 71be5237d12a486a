"""Fill the shop: products, users with tokens that are easy to type, and a few orders each."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from rest_framework.authtoken.models import Token

from shop.models import Order, Product

NAMES = ("coffee", "tea", "cocoa", "milk", "sugar", "biscuits", "honey", "bread", "butter", "jam")


class Command(BaseCommand):
    """`manage.py seed`."""

    help = "Fill the shop, if it is empty."

    def add_arguments(self, parser: CommandParser) -> None:
        """How much."""
        parser.add_argument("--users", type=int, default=100)
        parser.add_argument("--orders", type=int, default=20, help="of each user")

    def handle(self, *_: Any, **options: Any) -> None:
        """Fill it."""
        if Product.objects.exists():
            return
        with transaction.atomic():
            products = Product.objects.bulk_create(
                [Product(name=name, cents=90 + 110 * number) for number, name in enumerate(NAMES)]
            )
            users = User.objects.bulk_create([User(username=f"user{number}") for number in range(options["users"])])
            admin = User.objects.create(username="admin", is_staff=True)
            Token.objects.bulk_create([Token(user=user, key=f"token-of-{user.username}") for user in (*users, admin)])
            Order.objects.bulk_create(
                [
                    Order(user=user, product=products[number % len(products)], quantity=1 + number % 3)
                    for user in users
                    for number in range(options["orders"])
                ]
            )
        self.stdout.write(f"{len(products)} products, {len(users)} users with {options['orders']} orders each.")
