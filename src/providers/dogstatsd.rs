//! Metrics to a DogStatsD agent, by UDP. The format:
//! https://docs.datadoghq.com/extend/dogstatsd/datagram_shell

use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};

use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::Family;

/// What fits into one frame of Ethernet with room to spare; the agent takes 8 KiB.
const DATAGRAM: usize = 1400;
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends every value as a gauge to `host:port`. That nobody is there is not always seen.
pub async fn send(agent: &str, project: &str, families: &[Family]) -> Result<()> {
    let what = || format!("send metrics to the DogStatsD agent at {agent}");
    let found = tokio::time::timeout(PATIENCE, lookup_host(agent)).await;
    let found = found.attempt(Kind::Failed, what)?.attempt(Kind::Failed, what)?.next();
    let address =
        found.ok_or_else(|| Error::new(Kind::Failed, what()).caused_by("it has no address"))?;
    let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).await.attempt(Kind::Failed, what)?;
    socket.connect(address).await.attempt(Kind::Failed, what)?;
    for datagram in datagrams(project, families) {
        socket.send(datagram.as_bytes()).await.attempt(Kind::Failed, what)?;
    }
    Ok(())
}

fn datagrams(project: &str, families: &[Family]) -> Vec<String> {
    let mut datagrams = vec![String::new()];
    for family in families {
        // `drctl.snapshot_age_seconds`, as is usual there.
        let name = family.full_name().replacen("drctl_", "drctl.", 1);
        for sample in &family.samples {
            let mut line = format!("{name}:{}|g|#project:{}", sample.value, plain(project));
            for (label, value) in sample.labels.iter().filter(|(_, value)| !value.is_empty()) {
                line.push_str(&format!(",{label}:{}", plain(value)));
            }
            let full = datagrams.last().is_some_and(|d| d.len() + line.len() + 1 > DATAGRAM);
            if full {
                datagrams.push(String::new());
            }
            if let Some(last) = datagrams.last_mut() {
                if !last.is_empty() {
                    last.push('\n');
                }
                last.push_str(&line);
            }
        }
    }
    datagrams.retain(|datagram| !datagram.is_empty());
    datagrams
}

/// A tag without what ends one.
fn plain(value: &str) -> String {
    value.replace([',', '|', '\n', '#'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unit;

    #[test]
    fn lines_are_whole_and_datagrams_small() {
        let mut age = Family::new("drctl_snapshot_age", Unit::Seconds, "");
        for n in 0..200 {
            age.add(&[("database", &format!("db,{n}|x")), ("host", "")], Some(1.5));
        }
        age.add(&[], Some(f64::NAN));
        let sent = datagrams("petforce", &[age]);
        assert!(sent.len() > 5 && sent.iter().all(|d| d.len() <= DATAGRAM));
        let lines: Vec<&str> = sent.iter().flat_map(|d| d.split('\n')).collect();
        assert_eq!(lines.len(), 200);
        let first = "drctl.snapshot_age_seconds:1.5|g|#project:petforce,database:db_0_x";
        assert_eq!(lines[0], first);
    }
}
