//! Usage errors, help, and commands that do not run.

use expect_test::expect;

use super::check;
use crate::testing::Script;

#[test]
fn usage_errors() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl lst_queues",
            "rabbitmqctl add_user",
            "rabbitmqctl add_user a b c",
            "rabbitmqctl list_queues nosuch name",
            "rabbitmqctl list_queues --bogus -t abc",
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
            $ rabbitmqctl list_queues nosuch name
            ! Error (argument validation): Info key(s) nosuch are not supported
            ! Arguments given:
            ! 	list_queues nosuch name
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl list_queues --bogus -t abc
            ! Error (argument validation): Invalid options for this command:
            ! --bogus : 
            ! -t : abc
            ! Arguments given:
            ! 	list_queues --bogus -t abc
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]
            exit 64
        "#]],
    );
}

#[test]
fn commands_that_do_not_run_and_help() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl eval 'x().'",
            "rabbitmqctl sync_queue q",
            "rabbitmqctl help lst_queues",
            "rabbitmqctl help zzz",
        ],
        expect![[r#"
            $ rabbitmqctl eval 'x().'
            ! Error: there is no Erlang here to evaluate code with. Settings are shown by 'rabbitmqctl environment', the broker's state by 'rabbitmqctl status' and the list commands
            exit 69
            $ rabbitmqctl sync_queue q
            This command is a no-op on this broker: there are no mirrored queues
            $ rabbitmqctl help lst_queues
            ! Error:
            ! 
            ! Command 'lst_queues' not found. 
            ! Did you mean 'list_queues'?
            exit 64
            $ rabbitmqctl help zzz
            ! Error:
            ! 
            ! Command 'zzz' not found.
            exit 64
        "#]],
    );
}

