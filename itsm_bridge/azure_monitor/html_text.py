"""What does a piece of HTML in an alert say?

The wording of the activity log and of smart detection asks, because Azure writes some of their texts in HTML.
It returns text that people can read, not text that is safe: `itsm_bridge.text.plain` sees to that later.

1. Paragraphs and rows become lines, a link shows its address, entities are read.
2. Comments, scripts, styles and the head are dropped.
3. HTML that was escaped more often than once is read as often (`from_sent_html`): Service Health sends such texts.
4. Everything that is no known tag stays as it is: `<none>`, `a < b`, a comment or a tag that is never closed.
"""

import html
import re
from html.parser import HTMLParser

from itsm_bridge.text import one_line

_UNSEEN = frozenset({"head", "script", "style", "title"})
_AT_START = {"br": "\n", "hr": "\n", "li": "\n- "}
_AT_END = dict.fromkeys(("br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "tr", "ul"), "\n")
_AT_END |= {"td": " ", "th": " "}
_INLINE = (
    "a abbr b blockquote body code em font html i img label meta pre s small span strong sub sup tbody tfoot thead u"
)
_KNOWN = "|".join((*_UNSEEN, *_AT_START, *_AT_END, *_INLINE.split()))

_NO_MARKUP = re.compile(rf"<(?!!--|/?(?:{_KNOWN})[\s/>])", re.IGNORECASE)
_TAG = re.compile(rf"<(/?)({_KNOWN})(?=[\s/>])", re.IGNORECASE)
_NEEDS_NO_END = frozenset({"br", "hr"})
#: A whole reference to a character, except for those that begin and end a tag.
_ENTITY = re.compile(r"&(?!lt;|gt;)(?:[a-z][a-z0-9]{1,30}|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
#: How often a text may have been escaped in vain.
_ESCAPES = 3
_LINK = re.compile(r"""https?://[^"'\s>]+""", re.IGNORECASE)


def from_sent_html(text: str) -> str:
    """Return HTML as plain lines, also if it was escaped more often than expected."""
    lines = from_html(text)
    for _ in range(_ESCAPES):
        if markup := _markup_in(lines):
            lines = from_html(markup)
    return _lines(_ENTITY.sub(lambda entity: html.unescape(entity[0]), lines))


def from_html(text: str) -> str:
    """Return HTML as plain lines."""
    commented, mark, rest = text.rpartition("-->")
    reader = _Reader()
    reader.feed(_NO_MARKUP.sub("&lt;", commented + mark + rest.replace("<!--", "&lt;!--")))
    # Not `close`: it looks for the end of each tag that has none, in time that grows with the square of the text.
    reader.handle_data(html.unescape(reader.rawdata))
    return _lines("".join(reader.pieces))


def _lines(text: str) -> str:
    """Return the lines of a text, each without spare white space, and one empty line between paragraphs."""
    lines = (one_line(line) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _markup_in(text: str) -> str:
    """Return a text as often unescaped as it takes until it holds elements; "" if it never does."""
    for _ in range(_ESCAPES):
        if _has_elements(text):
            return text
        text = html.unescape(text)
    return text if _has_elements(text) else ""


def _has_elements(text: str) -> bool:
    """Whether a text without markup holds what looks like it: a lone `<b>` may be meant, `<b>` with `</b>` is not."""
    tags = [(end, name.lower()) for end, name in _TAG.findall(text)]
    begun = {name for end, name in tags if not end}
    return not begun.isdisjoint({name for end, name in tags if end} | _NEEDS_NO_END)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._links: list[str] = []
        #: The element whose content is not shown, "" outside of one.
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen = self._unseen or tag
        if tag == "a":
            link = _LINK.match(dict(attrs).get("href") or "")
            self._links.append(link[0] if link else "")
        self.handle_data(_AT_START.get(tag, ""))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links and (address := self._links.pop()):
            self.handle_data(f" ({address})")
        self.handle_data(_AT_END.get(tag, ""))
        if tag == self._unseen:
            self._unseen = ""

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)
