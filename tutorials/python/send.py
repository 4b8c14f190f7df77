#!/usr/bin/env python3
"""Hello world, the sending half: puts one message in the queue `hello` and ends."""
import pika

from lesson import broker

connection = pika.BlockingConnection(broker)
channel = connection.channel()

# Sender and receiver both declare the queue: whoever comes first creates it.
channel.queue_declare(queue="hello")

# The default exchange has no name; it takes the routing key for the name of a queue.
channel.basic_publish(exchange="", routing_key="hello", body="Hello World!")
print(' [x] Sent "Hello World!"')

connection.close()
