"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const config = { displaylogo: false, displayModeBar: false, doubleClick: "reset" };
  const isNarrow = () => window.innerWidth <= 760;

  // On a phone a finger on a plot scrolls the page; labels get smaller and every other tick goes where they would touch.
  function fitted(chart, width) {
    const layout = structuredClone(chart.layout);
    const narrow = isNarrow();
    layout.dragmode = narrow ? false : "zoom";
    if (narrow) {
      layout.font.size = 11;
      layout.margin = { l: 50, r: 10, t: 6, b: 44 };
    }
    const room = (width - layout.margin.l - layout.margin.r) / 46;
    const x = layout.xaxis;
    while (x.ticktext.length > Math.max(3, room)) {
      x.tickvals = x.tickvals.filter((_, k) => k % 2 === 0);
      x.ticktext = x.ticktext.filter((_, k) => k % 2 === 0);
    }
    return layout;
  }

  function drawAll() {
    for (const [id, chart] of Object.entries(charts)) {
      const box = document.getElementById(id);
      Plotly.react(box, chart.data, fitted(chart, box.clientWidth), config);
    }
  }

  drawAll();
  const main = document.querySelector("main");
  let width = main.clientWidth;
  new ResizeObserver(() => {
    if (main.clientWidth === width) return;
    width = main.clientWidth;
    drawAll();
  }).observe(main);
  for (const moment of ["beforeprint", "afterprint"]) {
    window.addEventListener(moment, () => Object.keys(charts).forEach((id) => Plotly.Plots.resize(id)));
  }

  // Numbers sort by value, texts by name; what has no number goes last.
  function sortBy(table, column, descending) {
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
    };
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      const sign = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
      return descending ? -sign : sign;
    };
    const body = table.tBodies[0];
    body.append(...Array.from(body.rows).sort(order));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sortBy(table, column, descending);
      });
    });
  }
})();
