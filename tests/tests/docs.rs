//! Documentation that is made from the code is what the code makes now, and
//! the code has no second place for what is in it.

use gavel_tests::docs::{COMMAND, FILES, path, renewed};

#[test]
fn what_is_made_from_the_code_is_fresh() {
    for file in FILES {
        let text = std::fs::read_to_string(path(file)).expect(file);
        let fresh = renewed(file, &text);
        let differ = text.lines().zip(fresh.lines()).find(|(is, must)| is != must);
        assert!(text == fresh, "{file} is stale, run `{COMMAND}`; first: {differ:#?}");
    }
}
