//! All keys: those that do something here.

use std::path::PathBuf;

use super::{
    address,
    key::{Key, Parts},
    log::{self, FileDraft},
    value,
};
use crate::{
    limits::{CHANNEL_MAX, FRAME_MAX_CEILING, FRAME_MIN},
    model::pattern::Pattern,
    server::watermark::{DiskFreeLimit, MemoryWatermark},
};

/// Where the broker listens, and what it is.
pub(super) const NODE: &[Key] = &[
    Key::set(
        "listeners.tcp.default",
        "PORT|ADDR:PORT",
        "[::]:5672",
        "Where AMQP clients connect",
        |draft, text, _| {
            draft.listeners.insert("default".to_owned(), address::endpoint(text)?);
            Ok(())
        },
    )
    .option("amqp-listen")
    .variables(&["RABBITMQ_NODE_PORT"])
    .family("listeners.tcp"),
    Key::set(
        "listeners.tcp.$name",
        "PORT|ADDR:PORT",
        "",
        "The same, for one of several addresses",
        |draft, text, words| {
            draft.listeners.insert(words.concat(), address::endpoint(text)?);
            Ok(())
        },
    )
    .family("listeners.tcp"),
    Key::set(
        "listeners.tcp",
        "none",
        "",
        "No AMQP without TLS, which this version does not have",
        |draft, text, _| {
            draft.has_no_listeners = text == "none";
            if draft.has_no_listeners { Ok(()) } else { Err(format!("'{text}' is not none")) }
        },
    )
    .family("listeners.tcp"),
    Key::set(
        "node_ip_address",
        "ADDR",
        "::",
        "The address of AMQP listeners of which only the port is said",
        |draft, text, _| {
            // What RabbitMQ calls all of them.
            draft.node_ip = if text == "auto" { None } else { Some(address::ip(text)?) };
            Ok(())
        },
    )
    .variables(&["RABBITMQ_NODE_IP_ADDRESS"]),
    Key::parts(
        "management.tcp.address",
        "PORT|ADDR:PORT",
        "[::]:15672",
        "Where the management API answers",
        |text| parts(text, ["management.tcp.ip", "management.tcp.port"]),
    )
    .option("http-listen"),
    Key::set("management.tcp.port", "PORT", "15672", "Its port alone", |draft, text, _| {
        draft.http.port = Some(value::number_within(text, 0, 65_535)?);
        Ok(())
    })
    .aliases(&["management.listener.port"]),
    Key::set("management.tcp.ip", "ADDR", "::", "Its address alone", |draft, text, _| {
        draft.http.ip = Some(address::ip(text)?);
        Ok(())
    })
    .aliases(&["management.listener.ip"]),
    Key::parts(
        "prometheus.tcp.address",
        "PORT|ADDR:PORT|off",
        "port 15692 at the address of the management API, if it is free",
        "Where Prometheus reads /metrics without a login",
        |text| match text {
            "off" => Ok(vec![("prometheus.tcp.listener", "off".to_owned())]),
            _ => {
                let mut parts = parts(text, ["prometheus.tcp.ip", "prometheus.tcp.port"])?;
                parts.push(("prometheus.tcp.listener", "on".to_owned()));
                Ok(parts)
            }
        },
    )
    .option("prometheus-listen"),
    Key::set(
        "prometheus.tcp.listener",
        "on|off",
        "on",
        "Whether Prometheus is let in at all",
        |draft, text, _| {
            draft.prometheus.is_off = !value::flag(text)?;
            Ok(())
        },
    ),
    Key::set("prometheus.tcp.port", "PORT", "", "Its port alone", |draft, text, _| {
        draft.prometheus.port = Some(value::number_within(text, 0, 65_535)?);
        Ok(())
    }),
    Key::set("prometheus.tcp.ip", "ADDR", "", "Its address alone", |draft, text, _| {
        draft.prometheus.ip = Some(address::ip(text)?);
        Ok(())
    }),
    Key::set(
        "data_dir",
        "DIR",
        "liebre in the user's data directory",
        "Where everything durable is kept",
        |draft, text, _| {
            draft.data_dir = Some(PathBuf::from(text));
            Ok(())
        },
    ),
    Key::set(
        "node_name",
        "NAME",
        "rabbit@ and the host's name",
        "What the node calls itself",
        |draft, text, _| {
            draft.node_name = Some(text.to_owned());
            Ok(())
        },
    )
    .variables(&["RABBITMQ_NODENAME"]),
    Key::set(
        "cluster_name",
        "NAME",
        "the node's name",
        "What the cluster calls itself, unless the parameter says otherwise",
        |draft, text, _| {
            draft.cluster_name = Some(text.to_owned());
            Ok(())
        },
    ),
    Key::set(
        "tcp_listen_options.backlog",
        "COUNT",
        "1024",
        "Connections that wait until they are accepted",
        |draft, text, _| {
            draft.backlog = value::number_within(text, 1, 65_535)?;
            Ok(())
        },
    ),
];

