//! The demonstration is a test: it ends with a verdict.

use std::process::Stdio;
use std::time::Duration;

use cartridge_tests::stack;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_loop_from_push_to_scaled_burst_and_healed_ends_with_a_good_verdict() {
    let demo =
        tokio::process::Command::new(stack::binary("cartridge-demo").expect("built before the tests run"))
            .env("CHECK", "1")
            .env("CARTRIDGE_BIN_DIR", stack::bin_dir())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
    let output = tokio::time::timeout(Duration::from_secs(600), demo)
        .await
        .expect("ends in time")
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
