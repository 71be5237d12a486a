from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.cache import cache
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from django.views.generic import TemplateView
from rest_framework.permissions import IsAuthenticated
from rest_framework.viewsets import ModelViewSet


class Orders(ModelViewSet):
    def get_queryset(self):
        return Order.objects.filter(user=self.request.user)

    def list(self, request, *args, **kwargs):
        data = cache.get("orders")
        if data is None:
            data = self.serialize(self.get_queryset())
            cache.set("orders", data, 60)  # expect: UNS005 UNS011
        return data

    def retrieve(self, request, pk=None):
        orders = self.get_queryset()
        cache.set(f"orders:{request.user.id}:{pk}", self.serialize(orders), 60)


@cache_page(60)  # expect: UNS011
def account(request):
    return render(request, "a.html", {"orders": request.user.orders.all()})


@login_required
@cache_page(60)  # expect: UNS011
def settings(request):
    return render(request, "s.html")


@cache_page(60)
@vary_on_cookie
def cart(request):
    return render(request, "c.html", {"user": request.user})


@cache_page(60)
def public(request):
    return render(request, "p.html", {"products": Product.objects.all()})


@method_decorator(cache_page(60), name="dispatch")  # expect: UNS011
class Home(LoginRequiredMixin, TemplateView):
    template_name = "home.html"


class Mine(ModelViewSet):
    permission_classes = [IsAuthenticated]

    @method_decorator(cache_page(60))
    @method_decorator(vary_on_headers("Authorization"))
    def list(self, request):
        return super().list(request)

    @method_decorator(cache_page(60))  # expect: UNS011
    def retrieve(self, request, pk):
        return super().retrieve(request, pk)


class Profile(TemplateView):
    def get_context_data(self, **kwargs):
        return {"name": self.request.user.name}


urlpatterns = [path("profile", cache_page(60)(Profile.as_view()))]  # expect: UNS011


def recommendations(user):
    found = cache.get("recommendations")
    if found is None:
        found = list(Product.objects.filter(liked_by=user))
        cache.set("recommendations", found, 60)  # expect: UNS005 UNS011
    return found


def shared(request):
    cache.set("catalogue", list(Product.objects.all()), 60)
    cache.set(f"cart:{request.session.session_key}", list(request.user.cart.all()), 60)


def message(message, user):
    cache.set(f"message:{message.pk}", {"text": message.text, "by": user.name}, 60)


def by_helper(user):
    rows = load_rows(user)
    cache.set("rows", rows, 60)  # expect: UNS011


def guides(request):
    cache.set("guides", list(request.user.guides.all()), 60)  # expect: UNS011
    cache.set("currentUser", list(request.user.guides.all()), 60)


def recommendations_key(kind, of, limit):
    return f"recommendations_{kind}:{of}:{limit}"


def keep_recommendations(kind, of, rows, limit=5):
    cache.set(recommendations_key(kind, of, limit), rows, 60)


def recommended(request):
    rows = list(Product.objects.filter(bought_by=request.user))
    of = request.user.id
    keep_recommendations("bought", of, rows)


def recommended_to_all(request):
    rows = list(Product.objects.filter(bought_by=request.user))
    of = "all"
    keep_recommendations("bought", of, rows)  # expect: UNS011
