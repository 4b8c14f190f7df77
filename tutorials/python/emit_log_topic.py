#!/usr/bin/env python3
"""Topics, the publishing half: sends one line with a routing key of several words.

`python emit_log_topic.py tank.north.error Empty`: the first word is the routing key.
"""
import sys

import pika

from lesson import broker

routing_key = sys.argv[1] if len(sys.argv) > 1 else "anonymous.info"
line = " ".join(sys.argv[2:]) or "Hello World!"

connection = pika.BlockingConnection(broker)
channel = connection.channel()

# A topic exchange compares the words of the routing key, parted by dots, with patterns.
channel.exchange_declare(exchange="topic_logs", exchange_type="topic")

channel.basic_publish(exchange="topic_logs", routing_key=routing_key, body=line)
print(f" [x] Sent {routing_key}:{line}")

connection.close()
