from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.cache.utils import make_template_fragment_key
from django.db.models import signals
from django.dispatch import receiver
from django.views.generic import DetailView, ListView


class PostList(ListView):
    model = None

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context["liked"] = Like.objects.filter(user=self.request.user)
        return context


class PostDetail(DetailView):
    model = None


def index(request):
    return render(request, "index.html")


@login_required
def home(request):
    return render(request, "home.html")


@receiver(signals.post_save, sender="blog.Post")
@receiver(signals.post_delete, sender="blog.Post")
def post_changed(sender, instance, **kwargs):
    cache.delete(make_template_fragment_key("sidebar", [instance.pk]))  # expect: UNS004
    for page in range(3):
        cache.delete(f"posts:{page}")  # expect: UNS004


for signal in (signals.post_save, signals.pre_delete):

    @receiver(signal)
    def anything(sender, **kwargs):
        pass


def tag_changed(sender, **kwargs):
    keys = [f"tag:{pk}" for pk in kwargs["pk_set"]]
    cache.delete_many(keys)  # expect: UNS004


for each in (signals.m2m_changed, signals.post_save):
    each.connect(tag_changed)
