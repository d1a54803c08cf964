"""Six races in SQLAlchemy's ORM: `python with_sqlalchemy.py lost_update racy`, or `repaired`; see dbapi.py."""

from __future__ import annotations

import os
import sys

from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Room(Base):
    __tablename__ = "room"
    id: Mapped[int] = mapped_column(primary_key=True)


class Booking(Base):
    __tablename__ = "booking"
    id: Mapped[int] = mapped_column(primary_key=True)
    room: Mapped[int]
    guest: Mapped[int]


class Doctor(Base):
    __tablename__ = "doctor"
    id: Mapped[int] = mapped_column(primary_key=True)
    on_call: Mapped[bool]


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Job(Base):
    __tablename__ = "job"
    id: Mapped[int] = mapped_column(primary_key=True)
    taken_by: Mapped[int | None]


class Done(Base):
    __tablename__ = "done"
    id: Mapped[int] = mapped_column(primary_key=True)
    job: Mapped[int]


def lost_update(session: Session, repaired: bool, worker: int) -> None:
    account = session.get_one(Account, 1, with_for_update=repaired or None)
    account.balance += 10


def check_then_insert(session: Session, repaired: bool, worker: int) -> None:
    if repaired:
        session.get_one(Room, 7, with_for_update=True)
    if session.scalar(select(func.count()).select_from(Booking).where(Booking.room == 7)) == 0:
        session.add(Booking(room=7, guest=worker))


def write_skew(session: Session, repaired: bool, worker: int) -> None:
    if repaired:
        session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
    if (session.scalar(select(func.count()).select_from(Doctor).where(Doctor.on_call)) or 0) > 1:
        session.get_one(Doctor, worker).on_call = False


def get_or_create(session: Session, repaired: bool, worker: int) -> None:
    if repaired:
        session.execute(insert(Tag).values(name="news").on_conflict_do_nothing())
    if session.scalar(select(Tag).where(Tag.name == "news")) is None:
        session.add(Tag(name="news"))


def double_claim(session: Session, repaired: bool, worker: int) -> None:
    free = select(Job).where(Job.taken_by.is_(None)).order_by(Job.id).limit(1)
    job = session.scalars(free.with_for_update(skip_locked=True) if repaired else free).one()
    job.taken_by = worker
    session.add(Done(job=job.id))


def deadlock(session: Session, repaired: bool, worker: int) -> None:
    order = (1, 2) if worker == 1 or repaired else (2, 1)
    for number in order:
        account = session.get_one(Account, number, with_for_update=True)
        account.balance += -5 if number == worker else 5
        session.flush()


def play(engine: Engine, race: str, repaired: bool, worker: int) -> None:
    for _ in range(10):
        try:
            with Session(engine) as session, session.begin():
                globals()[race](session, repaired, worker)
            break
        except OperationalError as error:
            state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
            if not repaired or state != "40001":
                raise


def main() -> None:
    race, form = sys.argv[1:3]
    url = os.environ.get("DATABASE_URL", "postgresql://").replace("postgresql://", "postgresql+psycopg://", 1)
    play(create_engine(url), race, form == "repaired", int(os.environ.get("CHAOS_WORKER", "1")))


if __name__ == "__main__":
    main()
