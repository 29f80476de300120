//! What a fetching process can still do once it is confined, taken over or not (threat T10): a child process confines
//! itself as one does, and then tries everything that would do harm. Pass figure: every act refused, with and without
//! a user and a root of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::{CString, c_void};
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use cartridge_agent::host::sandbox::{Confinement, Reach, confine};
use tempfile::TempDir;

/// Most bytes of a file, and of memory.
const FILE_BYTES: u64 = 1 << 20;
const MEMORY: u64 = 32 << 20;

type Act = (&'static str, Box<dyn Fn() -> Result<(), Error>>);

/// The result of a system call.
fn called(result: i64) -> Result<(), Error> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(())
    }
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn on_files(outside: PathBuf) -> Vec<Act> {
    let key = outside.join("key");
    let (k1, k2, k3, k4, k5, k6) = (
        key.clone(),
        key.clone(),
        key.clone(),
        key.clone(),
        key.clone(),
        key,
    );
    let (o1, o2, o3) = (outside.clone(), outside.clone(), outside);
    vec![
        ("read a key", Box::new(move || fs::read(&k1).map(drop))),
        (
            "write to a file outside",
            Box::new(move || File::options().append(true).open(&k2).map(drop)),
        ),
        (
            "truncate a file outside",
            Box::new(move || File::create(&k3).map(drop)),
        ),
        ("remove a file outside", Box::new(move || fs::remove_file(&k4))),
        (
            "link a file from outside",
            Box::new(move || fs::hard_link(&k5, "linked")),
        ),
        (
            "make a file outside",
            Box::new(move || File::create(o1.join("new")).map(drop)),
        ),
        (
            "make a folder outside",
            Box::new(move || fs::create_dir(o2.join("folder"))),
        ),
        (
            "move a file out",
            Box::new(move || fs::write("mine", "x").and_then(|()| fs::rename("mine", o3.join("theirs")))),
        ),
        (
            "climb out",
            Box::new(|| fs::read_dir("../../../../../../etc").map(drop)),
        ),
        ("read the users", Box::new(|| fs::read("/etc/passwd").map(drop))),
        (
            "read an environment",
            Box::new(|| fs::read("/proc/self/environ").map(drop)),
        ),
        ("read a process", Box::new(|| fs::read("/proc/1/maps").map(drop))),
        (
            "write to a device",
            Box::new(|| File::options().write(true).open("/dev/mem").map(drop)),
        ),
        ("make a link", Box::new(move || symlink(&k6, "link"))),
        (
            "make a device",
            Box::new(|| {
                let name = CString::new("device").unwrap();
                // SAFETY: the name is NUL-terminated.
                called(i64::from(unsafe {
                    libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, 0x101)
                }))
            }),
        ),
        (
            "fill the disk",
            Box::new(|| {
                let mut file = File::create("large")?;
                (0..=FILE_BYTES / 4096).try_for_each(|_| file.write_all(&[7; 4096]))
            }),
        ),
        (
            "open a thousand files",
            Box::new(|| {
                fs::write("one", "x")?;
                (0..1000)
                    .map(|_| File::open("one"))
                    .collect::<Result<Vec<_>, _>>()
                    .map(drop)
            }),
        ),
    ]
}

