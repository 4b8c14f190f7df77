#!/usr/bin/env python3
"""Work queue, the sending half: hands in one job. Each dot in its text is one second of work.

`python new_task.py A hard job...` takes a worker three seconds.
"""
import sys

import pika

from lesson import broker

job = " ".join(sys.argv[1:]) or "Hello World!"

connection = pika.BlockingConnection(broker)
channel = connection.channel()

# A durable queue outlives a restart of the broker.
channel.queue_declare(queue="task_queue", durable=True)

channel.basic_publish(
    exchange="",
    routing_key="task_queue",
    body=job,
    # Persistent: the message outlives a restart too.
    properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
)
print(f' [x] Sent "{job}"')

connection.close()
