#!/usr/bin/env python3
"""Topics, the subscribing half: prints the lines whose routing key fits a pattern on its command line.

In a pattern `*` stands for exactly one word, `#` for any number of words, also none. Put it in quotes, or
the shell takes it for file names.
"""
import sys

import pika

from lesson import broker


def on_line(channel, method, properties, body):
    print(f" [x] {method.routing_key}:{body.decode()}")


def main(binding_keys):
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.exchange_declare(exchange="topic_logs", exchange_type="topic")

    result = channel.queue_declare(queue="", exclusive=True)
    queue = result.method.queue
    # A line that fits several patterns still arrives once: a queue gets one copy.
    for binding_key in binding_keys:
        channel.queue_bind(queue=queue, exchange="topic_logs", routing_key=binding_key)

    channel.basic_consume(queue=queue, on_message_callback=on_line, auto_ack=True)

    print(" [*] Waiting for logs. To exit press CTRL+C")
    channel.start_consuming()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Usage: receive_logs_topic.py [binding_key]...")
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        print("Bye")
