//! What the two programs of the chat share: the form of a message, the command line, the way to the broker.

use std::time::Duration;

use lapin::{Connection, ConnectionProperties, ErrorKind, uri::AMQPUri};
use serde::{Deserialize, Serialize};

use crate::broker_url;

/// The queue of the chat for two.
pub const QUEUE: &str = "chat_cola";

/// The fanout exchange of the chat in which everybody sees everything.
pub const EXCHANGE: &str = "chat_todos";

/// A broker that has not answered by then is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of the chat; as JSON, in UTF-8, it is the body of a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mensaje {
    pub usuario: String,
    pub mensaje: String,
    pub hora: String,
}

/// What the command line says: `[--todos] [HOST [USER PASSWORD]]`.
#[derive(Debug)]
pub struct Arguments {
    /// Everybody sees everything.
    pub is_for_all: bool,
    uri: AMQPUri,
}

impl Arguments {
    /// What is not on the command line comes from `AMQP_URL`, or is guest on this computer.
    pub fn parse() -> Result<Arguments, String> {
        let mut uri: AMQPUri = broker_url().parse()?;
        let (options, words): (Vec<String>, Vec<String>) =
            std::env::args().skip(1).partition(|word| word.starts_with("--"));
        if let Some(host) = words.first() {
            uri.authority.host = host.clone();
        }
        if let [_, user, password] = &words[..] {
            uri.authority.userinfo.username = user.clone();
            uri.authority.userinfo.password = password.clone();
        }
        let is_for_all = options.iter().any(|option| option == "--todos");
        if words.len() == 2 || words.len() > 3 || options.len() > usize::from(is_for_all) {
            return Err("Uso: emisor|receptor [--todos] [SERVIDOR [USUARIO CONTRASEÑA]]".to_owned());
        }
        Ok(Arguments { is_for_all, uri })
    }

    /// The host, as it was typed.
    pub fn host(&self) -> &str {
        &self.uri.authority.host
    }

    /// Connects, or says what a beginner can do about it.
    pub async fn connect(&self) -> Result<Connection, String> {
        let connecting = Connection::connect_uri(self.uri.clone(), ConnectionProperties::default());
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) if is_refused(&error) => Err(self.refused(&error)),
            Ok(Err(error)) => Err(self.unreachable(&error.to_string())),
            Err(_) => Err(self.unreachable("no responde")),
        }
    }

    fn unreachable(&self, why: &str) -> String {
        let host = self.host();
        let port = self.uri.authority.port;
        format!(
            "No hay broker en {host}:{port} ({why}).\n\
             ¿Está en marcha? ¿Es esa su dirección? En su computadora, `hostname -I` la dice."
        )
    }

    fn refused(&self, error: &lapin::Error) -> String {
        let host = self.host();
        let user = &self.uri.authority.userinfo.username;
        if is_shut_out(error) {
            let vhost = &self.uri.vhost;
            return format!(
                "El broker de {host} no deja entrar a {user} ({error}).\n\
                 Le faltan los permisos. En la computadora del broker:\n  \
                 rabbitmqctl set_permissions -p {vhost} {user} \".*\" \".*\" \".*\""
            );
        }
        format!(
            "El broker de {host} no deja entrar a {user} ({error}).\n\
             ¿Están bien escritos el usuario y la contraseña? guest solo entra desde la computadora del broker.\n\
             Para entrar desde otra hace falta un usuario propio. En la del broker:\n  \
             rabbitmqctl add_user ana secreto\n  \
             rabbitmqctl set_permissions -p / ana \".*\" \".*\" \".*\"\n\
             y aquí, después del nombre del programa: {host} ana secreto"
        )
    }
}

/// 403: the broker does not know the user like that; 530: it does not let the user into the vhost.
fn is_refused(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.get_id(), 403 | 530))
}

/// The password is right, but the user may not enter the vhost.
fn is_shut_out(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if error.get_id() == 530 && error.get_message().as_str().contains("refused"))
}

/// `1 mensaje`, `2 mensajes`.
pub fn counted(count: u32) -> String {
    if count == 1 { "1 mensaje".to_owned() } else { format!("{count} mensajes") }
}
