"""The page is one file that needs nothing else, is well formed, and lets no data become HTML."""

import re
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.pyplot import imread

from sfumato.report import page

VOID = {"meta", "img", "br", "hr", "link", "input", "col"}
SECTIONS = {
    "run": [
        "Asked",
        "Learning",
        "Codes",
        "Reconstructions",
        "Samples",
        "Diagnosis",
        "Measures",
        "Environment",
    ],
    "comparison": ["Comparison", "Environment"],
}


class Page(HTMLParser):
    """Collects elements and text, and refuses tags that do not balance."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text.append((self.open[-1], data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def written_in(self, tag: str) -> list[str]:
        return [data for name, data in self.text if name == tag]


def test_tags_balance_and_headings_are_reached_from_the_contents(html):
    parsed = Page(html)
    assert html.startswith("<!doctype html>")
    assert len(parsed.of("h1")) == len(parsed.of("title")) == len(parsed.of("main")) == 1
    names = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    assert [link["href"] for link in parsed.of("a")] == [f"#{name}" for name in names]
    assert parsed.written_in("h2") in SECTIONS.values()
    assert parsed.written_in("a") == parsed.written_in("h2")


def test_the_page_loads_nothing_and_runs_nothing(html):
    parsed = Page(html)
    assert not parsed.of("script") + parsed.of("iframe") + parsed.of("link") + parsed.of("object")
    loaded = [
        a.get("src") or a.get("href") for _, a in parsed.elements if {"src", "href"} & a.keys()
    ]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in loaded)
    assert not re.search(r"https?://|url\(|@import", html)
    assert not [name for _, a in parsed.elements for name in a if name.startswith("on")]


def test_every_picture_is_whole_and_has_a_text_for_those_who_do_not_see_it(html):
    parsed = Page(html)
    pictures = parsed.of("img")
    assert pictures
    captions = parsed.written_in("figcaption")
    assert [picture["alt"] for picture in pictures] == captions
    assert all(captions)
    for picture in pictures:
        content = b64decode(picture["src"].partition(",")[2], validate=True)
        assert content.startswith(b"\x89PNG")
        assert content.endswith(b"IEND\xaeB`\x82")


def test_a_data_files_name_shows_as_it_is_and_injects_nothing(run_page):
    html = run_page.read_text()
    stem = "<b>x<b><img src=x onerror=alert(1)>&amp;'\""
    parsed = Page(html)
    assert not parsed.of("b")
    assert all(picture["src"].startswith("data:") for picture in parsed.of("img"))
    assert parsed.written_in("h1") == [f"sfumato: {stem}"]
    assert parsed.written_in("title") == [f"sfumato: {stem}"]
    assert f"VAE fitted to {stem}: 200 rows of 64 values." in parsed.written_in("p")
    assert any(cell.startswith("sfumato fit vae ") for cell in parsed.written_in("td"))
    assert any(cell.endswith(f"{stem}.npz") for cell in parsed.written_in("td"))


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x>', "a & b", "&lt;"])
def test_every_builder_escapes_what_it_is_given(hostile):
    content = {
        hostile: page.paragraph(hostile)
        + page.pairs({hostile: hostile})
        + page.grid([hostile], [[hostile, hostile]], [(0, 1)])
        + page.picture(Figure(figsize=(1, 1)), hostile)
    }
    parsed = Page(page.render(hostile, hostile, content))
    assert not parsed.of("script")
    assert len(parsed.of("img")) == 1
    assert parsed.of("img")[0]["alt"] == hostile
    for tag, times in (("title", 1), ("h1", 1), ("h2", 1), ("p", 2), ("td", 3), ("th", 2)):
        assert parsed.written_in(tag) == [hostile] * times


def test_the_best_cell_is_marked_and_no_other():
    parsed = Page(page.grid(["model", "mse"], [["a", "1"], ["b", "2"]], [(1, 1)]))
    assert [cell["class"] for cell in parsed.of("td")] == ["", "number", "", "number best"]


# in a browser


@pytest.mark.parametrize("name", SECTIONS)
def test_a_browser_shows_every_section(chromium, request, name):
    path = request.getfixturevalue(f"{name}_page")
    dom = chromium(path, "--dump-dom")
    found = re.findall(r"<h2 id=\"s\d+\">(.*?)</h2>", dom)
    assert found == SECTIONS[name]


def test_a_browser_paints_the_page(chromium, run_page, tmp_path):
    shot = tmp_path / "page.png"
    chromium(run_page, f"--screenshot={shot}", "--window-size=1100,1600")
    pixels = imread(shot)[..., :3]
    assert pixels.shape[1] == 1100
    colours = np.unique((pixels * 255).astype(np.uint8).reshape(-1, 3), axis=0)
    assert len(colours) > 100
    # Text and pictures, not a frame around nothing: ink in most of the bands down the page.
    bands = np.array_split(pixels.std(axis=(1, 2)), 16)
    assert sum(band.max() > 0.02 for band in bands) >= 12
