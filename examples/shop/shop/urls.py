"""The shop's URLs."""

from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.routers import DefaultRouter

from shop.api import OrderViewSet, ProductViewSet

router = DefaultRouter()
router.register("products", ProductViewSet)
router.register("orders", OrderViewSet, basename="order")

urlpatterns = [path("api/", include(router.urls)), path("api/token/", obtain_auth_token)]
