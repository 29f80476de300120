//! The agent's packages and its unit, on a machine with a real service manager: a container that boots systemd.
//!
//! The machine is made of Debian's packages, once, and kept as an image.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../agent/tests/orchestrator/mod.rs"]
mod orchestrator;

use std::path::{Path, PathBuf};
use std::process::Command;

use cartridge_protocol::link::{Batch, Desired, Phase};
use cartridge_tests::docker::docker;
use cartridge_tests::stack;
use orchestrator::Fake;

const IMAGE: &str = "cartridge-tests-machine:2";
const MEMBER: &str = "app.web.hello.domain-1";
/// Longest wait for any state, seconds.
const PATIENCE: u32 = 60;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let done = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{program:?}: {e} (tests/install test)"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program:?} {arguments:?}: {said}");
    said
}

/// The exposure that systemd sees in the unit with these drop-ins, in tenths.
fn exposure(drop_ins: &[&str]) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("cartridge-agent.service");
    std::fs::copy(packaging().join("systemd/cartridge-agent.service"), &unit).unwrap();
    let to = folder.path().join("cartridge-agent.service.d");
    std::fs::create_dir(&to).unwrap();
    for name in drop_ins {
        let from = packaging().join(format!("systemd/cartridge-agent.service.d/{name}.conf.disabled"));
        std::fs::copy(from, to.join(format!("{name}.conf"))).unwrap();
    }
    let done = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", unit.to_str().unwrap()])
        .output()
        .expect("systemd-analyze is installed (tests/install test)");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let level = said
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .expect(&said);
    let number = level
        .rsplit_once(": ")
        .unwrap()
        .1
        .split_whitespace()
        .next()
        .unwrap();
    let (whole, tenths) = number.split_once('.').unwrap();
    whole.parse::<u32>().unwrap() * 10 + tenths.parse::<u32>().unwrap()
}

#[test]
fn the_unit_exposes_little_and_with_hooks_as_other_users_not_much_more() {
    let (plain, others) = (exposure(&[]), exposure(&["hooks-as-others"]));
    println!("exposure: {plain} tenths, with hooks as other users {others} tenths");
    assert!(plain <= 15, "{plain} tenths");
    assert!(others <= 27, "{others} tenths");
}

/// A machine that has booted; removed in the end.
struct Machine(String);

impl Machine {
    fn boot() -> Self {
        if !Command::new("docker")
            .args(["image", "inspect", IMAGE])
            .output()
            .unwrap()
            .status
            .success()
        {
            let folder = tempfile::tempdir().unwrap();
            let files = folder.path().join("machine.tar");
            let packages = "--include=systemd,systemd-sysv,dbus,procps,rpm";
            run(
                "mmdebstrap",
                &[
                    "--quiet",
                    "--variant=minbase",
                    packages,
                    &release(),
                    files.to_str().unwrap(),
                ],
            );
            docker(&["import", files.to_str().unwrap(), IMAGE]);
        }
        let options = [
            "run",
            "--detach",
            "--network",
            "host",
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
            "--tmpfs",
            "/run",
            "--tmpfs",
            "/run/lock",
            "--tmpfs",
            "/tmp",
            "-v",
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
            "-v",
            // Its own below the container's; systemd needs no other hierarchy.
            "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw",
            "--cgroupns",
            "host",
            IMAGE,
            "/sbin/init",
        ];
        let machine = Self(docker(&options));
        machine.until(
            "it has booted",
            "systemctl is-system-running | grep -Eq 'running|degraded'",
        );
        machine
    }

    fn copy(&self, from: &Path, to: &str) {
        docker(&["cp", from.to_str().unwrap(), &format!("{}:{to}", self.0)]);
    }

