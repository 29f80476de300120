//! A filter of system calls that are refused from now on: sockets, programs, processes, other processes, mounts, and
//! the corners of the kernel that nobody here needs. Refuses to know who asked.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, c_long, sock_filter,
};

use super::Reach;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Numbers from here on are another table of calls, which is not used.
const OTHER_TABLE: u32 = 0x4000_0000;

/// What it takes to become another program.
const TO_BECOME: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];
/// What it takes to connect.
const TO_CONNECT: &[c_long] = &[libc::SYS_socket, libc::SYS_socketpair, libc::SYS_connect];

/// Where `struct seccomp_data` holds what is looked at.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// Never needed by what reads packs and writes a folder.
const REFUSED: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    libc::SYS_chroot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_reboot,
    libc::SYS_setuid,
    libc::SYS_setresuid,
    libc::SYS_setgid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// Only where the table of calls has them beside the newer ones.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_accept,
    libc::SYS_symlink,
    libc::SYS_mknod,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// What is not refused although it is in the lists.
fn is_needed(call: c_long, reach: Reach) -> bool {
    match reach {
        Reach::Read | Reach::Write => false,
        Reach::Program => TO_BECOME.contains(&call),
        Reach::Client(_) => TO_BECOME.contains(&call) || TO_CONNECT.contains(&call),
    }
}

/// Puts the filter in force. A signal may still be sent to this process itself, because that is how it aborts.
pub(super) fn filter(reach: Reach) -> Result<String, String> {
    let architecture = ARCHITECTURE.ok_or("the filter is not written for this processor")?;
    let mut program = program(architecture, std::process::id(), reach);
    let length = u16::try_from(program.len()).map_err(|error| error.to_string())?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `program` points to `len` instructions that live until the call returns; the kernel copies them.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    match done {
        0 => Ok("seccomp".to_owned()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

fn program(architecture: u32, own: u32, reach: Reach) -> Vec<sock_filter> {
    let refuse = answer(SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs());
    let mut program = vec![
        load(MACHINE),
        on_equal(architecture, 1, 0),
        answer(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump(BPF_JGE, OTHER_TABLE, 0, 1),
        refuse,
    ];
    let refused = REFUSED.iter().chain(REFUSED_HERE);
    for number in refused.filter(|call| !is_needed(**call, reach)) {
        program.extend([on_equal(call(*number), 0, 1), refuse]);
    }
    program.extend([
        on_equal(call(libc::SYS_tgkill), 0, 3),
        load(FIRST_ARGUMENT),
        on_equal(own, 1, 0),
        refuse,
        answer(SECCOMP_RET_ALLOW),
    ]);
    program
}

fn call(number: c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn load(at: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

/// Skips `equal` instructions if the loaded value is `value`, else `other`.
fn on_equal(value: u32, equal: u8, other: u8) -> sock_filter {
    jump(BPF_JEQ, value, equal, other)
}

fn jump(how: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    instruction(BPF_JMP | how | BPF_K, value, yes, no)
}

fn answer(what: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, what, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    }
}
