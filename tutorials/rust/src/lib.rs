//! What the tutorials share: where the broker is, and what the command line says.

/// The broker's address: `AMQP_ADDR` or `AMQP_URL` from the environment, or this computer.
///
/// `%2f` is the name of the default vhost, `/`, written so that it fits in a URL.
pub fn broker_url() -> String {
    std::env::var("AMQP_ADDR")
        .or_else(|_| std::env::var("AMQP_URL"))
        .unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".to_owned())
}

/// The words typed after the program's name, or `default` if there are none.
pub fn words_or(default: &str) -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() { default.to_owned() } else { words.join(" ") }
}
