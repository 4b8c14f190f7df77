#!/usr/bin/env python3
"""Remote procedure call, the serving half: answers each request with a Fibonacci number."""
import pika

from lesson import broker


def answer(request):
    """`fib(n)`, or what is wrong with `n`. From 94 on the number has more than 64 bits."""
    if request.isdecimal() and len(request) <= 2 and int(request) <= 93:
        return str(fib(int(request)))
    return "error: a whole number from 0 to 93, please"


def fib(n):
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this


def on_request(channel, method, properties, body):
    request = body.decode()
    print(f" [.] fib({request})")

    # The client said where the answer goes, and how it will know which request this is the answer to.
    if properties.reply_to:
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            body=answer(request),
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        )
    # Only now: a server that is stopped before leaves the request to another one.
    channel.basic_ack(delivery_tag=method.delivery_tag)


def main():
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.queue_declare(queue="rpc_queue")

    # A work queue, really: with several servers each takes one request at a time.
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue="rpc_queue", on_message_callback=on_request)

    print(" [x] Awaiting RPC requests")
    channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Bye")
