//! The values of a table's keys, read as the types that they must have.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::nearest::did_you_mean;
use super::references::{self, Expanded, Fault};
use super::table::{At, Entry, Table};
use super::{Secret, units};

/// What a secret's check finds: whether it would harm if others read it, or what it must be.
pub(super) type Sensitive = Result<bool, String>;

impl Table<'_> {
    fn fault(&mut self, key: &str, line: usize, fault: Fault) {
        match fault {
            Fault::Malformed(text) => self.doc.problem(line, format!("`{key}`: {text}")),
            Fault::Missing(text) => {
                self.unresolved.push((line, format!("`{key}`: {text}")));
            }
        }
    }

    /// A string that may hold references and is no secret.
    pub fn text(&mut self, key: &str) -> Option<At<String>> {
        let entry = self.entry(key)?;
        let line = entry.line;
        let Some(raw) = entry.value.as_str() else {
            self.wrong_type(&entry, "a string");
            return None;
        };
        self.expand(key, line, raw)
    }

    fn expand(&mut self, key: &str, line: usize, raw: &str) -> Option<At<String>> {
        let expanded = match self.doc.env {
            Some(env) => references::expand(raw, env),
            None => Ok(Expanded { text: raw.to_owned(), referenced: false }),
        };
        match expanded {
            Ok(value) if value.text.trim().is_empty() => {
                let at = At { value: (), line, referenced: value.referenced };
                self.bad(&at, &format!("`{key}` is empty"));
                None
            }
            Ok(value) => Some(At { value: value.text, line, referenced: value.referenced }),
            Err(fault) => {
                self.fault(key, line, fault);
                None
            }
        }
    }

    /// A string read by `parse`, whose error says what it must be.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let at = self.text(key)?;
        match parse(&at.value) {
            Ok(value) => Some(At { value, line: at.line, referenced: at.referenced }),
            Err(must) => {
                self.bad(&at, &format!("`{key}`: {must}"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &str, options: &[(&str, T)]) -> Option<T> {
        let at = self.text(key)?;
        if let Some((_, value)) = options.iter().find(|(word, _)| *word == at.value) {
            return Some(*value);
        }
        let words = || options.iter().map(|(word, _)| *word);
        let known = words().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
        let advice = if at.referenced { None } else { did_you_mean(&at.value, words()) };
        let text = format!("`{key}` must be one of {known}{}", advice.unwrap_or_default());
        self.bad(&at, &text);
        None
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        let entry = self.entry(key)?;
        let value = entry.value.as_bool();
        if value.is_none() {
            self.wrong_type(&entry, "true or false");
        }
        value
    }

    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let entry = self.entry(key)?;
        let Some(number) = entry.value.as_integer() else {
            self.wrong_type(&entry, "a number");
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            let text = format!("`{key}` must be from {} to {}", range.start(), range.end());
            self.doc.problem(entry.line, text);
        }
        number
    }

    /// Bytes: a number, or a string with a unit.
    pub fn size(&mut self, key: &str) -> Option<At<u64>> {
        let entry = self.entry(key)?;
        if entry.value.is_integer() {
            let line = entry.line;
            let value = self.integer(key, 0..=i64::MAX)?;
            return Some(At { value: value.cast_unsigned(), line, referenced: false });
        }
        self.parsed(key, |text| {
            units::size(text).ok_or_else(|| "must be a size such as \"8MiB\"".to_owned())
        })
    }

    pub fn duration(&mut self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let entry = self.entry(key)?;
        if let Some(number) = entry.value.as_integer() {
            let text =
                format!("`{key}` needs a unit: \"{number}s\", \"{number}min\", \"{number}d\"");
            self.doc.problem(entry.line, text);
            return None;
        }
        let at = self.parsed(key, |text| {
            let duration = units::duration(text).ok_or_else(|| {
                "must be a duration such as \"30s\", \"50min\" or \"7d\"".to_owned()
            })?;
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [low, high] = [range.start(), range.end()].map(|d| units::show_duration(*d));
            Err(format!("must be from {low} to {high}"))
        })?;
        Some(at.value)
    }

    /// A path; a relative one starts at the folder of the configuration file.
    pub fn path_value(&mut self, key: &str) -> Option<PathBuf> {
        Some(self.doc.dir.join(self.text(key)?.value))
    }

    /// Strings that may hold references.
    pub fn texts(&mut self, key: &str) -> Option<Vec<At<String>>> {
        let raw = self.raw_texts(key)?;
        Some(raw.into_iter().filter_map(|(line, raw)| self.expand(key, line, &raw)).collect())
    }

    fn raw_texts(&self, key: &str) -> Option<Vec<(usize, String)>> {
        let entry = self.entry(key)?;
        let expected = "an array of strings";
        let Some(array) = entry.value.as_array() else {
            self.wrong_type(&entry, expected);
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            let line = self.doc.line(item.span().start);
            match item.get_ref().as_str() {
                Some(text) => texts.push((line, text.to_owned())),
                None => self
                    .wrong_type(&Entry { key: entry.key, line, value: item.get_ref() }, expected),
            }
        }
        Some(texts)
    }

    /// A string, number, truth value or array of strings.
    pub fn json(&mut self, key: &str) -> Option<serde_json::Value> {
        let entry = self.entry(key)?;
        if entry.value.is_integer() {
            return self.integer(key, i64::MIN..=i64::MAX).map(serde_json::Value::from);
        }
        if entry.value.is_bool() {
            return self.boolean(key).map(serde_json::Value::from);
        }
        if entry.value.is_array() {
            let texts = self.texts(key)?;
            return Some(texts.into_iter().map(|at| at.value).collect());
        }
        self.text(key).map(|at| at.value.into())
    }

    /// A secret. One that cannot be had here, or came from elsewhere and is bad, is there all the
    /// same and fails when it is asked for.
    pub fn secret(&mut self, key: &str, check: impl Fn(&str) -> Sensitive) -> Option<Secret> {
        let entry = self.entry(key)?;
        let Some(raw) = entry.value.as_str() else {
            self.wrong_type(&entry, "a string");
            return None;
        };
        self.secret_value(key, entry.line, raw, &check)
    }

    /// Secrets in an array.
    pub fn secrets(&mut self, key: &str, check: impl Fn(&str) -> Sensitive) -> Option<Vec<Secret>> {
        let raw = self.raw_texts(key)?;
        let secret = |(line, raw): (usize, String)| self.secret_value(key, line, &raw, &check);
        Some(raw.into_iter().filter_map(secret).collect())
    }

    fn secret_value(
        &mut self,
        key: &str,
        line: usize,
        raw: &str,
        check: &dyn Fn(&str) -> Sensitive,
    ) -> Option<Secret> {
        let (reason, lasting) =
            match references::secret(raw, self.doc.env.unwrap_or(&|_| None), self.doc.dir) {
                Ok((value, file)) => match check(&value.text) {
                    Ok(sensitive) => {
                        match file {
                            Some(file) if sensitive && references::readable_by_others(&file) => {
                                let file = file.display();
                                let text = format!(
                                    "`{key}`: every user of this machine can read `{file}`; \
                                 run `chmod o-rwx {file}`"
                                );
                                self.doc.warning(line, text);
                            }
                            _ => {}
                        }
                        if sensitive && !value.referenced {
                            self.doc.holds_secret.set(true);
                        }
                        return Some(Secret::new(value.text));
                    }
                    Err(reason) => (reason, !value.referenced),
                },
                Err(Fault::Malformed(reason)) => (reason, true),
                Err(Fault::Missing(reason)) => (reason, false),
            };
        let reason = format!("`{key}`: {reason}");
        if lasting {
            self.doc.problem(line, reason);
            return None;
        }
        let reason = self.doc.place(line, &reason);
        self.missing_secrets.push(reason.clone());
        Some(Secret::unresolved(reason))
    }
}
