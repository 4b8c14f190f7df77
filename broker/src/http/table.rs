//! Every path below `/api`, and the methods that it has: what is not here is not found, and a method that is not here is
//! not allowed. The nouns' functions need not ask again.

use axum::http::Method;

/// A path, with the methods for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Segments; one in braces stands for any name.
    pub(super) path: &'static str,
    /// As in the `allow` header.
    pub(super) allow: &'static str,
}

const GET: &str = "HEAD, GET, OPTIONS";
const GET_PUT: &str = "HEAD, GET, PUT, OPTIONS";
const GET_PUT_DELETE: &str = "HEAD, GET, PUT, DELETE, OPTIONS";
const GET_POST: &str = "HEAD, GET, POST, OPTIONS";
const GET_POST_DELETE: &str = "HEAD, GET, POST, DELETE, OPTIONS";
const GET_DELETE: &str = "HEAD, GET, DELETE, OPTIONS";
const POST: &str = "POST, OPTIONS";
const POST_DELETE: &str = "POST, DELETE, OPTIONS";
const PUT: &str = "PUT, OPTIONS";
const PUT_DELETE: &str = "PUT, DELETE, OPTIONS";
const DELETE: &str = "DELETE, OPTIONS";

/// All of them. Of two that fit, the first counts.
pub(super) const ROUTES: &[Route] = &[
    route("overview", GET),
    route("cluster-name", GET_PUT),
    route("config/effective", GET),
    route("definitions", GET_POST),
    route("definitions/{vhost}", GET_POST),
    route("all-configuration", GET_POST),
    route("parameters", GET),
    route("parameters/{component}", GET),
    route("parameters/{component}/{vhost}", GET),
    route("parameters/{component}/{vhost}/{name}", GET_PUT_DELETE),
    route("global-parameters", GET),
    route("global-parameters/{name}", GET_PUT_DELETE),
    route("version", GET),
    route("extensions", GET),
    route("whoami", GET),
    route("nodes", GET),
    route("nodes/{node}", GET),
    route("nodes/{node}/memory", GET),
    route("nodes/{node}/memory/relative", GET),
    route("policies", GET),
    route("policies/{vhost}", GET),
    route("policies/{vhost}/{name}", GET_PUT_DELETE),
    route("operator-policies", GET),
    route("operator-policies/{vhost}", GET),
    route("operator-policies/{vhost}/{name}", GET_PUT_DELETE),
    route("vhost-limits", GET),
    route("vhost-limits/{vhost}", GET),
    route("vhost-limits/{vhost}/{limit}", PUT_DELETE),
    route("user-limits", GET),
    route("user-limits/{user}", GET),
    route("user-limits/{user}/{limit}", PUT_DELETE),
    route("connections", GET),
    route("connections/username/{user}", GET_DELETE),
    route("connections/{connection}", GET_DELETE),
    route("connections/{connection}/channels", GET),
    route("connections/{connection}/sessions", GET),
    route("channels", GET),
    route("channels/{channel}", GET),
    route("consumers", GET),
    route("consumers/{vhost}", GET),
    route("exchanges", GET),
    route("exchanges/{vhost}", GET),
    route("exchanges/{vhost}/{exchange}", GET_PUT_DELETE),
    route("exchanges/{vhost}/{exchange}/publish", POST),
    route("exchanges/{vhost}/{exchange}/bindings/source", GET),
    route("exchanges/{vhost}/{exchange}/bindings/destination", GET),
    route("queues", GET),
    route("queues/detailed", GET),
    route("queues/quorum/{vhost}/{queue}/status", GET),
    route("queues/quorum/{vhost}/{queue}/replicas/add", POST),
    route("queues/quorum/{vhost}/{queue}/replicas/delete", DELETE),
    route("queues/quorum/replicas/on/{node}/grow", POST),
    route("queues/quorum/replicas/on/{node}/shrink", DELETE),
    route("queues/{vhost}", GET),
    route("queues/{vhost}/{queue}", GET_PUT_DELETE),
    route("queues/{vhost}/{queue}/bindings", GET),
    route("queues/{vhost}/{queue}/contents", DELETE),
    route("queues/{vhost}/{queue}/get", POST),
    route("queues/{vhost}/{queue}/actions", POST),
    route("bindings", GET),
    route("bindings/{vhost}", GET),
    route("bindings/{vhost}/e/{source}/{kind}/{destination}", GET_POST),
    route("bindings/{vhost}/e/{source}/{kind}/{destination}/{properties key}", GET_DELETE),
    route("vhosts", GET),
    route("vhosts/{vhost}", GET_PUT_DELETE),
    route("vhosts/{vhost}/deletion/protection", GET_POST_DELETE),
    route("vhosts/{vhost}/start/{node}", POST),
    route("vhosts/{vhost}/permissions", GET),
    route("vhosts/{vhost}/topic-permissions", GET),
    route("vhosts/{vhost}/connections", GET),
    route("vhosts/{vhost}/channels", GET),
    route("users", GET),
    route("users/without-permissions", GET),
    route("users/bulk-delete", POST),
    route("users/{user}", GET_PUT_DELETE),
    route("users/{user}/permissions", GET),
    route("users/{user}/topic-permissions", GET),
    route("permissions", GET),
    route("permissions/{vhost}/{user}", GET_PUT_DELETE),
    route("topic-permissions", GET),
    route("topic-permissions/{vhost}/{user}", GET_PUT_DELETE),
    route("topic-permissions/{vhost}/{user}/{exchange}", GET_PUT_DELETE),
    route("login", POST_DELETE),
    route("auth", GET),
    route("auth/hash_password/{password}", GET),
    route("auth/attempts/{node}", GET_DELETE),
    route("auth/attempts/{node}/source", GET_DELETE),
    route("feature-flags", GET),
    route("feature-flags/{name}/enable", PUT),
    route("deprecated-features", GET),
    route("deprecated-features/used", GET),
    route("aliveness-test/{vhost}", GET),
    route("healthchecks/node", GET),
    route("healthchecks/node/{node}", GET),
    route("health/checks/alarms", GET),
    route("health/checks/local-alarms", GET),
    route("health/checks/certificate-expiration/{within}/{unit}", GET),
    route("health/checks/port-listener/{port}", GET),
    route("health/checks/protocol-listener/{protocol}", GET),
    route("health/checks/virtual-hosts", GET),
    route("health/checks/node-is-mirror-sync-critical", GET),
    route("health/checks/node-is-quorum-critical", GET),
    route("health/checks/is-in-service", GET),
    route("health/checks/below-node-connection-limit", GET),
    route("health/checks/ready-to-serve-clients", GET),
    route("health/checks/reached-target-cluster-size", GET),
    route("health/checks/metadata-store/initialized", GET),
    route("health/checks/metadata-store/initialized/with-data", GET),
    route("health/checks/quorum-queues-without-elected-leaders/all-vhosts", GET),
    route("health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}", GET),
    route("health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}", GET),
    route("health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}", GET),
    route("reset", DELETE),
    route("reset/{node}", DELETE),
    route("rebalance/queues", POST),
    route("liebre/authenticate", POST),
    route("liebre/stop", POST),
    route("liebre/definitions", POST),
    route("liebre/disk-free-limit", PUT),
    route("liebre/vm-memory-high-watermark", PUT),
    route("liebre/environment", GET),
    route("liebre/status", GET),
    route("liebre/log", GET),
    route("liebre/process", GET),
    route("liebre/log-level", PUT),
    route("liebre/listeners", PUT),
    route("liebre/maintenance", PUT),
    route("liebre/stop-app", POST),
    route("liebre/start-app", POST),
    route("liebre/reset", POST),
];

