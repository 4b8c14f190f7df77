#!/usr/bin/env python3
"""Routing, the publishing half: sends one line with its severity as routing key.

`python emit_log_direct.py error The tank is empty`: the first word is the severity.
"""
import sys

import pika

from lesson import broker

severity = sys.argv[1] if len(sys.argv) > 1 else "info"
line = " ".join(sys.argv[2:]) or "Hello World!"

connection = pika.BlockingConnection(broker)
channel = connection.channel()

# A direct exchange sends a message to the queues that are bound with exactly its routing key.
channel.exchange_declare(exchange="direct_logs", exchange_type="direct")

channel.basic_publish(exchange="direct_logs", routing_key=severity, body=line)
print(f" [x] Sent {severity}:{line}")

connection.close()
