#!/usr/bin/env python3
"""The chat, the reading half: prints each line, a dot for each second without one, and the count at Ctrl-C.

`python receptor.py [--todos] [HOST [USER PASSWORD]]`; with `--todos` everybody sees everything.
"""
import json
import signal
import sys
from threading import Event

import pika

from chat import EXCHANGE, QUEUE, Arguments, counted


def main():
    arguments = Arguments()
    connection = arguments.connect()
    channel = connection.channel()
    if arguments.is_for_all:
        # A queue of our own, that gets a copy of everything.
        channel.exchange_declare(exchange=EXCHANGE, exchange_type="fanout")
        queue = channel.queue_declare(queue="", exclusive=True).method.queue
        channel.queue_bind(queue=queue, exchange=EXCHANGE)
    else:
        # The queue that the writer writes to. It is there also while nobody reads.
        channel.queue_declare(queue=QUEUE, durable=True)
        queue = QUEUE

    # Ctrl-C is noted, and obeyed between two messages: what was printed is also counted and acked.
    is_over = Event()
    signal.signal(signal.SIGINT, lambda number, frame: is_over.set())

    print(f"Conectado con {arguments.host}. Esperando mensajes; Ctrl-C para terminar.")
    received = 0
    is_idle = False
    try:
        for method, properties, body in channel.consume(queue, inactivity_timeout=1):
            if is_over.is_set():
                break
            if method is None:
                print(".", end="", flush=True)
                is_idle = True
                continue
            if is_idle:
                print()
                is_idle = False
            print(shown(body))
            received += 1
            # After printing: what was not printed stays in the queue.
            channel.basic_ack(method.delivery_tag)
    finally:
        # Also when the broker stops.
        print(f"\n{counted(received)} en total.")
    connection.close()


def shown(body):
    """What is not a line of the chat is shown as it is: anybody can send to the queue."""
    try:
        message = json.loads(body)
        return f"[{message['usuario']}] {message['mensaje']} ({message['hora']})"
    except (ValueError, KeyError, TypeError):
        return f"[?] {body.decode(errors='replace')}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
    except pika.exceptions.AMQPError as error:
        sys.exit(f"El broker ha terminado la conexión: {error!r}")
