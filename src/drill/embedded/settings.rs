//! Settings of a server that lives for one restore and is thrown away.

/// What the server may use.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    pub memory_bytes: Option<u64>,
    pub jobs: usize,
    /// Where it listens besides its socket.
    pub loopback: Option<u16>,
}

const MIB: u64 = 1 << 20;

/// The lines of `postgresql.auto.conf`. The socket lies beside the data folder, in which the server
/// works, where only its user and root can reach it.
///
/// Nothing is made durable: a crash means another drill (PostgreSQL documentation, 19.5
/// "fsync", and 14.4 "Populating a Database").
pub fn settings(means: Means) -> String {
    let memory = means.memory_bytes.unwrap_or(1024 * MIB);
    let shared = (memory / 5 / MIB).clamp(32, 1024);
    let listen = match means.loopback {
        Some(port) => format!("listen_addresses = '127.0.0.1'\nport = {port}\n"),
        None => "listen_addresses = ''\nport = 5432\n".to_owned(),
    };
    format!(
        "{listen}\
         unix_socket_directories = '..'\n\
         max_connections = {connections}\n\
         shared_buffers = '{shared}MB'\n\
         fsync = off\n\
         synchronous_commit = off\n\
         full_page_writes = off\n\
         wal_level = minimal\n\
         max_wal_senders = 0\n\
         wal_compression = off\n\
         archive_mode = off\n\
         max_wal_size = '1GB'\n\
         checkpoint_timeout = '1h'\n\
         bgwriter_lru_maxpages = 0\n\
         autovacuum = off\n\
         jit = off\n\
         track_activities = on\n\
         track_counts = off\n\
         logging_collector = off\n\
         log_min_messages = warning\n\
         log_line_prefix = '%m '\n\
         lc_messages = 'C'\n",
        connections = means.jobs * 3 + 20,
    )
}

/// Memory of this machine that is free to use.
pub fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_its_socket_alone_unless_told() {
        let of = |loopback| settings(Means { memory_bytes: Some(64 * MIB), jobs: 2, loopback });
        assert!(of(None).contains("listen_addresses = ''\n"));
        let open = of(Some(40_001));
        assert!(open.contains("listen_addresses = '127.0.0.1'\nport = 40001\n"), "{open}");
        assert!(open.contains("shared_buffers = '32MB'"), "{open}");
    }
}
