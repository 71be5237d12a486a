import pickle

from flask import Blueprint, current_app, g, request
from flask_login import current_user, login_required

from extensions import cache, redis_store

bp = Blueprint("bp", __name__)


@bp.route("/<name>")
def show(name):
    found = cache.get("show_" + name)
    if not found:
        found = render(name)
        cache.set("show_" + name, found, timeout=50)  # expect: UNS005 UNS010
    return found


@bp.route("/n/<int:number>")
def number(number):
    cache.set(f"number_{number}", render(number))
    return ""


@bp.route("/q")
def query():
    words = request.args.get("q")
    redis_store.setex(f"q:{words}", 60, run(words))  # expect: UNS010
    return ""


@bp.route("/me")
@login_required
def me():
    cache.set("me", load_profile(current_user.id))  # expect: UNS011
    cache.set(f"me_{current_user.id}", load_profile(current_user.id))
    return ""


@bp.route("/clear")
def clear():
    cache.clear()  # expect: UNS003
    cache.delete_memoized(show)
    for key in redis_store.scan_iter("q:*"):  # expect: UNS001
        redis_store.delete(key)
    return pickle.loads(redis_store.get("blob"))  # expect: UNS008


def by_attribute():
    keys = current_app.redis.keys("x:*")  # expect: UNS002
    return len(keys), g.user


@bp.route("/mine")
@login_required
@cache.cached(timeout=60)  # expect: UNS011
def mine():
    return render(current_user.name)


@bp.route("/mine-too")
@cache.cached(timeout=60, make_cache_key=lambda: f"mine:{current_user.id}")
def mine_too():
    return render(current_user.name)


@bp.route("/public")
@cache.cached(timeout=60)
def public():
    return render("all")


@cache.memoize(60)
def rows_of(user_id):
    return load(user_id)
