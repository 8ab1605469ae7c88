const data = JSON.parse(document.getElementById("data").textContent);
const [box, slider, play, note] = ["window", "step", "play", "status"].map((id) => document.getElementById(id));
const rows = document.querySelectorAll("tbody tr");
const cells = data.given.map((text) => {
  const cell = document.createElement("span");
  cell.dataset.given = text === null ? "" : "1";
  return cell;
});
box.replaceChildren(...cells);

function stateAt(step) {
  const state = data.given.map((text) => ({ text, kind: text === null ? "open" : "given", title: "" }));
  data.steps.slice(0, step).forEach((each, k) => {
    const now = k === step - 1 ? " new" : "";
    for (const [place, text, sure] of each.r) {
      const shade = data.shades.filter((least) => sure >= least).length;
      state[place] = { text, kind: `s${shade}${now}`, title: `step ${k + 1}: ${(100 * sure).toFixed(1)} %` };
    }
    for (const place of each.h) {
      state[place] = { text: null, kind: now ? "open gone" : "open", title: `hidden again at step ${k + 1}` };
    }
  });
  return state;
}

function show(step) {
  slider.value = step;
  const state = stateAt(step);
  state.forEach(({ text, kind, title }, k) => {
    cells[k].textContent = text === null ? "·" : text;
    cells[k].className = kind;
    cells[k].title = title;
  });
  const hidden = state.filter((each) => each.text === null).length;
  const now = data.steps[step - 1];
  const did = now ? `, ${now.r.length} revealed${now.h.length ? `, ${now.h.length} hidden again` : ""}` : "";
  note.textContent = `Step ${step} of ${data.steps.length}${did}; ${hidden} hidden`;
  rows.forEach((row, k) => row.classList.toggle("now", k === step - 1));
}

let timer = null;
function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
}
function move(by) {
  stop();
  show(Math.max(0, Math.min(data.steps.length, Number(slider.value) + by)));
}
play.addEventListener("click", () => {
  if (timer !== null) return stop();
  if (Number(slider.value) >= data.steps.length) show(0);
  play.textContent = "Pause";
  timer = setInterval(() => {
    const next = Number(slider.value) + 1;
    if (next > data.steps.length) return stop();
    show(next);
  }, Math.max(40, Math.min(500, 12000 / Math.max(data.steps.length, 1))));
});
slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
document.getElementById("back").addEventListener("click", () => move(-1));
document.getElementById("forth").addEventListener("click", () => move(1));
slider.max = data.steps.length;
document.getElementById("controls").hidden = false;
const asked = Number((location.hash.match(/^#step=(\d+)$/) || [])[1] ?? data.steps.length);
show(Math.min(asked, data.steps.length));
