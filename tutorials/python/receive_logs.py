#!/usr/bin/env python3
"""Publish/subscribe, the subscribing half: prints every line sent while it runs."""
import pika

from lesson import broker


def on_line(channel, method, properties, body):
    print(f" [x] {body.decode()}")


def main():
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.exchange_declare(exchange="logs", exchange_type="fanout")

    # A queue of our own: the broker makes up its name, and deletes it when we leave.
    result = channel.queue_declare(queue="", exclusive=True)
    queue = result.method.queue
    channel.queue_bind(queue=queue, exchange="logs")

    channel.basic_consume(queue=queue, on_message_callback=on_line, auto_ack=True)

    print(" [*] Waiting for logs. To exit press CTRL+C")
    channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Bye")
