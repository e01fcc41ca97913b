"""Words that explain themselves, where they stand and from the search, and the search from every place."""

from __future__ import annotations

import re

import pytest
from support import viewing

from flows import glossary
from flows.metrics import real_fidelity
from storage.run import open_run

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}?grid=4"
MEANINGS = {row.word: row for row in glossary.WORDS}
BOX = ".term-box:popover-open"
ENTRY = "() => document.activeElement.closest('dialog') && document.activeElement.textContent"
IN_SEARCH = "() => document.activeElement.matches('.top .search input')"


def shown(page: viewing.Page) -> str:
    """Return the explanation on show."""
    page.see(BOX).wait_for()
    return " ".join(str(page.see(BOX).inner_text()).split())


def told(word: str, text: str) -> bool:
    """Is it the entry of the glossary, its plain words before its formula?"""
    row = MEANINGS[word]
    plain, formula = text.lower().find(row.meaning.lower()), text.find(row.formula)
    return 0 <= plain <= formula or (plain >= 0 and not row.formula)


def test_the_numbers_of_a_cell_explain_themselves(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.click_cell()
    page.settle()
    for word in ("fidelity", "coherence", "rank", "contrast"):
        page.see(f".facts .term >> text={word}").click()
        assert told(word, shown(page))
        page.keyboard.press("Escape")
        page.see(BOX).wait_for(state="detached")
        assert page.see(".panel .facts").is_visible()  # the panel stays
        page.see(f".facts .term >> text={word}").focus()
        page.keyboard.press("Enter")
        assert told(word, shown(page))
        page.mouse.click(5, 400)
        page.see(BOX).wait_for(state="detached")
    page.keyboard.press("Escape")
    page.until("() => !location.search.includes('cell=')")


def test_mutant_another_words_entry_is_seen() -> None:
    assert told("fidelity", f"{MEANINGS['fidelity'].meaning} {MEANINGS['fidelity'].formula}")
    assert not told("fidelity", f"{MEANINGS['fidelity'].formula} {MEANINGS['fidelity'].meaning}")
    assert not told("rank", MEANINGS["fidelity"].meaning)


def test_fidelity_is_told_with_what_real_patches_of_the_layer_reach(page: viewing.Page, served: viewing.Served) -> None:
    reached = real_fidelity.of_grid(open_run(served.store, "small"), LAYER, 4)
    assert reached is not None
    page.goto(f"{ATLAS}&shade=fidelity")
    page.settle()
    page.see(".legend .term").click()
    page.until(f"() => document.querySelector('{BOX}')?.textContent.includes('Patches of real images')")
    text = shown(page)
    numbers = [float(n) for n in re.findall(r"\d\.\d+", text.split("Patches of real images")[1])[:3]]
    assert numbers == pytest.approx([reached["low"], reached["high"], reached["median"]], abs=0.006)
    order = [text.index(words) for words in ("show the picture to the model", "Patches of real", "Formula")]
    assert order == sorted(order)
    page.see(f"{BOX} >> text=All words").click()
    page.until(f"() => ({ENTRY})() === 'fidelity'")
    page.until("() => document.querySelector('dialog').innerText.includes('Patches of real images')")


@pytest.mark.parametrize(
    ("place", "where", "word"),
    [
        (f"{ATLAS}&class=1", ".map-foot", "evidence"),
        (f"{ATLAS}&view=list", ".list th[data-order=coherence]", "coherence"),
        ("/small/run", "main", "coherence"),
    ],
)
def test_words_explain_themselves_elsewhere(page: viewing.Page, place: str, where: str, word: str) -> None:
    page.goto(place)
    page.settle()
    page.see(f"{where} .term:has-text({word!r})").first.click()
    assert told(word, shown(page))
    box = page.see(BOX).bounding_box()
    assert box["x"] >= 0 <= box["y"]
    assert box["x"] + box["width"] <= viewing.WIDE["width"]
    assert box["y"] + box["height"] <= viewing.WIDE["height"]


def test_the_help_begins_with_trust_and_ends_its_words_with_technical_ones(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.keyboard.press("?")
    assert page.see("dialog h2").all_inner_texts()[:3] == ["How far to trust a picture", "Words", "Keys"]
    words = page.see("dialog .words >> nth=0").locator("dt").all_inner_texts()
    assert words == list(MEANINGS)
    assert words[-3:] == ["tile", "shard", "stage"]
    assert "evidence" in words


def found(page: viewing.Page, text: str) -> list[list[str]]:
    """Return the matches of a text in the search, each with its kind."""
    page.see(".top .search input").fill(text)
    page.until("() => !document.querySelector('#found').hidden")
    page.settle()
    return [row.split("\n") for row in page.see("#found li").all_inner_texts()]


@pytest.mark.parametrize("text", ["3", "unit 3", "features.5 3", "features.5:3", "unit 3 of features.5", "Unit #3"])
def test_a_unit_is_found_as_people_write_it(page: viewing.Page, text: str) -> None:
    page.goto("/small/run")
    page.settle()
    assert [f"{LAYER}:3", "unit"] in found(page, text)


def test_what_the_search_finds_stands_there_once(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    rows = [name for name, kind in found(page, "png") if kind == "image"]
    assert len(rows) > 3
    assert len(set(rows)) == len(rows)
    assert found(page, "zebra crossing") == [["No match. For a unit, type its number, e.g. 36."]]
    page.see("main").focus()
    page.see(".top .search input").click()
    page.keyboard.type("fid")  # replaces the text that was left
    page.until("() => document.querySelector('#found').innerText.includes('word, explained')")
    assert page.see(".top .search input").input_value() == "fid"
    page.keyboard.press("Enter")
    page.until(f"() => ({ENTRY})() === 'fidelity'")
    box, head = page.see("dialog .sought").bounding_box(), page.see("dialog .panel-head").bounding_box()
    assert head["y"] + head["height"] <= box["y"] < viewing.WIDE["height"]


def test_the_slash_searches_from_home_and_at_once_after_a_dialog(page: viewing.Page) -> None:
    page.goto("/")
    page.see(".top .search").wait_for()
    page.keyboard.press("/")
    assert page.script(IN_SEARCH)
    assert [f"{LAYER}:3", "unit"] in found(page, "unit 3 of features.5")
    page.keyboard.press("Enter")
    page.until("() => location.pathname.endsWith('features.5:3')")
    page.settle()
    for opens in ("?", None):
        if opens:
            page.keyboard.press(opens)
        else:
            page.see(".save-figure").click()
        page.see("dialog").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.wait_for_timeout(100)
        assert page.script(IN_SEARCH)
        page.see("main").focus()


def test_a_unit_leads_down_to_what_drives_it_and_counts_its_labels(page: viewing.Page) -> None:
    page.goto(f"/small/unit/{LAYER}:3")
    page.settle()
    page.see(".jumps >> text=Driven by units of features.2").click()
    page.until("() => document.activeElement.textContent === 'Driven by units of features.2'")
    box = page.see("h2 >> text=Driven by units of features.2").bounding_box()
    assert 0 <= box["y"] < 300
