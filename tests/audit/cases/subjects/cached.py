from django.core.cache import cache


class Cached:
    def __init__(self, *models):
        self.models = models
        self.key = ":".join(str(model.pk) for model in models)

    def data(self):
        found = self.generate(*self.models)
        cache.set(self.key, found, 60)
        return found


class Tags(Cached):
    def generate(self, course, user):
        return list(tags_of(course, user.profile))


def shown(user):
    rows = rows_of(user)
    cache.set("rows", rows, 60)  # expect: UNS011


class Links(Cached):
    def generate(self, course):
        return [link_of(exercise) for exercise in course.exercises]


def link_of(exercise, request=None):
    return exercise.link(request.user if request else None)


def links(request):
    rows = link_of(request.GET["exercise"], request)
    cache.set("links", rows, 60)  # expect: UNS011
