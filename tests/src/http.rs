//! The management API, as far as tests need it: users, permissions, vhosts.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::{PATIENCE, broker::Broker};

impl Broker {
    /// The address of the management API. None, with a note, if the external broker's is not known.
    pub fn management(&self) -> Option<SocketAddr> {
        if self.http.is_none() {
            eprintln!("skipped: needs the management API, and LIEBRE_TEST_HTTP is not set");
        }
        self.http
    }

    /// Makes user `name` with password `name` and gives it `permissions` (configure, write, read) in the tests' vhost.
    pub fn add_user(&self, name: &str, permissions: Option<[&str; 3]>) {
        let user = serde_json::json!({"password": name, "tags": ""});
        self.put(&format!("/api/users/{name}"), &user.to_string());
        if let Some([configure, write, read]) = permissions {
            let permission = serde_json::json!({"configure": configure, "write": write, "read": read});
            let vhost = self.vhost.replace('/', "%2f");
            self.put(&format!("/api/permissions/{vhost}/{name}"), &permission.to_string());
        }
    }

    /// Deletes user `name`.
    pub fn delete_user(&self, name: &str) {
        self.request("DELETE", &format!("/api/users/{name}"), "");
    }

    fn put(&self, path: &str, body: &str) {
        self.request("PUT", path, body);
    }

    /// One request as guest, answered with a 2xx status.
    fn request(&self, method: &str, path: &str, body: &str) {
        let address = self.http.expect("the test asked for the management API first");
        demand(address, method, path, body).expect("the management API does as it is asked");
    }
}

/// One request as guest; an answer whose status is not 2xx is an error.
pub fn demand(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<()> {
    let response = ask(address, method, path, body)?;
    match response.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        true => Ok(()),
        false => Err(io::Error::other(format!("{method} {path}: {response}"))),
    }
}

/// One request as guest; the response as it came.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    // Z3Vlc3Q6Z3Vlc3Q= is guest:guest.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    send(address, &request)
}

/// One GET of somebody who does not log in; the response as it came.
pub fn ask_anonymously(address: SocketAddr, path: &str) -> io::Result<String> {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

fn send(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request.as_bytes())?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response)
}
