from django.core.cache import cache
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet


class CachedListMixin:
    def list(self, request, *args, **kwargs):
        key = f"{self.__class__.__name__}:list"
        cached = cache.get(key)
        if cached:
            return Response(cached)
        response = super().list(request, *args, **kwargs)
        cache.set(key, response.data, timeout=300)  # expect: UNS005 UNS011
        return response


class Orders(CachedListMixin, ModelViewSet):
    def get_queryset(self):
        return Order.objects.filter(user=self.request.user)


class QueryKey:
    def key(self, request):
        words = "&".join(f"{k}={v}" for k, v in sorted(request.query_params.items()))
        return f"products:{words}"

    def list(self, request):
        key = self.key(request)
        rows = cache.get(key)
        if rows is None:
            rows = load_products(request.query_params)
            cache.set(key, rows, 60)  # expect: UNS005 UNS010
        return rows
