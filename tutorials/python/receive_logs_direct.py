#!/usr/bin/env python3
"""Routing, the subscribing half: prints the lines of the severities named on its command line."""
import sys

import pika

from lesson import broker


def on_line(channel, method, properties, body):
    print(f" [x] {method.routing_key}:{body.decode()}")


def main(severities):
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.exchange_declare(exchange="direct_logs", exchange_type="direct")

    result = channel.queue_declare(queue="", exclusive=True)
    queue = result.method.queue
    # One binding for each severity: one queue may have many.
    for severity in severities:
        channel.queue_bind(queue=queue, exchange="direct_logs", routing_key=severity)

    channel.basic_consume(queue=queue, on_message_callback=on_line, auto_ack=True)

    print(" [*] Waiting for logs. To exit press CTRL+C")
    channel.start_consuming()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Usage: receive_logs_direct.py [info] [warning] [error]")
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        print("Bye")
