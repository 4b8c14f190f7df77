//! Queues, exchanges and bindings.

use expect_test::expect;

use super::bench::Bench;

#[tokio::test]
async fn queues_are_declared_as_over_amqp() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":10}}
            guest PUT /queues/%2F/q {"durable":"true","arguments":{"x-max-length":10}}
            guest PUT /queues/%2F/q {}
            guest PUT /queues/%2F/q {"durable":true,"auto_delete":"perhaps"}
            guest PUT /queues/%2F/q {"durable":true,"arguments":7}
            guest PUT /queues/%2F/amq.q {}
            guest PUT /queues/%2F/other {"arguments":{"x-queue-type":"bad"}}
            guest PUT /queues/%2F/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
            guest PUT /queues/nope/q {}
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":10}}
                  201 
                guest PUT /queues/%2F/q {"durable":"true","arguments":{"x-max-length":10}}
                  204 
                guest PUT /queues/%2F/q {}
                  400 {"error":"bad_request","reason":"inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"}
                guest PUT /queues/%2F/q {"durable":true,"auto_delete":"perhaps"}
                  400 {"error":"bad_request","reason":["not_boolean","perhaps"]}
                guest PUT /queues/%2F/q {"durable":true,"arguments":7}
                  400 {"error":"bad_request","reason":["not_an_object",7]}
                guest PUT /queues/%2F/amq.q {}
                  401 {"error":"not_authorised","reason":"Access refused."}
                guest PUT /queues/%2F/other {"arguments":{"x-queue-type":"bad"}}
                  400 {"error":"bad_request","reason":"invalid arg 'x-queue-type' for queue 'other' in vhost '/': \"unsupported queue type 'bad'\""}
                guest PUT /queues/%2F/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
                  201 
                guest PUT /queues/nope/q {}
                  404 {"error":"not_found","reason":"vhost_not_found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn queues_are_shown_purged_and_deleted() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":10}}
            guest PUT /queues/%2F/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
            guest GET /queues/%2F/q
            guest GET /queues/%2F/quorum?columns=type,leader,members,online
            guest GET /queues/%2F?columns=name,messages
            guest GET /queues?page=1&page_size=1&columns=name
            guest GET /queues?page=9
            guest GET /queues/%2F/q/bindings
            guest DELETE /queues/%2F/quorum?if-empty=true
            guest DELETE /queues/%2F/q/contents
            guest DELETE /queues/%2F/nope/contents
            guest DELETE /queues/%2F/q?if-empty=true&if-unused=true
            guest DELETE /queues/%2F/q
            guest GET /queues/%2F/q
            guest GET /queues/%2F/q/bindings
            guest GET /queues/%2F/q/nope
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":10}}
                  201 
                guest PUT /queues/%2F/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
                  201 
                guest GET /queues/%2F/q
                  200 {"name":"q","vhost":"/","type":"classic","durable":true,"auto_delete":false,"exclusive":false,"arguments":{"x-max-length":10},"node":"rabbit@test","state":"running","policy":null,"operator_policy":null,"effective_policy_definition":{},"exclusive_consumer_tag":null,"exclusive_consumer_pid":null,"single_active_consumer_tag":null,"messages":0,"messages_details":{"rate":0.0},"messages_ready":0,"messages_ready_details":{"rate":0.0},"messages_unacknowledged":0,"messages_unacknowledged_details":{"rate":0.0},"messages_ram":0,"messages_ready_ram":0,"messages_unacknowledged_ram":0,"messages_paged_out":0,"message_bytes":0,"message_bytes_ready":0,"message_bytes_unacknowledged":0,"message_bytes_ram":0,"message_bytes_paged_out":0,"head_message_timestamp":null,"consumers":0,"consumer_capacity":0,"consumer_utilisation":0,"memory":*,"consumer_details":[],"incoming":[],"deliveries":[]}
                guest GET /queues/%2F/quorum?columns=type,leader,members,online
                  200 {"type":"quorum","leader":"rabbit@test","members":["rabbit@test"],"online":["rabbit@test"]}
                guest GET /queues/%2F?columns=name,messages
                  200 [{"name":"q","messages":0},{"name":"quorum","messages":0}]
                guest GET /queues?page=1&page_size=1&columns=name
                  200 {"total_count":2,"item_count":1,"filtered_count":2,"page":1,"page_size":1,"page_count":2,"items":[{"name":"q"}]}
                guest GET /queues?page=9
                  400 {"error":"page_out_of_range","reason":"Page out of range, page: 9 page size: 100, len: 2"}
                guest GET /queues/%2F/q/bindings
                  200 [{"source":"","vhost":"/","destination":"q","destination_type":"queue","routing_key":"q","arguments":{},"properties_key":"q"}]
                guest DELETE /queues/%2F/quorum?if-empty=true
                  400 {"error":"bad_request","reason":"cannot delete queue 'quorum' in vhost '/'. queue.delete operations with if-empty flag set are not supported by quorum queues"}
                guest DELETE /queues/%2F/q/contents
                  204 
                guest DELETE /queues/%2F/nope/contents
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /queues/%2F/q?if-empty=true&if-unused=true
                  204 
                guest DELETE /queues/%2F/q
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /queues/%2F/q
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /queues/%2F/q/bindings
                  200 []
                guest GET /queues/%2F/q/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn exchanges_are_declared_and_deleted_as_over_amqp() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /exchanges/%2F?columns=name,type,internal
            guest PUT /exchanges/%2F/x {}
            guest PUT /exchanges/%2F/x {"type":"direct"}
            guest PUT /exchanges/%2F/x {"type":"topic"}
            guest PUT /exchanges/%2F/x {"type":"x-random"}
            guest PUT /exchanges/%2F/x {"type":7}
            guest PUT /exchanges/%2F/amq.x {}
            guest PUT /exchanges/%2F/amq.default {}
            guest PUT /exchanges/nope/x {}
            guest PUT /exchanges/%2F/t {"type":"topic","durable":true,"internal":true,"auto_delete":true,"arguments":{"alternate-exchange":"x"}}
            guest GET /exchanges/%2F/t
            guest GET /exchanges/%2F/amq.default
            guest GET /exchanges/%2F/nope
            guest POST /bindings/%2F/e/x/e/t {}
            guest DELETE /exchanges/%2F/x?if-unused=true
            guest DELETE /exchanges/%2F/x
            guest DELETE /exchanges/%2F/x
            guest DELETE /exchanges/%2F/amq.direct
            guest DELETE /exchanges/%2F/amq.default
            "#,
            &expect![[r#"
                guest GET /exchanges/%2F?columns=name,type,internal
                  200 [{"name":"","type":"direct","internal":false},{"name":"amq.direct","type":"direct","internal":false},{"name":"amq.fanout","type":"fanout","internal":false},{"name":"amq.headers","type":"headers","internal":false},{"name":"amq.match","type":"headers","internal":false},{"name":"amq.rabbitmq.trace","type":"topic","internal":true},{"name":"amq.topic","type":"topic","internal":false}]
                guest PUT /exchanges/%2F/x {}
                  201 
                guest PUT /exchanges/%2F/x {"type":"direct"}
                  204 
                guest PUT /exchanges/%2F/x {"type":"topic"}
                  400 {"error":"bad_request","reason":"inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is 'direct'"}
                guest PUT /exchanges/%2F/x {"type":"x-random"}
                  400 {"error":"bad_request","reason":"invalid exchange type 'x-random'"}
                guest PUT /exchanges/%2F/x {"type":7}
                  400 {"error":"bad_request","reason":["not_string",7]}
                guest PUT /exchanges/%2F/amq.x {}
                  401 {"error":"not_authorised","reason":"Access refused."}
                guest PUT /exchanges/%2F/amq.default {}
                  401 {"error":"not_authorised","reason":"Access refused."}
                guest PUT /exchanges/nope/x {}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                guest PUT /exchanges/%2F/t {"type":"topic","durable":true,"internal":true,"auto_delete":true,"arguments":{"alternate-exchange":"x"}}
                  201 
                guest GET /exchanges/%2F/t
                  200 {"name":"t","vhost":"/","type":"topic","durable":true,"auto_delete":true,"internal":true,"arguments":{"alternate-exchange":"x"},"incoming":[],"outgoing":[]}
                guest GET /exchanges/%2F/amq.default
                  200 {"name":"","vhost":"/","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":{},"incoming":[],"outgoing":[]}
                guest GET /exchanges/%2F/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /bindings/%2F/e/x/e/t {}
                  201 
                guest DELETE /exchanges/%2F/x?if-unused=true
                  400 {"error":"bad_request","reason":"exchange 'x' in vhost '/' in use"}
                guest DELETE /exchanges/%2F/x
                  204 
                guest DELETE /exchanges/%2F/x
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /exchanges/%2F/amq.direct
                  401 {"error":"not_authorised","reason":"Access refused."}
                guest DELETE /exchanges/%2F/amq.default
                  401 {"error":"not_authorised","reason":"Access refused."}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn bindings_are_listed_by_either_end() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {}
            guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"a b/c"}
            guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"k","arguments":{"n":1}}
            guest POST /bindings/%2F/e/amq.topic/q/q {}
            guest POST /bindings/%2F/e/amq.topic/e/amq.fanout {"routing_key":"k"}
            guest GET /bindings/%2F
            guest GET /bindings?columns=properties_key
            guest GET /queues/%2F/q/bindings?columns=source,routing_key
            guest GET /exchanges/%2F/amq.topic/bindings/source?columns=destination,routing_key
            guest GET /exchanges/%2F/amq.fanout/bindings/destination?columns=source,destination_type
            guest GET /exchanges/%2F/amq.default/bindings/source?columns=destination
            guest GET /exchanges/%2F/amq.topic/bindings
            guest GET /bindings/%2F/e/amq.default/q/q?columns=routing_key
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"a b/c"}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"k","arguments":{"n":1}}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {}
                  201 
                guest POST /bindings/%2F/e/amq.topic/e/amq.fanout {"routing_key":"k"}
                  201 
                guest GET /bindings/%2F
                  200 [{"source":"","vhost":"/","destination":"q","destination_type":"queue","routing_key":"q","arguments":{},"properties_key":"q"},{"source":"amq.topic","vhost":"/","destination":"amq.fanout","destination_type":"exchange","routing_key":"k","arguments":{},"properties_key":"k"},{"source":"amq.topic","vhost":"/","destination":"q","destination_type":"queue","routing_key":"","arguments":{},"properties_key":"~"},{"source":"amq.topic","vhost":"/","destination":"q","destination_type":"queue","routing_key":"a b/c","arguments":{},"properties_key":"a+b%2Fc"},{"source":"amq.topic","vhost":"/","destination":"q","destination_type":"queue","routing_key":"k","arguments":{"n":1},"properties_key":"k~igTv5g"}]
                guest GET /bindings?columns=properties_key
                  200 [{"properties_key":"q"},{"properties_key":"k"},{"properties_key":"~"},{"properties_key":"a+b%2Fc"},{"properties_key":"k~igTv5g"}]
                guest GET /queues/%2F/q/bindings?columns=source,routing_key
                  200 [{"source":"","routing_key":"q"},{"source":"amq.topic","routing_key":""},{"source":"amq.topic","routing_key":"a b/c"},{"source":"amq.topic","routing_key":"k"}]
                guest GET /exchanges/%2F/amq.topic/bindings/source?columns=destination,routing_key
                  200 [{"destination":"amq.fanout","routing_key":"k"},{"destination":"q","routing_key":""},{"destination":"q","routing_key":"a b/c"},{"destination":"q","routing_key":"k"}]
                guest GET /exchanges/%2F/amq.fanout/bindings/destination?columns=source,destination_type
                  200 [{"source":"amq.topic","destination_type":"exchange"}]
                guest GET /exchanges/%2F/amq.default/bindings/source?columns=destination
                  200 [{"destination":"q"}]
                guest GET /exchanges/%2F/amq.topic/bindings
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /bindings/%2F/e/amq.default/q/q?columns=routing_key
                  200 [{"routing_key":"q"}]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_binding_is_found_and_unbound_by_its_key() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {}
            guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"a b/c"}
            guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"k","arguments":{"n":1}}
            guest POST /bindings/%2F/e/amq.topic/q/q {}
            guest GET /bindings/%2F/e/amq.topic/q/q/a%20b%2Fc
            guest GET /bindings/%2F/e/amq.topic/q/q/nope
            guest GET /bindings/%2F/e/amq.topic/q/nope
            guest GET /bindings/%2F/e/amq.topic/x/q
            guest POST /bindings/%2F/e/nope/q/q {}
            guest POST /bindings/%2F/e/amq.default/q/q {}
            guest POST /bindings/%2F/e/amq.headers/q/q {"arguments":{"x-match":"some"}}
            guest DELETE /bindings/%2F/e/amq.topic/q/q/~
            guest DELETE /bindings/%2F/e/amq.topic/q/q/~
            guest DELETE /bindings/%2F/e/amq.topic/q/q/a%20b%2Fc
            guest GET /bindings/%2F/e/amq.topic/q/q?columns=routing_key
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"a b/c"}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"k","arguments":{"n":1}}
                  201 
                guest POST /bindings/%2F/e/amq.topic/q/q {}
                  201 
                guest GET /bindings/%2F/e/amq.topic/q/q/a%20b%2Fc
                  200 {"source":"amq.topic","vhost":"/","destination":"q","destination_type":"queue","routing_key":"a b/c","arguments":{},"properties_key":"a+b%2Fc"}
                guest GET /bindings/%2F/e/amq.topic/q/q/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /bindings/%2F/e/amq.topic/q/nope
                  200 []
                guest GET /bindings/%2F/e/amq.topic/x/q
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /bindings/%2F/e/nope/q/q {}
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /bindings/%2F/e/amq.default/q/q {}
                  401 {"error":"not_authorised","reason":"Access refused."}
                guest POST /bindings/%2F/e/amq.headers/q/q {"arguments":{"x-match":"some"}}
                  400 {"error":"bad_request","reason":"Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"}
                guest DELETE /bindings/%2F/e/amq.topic/q/q/~
                  204 
                guest DELETE /bindings/%2F/e/amq.topic/q/q/~
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /bindings/%2F/e/amq.topic/q/q/a%20b%2Fc
                  204 
                guest GET /bindings/%2F/e/amq.topic/q/q?columns=routing_key
                  200 [{"routing_key":"k"}]
            "#]],
        )
        .await;
    let response = bench.respond(r#"guest POST /bindings/%2F/e/amq.topic/q/q {"routing_key":"x y"}"#).await;
    assert_eq!(response.headers()["location"], "q/x%2By");
}

