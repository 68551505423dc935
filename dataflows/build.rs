//! Lists the built-in questions: the files `src/questions/*.sql`. To add a question, add its file and change no other.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("src/questions");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|it| it == "sql") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let mut list = String::new();
    for name in &names {
        let path = folder.join(format!("{name}.sql"));
        writeln!(list, "    ({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    let doc = "/// The built-in questions with their texts, in the order of their names.";
    let list = format!("{doc}\nconst BUILT_IN: [(&str, &str); {}] = [\n{list}];\n", names.len());
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("questions.rs"), list)
}
