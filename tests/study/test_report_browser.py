"""The page in a real browser, at the width of a desktop and of a phone."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from simulated_study import simulate

from isobyte.study.analyse import analyse
from isobyte.study.report import write_report

WIDTHS = (1400, 390)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
    "--window-size=1500,1000",
    "--dump-dom",
]

FRAMES = """<!doctype html><meta charset="utf-8"><body>
{frames}<pre id="seen"></pre><script>
{script}
addEventListener("load", () => setTimeout(() => {{
  const seen = [...document.querySelectorAll("iframe")].map((frame) => measure(frame.contentDocument));
  document.getElementById("seen").textContent = JSON.stringify(seen);
}}, 4000));
</script></body>"""
"""The page in frames of exact widths: a headless window cannot be as narrow as a phone."""

MEASURE = r"""
function measure(doc) {
  const box = (element) => element.getBoundingClientRect();
  const plots = [...doc.querySelectorAll(".plot")].map((plot) => {
    const labels = [...plot.querySelectorAll(".xtick text, .ytick text, .xtitle, .ytitle, .annotation-text")];
    const outer = box(plot);
    const outside = labels.filter((l) => box(l).left < outer.left - 1 || box(l).right > outer.right + 1
      || box(l).top < outer.top - 1 || box(l).bottom > outer.bottom + 1).map((l) => l.textContent);
    const ticks = [...plot.querySelectorAll(".xtick text")].map(box).sort((a, b) => a.left - b.left);
    const heights = [...plot.querySelectorAll(".ytick text")].map(box);
    const title = plot.querySelector(".ytitle");
    return {
      id: plot.id, outside,
      svgs: plot.querySelectorAll("svg.main-svg").length,
      traces: plot.querySelectorAll(".scatterlayer .trace").length,
      ticks: ticks.length,
      touching: ticks.slice(1).filter((tick, k) => tick.left < ticks[k].right).length,
      titleOnTicks: title !== null && heights.some((tick) => tick.left < box(title).right - 1),
      heading: box(plot.parentElement.querySelector("h3")).bottom <= outer.top + 1,
      left: outer.left, width: outer.width,
    };
  });
  const table = doc.querySelector("table.sortable");
  const texts = (column) => [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.sort));
  const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("BPB"));
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.click();
  const rising = texts(column);
  button.click();
  return {
    width: doc.documentElement.clientWidth, scroll: doc.documentElement.scrollWidth, plots,
    rising, falling: texts(column), sorted: table.tHead.rows[0].cells[column].getAttribute("aria-sort"),
  };
}
"""


def visit(page, folder, widths=WIDTHS, script=MEASURE):
    """(measurements by width, the browser's console lines) of a page shown in frames of these widths."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        if os.environ.get("ISOBYTE_NO_BROWSER") == "1":
            pytest.skip("ISOBYTE_NO_BROWSER=1")
        pytest.fail("no Chromium: install the Debian package chromium, or set ISOBYTE_NO_BROWSER=1 to leave this out")
    frames = "".join(
        f'<iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:900px"></iframe>' for width in widths
    )
    outer = folder / "frames.html"
    outer.write_text(FRAMES.format(frames=frames, script=script))
    command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    seen = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert seen is not None, done.stderr[-2000:]
    assert seen[1], done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return dict(zip(widths, json.loads(html.unescape(seen[1])), strict=True)), console


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    study, rows = simulate(conventions=("exact", "6N"), noise=0.004)
    rows[3] |= {"state": "failed", "bpb": None, "error": "loss is not finite at step 12"}
    return visit(write_report(analyse(study, rows, bootstrap=30), rows, folder / "study"), folder)


def test_the_console_stays_silent(shown):
    assert shown[1] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_plot_is_drawn(shown, width):
    plots = {plot["id"]: plot for plot in shown[0][width]["plots"]}
    assert len(plots) == 9
    assert all(plot["svgs"] >= 2 and plot["ticks"] >= 2 for plot in plots.values())
    assert all(plots[f"isoflop-{k}"]["traces"] >= 11 for k in range(4))
    assert all(plot["traces"] >= 5 for plot in plots.values())


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_are_whole_and_apart(shown, width):
    for plot in shown[0][width]["plots"]:
        assert plot["outside"] == [], plot["id"]
        assert plot["touching"] == 0, plot["id"]
        assert not plot["titleOnTicks"], plot["id"]
        assert plot["heading"], plot["id"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(shown, width):
    seen = shown[0][width]
    assert seen["width"] == width
    assert seen["scroll"] <= width
    assert all(plot["left"] >= 0 and plot["left"] + plot["width"] <= width for plot in seen["plots"])


def test_panels_stand_two_abreast_on_a_desktop_and_one_on_a_phone(shown):
    lefts = {width: {plot["left"] for plot in shown[0][width]["plots"]} for width in WIDTHS}
    assert len(lefts[1400]) == 2
    assert len(lefts[390]) == 1


def test_a_click_on_a_heading_sorts_by_number(shown):
    seen = shown[0][1400]
    assert seen["rising"] == sorted(seen["rising"])
    assert seen["falling"] == sorted(seen["rising"], reverse=True)
    assert len(set(seen["rising"])) > 10
    assert seen["sorted"] == "descending"


def test_a_broken_page_would_be_noticed(tmp_path):
    page = tmp_path / "broken.html"
    page.write_text("<!doctype html><body><p style='width:3000px'>wide</p><script>missing();</script></body>")
    script = "const measure = (doc) => ({ scroll: doc.documentElement.scrollWidth });"
    seen, console = visit(page, tmp_path, (390,), script)
    assert seen[390]["scroll"] >= 3000
    assert any("missing is not defined" in line for line in console)
