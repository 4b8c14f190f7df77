"""What the two programs of the job queue share: the settings, the three queues, the log, the end."""
import logging
import os
import signal
import sys
from threading import Event

import pika

# A job that fails this often has failed for good.
TRIES_MAX = 3

LEVELS = {"error": logging.ERROR, "info": logging.INFO, "debug": logging.DEBUG}


def text(name, default):
    value = os.environ.get(name, default)
    if not value:
        sys.exit(f"{name} must not be empty")
    return value


def with_host(listen):
    """A port alone is one of this computer, which nobody else can reach."""
    port = listen.lstrip(":")
    return f"127.0.0.1:{port}" if port.isdecimal() else listen


def number(name, default, most=2**32 - 1):
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or int(value) > most:
        sys.exit(f"{name} is no number that fits: {value}")
    return int(value)


def port(name, default):
    return number(name, default, most=65535)


class Settings:
    """Where everything is; each from an environment variable, or as it is on this computer."""

    def __init__(self):
        self.host = text("JOBS_HOST", "127.0.0.1")
        self.amqp_port = port("JOBS_AMQP_PORT", 5672)
        self.http_port = port("JOBS_HTTP_PORT", 15672)
        self.user = text("JOBS_USER", "guest")
        self.password = text("JOBS_PASSWORD", "guest")
        self.vhost = text("JOBS_VHOST", "/")
        # The queue of the jobs; two more are named after it.
        self.queue = text("JOBS_QUEUE", "jobs")
        self.failed_queue = f"{self.queue}.failed"
        # How long a job that has failed waits for its next try.
        self.pause_ms = number("JOBS_PAUSE_MS", 2000)
        # Where the producer listens.
        self.listen = with_host(text("JOBS_LISTEN", "127.0.0.1:8080"))
        level = text("JOBS_LOG", "info")
        if level not in LEVELS:
            sys.exit("JOBS_LOG must be error, info or debug")
        self.log = Log(LEVELS[level])

    def parameters(self):
        credentials = pika.PlainCredentials(self.user, self.password)
        return pika.ConnectionParameters(self.host, self.amqp_port, self.vhost, credentials)

    def queues(self):
        """The queues with their arguments.

        A job that is rejected goes from the first to the second; when its pause is over, it goes back.
        """
        retry = f"{self.queue}.retry"

        def to(queue):
            # The default exchange, "", takes a message to the queue that its routing key names.
            return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}

        return {
            self.queue: to(retry),
            retry: to(self.queue) | {"x-message-ttl": self.pause_ms},
            self.failed_queue: {},
        }


class Log:
    """Prints lines up to a level."""

    def __init__(self, level):
        self.logger = logging.getLogger("jobs")
        self.logger.addHandler(logging.StreamHandler(sys.stdout))
        self.logger.setLevel(level)
        # pika's own lines are not for us.
        logging.getLogger("pika").setLevel(logging.CRITICAL)

    def error(self, line):
        self.logger.error(" [!] %s", line)

    def info(self, line):
        self.logger.info(" [x] %s", line)

    def status(self, line):
        """What the program itself does, not a job."""
        self.logger.info(" [*] %s", line)

    def debug(self, line):
        self.logger.debug(" [.] %s", line)


def stop_asked():
    """Is set at Ctrl-C or SIGTERM."""
    stop = Event()
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, lambda *_: stop.set())
    return stop
