"""The site's URLs."""

from django.urls import path

from unstale.tools.lab.site.views import AboutView, OrdersView, ProductsView

urlpatterns = [
    path("api/orders/", OrdersView.as_view()),
    path("api/products/", ProductsView.as_view()),
    path("about/", AboutView.as_view()),
]