fn on_the_network(port: u16, name: String) -> Vec<Act> {
    vec![
        (
            "connect to a broker",
            Box::new(move || TcpStream::connect(("127.0.0.1", port)).map(drop)),
        ),
        ("listen", Box::new(|| TcpListener::bind("127.0.0.1:0").map(drop))),
        (
            "send a datagram",
            Box::new(|| UdpSocket::bind("127.0.0.1:0").map(drop)),
        ),
        (
            "connect to a local socket",
            Box::new(move || UnixStream::connect(&name).map(drop)),
        ),
        (
            "make a local socket",
            Box::new(|| UnixListener::bind("socket").map(drop)),
        ),
        // SAFETY: plain calls with constant arguments.
        (
            "open a raw socket",
            Box::new(|| {
                called(i64::from(unsafe {
                    libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)
                }))
            }),
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn on_processes(parent: i32, secret: usize) -> Vec<Act> {
    // SAFETY: in this function: plain calls; what is read goes into a buffer of the right length.
    vec![
        (
            "run a program",
            Box::new(|| Command::new("/bin/true").spawn().map(drop)),
        ),
        (
            "fork",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_fork) })),
        ),
        (
            "fork another way",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })),
        ),
        (
            "trace the agent",
            Box::new(move || called(unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, 0, 0) })),
        ),
        (
            "signal the agent",
            Box::new(move || called(i64::from(unsafe { libc::kill(parent, libc::SIGWINCH) }))),
        ),
        (
            "signal a thread of it",
            Box::new(move || {
                called(unsafe { libc::syscall(libc::SYS_tgkill, parent, parent, libc::SIGWINCH) })
            }),
        ),
        (
            "hold on to the agent",
            Box::new(move || called(unsafe { libc::syscall(libc::SYS_pidfd_open, parent, 0) })),
        ),
        (
            "read the agent's memory",
            Box::new(move || {
                let mut into = [0u8; 8];
                let here = libc::iovec {
                    iov_base: into.as_mut_ptr().cast(),
                    iov_len: 8,
                };
                let there = libc::iovec {
                    iov_base: secret as *mut c_void,
                    iov_len: 8,
                };
                called(
                    unsafe { libc::process_vm_readv(parent, &raw const here, 1, &raw const there, 1, 0) }
                        as i64,
                )
            }),
        ),
        (
            "become root",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) })),
        ),
        (
            "make a world of its own",
            Box::new(|| called(i64::from(unsafe { libc::unshare(libc::CLONE_NEWUSER) }))),
        ),
        (
            "take another root",
            Box::new(|| called(i64::from(unsafe { libc::chroot(c".".as_ptr()) }))),
        ),
        (
            "mount",
            Box::new(|| {
                let (what, none) = (c"tmpfs".as_ptr(), std::ptr::null());
                called(i64::from(unsafe {
                    libc::mount(what, c".".as_ptr(), what, 0, none)
                }))
            }),
        ),
        (
            "load a program into the kernel",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) })),
        ),
        (
            "use another way into the kernel",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) })),
        ),
        (
            "use keys",
            Box::new(|| called(unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) })),
        ),
        (
            "take a gigabyte",
            Box::new(|| {
                let all = libc::PROT_READ | libc::PROT_WRITE;
                let how = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let got = unsafe { libc::mmap(std::ptr::null_mut(), 1 << 30, all, how, -1, 0) };
                if got == libc::MAP_FAILED {
                    Err(ErrorKind::OutOfMemory.into())
                } else {
                    Ok(())
                }
            }),
        ),
    ]
}

/// Not a test of its own: the child process that is taken over.
#[test]
fn child() {
    let Ok(outside) = std::env::var("CONFINED_OUTSIDE") else {
        return;
    };
    let var = |name: &str| std::env::var(name).unwrap();
    let mut acts = on_files(PathBuf::from(&outside));
    acts.extend(on_the_network(
        var("CONFINED_PORT").parse().unwrap(),
        format!("{outside}/socket"),
    ));
    let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
    acts.extend(on_processes(parent, var("CONFINED_SECRET").parse().unwrap()));
    // SAFETY: a plain call. A file that grows too large is an error then, not the end.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let by = confine(&Confinement {
        folder: Path::new("."),
        reach: Reach::Write,
        user: var("CONFINED_USER").parse().ok(),
        memory: MEMORY,
        processor: 60,
        file_bytes: FILE_BYTES,
        required: true,
    })
    .expect("this kernel can confine");
    fs::write("allowed", "x").expect("its own folder is its own");
    assert_eq!(fs::read("allowed").unwrap(), b"x");
    let mut lines = vec![format!("confined by {}", by.join(", "))];
    for (what, act) in &acts {
        lines.push(match act() {
            Ok(()) => format!("DONE {what}"),
            Err(error) => format!("refused {what}: {error}"),
        });
    }
    // The standard output was there before.
    println!("\n{}", lines.join("\n"));
}

fn confined(user: &str) -> Vec<String> {
    let (outside, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for place in [outside.path(), folder.path()] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
    }
    fs::write(outside.path().join("key"), "canary-key").unwrap();
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let _local = UnixListener::bind(outside.path().join("socket")).unwrap();
    let secret = [7u8; 8];
    let kept = File::open(outside.path().join("key")).unwrap();
    if let Ok(id) = user.parse() {
        chown(folder.path(), Some(id), Some(id)).unwrap();
    }
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .current_dir(folder.path())
        .env("CONFINED_OUTSIDE", outside.path())
        .env("CONFINED_PORT", broker.local_addr().unwrap().port().to_string())
        .env("CONFINED_SECRET", (secret.as_ptr() as usize).to_string())
        .env("CONFINED_USER", user)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{:?} {said}{words}", done.status);
    assert_eq!(fs::read(outside.path().join("key")).unwrap(), b"canary-key");
    assert!(kept.as_raw_fd() >= 0);
    let lines = said.lines().filter(|line| {
        ["DONE", "refused", "confined"]
            .iter()
            .any(|w| line.starts_with(w))
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn a_process_that_is_taken_over_can_do_no_harm() {
    for user in ["65534", "none"] {
        let lines = confined(user);
        println!("user {user}: {}", lines[0]);
        let done: Vec<&String> = lines.iter().filter(|line| line.starts_with("DONE")).collect();
        assert!(done.is_empty(), "{done:?}");
        let refused = lines.iter().filter(|line| line.starts_with("refused")).count();
        assert!(refused >= 39, "{refused} acts: {lines:#?}");
        println!("{refused} acts refused");
    }
}
