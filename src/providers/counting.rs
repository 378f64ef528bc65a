//! Numbers of things, in words.

/// `1 session`, `3 sessions`.
pub(super) fn counted(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_others_are_several() {
        let words = [0, 1, 2].map(|n: usize| counted(n, "session"));
        assert_eq!(words, ["0 sessions", "1 session", "2 sessions"]);
    }
}
