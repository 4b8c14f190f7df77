//! What the environment says: a variable for each key, and those of RabbitMQ.

use super::{ConfigError, Key, Source, entry::Given, exact_keys, ignored::IGNORED_VARIABLES};

/// What our variables begin with.
const PREFIX: &str = "LIEBRE_";
/// So many slips (a letter too few or too many, another one, two exchanged) make one name of another at most, and one in
/// [`LETTERS_PER_SLIP`]. What differs more was meant for somebody else: clients have variables such as `LIEBRE_HOST`.
const SLIPS_MAX: usize = 2;
/// Short names are near to each other by chance.
const LETTERS_PER_SLIP: usize = 5;
/// Variables that are read elsewhere: by the search for files, by the programs beside the broker.
const READ_ELSEWHERE: [&str; 3] = ["CONFIG_FILE", "URL", "PERF_URL"];

/// What all variables of keys say. Variables of ours come after RabbitMQ's: they win.
pub(super) fn given(variable: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
    let of_key = |key: &'static Key| {
        let names = key.variables.iter().map(|name| (*name).to_owned()).chain([key.variable_name()]);
        names.filter_map(move |name| {
            let value = variable(&name).filter(|value| !value.is_empty())?;
            Some(Given { key: key.name.to_owned(), value, source: Source::Environment(name) })
        })
    };
    exact_keys().flat_map(of_key).collect()
}

/// Looks for variables that nobody reads: a line for each, or an error for each that is another, mistyped.
pub(super) fn unread(variables: &[(String, String)]) -> (Vec<String>, Vec<ConfigError>) {
    let elsewhere = READ_ELSEWHERE.map(|rest| format!("{PREFIX}{rest}"));
    let known: Vec<String> = exact_keys().map(Key::variable_name).chain(elsewhere).collect();
    let (mut notes, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some((_, why)) = IGNORED_VARIABLES.iter().find(|(ignored, _)| ignored == name) {
            notes.push(format!("variable {name} does nothing here: {why}"));
        }
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if known.contains(name) || tells_of_a_service(rest, value) {
            continue;
        }
        match nearest(rest, &known) {
            Some(nearest) => {
                let nearest = nearest.to_owned();
                mistakes.push(ConfigError::UnknownVariable { name: name.clone(), nearest });
            }
            None => notes.push(format!("variable {name} does nothing here: there is no such key")),
        }
    }
    (notes, mistakes)
}

/// Variables that Kubernetes and Docker make for a service that is called `liebre` or `liebre-…`, such as
/// `LIEBRE_SERVICE_HOST` and `LIEBRE_PORT_5672_TCP_ADDR`.
fn tells_of_a_service(rest: &str, value: &str) -> bool {
    let is_link = rest.ends_with("PORT") && value.contains("://");
    is_link || rest.contains("SERVICE_HOST") || rest.contains("SERVICE_PORT") || {
        let after = rest.split_once("PORT_").map(|(_, after)| after).unwrap_or_default();
        let mut parts = after.split('_');
        let is_number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_number && matches!(parts.next(), Some("TCP" | "UDP"))
    }
}

fn nearest<'a>(rest: &str, known: &'a [String]) -> Option<&'a str> {
    let slips_max = SLIPS_MAX.min(rest.len() / LETTERS_PER_SLIP);
    let slips = |name: &str| strsim::osa_distance(name.strip_prefix(PREFIX).unwrap_or(name), rest);
    let alike = known.iter().map(|name| (slips(name), name.as_str()));
    alike.filter(|(slips, _)| *slips <= slips_max).min_by_key(|(slips, _)| *slips).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<Vec<String>, String> {
        let (notes, mistakes) = unread(&[(name.to_owned(), value.to_owned())]);
        mistakes.first().map_or(Ok(notes), |mistake| Err(mistake.to_string()))
    }

    #[test]
    fn a_mistyped_variable_is_an_error() {
        for (typed, meant) in [
            ("LIEBRE_AMPQ_LISTEN", "LIEBRE_AMQP_LISTEN"),
            ("LIEBRE_HTTP_LISTN", "LIEBRE_HTTP_LISTEN"),
            ("LIEBRE_DATADIR", "LIEBRE_DATA_DIR"),
            ("LIEBRE_CHANEL_MAXX", "LIEBRE_CHANNEL_MAX"),
            ("LIEBRE_CONFIG_FIEL", "LIEBRE_CONFIG_FILE"),
        ] {
            let expected = format!("there is no variable {typed}; did you mean {meant}?");
            assert_eq!(of(typed, "x"), Err(expected));
        }
    }

    #[test]
    fn what_nobody_reads_is_noted() {
        for name in
            ["ZZZ", "HOST", "VHOST", "DATA", "NODE", "LOGS", "HTTP_PORT", "USER", "PASSWORD", "PORT", "TAG"]
        {
            let name = format!("LIEBRE_{name}");
            let expected = format!("variable {name} does nothing here: there is no such key");
            assert_eq!(of(&name, "1"), Ok(vec![expected]));
        }
        assert!(of("RABBITMQ_MNESIA_DIR", "/var/lib/rabbitmq").is_ok_and(|notes| notes.len() == 1));
        assert_eq!(of("RABBITMQ_MNESIA_DIR", ""), Ok(vec![]));
    }

    #[test]
    fn what_others_read_is_no_mistake() {
        for (name, value) in [
            ("LIEBRE_CONFIG_FILE", "x"),
            ("LIEBRE_URL", "amqp://x"),
            ("LIEBRE_AMQP_LISTEN", "5672"),
            ("RABBITMQ_NODENAME", "rabbit@x"),
            ("LIEBRE_SERVICE_HOST", "10.0.0.1"),
            ("LIEBRE_SERVICE_PORT_AMQP", "5672"),
            ("LIEBRE_PORT", "tcp://10.0.0.1:5672"),
            ("LIEBRE_HTTP_PORT_15672_TCP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(of(name, value), Ok(vec![]), "{name}");
        }
    }
}
