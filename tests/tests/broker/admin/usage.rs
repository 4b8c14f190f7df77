//! Help, and command lines that are wrong: both are told without a broker.

use expect_test::expect;
use liebre_tests::admin::Admin;

use super::check;

#[test]
fn usage() {
    let admin = Admin::without_broker();
    help(&admin);
    wrong_commands(&admin);
    wrong_arguments(&admin);
    wrong_values(&admin);
}

/// The headings; the commands below them are the tools' own tests'.
fn help(admin: &Admin) {
    let help = admin.output("rabbitmqctl help");
    let headings: Vec<&str> =
        help.lines().filter(|line| !line.starts_with("   ") && !line.is_empty()).collect();
    expect![[r#"
        Usage
        rabbitmqctl [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]
        Available commands:
        Help:
        Nodes:
        Cluster:
        Replication:
        Users:
        Access Control:
        Monitoring, observability and health checks:
        Parameters:
        Policies:
        Virtual hosts:
        Configuration and Environment:
        Definitions:
        Feature flags:
        Operations:
        Queues:
        Deprecated:
        Use 'rabbitmqctl help <command>' to learn more about a specific command"#]].assert_eq(&headings.join("\n"));
    let general = "\nGeneral Options\n";
    let of_command = admin.output("rabbitmqctl help set_permissions");
    let (own, _) = of_command.split_once(general).expect("the options of all commands come last");
    expect![[r#"

        Usage

        rabbitmqctl [--node <node>] [--longnames] [--quiet] set_permissions [--vhost <vhost>] <username> <conf> <write> <read>

        Sets user permissions for a vhost.


        Arguments and Options

        <username>
        	Self-explanatory

        <conf>
        	Configuration permission pattern

        <write>
        	Write permission pattern

        <read>
        	Read permission pattern

    "#]].assert_eq(own);
    assert_eq!(admin.output("rabbitmqctl set_permissions --help"), of_command);
}

fn wrong_commands(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl lst_queues",
            "rabbitmqctl add_user",
            "rabbitmqctl add_user a b c",
            "rabbitmqctl set_permissions -p / ana .* .*",
        ],
        expect![[r#"
            $ rabbitmqctl lst_queues
            ! 
            ! Command 'lst_queues' not found. 
            ! Did you mean 'list_queues'? 
            ! 
            exit 64
            $ rabbitmqctl add_user
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	add_user
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] [<password_hash> --pre-hashed-password]
            exit 64
            $ rabbitmqctl add_user a b c
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	add_user a b c
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] [<password_hash> --pre-hashed-password]
            exit 64
            $ rabbitmqctl set_permissions -p / ana .* .*
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	set_permissions -p / ana .* .*
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_permissions [--vhost <vhost>] <username> <conf> <write> <read>
            exit 64
        "#]],
    );
    let unlike = admin.transcript(&["rabbitmqctl zzz"]);
    assert!(
        unlike.starts_with("$ rabbitmqctl zzz\n! \n! Command 'zzz' not found. \n! \n! Usage\n"),
        "{unlike}"
    );
    assert!(unlike.ends_with("\nexit 64\n"), "{unlike}");
}

fn wrong_arguments(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_users extra",
            "rabbitmqctl list_queues name nonsense",
            "rabbitmqctl list_queues --nonsense",
            "rabbitmq-plugins enable",
            "rabbitmq-diagnostics status extra",
        ],
        expect![[r#"
            $ rabbitmqctl list_users extra
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	list_users extra
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_users [--no-table-headers] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl list_queues name nonsense
            ! Error (argument validation): Info key(s) nonsense are not supported
            ! Arguments given:
            ! 	list_queues name nonsense
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl list_queues --nonsense
            ! Error (argument validation): Invalid options for this command:
            ! --nonsense : 
            ! Arguments given:
            ! 	list_queues --nonsense
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmq-plugins enable
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	enable
            ! 
            ! Usage
            ! 
            ! rabbitmq-plugins [--node <node>] [--longnames] [--quiet] enable <plugin1> [ <plugin2>] | --all [--offline] [--online]
            exit 64
            $ rabbitmq-diagnostics status extra
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	status extra
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] status [--unit <unit>] [--timeout <timeout>]
            exit 64
        "#]],
    );
}

fn wrong_values(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl add_user ''",
            "rabbitmqctl add_vhost ''",
            "rabbitmq-diagnostics check_port_listener x",
            "rabbitmqctl list_queues --formatter nonsense",
            "rabbitmqctl list_queues -t soon",
            "rabbitmqctl status --unit kb",
        ],
        expect![[r#"
            $ rabbitmqctl add_user ''
            ! Error (argument validation): Bad argument: user cannot be an empty string
            ! Arguments given:
            ! 	add_user 
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] [<password_hash> --pre-hashed-password]
            exit 65
            $ rabbitmqctl add_vhost ''
            ! Error (argument validation): Bad argument: virtual host name cannot be an empty string
            ! Arguments given:
            ! 	add_vhost 
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_vhost <vhost> [--description <description> --tags "<tag1>,<tag2>,<...>" --default-queue-type <quorum|classic>]
            exit 65
            $ rabbitmq-diagnostics check_port_listener x
            ! Error (argument validation): Bad argument: Argument must be a positive integer
            ! Arguments given:
            ! 	check_port_listener x
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] check_port_listener <port> [--timeout <timeout>]
            exit 65
            $ rabbitmqctl list_queues --formatter nonsense
            ! Error (argument validation): Invalid options for this command:
            ! --formatter : nonsense
            ! Arguments given:
            ! 	list_queues --formatter nonsense
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl list_queues -t soon
            ! Error (argument validation): Invalid options for this command:
            ! -t : soon
            ! Arguments given:
            ! 	list_queues -t soon
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl status --unit kb
            ! Error (argument validation): "unit 'kb' is not supported. Please use one of: bytes, mb, gb"
            ! Arguments given:
            ! 	status --unit kb
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] status [--unit <unit>] [--timeout <timeout>]
            exit 64
        "#]],
    );
}
