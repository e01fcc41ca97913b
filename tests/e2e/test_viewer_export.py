"""The page as files: opened by a double click, without a server, a network, or a module."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import viewing

from flows import cli
from flows.questions import names
from flows.viewer import export, export_file
from flows.viewer.answers import label_maps
from flows.viewer.answers.open_runs import OpenRuns

LAYER = "features.5"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, store = viewing.shared_run(tmp_path_factory)
    folder = tmp_path_factory.mktemp("out") / "atlas"
    viewing.page()
    assert cli.invoke(["export", "small", str(folder), "--store", str(store)]) == 0
    (folder.parent / "store").symlink_to(store)
    return folder


@pytest.fixture
def page(exported: Path, chromium: Any) -> Iterator[viewing.Page]:
    with viewing.opened(chromium, f"file://{exported}/index.html") as opened:
        yield opened
        assert opened.complaints() == []
        assert [url for url in opened.foreign() if not url.startswith(f"file://{exported}/")] == []


def test_it_works_from_disk(page: viewing.Page) -> None:
    page.goto("")
    page.until("() => location.hash.startsWith('#/small/atlas/')")
    page.settle()
    assert page.pixels(".stage") > 20
    page.goto(f"#/small/atlas/{LAYER}")
    page.settle()
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.until("() => location.hash.includes('cell=')")
    page.see(".panel").get_by_text("Real patches").wait_for()
    assert page.loaded(".panel .patches img")
    page.reload()
    page.see(".panel").get_by_text("Real patches").wait_for()
    page.see(".panel .chips a").first.click()
    page.until("() => location.hash.includes('/unit/')")
    page.settle()
    assert page.loaded(".shots img")
    assert page.loaded(".unit-made img")
    page.see("text=Where on the atlas it is strong").wait_for()
    page.go_back()
    page.until("() => location.hash.includes('cell=')")
    page.goto(f"#/small/atlas/{LAYER}?class=1&shade=unit:3")
    page.settle()
    page.see(".map-foot").get_by_text("Evidence for").wait_for()
    page.see(".legend-ramp").wait_for()
    page.goto(f"#/small/units/{LAYER}?sort=max")
    page.settle()
    assert page.see(".units li").count() == 12
    page.goto("#/small/run")
    page.settle()
    assert "Cite it" in page.see("main").inner_text()


def test_files_are_worked_by_keys_and_by_the_cursor(page: viewing.Page) -> None:
    page.goto(f"#/small/atlas/{LAYER}?grid=4")
    page.settle()
    box = page.see(".stage").bounding_box()
    for x in range(30, 70, 2):
        page.mouse.move(box["x"] + box["width"] * x / 100, box["y"] + box["height"] / 2)
        if page.see(".card").is_visible():
            break
    assert "samples" in page.see(".card").inner_text()
    page.keyboard.press("l")
    page.see(".list tbody tr").first.wait_for()
    page.keyboard.press("l")
    page.keyboard.press("/")
    page.keyboard.type("fence")
    page.see(".found [role=option]").first.wait_for()
    page.keyboard.press("Enter")
    page.until("() => location.hash.includes('class=1')")
    page.keyboard.press("?")
    page.see("dialog.help").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("[")
    page.until("() => location.hash.includes('features.2')")


def test_what_needs_the_model_says_so_in_place(page: viewing.Page) -> None:
    page.goto("#/small/image/7")
    page.settle()
    assert "actlas view small" in page.see("main").inner_text()
    page.goto(f"#/small/unit/{LAYER}:3?side=range")
    page.settle()
    assert "actlas view" in page.see("#side").inner_text()
    page.see(".facets summary").click()
    assert f"actlas show {LAYER}:3 --facets 4 --run small@1 --out unit-3.png" in page.see(".facets").inner_text()
    page.see(".links button").first.hover()
    page.see(".carriers li").first.wait_for()
    assert page.loaded(".carried img")
    assert "actlas view small" in page.see(".carried").inner_text()
    page.goto("#/small/run")
    page.see(".libraries").wait_for()
    for way in ("", "?locate=3"):
        page.goto(f"#/small/atlas/{LAYER}{way}")
        page.settle()
        if not way:
            page.see(".tool").get_by_text("Locate").click()
        assert "without the model" in page.see(".panel").inner_text()
        assert "actlas view small@1" in page.see(".panel").inner_text()


def test_files_load_one_another_and_nothing_else(page: viewing.Page) -> None:
    """No server says it, so the page itself does: a script that comes with a name would not run."""
    page.goto("#/small/run")
    page.settle()
    page.expose("hacked")
    page.script("""() => {
        addEventListener('securitypolicyviolation', (event) => { (window.refused ??= []).push(event.effectiveDirective); });
        const script = document.createElement('script');
        script.textContent = 'hacked()';
        document.body.append(script);
        const image = new Image();
        image.src = 'http://127.0.0.1:9/x.png';
    }""")
    page.until("() => (window.refused ?? []).length === 2")
    assert sorted(page.script("() => window.refused")) == ["img-src", "script-src-elem"]
    assert page.called() == 0
    page.complaints().clear()
    page.foreign().clear()


def test_what_files_do_not_hold_is_said_and_is_no_way_out(page: viewing.Page) -> None:
    page.goto(f"#/small/atlas/{LAYER}?class=zebra")
    page.see(".map-foot").get_by_text("no map of a class called “zebra”").wait_for()
    assert page.pixels(".stage") > 20
    page.see(".map-foot").get_by_text("Show all classes").click()
    page.see(".map-foot").get_by_text("one cell’s average").wait_for()
    page.goto(f"#/small/atlas/{LAYER}?class=paling")
    page.see(".map-foot").get_by_text("Evidence for picket fence").wait_for()
    page.goto(f"#/small/atlas/{LAYER}?shade=unit:9999")
    page.see(".legend").get_by_text("not among the exported files").wait_for()
    assert "actlas view small@1 --store STORE" in page.see(".legend").inner_text()
    page.goto(f"#/small/units/{LAYER}?class=1")
    page.settle()
    assert "correlate with “picket fence”" in page.see(".classes").inner_text()
    assert page.see(".units li").count() == 12
    page.goto(f"#/small/unit/{LAYER}:3")
    page.see(".bars.signed li").first.wait_for()
    links = page.see(".bars.signed a").count()
    page.script("() => ACTLAS.mapped.splice(0, 9)")
    page.goto(f"#/small/unit/{LAYER}:4")
    page.until(
        "() => document.querySelector('h1').innerText.endsWith('4') && document.querySelector('.bars.signed li')"
    )
    assert links > page.see(".bars.signed a").count() == 0


def test_real_patches_come_at_the_deepest_zoom(page: viewing.Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"#/small/atlas/{LAYER}?grid=4")
    page.settle()
    assert not [url for url in asked if "/data/cell/" in url]
    before = page.shot(".stage")
    page.goto(f"#/small/atlas/{LAYER}?grid=4&at=0.5,0.5,2.4")
    page.settle()
    page.wait_for_timeout(300)
    assert [url for url in asked if "/data/cell/" in url]
    assert page.shot(".stage") != before


def test_questions_to_a_server_are_answered_by_the_command(page: viewing.Page) -> None:
    page.goto("#/api")
    page.settle()
    assert "actlas view" in page.see("main").inner_text()
    for address in (
        f"#/small/units/{LAYER}?sort=like:3",
        f"#/small/atlas/{LAYER}?shade=motion:small@2",
        "#/small@2/run",
    ):
        page.goto(address)
        page.until("() => document.querySelector('main').innerText.includes('actlas view small')")


def test_the_size_is_told_before_and_is_about_right(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(exported.parent / "store")
    assert cli.invoke(["export", "small", str(tmp_path / "x"), "--store", store, "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    files = [path for path in exported.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    told = float(said.split("about ")[1].split(" MB")[0])
    assert f"{len(files) - 1:,} files" in said
    assert told == pytest.approx(size / 1e6, rel=0.25)


def test_labels_are_counted_at_once_and_not_rendered_to_tell_their_size(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid of any number of labels takes one count; what stands out is one byte shorter than what is told before."""
    version = OpenRuns(str(exported.parent / "store")).version("small")
    monkeypatch.setattr(names, "labelled_samples", None)
    files = [file for file in export.Exporter(version, viewing.page()).all_files() if "data/label/" in file.path]
    texts = [file.render().decode() for file in files]
    assert [text.count('"label":') for text in texts] == [3] * 4
    assert [file.size - text.count(",true]") for file, text in zip(files, texts, strict=True)] == [*map(len, texts)]
    monkeypatch.setattr(label_maps, "every", None)
    assert export_file.estimate(files) == (4, sum(file.size for file in files))


def test_only_an_export_is_replaced(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("four years")
    assert cli.invoke(["export", "small", str(tmp_path), "--store", str(exported.parent / "store")]) == 2
    assert "not an actlas export" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "four years"
    assert json.loads((exported / export.MARK).read_text())["run"] == "small"
    export.check_place(exported)


def test_scripts_hold_hostile_text_as_text() -> None:
    text = export._text({"label": "</script><script>hacked()</script>\u2028"})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text)["label"].startswith("</script>")


def test_names_of_files_are_numbers(exported: Path) -> None:
    """No layer, label or class names a file."""
    for path in (exported / "data").rglob("*.js"):
        parts = path.relative_to(exported / "data").with_suffix("").parts
        assert all(part.isdigit() for part in parts[1:]), path


def test_every_picture_and_answer_is_what_the_server_gives(exported: Path) -> None:
    version = OpenRuns(str(exported.parent / "store")).version("small")
    files: dict[str, Any] = {file.path: file for file in export.Exporter(version, viewing.page()).all_files()}
    there = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()} - {export.MARK}
    assert there == set(files)
    assert (exported / "pictures/faces/1/0.webp").read_bytes()[:4] == b"RIFF"
