from datetime import UTC, datetime


def now():
    return datetime.now(UTC)


def as_text(time):
    return time.strftime("%Y-%m-%d")
