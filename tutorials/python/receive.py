#!/usr/bin/env python3
"""Hello world, the receiving half: prints what arrives in the queue `hello`, until Ctrl-C."""
import pika

from lesson import broker


def on_message(channel, method, properties, body):
    print(f" [x] Received {body.decode()}")


def main():
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.queue_declare(queue="hello")

    # auto_ack: the broker forgets a message as soon as it is sent to us.
    channel.basic_consume(queue="hello", on_message_callback=on_message, auto_ack=True)

    print(" [*] Waiting for messages. To exit press CTRL+C")
    channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Bye")
