//! Text broken at words, to a width in characters.

/// `text` in lines of at most `width`, each after the first beginning with `indent`. A word that is
/// too long stands alone.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    hang("", text, width, indent)
}

/// `text` after `head`, and below its own beginning where it goes on.
pub fn hung(head: &str, text: &str, width: usize) -> String {
    hang(head, text, width, &" ".repeat(head.chars().count()))
}

fn hang(head: &str, text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = head.to_owned();
    let mut bare = true;
    for paragraph in text.split('\n') {
        for word in paragraph.split_whitespace() {
            let long = line.chars().count() + usize::from(!bare) + word.chars().count() > width;
            if long && !bare {
                push(&mut lines, &line);
                line = indent.to_owned();
                bare = true;
            }
            if !bare {
                line.push(' ');
            }
            line.push_str(word);
            bare = false;
        }
        push(&mut lines, &line);
        line = indent.to_owned();
        bare = true;
    }
    lines
}

fn push(lines: &mut String, line: &str) {
    lines.push_str(line.trim_end());
    lines.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_words_and_hang_below_their_beginning() {
        assert_eq!(wrapped("one two three", 8, "  "), "one two\n  three\n");
        assert_eq!(hung("a: ", "one two three", 8), "a: one\n   two\n   three\n");
        assert_eq!(hung("a: ", "first\nand then", 80), "a: first\n   and then\n");
        assert_eq!(wrapped("incomprehensibilities now", 5, ""), "incomprehensibilities\nnow\n");
    }
}
