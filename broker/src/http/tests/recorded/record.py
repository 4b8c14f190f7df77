"""Records which fields RabbitMQ's management API has, and of which types they are, for the test beside this file.

    python record.py AMQP-PORT HTTP-PORT > fields.json

Needs pika, and a RabbitMQ on this machine where guest may do everything. Everything is in a vhost of its own, which is
deleted in the end.
"""

import base64
import json
import os
import sys
import time
import urllib.parse
import urllib.request

import pika


def main():
    amqp_port, http_port = (int(port) for port in sys.argv[1:3])
    with open(os.path.join(os.path.dirname(__file__), "setup.json")) as file:
        plan = json.load(file)

    def ask(method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{http_port}/api/{path}"
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        request.add_header("authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or "null")

    try:
        for method, path, body in plan["setup"]:
            ask(method, path, body)
        fields = record(ask, amqp_port, plan["paths"])
    finally:
        ask("DELETE", "vhosts/recorded")
        ask("DELETE", "users/recorded")
    lines = [f"{json.dumps(path)}: {json.dumps(of_path, sort_keys=True)}" for path, of_path in fields.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


def record(ask, amqp_port, paths):
    credentials = pika.PlainCredentials("guest", "guest")
    parameters = pika.ConnectionParameters(
        "127.0.0.1", amqp_port, "recorded", credentials, client_properties={"connection_name": "orders"}
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        channel.basic_consume("q", lambda *_: None, consumer_tag="c")
        # The figures are gathered every five seconds.
        deadline = time.time() + 12
        while time.time() < deadline:
            connection.process_data_events(time_limit=1)
        own = next(one for one in ask("GET", "connections") if one["vhost"] == "recorded")["name"]
        names = {"{node}": ask("GET", "overview")["node"], "{connection}": own, "{channel}": own + " (1)"}
        fields = {}
        for path in paths:
            asked = path
            for name, value in names.items():
                asked = asked.replace(name, urllib.parse.quote(value, safe=""))
            flatten("", only_own(ask("GET", asked)), fields.setdefault(path, {}))
    return fields


def only_own(answer):
    """Without what others have on the same broker."""
    if isinstance(answer, list):
        return [item for item in answer if item.get("vhost", "recorded") == "recorded"]
    return answer


def flatten(prefix, value, fields):
    if isinstance(value, dict):
        if prefix:
            fields.setdefault(prefix, "object")
        for name, inner in value.items():
            flatten(f"{prefix}.{name}" if prefix else name, inner, fields)
    elif isinstance(value, list):
        fields.setdefault(prefix + "[]", "array")
        for inner in value:
            flatten(prefix + "[]", inner, fields)
    else:
        kinds = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string"}
        kind = kinds[type(value)]
        # Somewhere it is there, elsewhere not.
        fields[prefix] = kind if fields.get(prefix, "null") == "null" else fields[prefix]


if __name__ == "__main__":
    main()