/// When publishers wait, and how much there may be.
pub(super) const LIMITS: &[Key] = &[
    Key::set(
        "disk_free_limit.absolute",
        "SIZE",
        "50 MB and three files of the message log, 100.3 MB",
        "Block publishers when less than this is free where the data directory is, such as 500MiB or 2GB",
        |draft, text, _| {
            draft.limits.disk = DiskFreeLimit::Absolute(value::size(text)?);
            Ok(())
        },
    )
    .option("disk-free-limit")
    .family("disk_free_limit"),
    Key::set("disk_free_limit.relative", "FACTOR", "", "The same as so many times the memory", |draft, text, _| {
        let factor = text.parse().map_err(|_| format!("'{text}' is no number"))?;
        draft.limits.disk = DiskFreeLimit::relative(factor).map_err(|error| error.to_string())?;
        Ok(())
    })
    .family("disk_free_limit"),
    Key::set(
        "vm_memory_high_watermark",
        "SHARE|SIZE",
        "never",
        "Block publishers when the broker uses more memory than this: a share of what there is, such as 0.4, or a \
         size, such as 2GB. What the system's allocator keeps after queues were emptied counts as used: set it well \
         above what the broker needs (with glibc, MALLOC_MMAP_THRESHOLD_=524288 makes it give memory back)",
        |draft, text, _| {
            draft.limits.memory = Some(text.parse::<MemoryWatermark>().map_err(|error| error.to_string())?);
            Ok(())
        },
    )
    .variables(&["RABBITMQ_VM_MEMORY_HIGH_WATERMARK"])
    .family("vm_memory_high_watermark"),
    Key::set("vm_memory_high_watermark.relative", "SHARE", "", "The same, a share", |draft, text, _| {
        let share = text.parse().map_err(|_| format!("'{text}' is no number"))?;
        draft.limits.memory = Some(MemoryWatermark::relative(share).map_err(|error| error.to_string())?);
        Ok(())
    })
    .family("vm_memory_high_watermark"),
    Key::set("vm_memory_high_watermark.absolute", "SIZE", "", "The same, a size", |draft, text, _| {
        draft.limits.memory = Some(MemoryWatermark::Absolute(value::size(text)?));
        Ok(())
    })
    .family("vm_memory_high_watermark"),
    Key::set("connection_max", "COUNT", "infinity", "Accept no more connections than this at a time", |draft, text, _| {
        draft.node_limits.connection_max = value::limit(text)?;
        Ok(())
    })
    .aliases(&["max_connections"]),
    Key::set("channel_max", "COUNT", "2047", "Open no more channels than this on one connection; 2047 are the most, 0 is as many", |draft, text, _| {
        let (number, note) = value::clamped(text, 1, u64::from(CHANNEL_MAX))?;
        draft.node_limits.channel_max = u16::try_from(number).unwrap_or(CHANNEL_MAX);
        draft.clamped = note.map(|note| (number, note));
        Ok(())
    })
    .aliases(&["max_channels_per_connection"]),
    Key::set("channel_max_per_node", "COUNT", "infinity", "Open no more channels than this on all connections together", |draft, text, _| {
        draft.node_limits.channel_max_per_node = value::limit(text)?;
        Ok(())
    }),
    Key::set("consumer_max_per_channel", "COUNT", "10000", "Start no more consumers than this on one channel; 65535 are the most", |draft, text, _| {
        let (number, note) = value::clamped(if text == "infinity" { "0" } else { text }, 1, 65_535)?;
        draft.node_limits.consumers_per_channel_max = usize::try_from(number).unwrap_or(usize::MAX);
        draft.clamped = note.map(|note| (number, note));
        Ok(())
    }),
    Key::set("cluster_queue_limit", "COUNT", "infinity", "Declare no more queues than this in all vhosts together", |draft, text, _| {
        draft.node_limits.queue_max = value::limit(text)?;
        Ok(())
    }),
    Key::set("cluster_exchange_limit", "COUNT", "infinity", "Declare no more exchanges than this in all vhosts together, the broker's own included", |draft, text, _| {
        draft.node_limits.exchange_max = value::limit(text)?;
        Ok(())
    }),
    Key::set("vhost_max", "COUNT", "infinity", "Make no more vhosts than this", |draft, text, _| {
        draft.node_limits.vhost_max = value::limit(text)?;
        Ok(())
    }),
    Key::set("max_message_size", "SIZE", "134217728", "Take no larger message than this", |draft, text, _| {
        draft.node_limits.message_size_max =
            Some(value::size(text)?).filter(|size| (1..=536_870_912).contains(size)).ok_or("from 1 byte to 512 MiB")?;
        Ok(())
    }),
    Key::set("heartbeat", "SECONDS", "60", "Offer clients this interval of heartbeats; 0: none", |draft, text, _| {
        draft.node_limits.heartbeat_secs = value::number_within(text, 0, 65_535)?;
        Ok(())
    }),
    Key::set("frame_max", "BYTES", "131072", "Offer clients this largest frame; 1 MiB is the most, 0 is as much", |draft, text, _| {
        let bytes = value::size(text)?.to_string();
        let (number, note) = value::clamped(&bytes, u64::from(FRAME_MIN), u64::from(FRAME_MAX_CEILING))?;
        draft.node_limits.frame_max = u32::try_from(number).unwrap_or(FRAME_MAX_CEILING);
        draft.clamped = note.map(|note| (number, note));
        Ok(())
    }),
    Key::set("handshake_timeout", "MILLIS", "10000", "From accepting a connection until it is open", |draft, text, _| {
        draft.node_limits.handshake_timeout = value::millis(text)?;
        Ok(())
    }),
    Key::set(
        "consumer_timeout",
        "MILLIS|off",
        "1800000",
        "Close channels that do not acknowledge a delivery in time; the queue argument x-consumer-timeout comes first",
        |draft, text, _| {
            let is_off = matches!(text, "off" | "infinity" | "undefined" | "false");
            draft.node_limits.consumer_timeout = if is_off { None } else { Some(value::millis(text)?) };
            Ok(())
        },
    ),
    Key::set(
        "unsafe_no_fsync",
        "",
        "false",
        "Confirm messages before they are on stable storage: what was confirmed is lost when the machine stops. For \
         tests and throw-away data. Definitions (queues, users ...) are synced all the same",
        |draft, text, _| {
            draft.unsafe_no_fsync = value::flag(text)?;
            Ok(())
        },
    ),
];

