//! A broker to play scripts against: where it is, and what an operator does there.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, ToSocketAddrs},
    sync::Mutex,
    time::Duration,
};

use super::{Doing, Trouble, step::Setup, tools::Tools};
use crate::{broker::Broker, http, wait};

/// How long a broker may take until its management API answers.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// What vhosts of scripts begin with, so that none of them is anybody's.
const VHOST_PREFIX: &str = "judge-";

/// A broker that runs.
#[derive(Debug)]
pub struct Target {
    pub amqp: SocketAddr,
    http: SocketAddr,
    /// As its management API says.
    pub product: String,
    /// None if they are not known.
    pub tools: Option<Tools>,
    /// Users are the whole broker's, so they are made once.
    users: Mutex<BTreeSet<String>>,
}

impl Target {
    /// The broker at these addresses, once its management API answers.
    pub fn at(amqp: SocketAddr, http: SocketAddr) -> Result<Target, Trouble> {
        let overview = || {
            let response = http::ask(http, "GET", "/api/overview", "").ok()?;
            response.contains(" 200 ").then_some(response)
        };
        let overview = wait::until_or(READY_PATIENCE, overview)
            .ok_or_else(|| Trouble::new(format!("the management API at {http} does not answer as guest")))?;
        let field = |name: &str| {
            let (_, rest) = overview.split_once(&format!("\"{name}\":\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let version = field("product_version").or_else(|| field("rabbitmq_version")).unwrap_or_default();
        let product = format!("{} {version}", field("product_name").unwrap_or_default());
        Ok(Target { amqp, http, product, tools: None, users: Mutex::default() })
    }

    /// A Liebre of our own.
    pub fn of(broker: &Broker) -> Result<Target, Trouble> {
        let http = broker.http.ok_or_else(|| Trouble::new("the broker has no management API"))?;
        let target = Target::at(broker.amqp, http)?;
        Ok(Target { tools: Tools::of_liebre(broker), ..target })
    }

    /// The broker at `host:port/host:port`: its AMQP and its management address.
    pub fn parse(text: &str) -> Result<Target, Trouble> {
        let (amqp, http) = text
            .split_once('/')
            .ok_or_else(|| Trouble::new(format!("{text:?} is not AMQP_HOST:PORT/MANAGEMENT_HOST:PORT")))?;
        Target::at(resolve(amqp)?, resolve(http)?)
    }

    /// Makes the vhost of a script, with all permissions for guest; gives its name.
    pub fn make_vhost(&self, script: &str) -> Result<String, Trouble> {
        let vhost = format!("{VHOST_PREFIX}{script}");
        // One may be left over from a run that was stopped.
        self.remove_vhost(&vhost)?;
        self.must("PUT", &format!("/api/vhosts/{vhost}"), "{}")?;
        self.permit(&vhost, "guest", [".*", ".*", ".*"])?;
        Ok(vhost)
    }

    /// Deletes the vhost of a script with all that is in it.
    pub fn remove_vhost(&self, vhost: &str) -> Result<(), Trouble> {
        self.request("DELETE", &format!("/api/vhosts/{vhost}"), "").map(drop)
    }

    /// Does what an operator does for a script in `vhost`; what there is to tell of it.
    pub fn set_up(&self, setup: &Setup, vhost: &str) -> Result<Option<String>, Trouble> {
        match setup {
            Setup::User { name, tags } => self.make_user(name, tags).map(|()| None),
            Setup::Permit { user, configure, write, read } => {
                self.permit(vhost, user, [configure, write, read]).map(|()| None)
            }
            Setup::Request { method, path, body } => {
                let (path, body) = (path.replace("@vhost", vhost), body.replace("@vhost", vhost));
                self.request(method, &path, &body).map(|status| Some(format!("broker {status}")))
            }
        }
    }

    /// Deletes the users that scripts needed.
    pub fn remove_users(&self) -> Result<(), Trouble> {
        let users = std::mem::take(&mut *self.users.lock().unwrap());
        users.iter().try_for_each(|user| self.request("DELETE", &format!("/api/users/{user}"), "").map(drop))
    }

    fn make_user(&self, name: &str, tags: &str) -> Result<(), Trouble> {
        let mut users = self.users.lock().unwrap();
        if users.insert(name.to_owned()) {
            let user = serde_json::json!({"password": name, "tags": tags});
            self.must("PUT", &format!("/api/users/{name}"), &user.to_string())?;
        }
        Ok(())
    }

    fn permit(&self, vhost: &str, user: &str, patterns: [&str; 3]) -> Result<(), Trouble> {
        let [configure, write, read] = patterns;
        let permission = serde_json::json!({"configure": configure, "write": write, "read": read});
        self.must("PUT", &format!("/api/permissions/{vhost}/{user}"), &permission.to_string())
    }

    fn must(&self, method: &str, path: &str, body: &str) -> Result<(), Trouble> {
        let status = self.request(method, path, body)?;
        let is_good = status.starts_with('2');
        if is_good { Ok(()) } else { Err(Trouble::new(format!("{method} {path}: {status}"))) }
    }

    /// The status of the answer.
    fn request(&self, method: &str, path: &str, body: &str) -> Result<String, Trouble> {
        let response = http::ask(self.http, method, path, body).doing(path)?;
        Ok(response.split(' ').nth(1).unwrap_or_default().to_owned())
    }
}

fn resolve(address: &str) -> Result<SocketAddr, Trouble> {
    let found = address.to_socket_addrs().doing(address)?.next();
    found.ok_or_else(|| Trouble::new(format!("address {address} is unknown")))
}
