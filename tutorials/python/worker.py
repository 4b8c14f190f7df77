#!/usr/bin/env python3
"""Work queue, the working half: takes one job at a time and acks it when it is done.

Stop it between `Received` and `Done`, and the broker gives the job to another worker.
"""
import time

import pika

from lesson import broker


def on_job(channel, method, properties, body):
    job = body.decode()
    again = " (redelivered)" if method.redelivered else ""
    print(f" [x] Received {job}{again}")

    time.sleep(job.count("."))

    print(" [x] Done")
    # Only now does the broker forget the job.
    channel.basic_ack(delivery_tag=method.delivery_tag)


def main():
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.queue_declare(queue="task_queue", durable=True)

    # One job in hand at most: the next one goes to whoever is free.
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue="task_queue", on_message_callback=on_job)

    print(" [*] Waiting for messages. To exit press CTRL+C")
    channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Bye")