    fn try_sh(&self, script: &str) -> (bool, String) {
        let done = Command::new("docker")
            .args(["exec", &self.0, "sh", "-c", script])
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.success(), said.trim().to_owned())
    }

    fn sh(&self, script: &str) -> String {
        let (well, said) = self.try_sh(script);
        assert!(well, "{script}: {said}\n{}", self.journal());
        said
    }

    fn until(&self, what: &str, script: &str) {
        let wait = format!("until {script}; do sleep 0.1; done");
        let within = PATIENCE.to_string();
        let waited = Command::new("docker")
            .args(["exec", &self.0, "timeout", &within, "sh", "-c", &wait])
            .output()
            .unwrap();
        assert!(
            waited.status.success(),
            "{what} ({script}) did not come true:\n{}",
            self.journal()
        );
    }

    fn journal(&self) -> String {
        self.try_sh(
            "journalctl --no-pager -n 40 -u cartridge-agent; systemctl --no-pager status cartridge-agent",
        )
        .1
    }

    fn show(&self, property: &str) -> String {
        self.sh(&format!("systemctl show -P {property} cartridge-agent"))
    }

    /// The configuration, and what this container cannot give the unit: systemd sets up no user namespace in one.
    fn configure(&self, link: &str, more: &str) {
        let command = r#"["/bin/sh","-c","echo up; exec sleep 100000"]"#;
        self.sh(&format!(
            "umask 027; cat >/etc/cartridge-agent/agent.conf <<'END'\nMEMBER_ID={MEMBER}\nCARTRIDGE_INCARNATION=1\n\
             CARTRIDGE_LINK={link}\nCARTRIDGE_JOIN_TOKEN=token\nCARTRIDGE_COMMAND={command}\n{more}\nEND\n\
             chgrp cartridge /etc/cartridge-agent/agent.conf\n\
             mkdir -p /etc/systemd/system/cartridge-agent.service.d\n\
             printf '[Service]\\nPrivateUsers=no\\nWatchdogSec=3s\\n' \
             >/etc/systemd/system/cartridge-agent.service.d/container.conf\nsystemctl daemon-reload"
        ));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", "--volumes", &self.0])
            .output();
    }
}

/// This machine's Debian, whose mirrors it knows.
fn release() -> String {
    let told = std::fs::read_to_string("/etc/os-release").unwrap();
    let name = told
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.expect("Debian names its release").to_owned()
}

/// A package of this build, as this version.
fn package(kind: &str, version: &str, into: &Path) -> PathBuf {
    let agent = into.join("agent");
    std::fs::copy(stack::binary("cartridge-agent").unwrap(), &agent).unwrap();
    run("strip", &[agent.to_str().unwrap()]);
    let script = packaging().join(kind).join("build");
    let said = run(
        script,
        &[agent.to_str().unwrap(), into.to_str().unwrap(), version],
    );
    PathBuf::from(said.trim().lines().last().unwrap())
}

fn desired() -> Desired {
    serde_json::from_value(serde_json::json!({
        "revision": 1, "epoch": 1, "run": "serve", "artifacts": null, "topology": null,
        "sample_interval_ms": 1000, "publish_interval_ms": 1000,
    }))
    .unwrap()
}

