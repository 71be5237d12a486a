"""The API, with its caching by hand."""

from rest_framework import mixins, serializers, viewsets
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from shop import services
from shop.models import Order, Product


class ProductSerializer(serializers.ModelSerializer):
    class Meta:
        model = Product
        fields = ("id", "name", "cents")


class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ("id", "product", "quantity")


class ProductViewSet(viewsets.ReadOnlyModelViewSet):
    queryset = Product.objects.order_by("id")
    serializer_class = ProductSerializer

    def list(self, request, *args, **kwargs):
        return Response({"results": services.catalogue()})

    def retrieve(self, request, *args, pk, **kwargs):
        return Response(next(each for each in services.catalogue() if each["id"] == int(pk)))


class OrderViewSet(mixins.CreateModelMixin, viewsets.GenericViewSet):
    serializer_class = OrderSerializer
    permission_classes = (IsAuthenticated,)

    def list(self, request, *args, **kwargs):
        return Response({"results": services.history(request.user.pk, int(request.query_params.get("limit", 20)))})

    def perform_create(self, serializer):
        data = serializer.validated_data
        serializer.instance = services.order(self.request.user.pk, data["product"].pk, data.get("quantity", 1))
