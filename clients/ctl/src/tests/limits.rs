//! Limits of disk and memory.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

#[test]
fn limits_are_set() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl set_disk_free_limit 2GB",
            "rabbitmqctl set_disk_free_limit 50000000 -q",
            "rabbitmqctl set_disk_free_limit mem_relative 1.5",
            "rabbitmqctl set_vm_memory_high_watermark 0.4",
            "rabbitmqctl set_vm_memory_high_watermark 0 --formatter json",
            "rabbitmqctl set_vm_memory_high_watermark absolute 500MiB",
        ],
        expect![[r#"
            $ rabbitmqctl set_disk_free_limit 2GB
            Setting disk free limit on rabbit@h to 2GB bytes ...
            > PUT /api/liebre/disk-free-limit {"absolute":"2GB"}
            $ rabbitmqctl set_disk_free_limit 50000000 -q
            > PUT /api/liebre/disk-free-limit {"absolute":"50000000"}
            $ rabbitmqctl set_disk_free_limit mem_relative 1.5
            Setting disk free limit on rabbit@h to 1.5 times the total RAM ...
            > PUT /api/liebre/disk-free-limit {"relative":1.5}
            $ rabbitmqctl set_vm_memory_high_watermark 0.4
            Setting memory threshold on rabbit@h to 0.4 ...
            > PUT /api/liebre/vm-memory-high-watermark {"relative":0.4}
            $ rabbitmqctl set_vm_memory_high_watermark 0 --formatter json
            {"node":"rabbit@h","result":"ok"}
            > PUT /api/liebre/vm-memory-high-watermark {"relative":0.0}
            $ rabbitmqctl set_vm_memory_high_watermark absolute 500MiB
            Setting memory threshold on rabbit@h to 500MiB bytes ...
            > PUT /api/liebre/vm-memory-high-watermark {"absolute":"500MiB"}
        "#]],
    );
}

#[test]
fn what_is_no_limit_is_refused() {
    let reason = "'2xyz' is no size";
    let script = Script::new().answer("PUT /api/liebre/disk-free-limit", 400, json!({"reason": reason}));
    let lines = [
        "set_disk_free_limit",
        "set_disk_free_limit mem_relative",
        "set_disk_free_limit mem_relative x",
        "set_disk_free_limit 1 2",
        "set_disk_free_limit GB",
        "set_disk_free_limit 2xyz",
        "set_vm_memory_high_watermark absolute",
        "set_vm_memory_high_watermark relative 0.3",
        "set_vm_memory_high_watermark 1.5",
        "set_vm_memory_high_watermark x",
    ];
    let first_and_last = |line: &&str| {
        let told = script.run(&format!("rabbitmqctl -q {line}"));
        let lines: Vec<_> = told.lines().collect();
        format!("{line}\n  {}\n  {}\n", lines[0], lines[lines.len() - 1])
    };
    expect![[r#"
        set_disk_free_limit
          ! Error (argument validation): not enough arguments.
          exit 64
        set_disk_free_limit mem_relative
          ! Error (argument validation): not enough arguments.
          exit 64
        set_disk_free_limit mem_relative x
          ! Error (argument validation): Bad argument: a fraction is a number such as 0.4
          exit 65
        set_disk_free_limit 1 2
          ! Error (argument validation): too many arguments.
          exit 64
        set_disk_free_limit GB
          ! Error (argument validation): Bad argument: a size is bytes, or a number with a unit as in 500MiB or 2GB
          exit 65
        set_disk_free_limit 2xyz
          ! Error (argument validation): Bad argument: '2xyz' is no size
          exit 65
        set_vm_memory_high_watermark absolute
          ! Error (argument validation): not enough arguments.
          exit 64
        set_vm_memory_high_watermark relative 0.3
          ! Error (argument validation): too many arguments.
          exit 64
        set_vm_memory_high_watermark 1.5
          ! Error (argument validation): Bad argument: The threshold should be a fraction between 0.0 and 1.0
          exit 65
        set_vm_memory_high_watermark x
          ! Error (argument validation): Bad argument: a fraction is a number such as 0.4
          exit 65
    "#]].assert_eq(&lines.iter().map(first_and_last).collect::<String>());
}