/// The route of a path below `/api`.
pub(super) fn find(names: &[&str]) -> Option<Route> {
    ROUTES.iter().find(|route| route.is_of(names)).copied()
}

impl Route {
    /// Whether the path has this method.
    pub(super) fn has(self, method: &Method) -> bool {
        self.allow.split(", ").any(|name| name == method.as_str())
    }

    fn is_of(self, names: &[&str]) -> bool {
        let mut names = names.iter();
        let is_prefix = self.path.split('/').all(|segment| match names.next() {
            Some(name) => segment.starts_with('{') || segment == *name,
            None => false,
        });
        is_prefix && names.next().is_none()
    }
}

const fn route(path: &'static str, allow: &'static str) -> Route {
    Route { path, allow }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(names: &str) -> Option<&'static str> {
        let names: Vec<&str> = names.split('/').collect();
        find(&names).map(|route| route.path)
    }

    #[test]
    fn every_route_is_found_by_a_path_of_its_own() {
        for route in ROUTES {
            let names = route.path.replace(['{', '}'], "-");
            assert_eq!(path_of(&names), Some(route.path));
        }
    }

    #[test]
    fn literal_names_come_before_others() {
        assert_eq!(path_of("queues/detailed"), Some("queues/detailed"));
        assert_eq!(path_of("queues/other"), Some("queues/{vhost}"));
        assert_eq!(path_of("users/bulk-delete"), Some("users/bulk-delete"));
        assert_eq!(path_of("connections/username/x"), Some("connections/username/{user}"));
        assert_eq!(path_of("overview/more"), None);
        assert_eq!(path_of(""), None);
    }

    #[test]
    fn methods_are_those_of_the_allow_header() {
        let route = find(&["bindings", "/", "e", "a", "q", "b"]).unwrap();
        assert!(route.has(&Method::POST) && route.has(&Method::HEAD) && route.has(&Method::OPTIONS));
        assert!(!route.has(&Method::DELETE) && !route.has(&Method::PATCH));
    }
}
