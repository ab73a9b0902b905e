//! What is read of a page.

use super::super::BlockKind;
use super::read;

/// Reads a page and compares its blocks.
fn check(source: &str, expected: &[(BlockKind, &str)]) {
    let document = read(source);
    let blocks: Vec<(BlockKind, &str)> = document
        .blocks
        .iter()
        .map(|block| {
            (
                block.kind,
                block.span.of(&document.text).expect("the span lies in the text"),
            )
        })
        .collect();
    assert_eq!(blocks, expected, "{source:?}");
}

use BlockKind::{Code, Heading, ListItem, Paragraph, Table};

#[test]
fn paragraphs_collapse_white_space() {
    check(
        "<p>a\n  b&nbsp;<b>c</b>d &amp; e</p>f<br>g<br><br>h",
        &[(Paragraph, "a b cd & e"), (Paragraph, "f\ng"), (Paragraph, "h")],
    );
    check(
        "<div>a<div>b</div>c</div>",
        &[(Paragraph, "a"), (Paragraph, "b"), (Paragraph, "c")],
    );
    check("<p>soft&shy;hyphen</p>", &[(Paragraph, "softhyphen")]);
}

#[test]
fn headings_keep_their_level() {
    check(
        "<h1>A <i>b</i></h1><h3><div>C</div> ¶</h3>d",
        &[(Heading(1), "A b"), (Heading(3), "C"), (Paragraph, "d")],
    );
    assert_eq!(read("<h2>A</h2>b").blocks[0].heading, "A");
}

#[test]
fn lists_keep_their_items() {
    check(
        "<ul><li>a<ul><li>b</li><li>c</li></ul></li><li><p>d</p></li><li></li></ul>",
        &[(ListItem, "- a\n  - b\n  - c"), (ListItem, "- d")],
    );
    check(
        "<ol start=3><li>a</li><li>b</li></ol>",
        &[(ListItem, "3. a"), (ListItem, "4. b")],
    );
    assert_eq!(read("<ul><li>a<li>b</ul>").text, "- a\n- b");
}

#[test]
fn tables_become_lines_of_cells() {
    check(
        "<table><caption>T</caption><tr><th>a</th><th></th><th>b <p>c</p></th></tr><tr><td>1<td><td>2</table>",
        &[(Table, "T\na | b c\n1 | 2")],
    );
    check(
        "<table><tr><td><h1>A</h1>b</td><td><table><tr><td>1<td>2</table></td></tr></table>",
        &[(Heading(1), "A"), (Paragraph, "b"), (Table, "1 | 2")],
    );
}

#[test]
fn preformatted_text_stays() {
    check(
        "<pre><code>  a\n    b</code>\n</pre><p>use <code>x  y</code></p>",
        &[(Code, "  a\n    b"), (Paragraph, "use x y")],
    );
}

#[test]
fn chrome_is_dropped() {
    check(
        "<header>h</header><nav>n</nav><p>text</p><aside>a</aside><div hidden>x</div><div style='Display : none'>y</div>\
         <script>s</script><style>t</style><button>z</button><footer>f</footer>",
        &[(Paragraph, "text")],
    );
    check(
        "<p>menu</p><main><header><h1>A</h1></header>the main text</main>",
        &[(Heading(1), "A"), (Paragraph, "the main text")],
    );
}

#[test]
fn dropping_never_leaves_nothing() {
    check("<nav>only this</nav>", &[(Paragraph, "only this")]);
    check(
        "<body style='visibility:hidden'><p>text</p></body>",
        &[(Paragraph, "text")],
    );
    check("<main></main><p>text</p>", &[(Paragraph, "text")]);
    let long = "word ".repeat(100);
    check(
        &format!("<main>x</main><p>{long}</p>"),
        &[(Paragraph, "x"), (Paragraph, long.trim())],
    );
}

#[test]
fn titles_come_from_the_head() {
    let check = |source: &str, expected: Option<&str>| assert_eq!(read(source).title.as_deref(), expected);
    check("<title> A\n b &amp; c</title><h1>D</h1>", Some("A b & c"));
    check("<meta property='og:title' content='A'><h1>D</h1>", Some("A"));
    check("<body><svg><title>no</title></svg><h1>D</h1>", Some("D"));
    check("<p>text", None);
}

#[test]
fn deep_nesting_does_not_overflow() {
    for open in ["<div>", "<b>", "<ul><li>", "<table><tr><td>", "<blockquote><p>"] {
        let source = format!("{}deep{}", open.repeat(100_000), "</div>".repeat(1_000));
        let document = read(&source);
        assert!(document.text.contains("deep"), "{open}");
    }
}
