"""axe, the checker of pages for everybody: what it has to say of what a page shows, in light and in dark."""

from __future__ import annotations

import pytest

from flows.viewer import assets
from support import viewing

SOURCE = assets.BUILT.parent / "web" / "node_modules" / "axe-core" / "axe.min.js"
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that look at colours, all in which the themes differ."""

VIOLATIONS = """async (only) => {
  const said = await axe.run({ resultTypes: ['violations'], ...(only.length ? { runOnly: only } : {}) });
  return said.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 160)).join(' | ')}`);
}"""


def needed() -> None:
    """Skip where there is no checker, unless it is required."""
    if not SOURCE.exists() and not viewing.required():
        pytest.skip("axe-core is not installed: npm ci in flows/viewer/web")


def violations(page: viewing.Page, state: str) -> dict[str, list[str]]:
    """Return what the checker has to say of a state, which is shown: by all rules in light, by those of colours in dark."""
    page.settle()
    if not page.script("() => 'axe' in window"):
        page.add_script_tag(path=str(SOURCE))
    said = {}
    for theme, rules in (("light", ()), ("dark", OF_COLOURS)):
        page.emulate_media(color_scheme=theme)
        said[f"{state} {theme}"] = page.script(VIOLATIONS, list(rules))
    return {where: words for where, words in said.items() if words}
