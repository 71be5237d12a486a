from django.core.cache import cache, caches
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--pattern", default="*")

    def handle(self, *args, **options):
        if options["pattern"] == "*":
            for each in caches.all():
                each.clear()  # expect: UNS003
            return
        deleted = cache.delete_pattern(options["pattern"])  # expect: UNS001
        self.stdout.write(str(deleted))
