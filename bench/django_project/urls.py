"""The shop's URL of the orders."""

from django.conf import settings
from django.urls import include, path
from django.utils.module_loading import import_string
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("orders", import_string(settings.BENCH_ORDERS), basename="order")

urlpatterns = [path("api/", include(router.urls))]
