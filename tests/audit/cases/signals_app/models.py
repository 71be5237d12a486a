from django.core.cache import cache
from django.db import models, transaction
from django.db.transaction import atomic


class Product(models.Model):
    pass


class Order(models.Model):
    @transaction.atomic
    def pay(self):
        self.paid = True
        self.save()
        cache.delete(f"orders:{self.user_id}")  # expect: UNS004

    def cancel(self):
        with atomic():
            self.delete()
        cache.delete(f"orders:{self.user_id}")

    def refund(self):
        with transaction.atomic(using="default"):
            self.save()
            cache.set(f"order:{self.pk}", self.as_dict(), 60)  # expect: UNS004
            transaction.on_commit(lambda: cache.delete("all"))

    def locked(self):
        with transaction.atomic():
            if cache.add(f"lock:{self.pk}", 1, 10):
                self.save()
                cache.delete(f"lock:{self.pk}")


def invalidate_catalogue(product):
    cache.delete(f"product:{product.pk}")
    cache.delete("catalogue")


def queryset_delete(user):
    with transaction.atomic():
        Order.objects.filter(user=user).delete()
        user.orders.clear()


class Checkout:
    def place(self, data):
        with transaction.atomic():
            order = self.create_order(data)
            self.drop_pages(order)  # expect: UNS004
        return order

    def create_order(self, data):
        order = Order.objects.create(**data)
        cache.delete(f"orders:{order.user_id}")
        return order

    def drop_pages(self, order):
        for page in range(3):
            cache.delete(f"page:{order.user_id}:{page}")


def issue(user, client):
    import redis

    store = redis.Redis()
    with transaction.atomic():
        user.save()
        store.set(f"otp:{user.pk}", "1", ex=60)
        store.delete(f"profile:{user.pk}")  # expect: UNS004
