#!/usr/bin/env python3
"""Remote procedure call, the calling half: asks for a Fibonacci number and waits for the answer.

`python rpc_client.py 10` asks for the tenth.
"""
import sys

import pika

from lesson import broker

# Any text will do that no other request of this program has.
CORRELATION_ID = "my first question"


def on_answer(channel, method, properties, body):
    if properties.correlation_id == CORRELATION_ID:
        print(f" [.] Got {body.decode()}")
        channel.stop_consuming()


def main(n):
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()

    # A queue of our own, for the answer.
    result = channel.queue_declare(queue="", exclusive=True)
    answers = result.method.queue
    channel.basic_consume(queue=answers, on_message_callback=on_answer, auto_ack=True)

    print(f" [x] Requesting fib({n})")
    channel.basic_publish(
        exchange="",
        routing_key="rpc_queue",
        body=n,
        properties=pika.BasicProperties(reply_to=answers, correlation_id=CORRELATION_ID),
    )
    channel.start_consuming()
    connection.close()


if __name__ == "__main__":
    try:
        main(" ".join(sys.argv[1:]) or "30")
    except KeyboardInterrupt:
        print("Bye")
