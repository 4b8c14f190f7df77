#!/usr/bin/env python3
"""The chat, the writing half: asks for a name and sends each line that is typed, until `salir`.

`python emisor.py [--todos] [HOST [USER PASSWORD]]`; with `--todos` everybody sees everything.
"""
import json
import sys
from datetime import datetime

import pika

from chat import EXCHANGE, QUEUE, Arguments, counted


def main():
    arguments = Arguments()
    connection = arguments.connect()
    channel = connection.channel()
    # With confirms we hear of it if the broker does not take a line.
    channel.confirm_delivery()

    # For two: straight into the queue. For all: to an exchange that copies it into everybody's queue.
    if arguments.is_for_all:
        exchange, routing_key = EXCHANGE, ""
        channel.exchange_declare(exchange=EXCHANGE, exchange_type="fanout")
    else:
        exchange, routing_key = "", QUEUE
        channel.queue_declare(queue=QUEUE, durable=True)

    print(f"Conectado con {arguments.host}. Para terminar, escribe salir.")
    name = ""
    while not name:
        name = asked("Tu nombre: ")
    sent = 0
    while (line := asked(f"{name}> ")) != "salir":
        if not line:
            continue
        message = {"usuario": name, "mensaje": line, "hora": datetime.now().strftime("%H:%M:%S")}
        channel.basic_publish(
            exchange=exchange,
            routing_key=routing_key,
            body=json.dumps(message, ensure_ascii=False).encode(),
            properties=pika.BasicProperties(
                content_type="application/json",
                delivery_mode=pika.DeliveryMode.Persistent,
            ),
        )
        sent += 1
    print(f"Hasta luego, {name}: {counted(sent)} en total.")
    connection.close()


def asked(prompt):
    """The line that was typed after `prompt`; `salir` at the end of the input (Ctrl-D)."""
    try:
        return input(prompt).strip()
    except EOFError:
        return "salir"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
    except pika.exceptions.AMQPError as error:
        sys.exit(f"El broker ha terminado la conexión: {error!r}")
