from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework.decorators import action
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet


class Museum(APIView):
    @method_decorator(cache_page(300))
    def get(self, request, pk):
        return answer(load_museum(pk))

    def patch(self, request, pk):
        return answer(change_museum(pk, request.user))


class Pictures(ModelViewSet):
    queryset = load_pictures()

    @method_decorator(cache_page(300))
    def dispatch(self, request, *args, **kwargs):
        return super().dispatch(request, *args, **kwargs)

    def perform_create(self, serializer):
        serializer.save(by=self.request.user)

    @action(detail=True, methods=["post"])
    def like(self, request, pk):
        return answer(like(pk, request.user))


class Likes(ModelViewSet):
    @method_decorator(cache_page(300))  # expect: UNS011
    def dispatch(self, request, *args, **kwargs):
        return super().dispatch(request, *args, **kwargs)

    @action(detail=False, methods=["get", "post"])
    def own(self, request):
        return answer(likes_of(request.user))
