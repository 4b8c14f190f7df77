"""What the two programs of the chat share: the command line, the way to the broker, counting."""
import os
import socket
import sys

import pika

# The queue of the chat for two, and the fanout exchange of the chat in which everybody sees everything.
QUEUE = "chat_cola"
EXCHANGE = "chat_todos"


class Arguments:
    """What the command line says: `[--todos] [HOST [USER PASSWORD]]`.

    What is not on it comes from `AMQP_URL`, or is guest on this computer.
    """

    def __init__(self):
        options = [word for word in sys.argv[1:] if word.startswith("--")]
        words = [word for word in sys.argv[1:] if not word.startswith("--")]
        if len(words) not in (0, 1, 3) or options not in ([], ["--todos"]):
            sys.exit("Uso: emisor.py|receptor.py [--todos] [SERVIDOR [USUARIO CONTRASEÑA]]")

        self.is_for_all = bool(options)
        self.parameters = pika.URLParameters(os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672/%2f"))
        if words:
            self.parameters.host = words[0]
        if len(words) == 3:
            self.parameters.credentials = pika.PlainCredentials(words[1], words[2])
        # While a program waits for the keyboard, pika cannot answer heartbeats: better none.
        self.parameters.heartbeat = 0
        self.host = self.parameters.host

    def connect(self):
        """Connects, or says what a beginner can do about it."""
        try:
            return pika.BlockingConnection(self.parameters)
        except (
            pika.exceptions.AuthenticationError,
            pika.exceptions.ProbableAuthenticationError,
            pika.exceptions.ProbableAccessDeniedError,
        ) as error:
            sys.exit(self.refused(error))
        except (pika.exceptions.AMQPConnectionError, socket.gaierror) as error:
            sys.exit(self.unreachable(error))

    def unreachable(self, error):
        return (
            f"No hay broker en {self.host}:{self.parameters.port} ({error!r}).\n"
            "¿Está en marcha? ¿Es esa su dirección? En su computadora, `hostname -I` la dice."
        )

    def refused(self, error):
        user = self.parameters.credentials.username
        if "refused" in str(error) and "NOT_ALLOWED" in str(error):
            # The password is right, but the user may not enter the vhost.
            return (
                f"El broker de {self.host} no deja entrar a {user} ({error}).\n"
                "Le faltan los permisos. En la computadora del broker:\n"
                f'  rabbitmqctl set_permissions -p {self.parameters.virtual_host} {user} ".*" ".*" ".*"'
            )
        return (
            f"El broker de {self.host} no deja entrar a {user} ({error}).\n"
            "¿Están bien escritos el usuario y la contraseña? guest solo entra desde la computadora del broker.\n"
            "Para entrar desde otra hace falta un usuario propio. En la del broker:\n"
            "  rabbitmqctl add_user ana secreto\n"
            '  rabbitmqctl set_permissions -p / ana ".*" ".*" ".*"\n'
            f"y aquí, después del nombre del programa: {self.host} ana secreto"
        )


def counted(count):
    return "1 mensaje" if count == 1 else f"{count} mensajes"