/// Who is there at the first start, and what is imported at each.
pub(super) const ACCESS: &[Key] = &[
    Key::set("default_user", "NAME", "guest", "The user that the first start makes", |draft, text, _| {
        draft.default_user.name = text.to_owned();
        Ok(())
    })
    .variables(&["RABBITMQ_DEFAULT_USER"]),
    Key::set("default_pass", "PASSWORD", "guest", "Its password", |draft, text, _| {
        draft.default_user.password = text.to_owned();
        Ok(())
    })
    .variables(&["RABBITMQ_DEFAULT_PASS"])
    .secret(),
    Key::set("default_vhost", "NAME", "/", "The vhost that the first start makes", |draft, text, _| {
        draft.default_user.vhost = text.to_owned();
        Ok(())
    })
    .variables(&["RABBITMQ_DEFAULT_VHOST"]),
    Key::set("default_user_tags.$tag", "", "administrator", "The first user's tags", |draft, text, words| {
        let tags = draft.default_user_tags.get_or_insert_default();
        if value::flag(text)? {
            tags.insert(words.concat());
        }
        Ok(())
    }),
    Key::set(
        "default_permissions.configure",
        "PATTERN",
        ".*",
        "What the first user may declare",
        |draft, text, _| {
            draft.default_user.configure = pattern(text)?;
            Ok(())
        },
    ),
    Key::set("default_permissions.read", "PATTERN", ".*", "What it may consume from", |draft, text, _| {
        draft.default_user.read = pattern(text)?;
        Ok(())
    }),
    Key::set("default_permissions.write", "PATTERN", ".*", "What it may publish to", |draft, text, _| {
        draft.default_user.write = pattern(text)?;
        Ok(())
    }),
    Key::set("loopback_users", "none", "", "Nobody has to log in through localhost", |draft, text, _| {
        match text {
            "none" => {
                draft.loopback_users.get_or_insert_default();
                Ok(())
            }
            _ => {
                Err(format!("'{text}' is not none; users are named one by one: loopback_users.{text} = true"))
            }
        }
    })
    .family("loopback_users"),
    Key::set(
        "loopback_users.$user",
        "",
        "true for guest",
        "Who may log in through localhost only",
        |draft, text, words| {
            let users = draft.loopback_users.get_or_insert_default();
            if value::flag(text)? {
                users.insert(words.concat());
            }
            Ok(())
        },
    )
    .family("loopback_users"),
    Key::set(
        "load_definitions",
        "FILE|DIR",
        "",
        "Import these definitions at each start: a file, or all .json files of a directory by name. A first start with \
         definitions that have users makes no default user",
        |draft, text, _| {
            draft.definitions.push(PathBuf::from(text));
            Ok(())
        },
    )
    .aliases(&["management.load_definitions"]),
    Key::set("definitions.local.path", "FILE|DIR", "", "The same", |draft, text, _| {
        draft.definitions.push(PathBuf::from(text));
        Ok(())
    }),
    Key::set(
        "definitions.import_backend",
        "local_filesystem",
        "local_filesystem",
        "Where definitions are",
        |_, text, _| match text {
            "local_filesystem" | "local" | "rabbitmq_definitions_import_local_filesystem" => Ok(()),
            _ => Err(format!("'{text}' is not here: definitions are read from files (local_filesystem)")),
        },
    ),
    Key::set(
        "definitions.skip_if_unchanged",
        "",
        "false",
        "Do not import again what was imported at the last start and has not changed",
        |draft, text, _| {
            draft.skip_if_unchanged = value::flag(text)?;
            Ok(())
        },
    ),
    Key::set(
        "definitions.skip_unsupported",
        "",
        "false",
        "Leave out what is not here (streams, exchanges and policies of plugins), with a line in the log for each, \
         instead of refusing the file",
        |draft, text, _| {
            draft.skip_unsupported = value::flag(text)?;
            Ok(())
        },
    ),
];

