import json

import redis
from django.conf import settings
from django.http import JsonResponse
from rest_framework.decorators import api_view
from rest_framework.response import Response

redis_instance = redis.StrictRedis(host=settings.REDIS_HOST, port=settings.REDIS_PORT, db=0)


@api_view(["GET", "POST"])
def manage_items(request, *args, **kwargs):
    if request.method == "GET":
        items = {}
        count = 0
        for key in redis_instance.keys("*"):  # expect: UNS002
            items[key.decode("utf-8")] = redis_instance.get(key)
            count += 1
        return Response({"count": count, "items": items})
    item = json.loads(request.body)
    key = list(item.keys())[0]
    redis_instance.set("item", item[key])
    return Response(201)


def queue(request):
    redis_instance.rpush("queue", "x")
    redis_instance.delete("queue")
    redis_instance.set("queue:state", "idle")
    return JsonResponse({"length": redis_instance.llen("queue")})