#[test]
fn help_of_a_command() {
    check(
        &Script::new(),
        &["rabbitmqctl help delete_queue"],
        expect![[r#"
        $ rabbitmqctl help delete_queue

        Usage

        rabbitmqctl [--node <node>] [--longnames] [--quiet] delete_queue [--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u] [--force] [--timeout <timeout>]

        Deletes a queue.


        Arguments and Options

        <queue_name>
        	name of the queue to delete

        --if-empty
        	delete the queue if it is empty (has no messages ready for delivery)

        --if-unused
        	delete the queue only if it has no consumers

        --force
        	accepted for compatibility


        General Options

        The following options are accepted by most or all commands.

        short            | long          | description
        -----------------|---------------|--------------------------------
        -?               | --help        | displays command help
        -n <node>        | --node <node> | connect to node <node>
        -l               | --longnames   | use long host names
        -t               | --timeout <n> | for commands that support it, operation timeout in seconds
        -q               | --quiet       | suppress informational messages
        -s               | --silent      | suppress informational messages
                                         | and table header row
        -p               | --vhost       | for commands that are scoped to a virtual host,
                         |               | virtual host to use
                         | --formatter   | alternative result formatter to use
                                         | if supported: json, pretty_table, table, csv, erlang
                                           not all commands support all (or any) alternative formatters.
                         | --data-dir    | data directory of the broker to speak to, through its control socket
                         | --host        | speak to the management API of this host instead
                         | --port        | its port (15672)
                         | --username    | the user to log in as there (guest)
                         | --password    | the user's password (guest)

    "#]],
    );
}

#[test]
fn help_may_name_another_script() {
    check(
        &Script::new(),
        &["rabbitmqctl ping --help --script-name ctl"],
        expect![[r#"
        $ rabbitmqctl ping --help --script-name ctl

        Usage

        ctl [--node <node>] [--longnames] [--quiet] ping [--timeout <timeout>]

        Checks that the node OS process is up, registered with EPMD and CLI tools can authenticate with it.


        General Options

        The following options are accepted by most or all commands.

        short            | long          | description
        -----------------|---------------|--------------------------------
        -?               | --help        | displays command help
        -n <node>        | --node <node> | connect to node <node>
        -l               | --longnames   | use long host names
        -t               | --timeout <n> | for commands that support it, operation timeout in seconds
        -q               | --quiet       | suppress informational messages
        -s               | --silent      | suppress informational messages
                                         | and table header row
        -p               | --vhost       | for commands that are scoped to a virtual host,
                         |               | virtual host to use
                         | --formatter   | alternative result formatter to use
                                         | if supported: json, pretty_table, table, csv, erlang
                                           not all commands support all (or any) alternative formatters.
                         | --data-dir    | data directory of the broker to speak to, through its control socket
                         | --host        | speak to the management API of this host instead
                         | --port        | its port (15672)
                         | --username    | the user to log in as there (guest)
                         | --password    | the user's password (guest)

    "#]],
    );
}

#[test]
fn help_of_a_tool() {
    check(
        &Script::new(),
        &["rabbitmq-plugins help"],
        expect![[r#"
        $ rabbitmq-plugins help

        Usage

        rabbitmq-plugins [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]

        Available commands:

        Help:

           autocomplete  Provides command name autocomplete variants
           help          Displays usage information for a command
           version       Displays CLI tools version

        Monitoring, observability and health checks:

           directories   Displays plugin directory and enabled plugin file paths
           is_enabled    Health check that exits with a non-zero code if provided plugins are not enabled on target node

        Plugin Management:

           disable       Disables one or more plugins
           enable        Enables one or more plugins
           list          Lists plugins and their state
           set           Enables one or more plugins, disables the rest

        Use 'rabbitmq-plugins help <command>' to learn more about a specific command
    "#]],
    );
}

#[test]
fn without_a_command_the_help_is_an_error() {
    check(
        &Script::new(),
        &["rabbitmq-plugins"],
        expect![[r#"
        $ rabbitmq-plugins
        ! 
        ! Usage
        ! 
        ! rabbitmq-plugins [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]
        ! 
        ! Available commands:
        ! 
        ! Help:
        ! 
        !    autocomplete  Provides command name autocomplete variants
        !    help          Displays usage information for a command
        !    version       Displays CLI tools version
        ! 
        ! Monitoring, observability and health checks:
        ! 
        !    directories   Displays plugin directory and enabled plugin file paths
        !    is_enabled    Health check that exits with a non-zero code if provided plugins are not enabled on target node
        ! 
        ! Plugin Management:
        ! 
        !    disable       Disables one or more plugins
        !    enable        Enables one or more plugins
        !    list          Lists plugins and their state
        !    set           Enables one or more plugins, disables the rest
        ! 
        ! Use 'rabbitmq-plugins help <command>' to learn more about a specific command
        exit 64
    "#]],
    );
}

#[test]
fn an_unknown_command_like_no_other() {
    check(
        &Script::new(),
        &["rabbitmq-plugins zzz", "rabbitmqctl autocomplete add_"],
        expect![[r#"
        $ rabbitmq-plugins zzz
        ! 
        ! Command 'zzz' not found. 
        ! 
        ! Usage
        ! 
        ! rabbitmq-plugins [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]
        ! 
        ! Available commands:
        ! 
        ! Help:
        ! 
        !    autocomplete  Provides command name autocomplete variants
        !    help          Displays usage information for a command
        !    version       Displays CLI tools version
        ! 
        ! Monitoring, observability and health checks:
        ! 
        !    directories   Displays plugin directory and enabled plugin file paths
        !    is_enabled    Health check that exits with a non-zero code if provided plugins are not enabled on target node
        ! 
        ! Plugin Management:
        ! 
        !    disable       Disables one or more plugins
        !    enable        Enables one or more plugins
        !    list          Lists plugins and their state
        !    set           Enables one or more plugins, disables the rest
        ! 
        ! Use 'rabbitmq-plugins help <command>' to learn more about a specific command
        exit 64
        $ rabbitmqctl autocomplete add_
        add_user
        add_vhost
    "#]],
    );
}
