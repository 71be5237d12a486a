from django.core.cache import cache
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page, never_cache
from rest_framework import generics, viewsets
from rest_framework.response import Response

PAGE_TTL = 60 * 15


class ProductList(generics.ListAPIView):
    queryset = None

    @method_decorator(cache_page(PAGE_TTL, key_prefix="product_list"))
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)


class OrderList(generics.ListAPIView):
    @method_decorator(cache_page(PAGE_TTL, key_prefix="order_list"))  # expect: UNS011
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)

    def get_queryset(self):
        return Order.objects.filter(user=self.request.user)


class CachedMixin:
    cache_prefix = None

    def get_cache_key(self):
        return f"{self.cache_prefix}:{self.request.user.id}"

    def list(self, request, *args, **kwargs):
        key = self.get_cache_key()
        data = cache.get(key)
        if data is None:
            response = super().list(request, *args, **kwargs)
            data = response.data
            cache.set(key, data, PAGE_TTL)  # expect: UNS005
        return Response(data)

    def perform_update(self, serializer):
        serializer.save()
        self.clear_list_cache()

    def clear_list_cache(self):
        cache.delete_pattern(f"{self.cache_prefix}:*")  # expect: UNS001


class BookViewSet(CachedMixin, viewsets.ModelViewSet):
    cache_prefix = "books"

    def perform_create(self, serializer):
        book = serializer.save()
        self.clear_list_cache()
        cache.delete_many([f"book:{book.pk}", f"shelf:{book.shelf_id}"])


@never_cache
def fresh(request):
    return Response(request.user.pk)
