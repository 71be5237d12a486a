"""The shop's URLs, and the metrics page."""

from django.urls import include, path

from unstale.contrib.django.prometheus import page

urlpatterns = [path("", include("shop.urls")), path("metrics", page)]
