//! Parse, run, exit.

fn main() -> std::process::ExitCode {
    give_large_buffers_back();
    drctl::cli::main()
}

/// Buffers from 4 MiB on go back to the system as soon as they are freed. Left to itself, glibc raises
/// that limit to the largest buffer freed so far (mallopt(3), `M_MMAP_THRESHOLD`), and parts of many
/// MiB then lie scattered over the arenas of all threads: twice the memory for the same work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_large_buffers_back() {
    const LIMIT: libc::c_int = 4 << 20;
    // SAFETY: it takes two numbers, and there is no other thread yet. Where it fails, more memory is used.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LIMIT) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_large_buffers_back() {}
