"""What the lessons share: where the broker is, and one line instead of a traceback when something is wrong."""
import os
import socket
import sys

import pika

url = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672/%2f")
try:
    broker = pika.URLParameters(url)
except (ValueError, IndexError) as why:
    sys.exit(f"AMQP_URL is no address like amqp://guest:guest@127.0.0.1:5672/%2f ({why})")


def explain(kind, error, traceback):
    """Python calls this for an error that nobody caught; it ends with code 1 afterwards."""
    closed = (pika.exceptions.ConnectionClosed, pika.exceptions.ChannelClosed)
    refused = (
        pika.exceptions.AuthenticationError,
        pika.exceptions.ProbableAuthenticationError,
        pika.exceptions.ProbableAccessDeniedError,
    )
    if isinstance(error, closed):
        print(f"the broker says {error.reply_text}", file=sys.stderr)
    elif isinstance(error, (pika.exceptions.StreamLostError, pika.exceptions.ConnectionWrongStateError)):
        print(f"the connection to the broker has ended ({error})", file=sys.stderr)
    elif isinstance(error, refused):
        print(f"the broker says {error}", file=sys.stderr)
    elif isinstance(error, (pika.exceptions.AMQPConnectionError, socket.gaierror)):
        print(f"no broker answers at {broker.host}:{broker.port}: is it running?", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = explain
