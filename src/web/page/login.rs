//! Where a browser gives the token, once.

use maud::html;

use super::document;

pub fn login(refused: bool) -> String {
    let body = html! {
        header { p .kind { "drctl" } h1 { "Who reads?" } }
        main {
            form method="post" action="/login" {
                // For password managers, which keep a name and a password.
                input type="hidden" name="name" value="drctl" autocomplete="username";
                label for="token" { "Token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus;
                button type="submit" { "Show" }
            }
            @if refused { p .verdict.bad { "That is not the token." } }
            p .none { "It is " code { "token" } " in " code { "[web]" } " of the configuration. Programs send it as "
                code { "Authorization: Bearer TOKEN" } "." }
        }
    };
    document("drctl", None, &body)
}
