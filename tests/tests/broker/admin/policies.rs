//! Policies: set with the tools, seen by clients at once, and there after a crash.

use expect_test::expect;
use lapin::{BasicProperties, ExchangeKind, options::QueueDeclareOptions, types::FieldTable};
use liebre_tests::{
    admin::Admin,
    amqp::{
        bind, body, confirm, connect_channel, counts, declare, declare_exchange, drain, get, publish_with,
    },
    broker::Broker,
};

use super::check;

#[tokio::test(flavor = "multi_thread")]
async fn policies() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        for queue in ["jobs", "graves"] {
            declare(&channel, queue, QueueDeclareOptions::durable()).await;
        }
        for job in ["1", "2", "3"] {
            publish_with(&channel, "", "jobs", job, BasicProperties::default().with_delivery_mode(2)).await;
        }
        set(&broker.admin().unwrap());
        // It is in force when the tool ends.
        assert_eq!(counts(&channel, "jobs").await, (1, 0));
        assert_eq!(counts(&channel, "graves").await, (2, 0));
    }
    broker.kill9();
    broker.start_again();
    shown(&broker.admin().unwrap());
    let (_connection, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    // The exchange is new.
    declare_exchange(&channel, "orders", ExchangeKind::Direct).await;
    bind(&channel, "graves", "amq.fanout", "", FieldTable::default()).await;
    publish_with(&channel, "orders", "nobody's", "unroutable", BasicProperties::default()).await;
    publish_with(&channel, "", "jobs", "4", BasicProperties::default()).await;
    assert_eq!(drain(&channel, "graves").await, ["1", "2", "unroutable", "3"]);
    cleared(&broker.admin().unwrap());
    publish_with(&channel, "", "jobs", "5", BasicProperties::default()).await;
    let first = get(&channel, "jobs").await.expect("a message");
    assert_eq!((body(&first.delivery).as_str(), first.message_count), ("4", 1));
    in_a_vhost_that_goes(&broker.admin().unwrap());
}

fn set(admin: &Admin) {
    check(
        admin,
        &[
            r#"rabbitmqctl set_policy limit '^jobs$' '{"max-length":5,"dead-letter-exchange":"","dead-letter-routing-key":"graves"}' --apply-to queues"#,
            r#"rabbitmqctl set_policy others '' '{"alternate-exchange":"amq.fanout"}' --priority -1"#,
            r#"rabbitmqctl set_operator_policy small 'jobs' '{"max-length":1}'"#,
            r#"rabbitmqctl set_operator_policy small 'jobs' '{"overflow":"upwards"}'"#,
        ],
        expect![[r#"
            $ rabbitmqctl set_policy limit '^jobs$' '{"max-length":5,"dead-letter-exchange":"","dead-letter-routing-key":"graves"}' --apply-to queues
            Setting policy "limit" for pattern "^jobs$" to "{"max-length":5,"dead-letter-exchange":"","dead-letter-routing-key":"graves"}" with priority "0" for vhost "/" ...
            $ rabbitmqctl set_policy others '' '{"alternate-exchange":"amq.fanout"}' --priority -1
            Setting policy "others" for pattern "" to "{"alternate-exchange":"amq.fanout"}" with priority "-1" for vhost "/" ...
            $ rabbitmqctl set_operator_policy small 'jobs' '{"max-length":1}'
            Setting operator policy override "small" for pattern "jobs" to "{"max-length":1}" with priority "0" for vhost "/" ...
            $ rabbitmqctl set_operator_policy small 'jobs' '{"overflow":"upwards"}'
            Setting operator policy override "small" for pattern "jobs" to "{"overflow":"upwards"}" with priority "0" for vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! <<"upwards">> is not a valid overflow value
            ! 
            exit 70
        "#]],
    );
}

fn shown(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_policies",
            "rabbitmqctl list_operator_policies",
            "rabbitmqctl -q list_queues name messages policy operator_policy effective_policy_definition",
            "rabbitmqctl -q list_exchanges name policy",
        ],
        expect![[r#"
            $ rabbitmqctl list_policies
            Listing policies for vhost "/" ...
            vhost	name	pattern	apply-to	definition	priority
            /	others		all	{"alternate-exchange":"amq.fanout"}	-1
            /	limit	^jobs$	queues	{"dead-letter-exchange":"","dead-letter-routing-key":"graves","max-length":5}	0
            $ rabbitmqctl list_operator_policies
            Listing operator policy overrides for vhost "/" ...
            vhost	name	pattern	apply-to	definition	priority
            /	small	jobs	all	{"max-length":1}	0
            $ rabbitmqctl -q list_queues name messages policy operator_policy effective_policy_definition
            name	messages	policy	operator_policy	effective_policy_definition
            graves	2	others		[{<<"alternate-exchange">>, amq.fanout}]
            jobs	1	limit	small	[{<<"dead-letter-exchange">>, }, {<<"dead-letter-routing-key">>, graves}, {<<"max-length">>, 1}]
            $ rabbitmqctl -q list_exchanges name policy
            name	policy
            	others
            amq.direct	others
            amq.fanout	others
            amq.headers	others
            amq.match	others
            amq.rabbitmq.trace	others
            amq.topic	others
        "#]],
    );
}

fn cleared(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl clear_policy limit",
            "rabbitmqctl clear_operator_policy small",
            "rabbitmqctl clear_operator_policy small",
            "rabbitmqctl -q list_queues name policy operator_policy",
        ],
        expect![[r#"
            $ rabbitmqctl clear_policy limit
            Clearing policy "limit" on vhost "/" ...
            $ rabbitmqctl clear_operator_policy small
            Clearing operator policy "small" on vhost "/" ...
            $ rabbitmqctl clear_operator_policy small
            Clearing operator policy "small" on vhost "/" ...
            ! Error:
            ! Parameter does not exist
            exit 70
            $ rabbitmqctl -q list_queues name policy operator_policy
            name	policy	operator_policy
            graves	others	
            jobs	others	
        "#]],
    );
}

fn in_a_vhost_that_goes(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl -q add_vhost course",
            r#"rabbitmqctl -q set_policy -p course p '^q' '{"max-length":1}'"#,
            "rabbitmqctl -q list_policies -p course",
            "rabbitmqctl -q delete_vhost course",
            "rabbitmqctl -q add_vhost course",
            "rabbitmqctl list_policies -p course",
            "rabbitmqctl list_policies -p nowhere",
        ],
        expect![[r#"
            $ rabbitmqctl -q add_vhost course
            $ rabbitmqctl -q set_policy -p course p '^q' '{"max-length":1}'
            $ rabbitmqctl -q list_policies -p course
            vhost	name	pattern	apply-to	definition	priority
            course	p	^q	all	{"max-length":1}	0
            $ rabbitmqctl -q delete_vhost course
            $ rabbitmqctl -q add_vhost course
            $ rabbitmqctl list_policies -p course
            Listing policies for vhost "course" ...

            $ rabbitmqctl list_policies -p nowhere
            Listing policies for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
        "#]],
    );
}
