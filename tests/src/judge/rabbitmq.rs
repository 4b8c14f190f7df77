//! A RabbitMQ of our own: Debian's `rabbitmq-server` with its own node name, ports and files, on the loopback only.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::{Doing, Trouble, target::Target, tools::Tools};

/// Where Debian puts the program itself; the one on the path changes the user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// What our node is called.
const NODE: &str = "judge@localhost";

/// A running RabbitMQ. Ends with the value, or at the latest with this process.
#[derive(Debug)]
pub struct RabbitMq {
    /// Where it is reached.
    pub target: Target,
    _processes: Vec<Group>,
    _dir: TempDir,
}

/// The ports of one node.
#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    http: u16,
    distribution: u16,
    epmd: u16,
}

impl RabbitMq {
    /// Starts a node and waits until it answers.
    pub fn start() -> Result<RabbitMq, Trouble> {
        if !Path::new(SERVER).exists() {
            return Err(Trouble::new(
                "RabbitMQ is not installed: apt-get install rabbitmq-server\n\
                 (its service need not run; or say --rabbitmq HOST:PORT/HOST:PORT)",
            ));
        }
        let dir = tempfile::Builder::new().prefix("liebre-judge-").tempdir().doing("a directory")?;
        let ports = Ports::free()?;
        write_configuration(dir.path(), ports)?;
        // Of our own, so that it ends with us.
        let mut epmd = Command::new("epmd");
        epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
        let epmd = Group::start(epmd, dir.path())?;
        let server = Group::start(server(dir.path(), ports), dir.path())?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut target = Target::at(address(ports.amqp), address(ports.http)).map_err(|trouble| {
            let log = fs::read_to_string(dir.path().join("output")).unwrap_or_default();
            Trouble::new(format!("RabbitMQ did not start: {trouble}\n{log}"))
        })?;
        let variables = variables(dir.path(), ports).into();
        target.tools =
            Some(Tools::of_rabbitmq(variables, NODE, [ports.amqp, ports.http, ports.distribution]));
        Ok(RabbitMq { target, _processes: vec![server, epmd], _dir: dir })
    }
}

impl Ports {
    fn free() -> Result<Ports, Trouble> {
        // Held together, so that they differ.
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("looking for free ports");
        let held = [listen()?, listen()?, listen()?, listen()?];
        let port = |index: usize| held[index].local_addr().map(|address| address.port()).doing("a port");
        Ok(Ports { amqp: port(0)?, http: port(1)?, distribution: port(2)?, epmd: port(3)? })
    }
}

fn write_configuration(dir: &Path, ports: Ports) -> Result<(), Trouble> {
    let configuration = format!(
        "listeners.tcp.default = 127.0.0.1:{}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n",
        ports.amqp, ports.http
    );
    fs::write(dir.join("rabbitmq.conf"), configuration).doing("rabbitmq.conf")?;
    fs::write(dir.join("enabled_plugins"), "[rabbitmq_management].\n").doing("enabled_plugins")
}

fn server(dir: &Path, ports: Ports) -> Command {
    let mut server = Command::new(SERVER);
    server
        .envs(variables(dir, ports))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
    server
}

/// What the node and its tools are told.
fn variables(dir: &Path, ports: Ports) -> [(&'static str, OsString); 11] {
    [
        ("HOME", dir.into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("ERL_EPMD_PORT", ports.epmd.to_string().into()),
        ("RABBITMQ_NODENAME", NODE.into()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
        ("RABBITMQ_MNESIA_BASE", dir.join("mnesia").into()),
        ("RABBITMQ_LOG_BASE", dir.join("log").into()),
        ("RABBITMQ_PID_FILE", dir.join("pid").into()),
        ("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf").into()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins").into()),
        // What the machine's own node is told is not for this one.
        ("RABBITMQ_CONF_ENV_FILE", dir.join("none").into()),
    ]
}

/// A process and what it starts. Ends with the value; a shell ends it if this process cannot.
#[derive(Debug)]
struct Group {
    leader: Child,
    guard: Child,
}

impl Group {
    fn start(mut command: Command, dir: &Path) -> Result<Group, Trouble> {
        let output = fs::OpenOptions::new().create(true).append(true).open(dir.join("output"));
        let output = output.doing("a log")?;
        let errors = output.try_clone().doing("a log")?;
        let program = PathBuf::from(command.get_program());
        let leader = command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let leader = leader.doing(program.display())?;
        let script = "read _; kill -9 -- \"-$1\"; rm -rf \"$2\"";
        let guard = Command::new("sh")
            .args(["-c", script, "guard", &leader.id().to_string()])
            .arg(dir)
            .current_dir(env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .doing("starting a shell")?;
        Ok(Group { leader, guard })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The guard first: once the leader is reaped, its number may be somebody else's.
        self.guard.kill().ok();
        self.guard.wait().ok();
        kill_process_group(Pid::from_child(&self.leader), Signal::KILL).ok();
        self.leader.wait().ok();
    }
}
