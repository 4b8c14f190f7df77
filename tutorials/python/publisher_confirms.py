#!/usr/bin/env python3
"""Publisher confirms: three ways to wait until the broker has answered, and what each costs.

`python publisher_confirms.py 1000` publishes a thousand messages each way instead of fifty thousand.
"""
import asyncio
import sys
import time

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from lesson import broker

BATCH = 100

# How many messages may be published and not yet confirmed.
WINDOW = 1000


class Publisher:
    """A channel with confirms on; unlike that of a BlockingConnection, it can wait for them later."""

    async def open(self):
        loop = asyncio.get_running_loop()
        connected, opened = loop.create_future(), loop.create_future()
        declared, self.closed = loop.create_future(), loop.create_future()
        self.connection = AsyncioConnection(
            broker,
            on_open_callback=connected.set_result,
            on_open_error_callback=lambda connection, error: connected.set_exception(error),
            on_close_callback=lambda connection, error: self.on_closed(error),
        )
        await connected
        self.connection.channel(on_open_callback=opened.set_result)
        self.channel = await opened
        self.published = 0
        self.unconfirmed = {}
        # From now on the broker answers every publish on this channel with an ack or a nack.
        self.channel.confirm_delivery(self.on_confirm)
        self.channel.add_on_return_callback(self.on_return)
        self.channel.queue_declare(queue="", exclusive=True, callback=declared.set_result)
        self.queue = (await declared).method.queue

    def publish(self, queue, body):
        """Publishes; the future is done when the broker has confirmed."""
        self.channel.basic_publish(exchange="", routing_key=queue, body=body, mandatory=True)
        self.published += 1
        confirmed = asyncio.get_running_loop().create_future()
        self.unconfirmed[self.published] = confirmed
        return confirmed

    def on_confirm(self, frame):
        """The broker counts what we publish, too. `multiple`: this number and all before it."""
        confirm = frame.method
        numbers = [confirm.delivery_tag]
        if confirm.multiple:
            numbers = [number for number in self.unconfirmed if number <= confirm.delivery_tag]
        for number in numbers:
            if isinstance(confirm, pika.spec.Basic.Nack):
                print("Not taken by the broker: publish it again")
            self.unconfirmed.pop(number).set_result(None)

    def on_return(self, channel, method, properties, body):
        print(f"Returned: {method.reply_code} {method.reply_text} (routing key {method.routing_key})")

    def on_closed(self, error):
        for confirmed in self.unconfirmed.values():
            confirmed.set_exception(error)
        self.closed.set_result(None)


async def individually(publisher, count):
    """Safe, simple, slow: each message waits for the confirm of the one before."""
    for n in range(count):
        await publisher.publish(publisher.queue, str(n))


async def in_batches(publisher, count):
    """Much faster: one wait for a hundred messages. But if something goes wrong, it was one of a hundred."""
    for first in range(0, count, BATCH):
        batch = range(first, min(first + BATCH, count))
        await asyncio.gather(*[publisher.publish(publisher.queue, str(n)) for n in batch])


async def asynchronously(publisher, count):
    """Publishing goes on while the confirms are looked at as they come."""
    window = asyncio.Semaphore(WINDOW)
    for n in range(count):
        await window.acquire()
        confirmed = publisher.publish(publisher.queue, str(n))
        confirmed.add_done_callback(lambda _: window.release())
    await asyncio.gather(*publisher.unconfirmed.values())


async def main(count):
    publisher = Publisher()
    await publisher.open()
    for way, how in [
        (individually, "individually"),
        (in_batches, "in batch"),
        (asynchronously, "and handled confirms asynchronously"),
    ]:
        begin = time.monotonic()
        await way(publisher, count)
        milliseconds = int((time.monotonic() - begin) * 1000)
        print(f"Published {count:,} messages {how} in {milliseconds:,} ms")

    # Mandatory: if no queue takes the message, we want it back. The confirm comes all the same.
    await publisher.publish("nowhere", "lost")
    publisher.connection.close()
    await publisher.closed


if __name__ == "__main__":
    words = sys.argv[1:] or ["50000"]
    if not words[0].isdecimal():
        sys.exit("Usage: publisher_confirms.py [number of messages]")
    try:
        asyncio.run(main(int(words[0])))
    except KeyboardInterrupt:
        print("Bye")
