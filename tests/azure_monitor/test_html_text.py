import html
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.azure_monitor.html_text import from_html, from_sent_html

TAGS = ("<p", "<p>", "</p>", "<a href=", "</a>", "<script>", "</script>", "<br/>", "<x>", "<!--", "-->", "<![", "<?")
MARKS = ("<", ">", "/", "!", "--", "]]>", "&", "&lt;", "&amp", ";", "=", '"', "'", " ", "\n", "word", "https://x")
HOSTILE = st.lists(st.sampled_from(TAGS + MARKS), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no markup &amp; &quot;entities&quot;", 'no markup & "entities"'),
        ("<p><strong>Impact</strong>:&nbsp;none.</p>\n<p><br></p><p>Next</p>", "Impact: none.\n\nNext"),
        ("<ul><li>one</li><li>two</li></ul>after", "- one\n- two\nafter"),
        ('see <a href="https://aka.ms/x?a=1&amp;b=2">the page</a>.', "see the page (https://aka.ms/x?a=1&b=2)."),
        ('<a href="javascript:alert(1)">click</a>', "click"),
        ("<table><tr><td>VM</td><td>West Europe</td></tr></table>", "VM West Europe"),
        ("a<script>alert('<p>')</script>b<style>p {}</style>c", "abc"),
        ("a <!-- hidden --> b", "a b"),
        ("<GUID> and x < y", "<GUID> and x < y"),
        ("&lt;script&gt;", "<script>"),
        ("broken <td</<tr", "broken <td</<tr"),
        ("</a></p>", ""),
        ("<!-- a > b --> hi", "hi"),
        ("<!-- <p>a</p> --> hi", "hi"),
        ("a <!-- b --> c <!-- d --> e", "a c e"),
        ("a <!-- b <p>c</p>d", "a <!-- b c\nd"),
        ("<p title='a>b'>hi", "hi"),
        ('<p title="it\'s <b>">hi</p>', "hi"),
        ("<a href='https://aka.ms/x' title='a>b'>page</a>", "page (https://aka.ms/x)"),
        ("<a href=https://aka.ms/x>page</a>", "page (https://aka.ms/x)"),
        ("<a href='https://aka.ms/x?a<b'>page</a>", "page (https://aka.ms/x?a<b)"),
        ("<A HREF='HTTPS://aka.ms/x'>page</A>", "page (HTTPS://aka.ms/x)"),
        ("one<br>two<br/>three<BR />four</br>five", "one\ntwo\nthree\nfour\nfive"),
        ("a<script>if (a < b) '</p>'</script>b", "ab"),
        ("a<script>'<!--'</script>b<!-- c -->", "ab"),
        ("<head><title>x</title><style>y</style></head><body>z", "z"),
        ("a<style>never closed <p>b</p>", "a"),
        ("owner is <none>, a < b and c > d", "owner is <none>, a < b and c > d"),
        ("<none/> </none> <> </> </ p> < p>", "<none/> </none> <> </> </ p> < p>"),
        ("List<int> and <path\\to>", "List<int> and <path\\to>"),
        ("<!DOCTYPE html> <![CDATA[x]]> <![x]> <?xml?>", "<!DOCTYPE html> <![CDATA[x]]> <![x]> <?xml?>"),
        ("&lt;p&gt; &amp;lt; &#60;b&#62; &nbsp;&eacute; R&D AT&amp", "<p> &lt; <b> é R&D AT&"),
        ("<p>a</p> never closed <p b <i>c</i>", "a\nnever closed c"),
        ("a <p b", "a <p b"),
        ("a <p title='b> c &lt; <i>d</i>", "a <p title='b> c < <i>d</i>"),
    ],
)
def test_html_becomes_lines(text: str, expected: str) -> None:
    assert from_html(text) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (text, 50_000)
        for text in (
            "<",
            "<!--",
            "<!",
            "<!-- -->",
            "<p",
            "<p ",
            "<p>",
            "</",
            "</p ",
            "<a href='",
            '<a b="',
            "<script>",
            "&",
            "&lt",
            "<?",
        )
    ],
)
def test_the_work_grows_with_the_length_and_no_faster(text: str, size: int) -> None:
    many = text * (size // len(text))
    began = time.perf_counter()
    for end in ("", ">", "-->"):
        from_html(many + end)

    assert time.perf_counter() - began < 30


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(HOSTILE)
def test_any_text_is_read_and_nothing_of_our_own_is_in_what_comes_out(text: str) -> None:
    assert "&" in text or "&" not in from_html(text)


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(HOSTILE)
def test_what_is_escaped_is_shown_as_it_is(text: str) -> None:
    assert from_html(html.escape(text)).split() == text.split()


PAGE = (
    "<p><strong>Impact:</strong>&nbsp;sign-in &amp; more</p><ul><li>Retry</li></ul>"
    '<p>See <a href="https://aka.ms/x?a=1&amp;b=2">it</a>.</p>'
)


@pytest.mark.parametrize("times", range(4))
def test_html_that_was_escaped_more_often_than_expected_is_read(times: int) -> None:
    text = PAGE
    for _ in range(times):
        text = html.escape(text)

    assert from_sent_html(text) == from_html(PAGE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>&lt;strong&gt;Impact:&lt;/strong&gt; &amp;nbsp;none</p>", "Impact: none"),
        ("one&lt;br&gt;two&lt;br /&gt;three", "one\ntwo\nthree"),
        ("It&amp;#39;s &amp;quot;fixed&amp;quot;&amp;nbsp;&amp; done", 'It\'s "fixed" & done'),
        ("no markup &amp; &quot;entities&quot;", 'no markup & "entities"'),
        ("if a &lt; b and c &gt; d", "if a < b and c > d"),
        ("write &amp;lt; for it", "write &lt; for it"),
        ("List&lt;int&gt; and &lt;none&gt;", "List<int> and <none>"),
        ("end it with &lt;/p&gt;", "end it with </p>"),
        ("an &lt;a&gt; of many", "an <a> of many"),
        ("https://x/?a=1&amp;copy;=2", "https://x/?a=1©=2"),
        ("", ""),
    ],
)
def test_what_was_escaped_once_is_read_once(text: str, expected: str) -> None:
    assert from_sent_html(text) == expected


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(HOSTILE, st.integers(0, 5))
def test_any_text_escaped_any_number_of_times_is_read(text: str, times: int) -> None:
    for _ in range(times):
        text = html.escape(text)

    assert isinstance(from_sent_html(text), str)


@pytest.mark.parametrize(
    "text",
    ["<", "<p></p>", "&lt;", "&lt;p&gt;&lt;/p&gt;", "&amp;lt;b&amp;gt;&amp;lt;/b&amp;gt;", "&amp;amp;amp;", "<!--"],
)
def test_the_work_of_reading_what_was_escaped_grows_with_the_length_and_no_faster(text: str) -> None:
    many = text * (50_000 // len(text))
    began = time.perf_counter()
    from_sent_html(many)

    # Half the length is a quarter of a square; so is the limit, which is still twenty times what is needed.
    assert time.perf_counter() - began < 7.5
