//! Real containers: images of nothing but the files that are named, run by the machine's own Docker engine.
//!
//! Nothing is pulled from anywhere. Refuses to know what runs in a container.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Every container carries it, so that what a test that was killed left behind can be found.
pub const LABEL: &str = "cartridge-tests";
/// Folders of this machine that give an otherwise empty image its shell and what that needs.
const TOOLS: [&str; 4] = ["/bin", "/usr", "/lib", "/lib64"];

/// For the engine to answer once it was started.
const ENGINE_DEADLINE: Duration = Duration::from_secs(60);

static COUNTER: AtomicU64 = AtomicU64::new(0);

fn unique(name: &str) -> String {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{LABEL}-{name}-{}-{count}", std::process::id())
}

/// Runs the engine's command line.
///
/// # Panics
/// When it cannot be run or refuses: a test that needs containers fails where there are none.
pub fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("docker is installed (tests/install test)");
    assert!(
        done.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Starts the engine where it is installed and does not run. It runs on afterwards.
///
/// # Panics
/// When it cannot be had: a test that needs containers fails where there are none.
pub fn engine() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        let answers = || {
            let asked = Command::new("docker").arg("info").output();
            asked
                .expect("docker is installed (tests/install test)")
                .status
                .success()
        };
        if answers() {
            return;
        }
        let began = Instant::now();
        let log = std::env::temp_dir().join("cartridge-tests-dockerd.log");
        let start = if Path::new("/run/systemd/system").exists() {
            "exec systemctl start docker >\"$0\" 2>&1"
        } else {
            "setsid dockerd >\"$0\" 2>&1 &"
        };
        let begun = Command::new("sh").args(["-c", start]).arg(&log).status();
        assert!(begun.is_ok_and(|status| status.success()), "a shell is there");
        while !answers() {
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                began.elapsed() < ENGINE_DEADLINE,
                "the engine does not answer:\n{told}"
            );
        }
    });
}

/// An image, removed in the end.
#[derive(Debug)]
pub struct Image {
    name: String,
}

impl Image {
    /// Made of these files and nothing else: the path in the image, and the file of this machine.
    ///
    /// # Panics
    /// When a file cannot be read or the engine refuses.
    pub fn of(name: &str, files: &[(&str, &Path)]) -> Self {
        engine();
        let image = Self { name: unique(name) };
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (inside, outside) in files {
            let place = folder.path().join(inside.trim_start_matches('/'));
            std::fs::create_dir_all(place.parent().expect("a file is in a folder")).expect("folders");
            std::fs::copy(outside, &place).unwrap_or_else(|e| panic!("{}: {e}", outside.display()));
        }
        // What programs expect of any machine.
        for name in ["tmp", "etc", "proc", "dev", "sys", "var"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("folders");
        }
        let mut tar = Command::new("tar")
            .args(["-C", folder.path().to_str().expect("a path in UTF-8"), "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar is installed");
        let packed = tar.stdout.take().expect("a pipe");
        let done = Command::new("docker")
            .args(["import", "-", &image.name])
            .stdin(packed)
            .output()
            .expect("docker is installed (tests/install test)");
        assert!(
            tar.wait().is_ok_and(|status| status.success()) && done.status.success(),
            "docker import: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        image
    }
}

impl Image {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Containers that others made of it.
        let filter = format!("ancestor={}", self.name);
        let found = Command::new("docker")
            .args(["ps", "-aq", "--filter", &filter])
            .output();
        let found = found.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        for id in found.unwrap_or_default().lines() {
            let _ = Command::new("docker").args(["rm", "-f", "-v", id]).output();
        }
        let _ = Command::new("docker").args(["rmi", "-f", &self.name]).output();
    }
}

/// A container, removed in the end whatever runs in it.
#[derive(Debug)]
pub struct Container {
    id: String,
}

impl Container {
    /// Starts `command` as process 1, with these options of `docker run`.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn run(image: &Image, options: &[&str], command: &[&str]) -> Self {
        let name = unique("c");
        let mut all = vec!["run", "--detach", "--label", LABEL, "--name", &name];
        all.extend(options);
        all.push(&image.name);
        all.extend(command);
        Self { id: docker(&all) }
    }

    /// The same with this machine's shell and tools, which cannot be written.
    pub fn run_with_tools(image: &Image, options: &[&str], command: &[&str]) -> Self {
        let mounts: Vec<String> = TOOLS
            .iter()
            .filter(|folder| Path::new(folder).exists())
            .map(|folder| format!("{folder}:{folder}:ro"))
            .collect();
        let mut all: Vec<&str> = mounts.iter().flat_map(|mount| ["-v", mount.as_str()]).collect();
        all.extend(options);
        Self::run(image, &all, command)
    }

    /// The engine's id of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One value of `docker inspect`, by its template.
    pub fn inspect(&self, template: &str) -> String {
        docker(&["inspect", "--format", template, &self.id])
    }

    /// Process 1, by its number on this machine.
    ///
    /// # Panics
    /// When the engine answers with no number.
    pub fn pid(&self) -> i32 {
        self.inspect("{{.State.Pid}}").parse().expect("a number")
    }

    /// Sends a signal to process 1.
    pub fn signal(&self, name: &str) {
        docker(&["kill", "--signal", name, &self.id]);
    }

    /// What process 1 has written.
    ///
    /// # Panics
    /// When docker cannot be run.
    pub fn logs(&self) -> String {
        let done = Command::new("docker")
            .args(["logs", &self.id])
            .output()
            .expect("docker is installed");
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
    }

    /// Waits until it has ended; its exit code.
    ///
    /// # Panics
    /// When it has not ended after `within`.
    pub fn exit_code(&self, within: Duration) -> i32 {
        let seconds = within.as_secs().max(1).to_string();
        let done = Command::new("timeout")
            .args([&seconds, "docker", "wait", &self.id])
            .output()
            .expect("timeout is installed");
        assert!(done.status.success(), "it runs on:\n{}", self.logs());
        let code = String::from_utf8_lossy(&done.stdout);
        code.trim().parse().expect("a number")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", "--volumes", &self.id])
            .output();
    }
}
