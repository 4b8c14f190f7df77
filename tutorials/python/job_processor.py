#!/usr/bin/env python3
"""The job queue, the working half: up to five jobs at a time; one that fails is tried three times.

A failed job is rejected; the broker takes it to a queue in which it waits for its pause to end, and from there back.
At Ctrl-C or SIGTERM the processor finishes the jobs that it has, and leaves.
"""
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pika

from jobs import TRIES_MAX, Settings, stop_asked

# How many jobs the broker gives us before the first is acked: so many we work on at a time.
PREFETCH = 5

# Before we connect again to a broker that has gone.
CONNECT_PAUSE_SECS = 1

# How often we look whether we are asked to stop.
TURN_SECS = 0.2

SECONDS_MAX = 3600

# The broker is away: it is not there, it goes, or it says (320) that it is being stopped.
AWAY = (pika.exceptions.AMQPConnectionError, socket.gaierror)
# The broker says no, and would say it again.
REFUSALS = (
    pika.exceptions.AuthenticationError,
    pika.exceptions.ProbableAuthenticationError,
    pika.exceptions.ProbableAccessDeniedError,
    pika.exceptions.ChannelClosedByBroker,
)


class MayPass(Exception):
    """A try failed; the next one may not."""


class ForGood(Exception):
    """A try failed, and so would all others."""


class Processor:
    def __init__(self, settings, stop):
        self.settings = settings
        self.log = settings.log
        self.stop = stop
        self.threads = ThreadPoolExecutor(PREFETCH)

    def work(self):
        """Works until the program is asked to stop.

        If the connection is lost, the broker gives the jobs in hand to the next one.
        """
        connection = pika.BlockingConnection(self.settings.parameters())
        channel = connection.channel()
        # With confirms we know that a job is in the queue of the failed ones before we ack it.
        channel.confirm_delivery()
        self.declare_queues(channel)
        channel.basic_qos(prefetch_count=PREFETCH)
        in_hand = set()

        def on_job(channel, method, properties, body):
            in_hand.add(method.delivery_tag)
            self.threads.submit(self.attempt, connection, on_end, method.delivery_tag, properties, body)

        def on_end(tag, properties, body, error):
            self.settle(channel, tag, properties, body, error)
            in_hand.remove(tag)

        consumer = channel.basic_consume(queue=self.settings.queue, on_message_callback=on_job)
        self.log.status("Waiting for jobs. To exit press CTRL+C")
        while not self.stop.is_set():
            connection.process_data_events(TURN_SECS)
            if not channel.consumer_tags:
                # Somebody has deleted the queue.
                connection.close()
                raise pika.exceptions.AMQPConnectionError("the queue is gone")

        self.log.status(f"Ending; jobs in hand: {len(in_hand)}")
        # No more of them, please. What we have not begun goes back.
        channel.basic_cancel(consumer)
        while in_hand:
            connection.process_data_events(TURN_SECS)
        connection.close()

    def declare_queues(self, channel):
        """Makes the three queues. Those that are there already stay as they are."""
        for name, arguments in self.settings.queues().items():
            channel.queue_declare(queue=name, durable=True, arguments=arguments)

    def attempt(self, connection, on_end, tag, properties, body):
        """Does one job, in a thread of its own; only the connection's thread may talk to the broker."""
        attempt = 1 + self.rejections(properties)
        self.log.info(f"{properties.message_id or '?'}: try {attempt} of {TRIES_MAX}")
        try:
            attempted(body, attempt)
            error = None
        except (MayPass, ForGood) as failure:
            error = failure if attempt < TRIES_MAX else ForGood(str(failure))
        try:
            connection.add_callback_threadsafe(lambda: on_end(tag, properties, body, error))
        except pika.exceptions.ConnectionWrongStateError:
            # The connection was lost meanwhile: the broker gives the job to somebody else.
            pass

    def settle(self, channel, tag, properties, body, error):
        """Tells the broker how it went."""
        job_id = properties.message_id or "?"
        if error is None:
            self.log.debug(f"{job_id}: {body.decode(errors='replace')}")
            self.log.info(f"{job_id}: done")
            return channel.basic_ack(tag)
        # Where the job goes now may have been deleted since we began.
        self.declare_queues(channel)
        if isinstance(error, MayPass):
            self.log.error(f"{job_id}: failed ({error}); once more in {self.settings.pause_ms} ms")
            # Not into the queue again, but where its arguments say: to the queue in which failed jobs pause.
            channel.basic_reject(tag, requeue=False)
        elif self.give_up(channel, properties, body, error):
            self.log.error(f"{job_id}: failed ({error}); given up")
            channel.basic_ack(tag)
        else:
            self.log.error(f"{job_id}: {self.settings.failed_queue} does not take it")
            channel.basic_reject(tag, requeue=False)

    def give_up(self, channel, properties, body, error):
        """Publishes the job to the queue of the failed ones, with the reason. Whether it is there."""
        try:
            channel.basic_publish(
                exchange="",
                routing_key=self.settings.failed_queue,
                body=body,
                properties=pika.BasicProperties(
                    content_type="application/json",
                    delivery_mode=pika.DeliveryMode.Persistent,
                    message_id=properties.message_id,
                    headers={"error": str(error)},
                ),
                # A job that fits no queue comes back.
                mandatory=True,
            )
            return True
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
            return False

    def rejections(self, properties):
        """How often the job was rejected: the broker counts in `x-death`, one entry for each queue and reason."""
        for death in (properties.headers or {}).get("x-death", []):
            if death["queue"] == self.settings.queue and death["reason"] == "rejected":
                return death["count"]
        return 0


def no_number(name):
    """Python would read NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no number")


def attempted(body, attempt):
    """The work itself: `seconds` of it, and as many of the first tries fail as `fails` says."""
    try:
        data = json.loads(body, parse_constant=no_number)["data"]
        seconds, fails = data.get("seconds", 1), data.get("fails", 0)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ForGood(f"no job: {error!r}") from error
    if type(seconds) not in (int, float) or not 0 <= seconds <= SECONDS_MAX:
        raise ForGood(f"seconds must be a number from 0 to {SECONDS_MAX}")
    time.sleep(seconds)
    if type(fails) is int and attempt <= fails:
        raise MayPass("as it was told to")


def away(settings, error):
    """Somebody else may listen there: at another port, the broker itself."""
    if isinstance(error, pika.exceptions.IncompatibleProtocolError):
        where = f"{settings.host}:{settings.amqp_port}"
        return f"what answers at {where} is not AMQP: is JOBS_AMQP_PORT right?"
    return f"the broker is away ({error!r})"


def main():
    settings = Settings()
    stop = stop_asked()
    processor = Processor(settings, stop)
    while not stop.is_set():
        try:
            processor.work()
        except REFUSALS as error:
            sys.exit(f"the broker says {error}")
        except AWAY as error:
            if isinstance(error, pika.exceptions.ConnectionClosedByBroker) and error.reply_code != 320:
                sys.exit(f"the broker says {error}")
            settings.log.error(f"{away(settings, error)}; once more in {CONNECT_PAUSE_SECS}s")
            stop.wait(CONNECT_PAUSE_SECS)
    settings.log.status("Bye")


if __name__ == "__main__":
    main()
