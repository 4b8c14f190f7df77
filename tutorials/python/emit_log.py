#!/usr/bin/env python3
"""Publish/subscribe, the publishing half: sends one line to everybody who listens now."""
import sys

import pika

from lesson import broker

line = " ".join(sys.argv[1:]) or "info: Hello World!"

connection = pika.BlockingConnection(broker)
channel = connection.channel()

# A fanout exchange copies each message to every queue that is bound to it.
channel.exchange_declare(exchange="logs", exchange_type="fanout")

# The routing key is empty: a fanout exchange does not look at it.
channel.basic_publish(exchange="logs", routing_key="", body=line)
print(f' [x] Sent "{line}"')

connection.close()
