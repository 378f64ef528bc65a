//! What every page has in common, reports and the page of the runner alike: one HTML document that
//! needs nothing else, no script and no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole document; `head` holds what only some pages have, before the title.
pub fn document(title: &str, head: &Markup, styles: &[&str], body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (head)
                title { (title) }
                style { @for style in styles { (PreEscaped(style)) } }
            }
            body { (body) }
        }
    }
    .into_string()
}

/// A section that lists `items`, or says `none`. `class` is how it stands out when it has any.
pub fn list(title: &str, items: &[String], none: &str, class: Option<&str>) -> Markup {
    html! {
        section class=[class.map(|class| if items.is_empty() { "" } else { class })] {
            h2 { (title) }
            @if items.is_empty() { p .none { (none) } } @else {
                ul { @for item in items { li { (marked(item)) } } }
            }
        }
    }
}

/// What stands between backquotes as code.
pub fn marked(text: &str) -> Markup {
    html! {
        @for (i, piece) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}
