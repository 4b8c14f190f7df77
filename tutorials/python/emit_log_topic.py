#!/usr/bin/env python3
"""Topics, the publishing half: sends one line with a routing key of several words.

`python emit_log_topic.py tank.north.error Empty`: the first word is the routing key.
"""
import os
import sys

import pika

routing_key = sys.argv[1] if len(sys.argv) > 1 else "anonymous.info"
line = " ".join(sys.argv[2:]) or "Hello World!"

url = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672/%2f")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A topic exchange compares the words of the routing key, parted by dots, with patterns.
channel.exchange_declare(exchange="topic_logs", exchange_type="topic")

channel.basic_publish(exchange="topic_logs", routing_key=routing_key, body=line)
print(f" [x] Sent {routing_key}:{line}")

connection.close()