#[tokio::test]
async fn a_vhost_has_a_default_type_for_lasting_queues() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /vhosts/replicated {"default_queue_type":"quorum"}
            guest PUT /queues/replicated/lasting {"durable":true}
            guest PUT /queues/replicated/lasting {"durable":true}
            guest PUT /queues/replicated/lasting {"durable":true,"arguments":{"x-queue-type":"classic"}}
            guest PUT /queues/replicated/passing {"auto_delete":true}
            guest PUT /queues/replicated/wanted {"durable":true,"arguments":{"x-queue-type":"classic"}}
            guest PUT /queues/replicated/wanted {"durable":true}
            guest GET /queues/replicated?columns=name,type,arguments
            "#,
            &expect![[r#"
                guest PUT /vhosts/replicated {"default_queue_type":"quorum"}
                  201 
                guest PUT /queues/replicated/lasting {"durable":true}
                  201 
                guest PUT /queues/replicated/lasting {"durable":true}
                  204 
                guest PUT /queues/replicated/lasting {"durable":true,"arguments":{"x-queue-type":"classic"}}
                  400 {"error":"bad_request","reason":"inequivalent arg 'x-queue-type' for queue 'lasting' in vhost 'replicated': received 'classic' but current is 'quorum'"}
                guest PUT /queues/replicated/passing {"auto_delete":true}
                  201 
                guest PUT /queues/replicated/wanted {"durable":true,"arguments":{"x-queue-type":"classic"}}
                  201 
                guest PUT /queues/replicated/wanted {"durable":true}
                  204 
                guest GET /queues/replicated?columns=name,type,arguments
                  200 [{"name":"lasting","type":"quorum","arguments":{"x-queue-type":"quorum"}},{"name":"passing","type":"classic","arguments":{}},{"name":"wanted","type":"classic","arguments":{"x-queue-type":"classic"}}]
            "#]],
        )
        .await;
}
