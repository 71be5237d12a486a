from datetime import datetime

from django.core.cache import cache
from django.db.models.signals import post_save
from django.utils.encoding import force_str
from rest_framework_extensions.key_constructor.bits import KeyBitBase
from rest_framework_extensions.key_constructor.constructors import DefaultKeyConstructor


class UpdatedAtKeyBit(KeyBitBase):
    def get_data(self, **kwargs):
        key = "api_updated_at_timestamp"
        value = cache.get(key, None)
        if not value:
            value = datetime.utcnow()
            cache.set(key, value=value)  # expect: UNS007
        return force_str(value)


class ListKeyConstructor(DefaultKeyConstructor):
    updated_at = UpdatedAtKeyBit()


def change_api_updated_at(sender=None, instance=None, *args, **kwargs):
    cache.set("api_updated_at_timestamp", datetime.utcnow())  # expect: UNS004 UNS007


for model in ("a", "b"):
    post_save.connect(change_api_updated_at, sender=model)
