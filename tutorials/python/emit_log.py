#!/usr/bin/env python3
"""Publish/subscribe, the publishing half: sends one line to everybody who listens now."""
import os
import sys

import pika

line = " ".join(sys.argv[1:]) or "info: Hello World!"

url = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672/%2f")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A fanout exchange copies each message to every queue that is bound to it.
channel.exchange_declare(exchange="logs", exchange_type="fanout")

# The routing key is empty: a fanout exchange does not look at it.
channel.basic_publish(exchange="logs", routing_key="", body=line)
print(f' [x] Sent "{line}"')

connection.close()
