"""The other side of the interop tests: omni-box, as a service would use it.

    python peer.py COMMAND < arguments.json > result.json
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from omni_box import AckStrategy, InboxConsumerRunner
from omni_box.application.factories import create_inbox_processor
from omni_box.core.converters.event import (
    EnvelopeEventConverter,
    RawEventConverter,
    SchemaVersionedConverter,
)
from omni_box.core.services.domain import OmniBoxDomainService
from omni_box.infra.brokers.kafka.consumer import KafkaEventConsumer
from omni_box.infra.brokers.kafka.publisher import KafkaEventPublisher
from omni_box.infra.storage.postgres.orm import InboxEventDBBase
from omni_box.infra.storage.postgres.repositories.inbox import PostgresInboxRepository
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

# The result alone is for stdout.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


class Base(DeclarativeBase):
    pass


class InboxEventRow(Base, InboxEventDBBase):
    pass


CONVERTERS = {
    "raw": RawEventConverter,
    "schema-versioned": SchemaVersionedConverter,
    "envelope": EnvelopeEventConverter,
}


class Inbox:
    """Transactions with a repository of the inbox."""

    def __init__(self, url):
        self.engine = create_async_engine(url)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self):
        async with self.sessions() as session, session.begin():
            yield PostgresInboxRepository(session, model_class=InboxEventRow)


def told(event):
    """What the tests compare of an event."""
    return {
        "message_id": event.message_id,
        "source": event.source,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "payload": event.payload,
        "headers": event.headers,
        "trace_id": event.trace_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "status": event.status,
        "attempts": event.attempts_made,
    }


async def apply(event, repo):
    """The handler: it writes in the transaction that completes the event."""
    await repo.session.execute(
        text("insert into python_effects (message_id) values (:id)"), {"id": event.message_id}
    )


async def publish(brokers, topic, converter, events):
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True)
    await producer.start()
    ids = []
    try:
        publisher = KafkaEventPublisher(producer, CONVERTERS[converter]())
        for fields in events:
            event = OmniBoxDomainService().create_outbox_event(
                "order", UUID(fields.pop("aggregate_id")), fields.pop("event_type"), topic, fields.pop("key"),
                fields.pop("payload"), **fields,
            )
            await publisher.publish(event, None)
            ids.append(str(event.id))
    finally:
        await producer.stop()
    return ids


async def create(url):
    inbox = Inbox(url)
    async with inbox.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def consume(url, brokers, topic, group, messages, handle):
    inbox = Inbox(url)
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    runner = InboxConsumerRunner(
        KafkaEventConsumer(consumer), inbox, apply if handle else None, worker_id="python-1", consumer_group=group,
        ack_strategy=AckStrategy.EXACTLY_ONCE_INBOX,
    )
    await runner.start()
    try:
        results = [await runner.process_one() for _ in range(messages)]
    finally:
        await runner.stop()
    return [
        {"message_id": r.message_id, "committed": r.committed, "processed": r.processed, "duplicate": r.duplicate}
        for r in results
    ]


async def rows(url):
    """Reads every row by its message id, whatever its status."""
    inbox = Inbox(url)
    async with inbox.transaction() as repo:
        found = await repo.session.execute(select(InboxEventRow.message_id, InboxEventRow.consumer_group))
        return [told(await repo.get_by_message_id(*key)) for key in found.all()]


async def fetch(url):
    """Fetches what is pending, and leaves it as it was."""
    inbox = Inbox(url)
    async with inbox.sessions() as session:
        repo = PostgresInboxRepository(session, model_class=InboxEventRow)
        events = await repo.fetch_and_lock_pending(limit=1000, worker_id="python-1", ttl=300)
        await session.rollback()
    return [told(e) for e in events]


async def process(url):
    """Handles a batch of what is pending."""
    inbox = Inbox(url)
    async with inbox.transaction() as repo:
        result = await create_inbox_processor(repo, apply).process_batch(worker_id="python-1", batch_size=1000)
    if result.commit_failed:
        raise RuntimeError("the batch was not committed")


async def requeue(url, message_id, group):
    """Puts a dead message back, as omni-box's operators do."""
    inbox = Inbox(url)
    async with inbox.transaction() as repo:
        event = await repo.get_by_message_id(message_id, group)
        return await repo.requeue_failed(event.id)


if __name__ == "__main__":
    command = {f.__name__: f for f in (publish, create, consume, rows, fetch, process, requeue)}[sys.argv[1]]
    json.dump(asyncio.run(command(**json.load(sys.stdin))), sys.stdout)