/// Where the log goes.
pub(super) const LOG: &[Key] = &[
    Key::set("log.console", "", "true", "Log to standard error", |draft, text, _| {
        draft.log.has_no_console = !value::flag(text)?;
        Ok(())
    }),
    Key::set(
        "log.console.level",
        "LEVEL",
        "info",
        "none, error, warning, info or debug",
        |draft, text, _| {
            draft.log.console.level = Some(log::level(text)?);
            Ok(())
        },
    )
    .option("log"),
    Key::set(
        "log.console.formatter",
        "plaintext|json",
        "plaintext",
        "json: an object a line",
        |draft, text, _| {
            draft.log.console.is_json = is_json(text)?;
            Ok(())
        },
    ),
    Key::set("log.file", "FILE|false", "false", "Log to this file, too", |draft, text, _| {
        draft.log.file = match text {
            // The console's names in RabbitMQ's variable.
            "false" | "-" | "-stderr" => FileDraft::None,
            file => FileDraft::At(PathBuf::from(file)),
        };
        Ok(())
    })
    .variables(&["RABBITMQ_LOGS"]),
    Key::set(
        "log.dir",
        "DIR",
        "",
        "The directory of the file, which is made if it is not there; where no file is named, the node's name and .log",
        |draft, text, _| {
            draft.log.directory = Some(PathBuf::from(text));
            Ok(())
        },
    )
    .variables(&["RABBITMQ_LOG_BASE"]),
    Key::set("log.file.level", "LEVEL", "info", "What goes to the file", |draft, text, _| {
        draft.log.file_place.level = Some(log::level(text)?);
        Ok(())
    }),
    Key::set(
        "log.file.formatter",
        "plaintext|json",
        "plaintext",
        "json: an object a line",
        |draft, text, _| {
            draft.log.file_place.is_json = is_json(text)?;
            Ok(())
        },
    ),
    Key::set(
        "log.default.level",
        "LEVEL",
        "info",
        "The level of console and file that have none of their own",
        |draft, text, _| {
            draft.log.default_level = Some(log::level(text)?);
            Ok(())
        },
    ),
];

/// A port alone leaves the address as it is.
fn parts(text: &str, [ip, port]: [&'static str; 2]) -> Result<Parts, String> {
    let endpoint = address::endpoint(text)?;
    let mut parts = vec![(port, endpoint.port.to_string())];
    parts.extend(endpoint.ip.map(|address| (ip, address.to_string())));
    Ok(parts)
}

/// As the first start will take it.
fn pattern(text: &str) -> Result<String, String> {
    Pattern::parse(text).map(|pattern| pattern.as_str().to_owned()).map_err(|error| error.to_string())
}

fn is_json(text: &str) -> Result<bool, String> {
    match text {
        "json" => Ok(true),
        "plaintext" => Ok(false),
        _ => Err(format!("'{text}' is neither plaintext nor json")),
    }
}
