//! Just enough XML for what moto answers: elements that hold text or other elements, no attributes
//! that matter.

/// What stands inside each `<tag>…</tag>`, in order. Elements do not hold others of their own name.
pub fn all<'t>(text: &'t str, tag: &str) -> Vec<&'t str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let inside = |piece: &'t str| piece.split_once(&close).map(|(inside, _)| inside);
    text.split(&open).skip(1).filter_map(inside).collect()
}

/// The text of the first `<tag>`.
pub fn one<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    all(text, tag).into_iter().next()
}

/// `<name>…</name>`.
pub fn tag(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}
