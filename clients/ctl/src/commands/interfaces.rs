//! The network interfaces of the machine.

use std::collections::BTreeMap;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use serde_json::{Map, Value, json};

use super::Outcome;
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::{Context, View};
use crate::exit::{Code, Failure};
use crate::node_name::is_loopback;

/// What Erlang calls the flags, in its order.
const FLAGS: [(InterfaceFlags, &str); 6] = [
    (InterfaceFlags::IFF_UP, "up"),
    (InterfaceFlags::IFF_BROADCAST, "broadcast"),
    (InterfaceFlags::IFF_LOOPBACK, "loopback"),
    (InterfaceFlags::IFF_POINTOPOINT, "pointtopoint"),
    (InterfaceFlags::IFF_RUNNING, "running"),
    (InterfaceFlags::IFF_MULTICAST, "multicast"),
];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[Command::new(
    Group::Monitoring,
    "list_network_interfaces",
    "list_network_interfaces",
    "Lists network interfaces (NICs) on the target node",
)
.scope(Scope::Diagnostics)
.takes(0, 0)
.timeout()
.switches(&[Switch::flag("offline")])
.explained(&[("--offline", "accepted for compatibility")])
.here("Those of the machine that the command runs on")
.runs(list)];

/// One of them.
#[derive(Debug, Default, PartialEq)]
struct Interface {
    hardware_address: Option<String>,
    addresses: Vec<Address>,
    flags: Vec<&'static str>,
}

#[derive(Debug, PartialEq)]
struct Address {
    address: String,
    netmask: Option<String>,
    broadcast: Option<String>,
}

fn list(context: &mut Context<'_>) -> Outcome {
    if let Some(host) = context.broker.api().host().filter(|host| !is_loopback(host)) {
        let text = format!("the network interfaces of {host} can't be seen from here: run the command there");
        return Err(Failure::new(Code::Unavailable, text).into());
    }
    let node = context.presumed_node();
    context.announce(&format!("Asking node {node} to report its network interfaces ..."))?;
    let refused = |error| {
        Failure::new(Code::Software, format!("the system does not tell its network interfaces: {error}"))
    };
    let interfaces = by_name(getifaddrs().map_err(refused)?);
    let message = format!("Node {node} reported network interfaces");
    let objects = interfaces.iter().map(|(name, interface)| (name.clone(), interface.object()));
    let objects: Map<String, Value> = objects.collect();
    let text = text(&interfaces, &context.view);
    context.finish(&text, json!({"interfaces": objects, "message": message, "result": "ok"}))
}

/// The system tells of each address by itself.
fn by_name(addresses: impl Iterator<Item = InterfaceAddress>) -> BTreeMap<String, Interface> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for found in addresses {
        let interface = interfaces.entry(found.interface_name.clone()).or_default();
        let is_set = |(flag, _): &&(InterfaceFlags, &str)| found.flags.contains(*flag);
        interface.flags = FLAGS.iter().filter(is_set).map(|(_, name)| *name).collect();
        let link = found.address.as_ref().and_then(|address| address.as_link_addr()?.addr());
        if let Some(bytes) = link {
            interface.hardware_address = Some(bytes.map(|byte| format!("{byte:X}")).join(":"));
        }
        if let Some(address) = ip(found.address.as_ref()) {
            let (netmask, broadcast) = (ip(found.netmask.as_ref()), ip(found.broadcast.as_ref()));
            interface.addresses.push(Address { address, netmask, broadcast });
        }
    }
    interfaces
}

fn ip(address: Option<&SockaddrStorage>) -> Option<String> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|address| address.ip().to_string());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().to_string()))
}

fn text(interfaces: &BTreeMap<String, Interface>, view: &View) -> String {
    let section = |(name, interface): (&String, &Interface)| {
        format!("{}\n\n{}\n", view.bold(&format!("Interface {name}")), interface.lines().join("\n"))
    };
    interfaces.iter().map(section).collect::<Vec<_>>().join("\n\n")
}

impl Interface {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.hardware_address.iter().map(|address| format!("hwaddr: {address}")).collect();
        for Address { address, netmask, broadcast } in &self.addresses {
            lines.extend(broadcast.iter().map(|broadcast| format!("broadaddr: {broadcast}")));
            lines.extend(netmask.iter().map(|netmask| format!("netmask: {netmask}")));
            lines.push(format!("addr: {address}"));
        }
        lines.push(format!("flags: {}", self.flags.join(", ")));
        lines
    }

    fn object(&self) -> Value {
        let addresses = self.addresses.iter().map(|address| {
            json!({"addr": address.address, "netmask": address.netmask, "broadaddr": address.broadcast})
        });
        json!({
            "flags": self.flags.join(", "),
            "hwaddr": self.hardware_address,
            "addresses": addresses.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_shown_as_erlang_shows_it() {
        let interface = Interface {
            hardware_address: Some("2:FC:0:0:0:1".to_string()),
            addresses: vec![
                Address { address: "fd00::2".into(), netmask: Some("ffff::".into()), broadcast: None },
                Address {
                    address: "192.0.2.2".into(),
                    netmask: Some("255.255.255.0".into()),
                    broadcast: Some("192.0.2.255".into()),
                },
            ],
            flags: vec!["up", "running"],
        };
        let expected = [
            "hwaddr: 2:FC:0:0:0:1",
            "netmask: ffff::",
            "addr: fd00::2",
            "broadaddr: 192.0.2.255",
            "netmask: 255.255.255.0",
            "addr: 192.0.2.2",
            "flags: up, running",
        ];
        assert_eq!(interface.lines(), expected);
    }

    #[test]
    fn every_machine_has_a_loopback_interface() {
        let interfaces = by_name(getifaddrs().unwrap());
        let loopback = interfaces.values().find(|interface| interface.flags.contains(&"loopback")).unwrap();
        let addresses: Vec<_> = loopback.addresses.iter().map(|address| address.address.as_str()).collect();
        assert!(addresses.contains(&"127.0.0.1") || addresses.contains(&"::1"), "{addresses:?}");
    }
}
