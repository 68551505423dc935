//! Texts in two dialects: `⟦ours¦SQLite's⟧` stands where they differ. Such places can contain others.

/// Who reads a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlDialect {
    /// This crate.
    Pinflow,
    /// SQLite.
    Sqlite,
}

/// A place that the dialects write differently.
pub fn in_dialects(pinflow: &str, sqlite: &str) -> String {
    format!("⟦{pinflow}¦{sqlite}⟧")
}

/// The text of a template for a dialect.
pub fn render(template: &str, dialect: SqlDialect) -> String {
    let mut text = String::new();
    // For each open place whether its first part is being read.
    let mut open: Vec<bool> = Vec::new();
    for character in template.chars() {
        match character {
            '⟦' => open.push(true),
            '¦' => {
                if let Some(first) = open.last_mut() {
                    *first = false;
                }
            }
            '⟧' => {
                open.pop();
            }
            _ if open.iter().all(|&first| first == (dialect == SqlDialect::Pinflow)) => text.push(character),
            _ => {}
        }
    }
    text
}

#[test]
fn place_in_a_place_is_rendered_for_one_dialect() {
    let inner = in_dialects("a // b", "a / b");
    let template = format!("SELECT {}", in_dialects(&format!("f({inner})"), &format!("g({inner})")));
    assert_eq!(render(&template, SqlDialect::Pinflow), "SELECT f(a // b)");
    assert_eq!(render(&template, SqlDialect::Sqlite), "SELECT g(a / b)");
}
