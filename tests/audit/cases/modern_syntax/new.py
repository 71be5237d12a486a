import redis

type Keys = list[str]
r = redis.Redis()


class Box[T]:
    def get[K](self, key: K) -> T: ...


def forget(user):
    data = {"id": user}
    for key in r.scan_iter(f"user:{data["id"]}:*"):  # expect: UNS001
        r.delete(key)
    print(f"{"\n".join(["a"])}")
