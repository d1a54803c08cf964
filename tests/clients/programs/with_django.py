"""Six races in Django's ORM, in one file: `python with_django.py lost_update racy`, or `repaired`; see dbapi.py."""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.conf import settings
from django.db import OperationalError, connection, models, transaction


def database(dsn: str) -> dict[str, object]:
    url = urlsplit(dsn)
    query = parse_qs(url.query)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]) or os.environ.get("PGDATABASE", "postgres"),
        "USER": unquote(url.username or "") or os.environ.get("PGUSER", ""),
        "PASSWORD": unquote(url.password or "") or os.environ.get("PGPASSWORD", ""),
        "HOST": query.get("host", [url.hostname or os.environ.get("PGHOST", "")])[0],
        "PORT": str(query.get("port", [url.port or os.environ.get("PGPORT", "")])[0]),
    }


settings.configure(DATABASES={"default": database(os.environ.get("DATABASE_URL", ""))}, INSTALLED_APPS=[])
django.setup()


class Account(models.Model):
    balance = models.IntegerField()

    class Meta:
        app_label, db_table = "races", "account"


class Room(models.Model):
    class Meta:
        app_label, db_table = "races", "room"


class Booking(models.Model):
    room = models.IntegerField()
    guest = models.IntegerField()

    class Meta:
        app_label, db_table = "races", "booking"


class Doctor(models.Model):
    on_call = models.BooleanField()

    class Meta:
        app_label, db_table = "races", "doctor"


class Tag(models.Model):
    name = models.TextField(unique=True)

    class Meta:
        app_label, db_table = "races", "tag"


class Job(models.Model):
    taken_by = models.IntegerField(null=True)

    class Meta:
        app_label, db_table = "races", "job"


class Done(models.Model):
    job = models.IntegerField()

    class Meta:
        app_label, db_table = "races", "done"


def lost_update(repaired: bool, worker: int) -> None:
    account = (Account.objects.select_for_update() if repaired else Account.objects).get(pk=1)
    account.balance += 10
    account.save()


def check_then_insert(repaired: bool, worker: int) -> None:
    if repaired:
        Room.objects.select_for_update().get(pk=7)
    if not Booking.objects.filter(room=7).exists():
        Booking.objects.create(room=7, guest=worker)


def write_skew(repaired: bool, worker: int) -> None:
    if repaired:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    if Doctor.objects.filter(on_call=True).count() > 1:
        Doctor.objects.filter(pk=worker).update(on_call=False)


def get_or_create(repaired: bool, worker: int) -> None:
    if repaired:
        Tag.objects.get_or_create(name="news")
    elif Tag.objects.filter(name="news").first() is None:
        Tag.objects.create(name="news")


def double_claim(repaired: bool, worker: int) -> None:
    free = Job.objects.filter(taken_by=None).order_by("pk")
    job = (free.select_for_update(skip_locked=True) if repaired else free)[0]
    job.taken_by = worker
    job.save()
    Done.objects.create(job=job.pk)


def deadlock(repaired: bool, worker: int) -> None:
    order = (1, 2) if worker == 1 or repaired else (2, 1)
    for number in order:
        amount = -5 if number == worker else 5
        Account.objects.filter(pk=number).update(balance=models.F("balance") + amount)


def play(race: str, repaired: bool, worker: int) -> None:
    for _ in range(10):
        try:
            with transaction.atomic():
                globals()[race](repaired, worker)
            break
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None)
            if not repaired or state != "40001":
                raise


def main() -> None:
    race, form = sys.argv[1:3]
    play(race, form == "repaired", int(os.environ.get("CHAOS_WORKER", "1")))


if __name__ == "__main__":
    main()
