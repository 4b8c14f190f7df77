#!/usr/bin/env python3
"""The job queue, the handing-in half: an HTTP service that takes a job as JSON and answers with its identifier.

`POST /jobs` with `{"name": "report"}`; the broker gets the job over its HTTP API. If the broker is away, the producer
tries again for a while before it says so.
"""
import base64
import http.client
import json
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote

from jobs import Settings, stop_asked

BODY_BYTES_MAX = 1 << 20

# How long to wait before the second try, the third and so on; after the last one we give up.
PAUSES_MS = [250, 500, 1000, 2000]

# A broker that has not answered by then is away.
PATIENCE_SECS = 5

# `delivery_mode` 2 asks the broker to keep the message over a restart.
PERSISTENT = 2


class Away(Exception):
    """The broker may be back soon: ask again."""


class Refused(Exception):
    """The broker will say the same next time."""


class Producer:
    def __init__(self, settings):
        self.settings = settings
        self.log = settings.log

    def hand_in(self, job):
        """Publishes; tries again if the broker is away, each time after a longer pause."""
        for pause_ms in PAUSES_MS:
            try:
                return self.hand_in_once(job)
            except Away as why:
                self.log.error(f"{job['jobId']}: the broker is away ({why}); once more in {pause_ms} ms")
                time.sleep(pause_ms / 1000)
        return self.hand_in_once(job)

    def hand_in_once(self, job):
        """The first job of all finds no queue: then we make it."""
        if self.publish(job):
            return
        self.log.debug(f"{job['jobId']}: there is no queue yet")
        self.declare_queues()
        if not self.publish(job):
            raise Refused("no queue")

    def publish(self, job):
        """Publishes a job. False if there is no queue for it."""
        # amq.default is what the API calls the default exchange.
        path = f"/api/exchanges/{quote(self.settings.vhost, safe='')}/amq.default/publish"
        message = {
            "properties": {
                "content_type": "application/json",
                "delivery_mode": PERSISTENT,
                "message_id": job["jobId"],
            },
            "routing_key": self.settings.queue,
            "payload": json.dumps(job, ensure_ascii=False),
            "payload_encoding": "string",
        }
        return json.loads(self.call("POST", path, message))["routed"]

    def declare_queues(self):
        """Makes the three queues. Those that are there already stay as they are."""
        for name, arguments in self.settings.queues().items():
            path = f"/api/queues/{quote(self.settings.vhost, safe='')}/{quote(name, safe='')}"
            self.call("PUT", path, {"durable": True, "arguments": arguments})

    def call(self, method, path, body):
        settings = self.settings
        login = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode()
        headers = {"authorization": f"Basic {login}", "content-type": "application/json"}
        connection = http.client.HTTPConnection(settings.host, settings.http_port, timeout=PATIENCE_SECS)
        try:
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except http.client.RemoteDisconnected as error:
            raise Away(error) from error
        except http.client.BadStatusLine as error:
            # Somebody else may listen there: at another port, the broker itself.
            where = f"{settings.host}:{settings.http_port}"
            raise Refused(f"what answers at {where} is not HTTP: is JOBS_HTTP_PORT right?") from error
        except (OSError, http.client.HTTPException) as error:
            raise Away(error) from error
        finally:
            connection.close()
        if response.status >= 500:
            raise Away(f"status {response.status}")
        if response.status >= 300:
            raise Refused(f"status {response.status}: {text}")
        return text


class Request(BaseHTTPRequestHandler):
    """One request to the service; `producer` is set below."""

    producer = None
    # Nobody keeps us waiting for the rest of a request.
    timeout = PATIENCE_SECS

    def do_GET(self):
        """Any other method than POST."""
        self.refuse(405 if self.path == "/jobs" else 404, "POST /jobs, please")

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def do_POST(self):
        if self.path != "/jobs":
            return self.refuse(404, "POST /jobs, please")
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            return self.refuse(411, "content-length, please")
        if int(length) > BODY_BYTES_MAX:
            return self.refuse(413, "too large")
        try:
            data = json.loads(self.rfile.read(int(length)))
            # Python reads more than JSON: NaN, 1e999, half of an emoji. What it cannot write again is no JSON.
            json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            return self.refuse(400, "a JSON object, please")
        return self.take({"jobId": str(uuid.uuid4()), "data": data})

    def take(self, job):
        log, job_id = self.producer.log, job["jobId"]
        try:
            self.producer.hand_in(job)
        except Away as why:
            log.error(f"{job_id}: the broker is away ({why}); given up")
            return self.refuse(503, "the broker is away, try later")
        except Refused as why:
            log.error(f"{job_id}: the broker does not take it ({why})")
            return self.refuse(502, "the broker does not take it")
        log.info(f"{job_id}: enqueued")
        return self.answer(202, {"jobId": job_id, "status": "enqueued", "data": job["data"]})

    def refuse(self, status, why):
        self.answer(status, {"status": "refused", "error": why})

    def answer(self, status, value):
        # Without spaces, as the Rust version writes it.
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format, *args):
        self.producer.log.debug(format % args)


def main():
    settings = Settings()
    stop = stop_asked()
    Request.producer = Producer(settings)
    host, _, port = settings.listen.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), Request)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot listen at {settings.listen}: {error}")
    # The end waits for requests in hand.
    server.daemon_threads = False
    Thread(target=server.serve_forever).start()
    address = f"{server.server_address[0]}:{server.server_address[1]}"
    settings.log.status(f"Waiting for jobs at http://{address}/jobs. To exit press CTRL+C")
    stop.wait()
    # Requests that are in hand get their answer; new ones are not taken any more.
    server.shutdown()
    server.server_close()
    settings.log.status("Bye")


if __name__ == "__main__":
    main()
