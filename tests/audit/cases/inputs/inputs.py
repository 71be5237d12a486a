import hashlib

from django.core.cache import cache
from django.shortcuts import get_object_or_404
from django.urls import path, re_path
from rest_framework.viewsets import ModelViewSet


def search(request):
    query = request.GET.get("q", "").strip().lower()
    key = "search:" + query
    result = cache.get(key)
    if result is None:
        result = run_search(query)
        cache.set(key, result, 60)  # expect: UNS005 UNS010
    return result


def full_path(request):
    cache.set(request.get_full_path(), render_it(request), 60)  # expect: UNS010


def hashed(request):
    key = "page:" + hashlib.md5(request.get_full_path().encode()).hexdigest()
    cache.set(key, render_it(request), 60)


def number(request):
    page = int(request.GET.get("page", 1))
    cache.set(f"page:{page}", render_page(page), 60)


def loaded(request, slug):
    product = get_object_or_404(Product, slug=slug, code=request.GET["code"])
    cache.set(f"product:{product.pk}", render_product(product), 60)


def by_name(request, name):
    cache.set(f"profile-of:{name}", render_profile(name), 60)  # expect: UNS010


def by_pk(request, pk):
    cache.set(f"thing:{pk}", render_thing(pk), 60)


urlpatterns = [
    path("u/<str:name>/", by_name),
    path("t/<int:pk>/", by_pk),
    path("p/<slug:slug>/", loaded),
    re_path(r"^n/(?P<number>\d+)/$", number),
]


def service(term):
    cache.set(f"service:{term}", load(term), 60)  # expect: UNS010


def caller(request):
    return service(request.GET["term"])


def limited(request):
    cache.set(f"rate-limit:{request.META['REMOTE_ADDR']}", 1, 60)


class Products(ModelViewSet):
    def list(self, request, *args, **kwargs):
        key = f"products:{request.query_params.urlencode()}"
        cached = cache.get(key)
        if cached is not None:
            return Response(cached)
        response = super().list(request, *args, **kwargs)
        cache.set(key, response.data, 60)  # expect: UNS005 UNS010
        return response


def banners(request):
    cache.set(f"banner-operations:{request.GET['place']}", load_banners(), 60)  # expect: UNS010
