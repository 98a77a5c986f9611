//! Writes the parts of docs/ that are made from the code: `make docs`.

use gavel_tests::docs::{FILES, path, renewed};

fn main() -> std::io::Result<()> {
    for file in FILES {
        let text = std::fs::read_to_string(path(file))?;
        std::fs::write(path(file), renewed(file, &text))?;
    }
    Ok(())
}
