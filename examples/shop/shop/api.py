"""The API: a catalogue for everybody, an order history for each user, and orders, which make the history stale."""

from rest_framework import mixins, serializers, viewsets
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request

from shop.models import Order, Product
from unstale.contrib.django.drf import CachedViewSetMixin


class ProductSerializer(serializers.ModelSerializer[Product]):
    """A product."""

    class Meta:
        """Its fields."""

        model = Product
        fields = ("id", "name", "cents")


class OrderSerializer(serializers.ModelSerializer[Order]):
    """An order, with what was ordered."""

    product_name = serializers.CharField(source="product.name", read_only=True)

    class Meta:
        """Its fields."""

        model = Order
        fields = ("id", "product", "product_name", "quantity", "ordered_at")


class IsStaffOrReads(BasePermission):
    """Everybody may read; staff may write."""

    def has_permission(self, request: Request, view: object) -> bool:  # noqa: ARG002 - DRF's
        """Whether this request is permitted."""
        return request.method in SAFE_METHODS or bool(getattr(request.user, "is_staff", False))


class ProductViewSet(  # type: ignore[type-arg]
    CachedViewSetMixin, mixins.UpdateModelMixin, viewsets.ReadOnlyModelViewSet
):
    """The catalogue: the same for everybody, and stale when a product changes."""

    permission_classes = (IsStaffOrReads,)

    queryset = Product.objects.order_by("id")
    serializer_class = ProductSerializer
    cache_per_user = False
    cache_tags = ("catalogue",)
    cache_ttl = 300
    cache_x_cache = True


class OrderViewSet(  # type: ignore[type-arg]
    CachedViewSetMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet,
):
    """A user's orders: each user's history is stale as soon as that user orders."""

    serializer_class = OrderSerializer
    permission_classes = (IsAuthenticated,)
    cache_ttl = 300
    cache_x_cache = True
    cache_user_tag = "user:{user.pk}/orders"

    def get_queryset(self):  # noqa: ANN201 - DRF's
        """This user's orders."""
        return Order.objects.filter(user=self.request.user).select_related("product")

    def perform_create(self, serializer: OrderSerializer) -> None:
        """Order in this user's name. The registration in `apps` does the rest."""
        serializer.save(user=self.request.user)
