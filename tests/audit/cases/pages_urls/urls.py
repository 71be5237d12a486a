from django.urls import include, path
from django.views.decorators.cache import cache_page

from . import views
from .views import PostDetail, home

urlpatterns = [
    path("", cache_page(60)(views.PostList.as_view())),  # expect: UNS011
    path("<int:pk>/", cache_page(60)(PostDetail.as_view())),
    path("index/", cache_page(60)(views.index)),
    path("home/", cache_page(60)(home)),  # expect: UNS011
    path("", include("other")),
]