async fn active_after(fake: &Fake, heard: usize) {
    let is_active = |batch: &Batch| batch.status.phase == Phase::Active;
    fake.hear(heard, "the member is active", is_active).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_systemd_it_is_ready_watched_restarted_stopped_upgraded_and_removed() {
    let fake = Fake::start(desired()).await;
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::boot();
    machine.copy(&package("deb", "0.1.0", folder.path()), "/root/old.deb");
    machine.copy(&package("deb", "0.1.1", folder.path()), "/root/new.deb");
    machine.sh("dpkg -i /root/old.deb");
    // Nobody has configured it: nothing is started.
    assert_eq!(machine.show("ActiveState"), "inactive");

    // A host as CoreOS is: names are looked up by modules that no static program can load.
    machine.sh("sed -i 's/^hosts:.*/hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns/' /etc/nsswitch.conf");
    machine.sh("echo 127.0.0.1 localhost >/etc/hosts");
    machine.configure(&format!("http://localhost:{}", fake.address.port()), "");
    let heard = fake.batches().len();
    machine.sh("systemctl enable --now cartridge-agent");
    assert_eq!(
        machine.show("ActiveState"),
        "active",
        "start returns when it is ready"
    );
    active_after(&fake, heard).await;
    machine.until(
        "its state is shown",
        "systemctl show -P StatusText cartridge-agent | grep -q '^active'",
    );
    machine.sh("pgrep -u cartridge -x sleep");

    killed_and_hung_it_comes_back(&machine, &fake).await;

    upgraded_stopped_and_wrongly_configured(&machine);
    // Removed: the configuration stays; purged: nothing does.
    machine.sh("dpkg -r cartridge-agent && test -e /etc/cartridge-agent/agent.conf && ! test -e /usr/bin/cartridge-agent");
    machine.sh(
        "dpkg -P cartridge-agent && ! test -e /etc/cartridge-agent && ! test -e /var/lib/cartridge-agent",
    );
    the_same_from_an_rpm_package(&machine, &fake, folder.path());
}

async fn killed_and_hung_it_comes_back(machine: &Machine, fake: &Fake) {
    let heard = fake.batches().len();
    // Killed: back with the same credential, and the application of before is gone.
    let before = machine.show("MainPID");
    let application = machine.sh("pgrep -u cartridge -x sleep");
    machine.sh(&format!("kill -9 {before}"));
    machine.until(
        "it is restarted",
        "test \"$(systemctl show -P NRestarts cartridge-agent)\" = 1",
    );
    machine.until("it is ready again", "systemctl is-active -q cartridge-agent");
    active_after(fake, heard).await;
    assert_ne!(machine.show("MainPID"), before);
    assert_ne!(machine.sh("pgrep -u cartridge -x sleep"), application);

    let heard = fake.batches().len();
    // Hung: the watchdog ends it.
    machine.sh("kill -STOP $(systemctl show -P MainPID cartridge-agent)");
    machine.until(
        "the watchdog saw it",
        "test \"$(systemctl show -P NRestarts cartridge-agent)\" = 2",
    );
    machine.until("it is ready again", "systemctl is-active -q cartridge-agent");
    active_after(fake, heard).await;
}

fn upgraded_stopped_and_wrongly_configured(machine: &Machine) {
    // Upgraded: what was configured is kept, and the new one runs.
    machine.sh("dpkg -i /root/new.deb && dpkg -s cartridge-agent | grep -q '^Version: 0.1.1'");
    machine.sh(&format!(
        "grep -q MEMBER_ID={MEMBER} /etc/cartridge-agent/agent.conf"
    ));
    machine.until("the new one is ready", "systemctl is-active -q cartridge-agent");

    // Stopped: by its own word, with its application.
    machine.sh("systemctl stop cartridge-agent");
    assert_eq!(
        (
            machine.show("Result").as_str(),
            machine.show("ExecMainStatus").as_str()
        ),
        ("success", "0")
    );
    assert!(!machine.try_sh("pgrep -u cartridge").0, "nothing of it runs");

    // Wrongly configured: said once, and not tried again and again.
    machine.configure("ftp://nowhere", "");
    assert!(!machine.try_sh("systemctl start cartridge-agent").0);
    assert_eq!(
        (
            machine.show("NRestarts").as_str(),
            machine.show("ExecMainStatus").as_str()
        ),
        ("0", "2")
    );
}

fn the_same_from_an_rpm_package(machine: &Machine, fake: &Fake, folder: &Path) {
    machine.copy(&package("rpm", "0.1.0", folder), "/root/old.rpm");
    machine.copy(&package("rpm", "0.1.1", folder), "/root/new.rpm");
    machine.sh("rpm -i --nodeps /root/old.rpm && rpm -q cartridge-agent | grep -q 0.1.0");
    machine.configure(
        &format!("http://localhost:{}", fake.address.port()),
        "CARTRIDGE_LOG=debug",
    );
    machine.sh("systemctl start cartridge-agent && systemctl is-active cartridge-agent");
    let before = machine.show("MainPID");
    machine.sh("rpm -U --nodeps /root/new.rpm && rpm -q cartridge-agent | grep -q 0.1.1");
    machine.until("the new one is ready", "systemctl is-active -q cartridge-agent");
    assert_ne!(machine.show("MainPID"), before);
    machine.sh("rpm -e --nodeps cartridge-agent && ! test -e /usr/bin/cartridge-agent && test -e /etc/cartridge-agent/agent.conf");
    assert!(!machine.try_sh("pgrep -x cartridge-agent").0);
}
